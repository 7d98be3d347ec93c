/* The verbs of sealgrad ledger. argv[0] is the verb. */
#ifndef SG_CLI_CMD_LEDGER_H
#define SG_CLI_CMD_LEDGER_H

#include <stdbool.h>

#include "audit/ledger.h"
#include "audit/verify.h"
#include "base/status.h"

/* Before anything is made of the derived tables: SG_BROKEN, with the first problem, when the ledger does not verify. A
 * ledger without witness or trust passes. `what` begins the text: "nothing is exported". */
enum sg_status sg_ledger_verify_first(const char *path, const char *trust_path, const char *what,
                                      struct sg_verdict *verdict);

/* The rows of a view in a format; without rows a CSV file still names the view's columns. */
enum sg_status sg_ledger_print_answer(struct sg_ledger *ledger, const char *view, const json_t *rows,
                                      const char *format, const char *title);

enum sg_status sg_ledger_verb_verify(int argc, char **argv);
enum sg_status sg_ledger_verb_checkpoint(int argc, char **argv);
enum sg_status sg_ledger_verb_prove(int argc, char **argv);
enum sg_status sg_ledger_verb_witness(int argc, char **argv);
enum sg_status sg_ledger_verb_timestamp(int argc, char **argv);
enum sg_status sg_ledger_verb_witness_serve(int argc, char **argv);
/* witness FILE --url URL --trust POLICY */
enum sg_status sg_ledger_witness_url(const char *path, const char *url, const char *trust_path, bool json);
enum sg_status sg_ledger_verb_diff(int argc, char **argv);
enum sg_status sg_ledger_verb_backup(int argc, char **argv);
enum sg_status sg_ledger_verb_compact(int argc, char **argv);
enum sg_status sg_ledger_verb_report(int argc, char **argv);
enum sg_status sg_ledger_verb_decide(int argc, char **argv); /* approve, deploy, retire */
enum sg_status sg_ledger_verb_report_or_pack(int argc, char **argv);
enum sg_status sg_ledger_verb_export(int argc, char **argv);
enum sg_status sg_ledger_verb_erase(int argc, char **argv);
enum sg_status sg_ledger_verb_retention(int argc, char **argv);
enum sg_status sg_ledger_verb_reproduce(int argc, char **argv);

#endif
