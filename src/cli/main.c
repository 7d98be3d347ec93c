/* sealgrad: the auditor's program. Verbs that touch tensors run in sealgrad-trainer. */
#include "commands.h"
#include "options.h"

static const struct sg_command commands[] = {
    {"keygen", sg_cmd_keygen, "make a signing key pair"},
    {"key", sg_cmd_key, "add, rotate or revoke a ledger's keys"},
    {"ledger", sg_cmd_ledger, "make, verify and query the record"},
    {"budget", sg_cmd_budget, "privacy spent on a population, and what is left"},
    {"programme", NULL, "fix a plan and a number of runs in advance, and charge them once"},
    {"train", NULL, "train a model from a configuration"},
    {"score", NULL, "score a file with a trained model"},
    {"evaluate", NULL, "metrics of a trained model on a labelled file"},
    {"dataset", NULL, "register a dataset and its population's privacy limit"},
    {"schema", NULL, "draft a schema from a data file"},
    {"epsilon", sg_cmd_epsilon, "what a history of noisy steps costs"},
    {"calibrate", sg_cmd_calibrate, "the noise, steps or rate that a target allows"},
    {"bench", NULL, "step times, private against non-private"},
};

int main(int argc, char **argv)
{
    return sg_main("sealgrad", commands, sizeof commands / sizeof *commands, argc, argv);
}
