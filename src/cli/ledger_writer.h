/* A ledger opened by a verb that appends one event, and the line that says where it stands. */
#ifndef SG_CLI_LEDGER_WRITER_H
#define SG_CLI_LEDGER_WRITER_H

#include "audit/ledger.h"

struct sg_ledger_writer {
    struct sg_signer *signer;
    struct sg_ledger *ledger;
};
/* Close it even when this fails. */
SG_MUST_USE enum sg_status sg_ledger_writer_open(struct sg_ledger_writer *w, const char *path, const char *key,
                                                 const char *unlock_file);
void sg_ledger_writer_say(const struct sg_ledger_writer *w, const char *what, const char *subject, bool json);
void sg_ledger_writer_close(struct sg_ledger_writer *w);

#endif
