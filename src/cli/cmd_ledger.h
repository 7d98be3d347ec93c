/* The verbs of sealgrad ledger. argv[0] is the verb. */
#ifndef SG_CLI_CMD_LEDGER_H
#define SG_CLI_CMD_LEDGER_H

#include "base/status.h"

enum sg_status sg_ledger_verb_verify(int argc, char **argv);
enum sg_status sg_ledger_verb_checkpoint(int argc, char **argv);
enum sg_status sg_ledger_verb_prove(int argc, char **argv);
enum sg_status sg_ledger_verb_witness(int argc, char **argv);
enum sg_status sg_ledger_verb_timestamp(int argc, char **argv);
enum sg_status sg_ledger_verb_diff(int argc, char **argv);
enum sg_status sg_ledger_verb_backup(int argc, char **argv);
enum sg_status sg_ledger_verb_report(int argc, char **argv);
enum sg_status sg_ledger_verb_decide(int argc, char **argv); /* approve, deploy, retire */
enum sg_status sg_ledger_verb_erase(int argc, char **argv);

#endif
