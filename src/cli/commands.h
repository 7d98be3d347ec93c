/* Every command's entry point. argv[0] is the command's name. */
#ifndef SG_CLI_COMMANDS_H
#define SG_CLI_COMMANDS_H

#include "base/status.h"

/* sealgrad: no tensors */
enum sg_status sg_cmd_keygen(int argc, char **argv);
enum sg_status sg_cmd_ledger(int argc, char **argv);
enum sg_status sg_cmd_budget(int argc, char **argv);
enum sg_status sg_cmd_key(int argc, char **argv);
enum sg_status sg_cmd_epsilon(int argc, char **argv);
enum sg_status sg_cmd_calibrate(int argc, char **argv);

/* sealgrad-trainer */
enum sg_status sg_cmd_programme(int argc, char **argv);
enum sg_status sg_cmd_train(int argc, char **argv);
enum sg_status sg_cmd_score(int argc, char **argv);
enum sg_status sg_cmd_evaluate(int argc, char **argv);
enum sg_status sg_cmd_dataset(int argc, char **argv);
enum sg_status sg_cmd_schema(int argc, char **argv);
enum sg_status sg_cmd_bench(int argc, char **argv);

#endif
