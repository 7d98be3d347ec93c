#include "ledger_writer.h"

#include <stdio.h>

#include "print_rows.h"

enum sg_status sg_ledger_writer_open(struct sg_ledger_writer *w, const char *path, const char *key,
                                     const char *unlock_file)
{
    SG_TRY(sg_signer_open(key, unlock_file, &w->signer));
    return sg_ledger_open(path, w->signer, &w->ledger);
}

void sg_ledger_writer_say(const struct sg_ledger_writer *w, const char *what, const char *subject, bool json)
{
    int64_t size;
    uint8_t root[SG_DIGEST_BYTES];
    sg_ledger_head(w->ledger, &size, root);
    if (json) {
        json_t *object =
            json_pack("{s:s, s:s, s:I}", "recorded", what, "subject", subject, "leaf", (json_int_t)(size - 1));
        sg_print_json(object);
        json_decref(object);
    } else {
        printf("recorded     %s, %s, leaf %lld\n", what, subject, (long long)(size - 1));
    }
}

void sg_ledger_writer_close(struct sg_ledger_writer *w)
{
    sg_ledger_close(&w->ledger);
    sg_signer_close(&w->signer);
}
