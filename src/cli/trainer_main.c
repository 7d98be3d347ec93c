/* sealgrad-trainer: the verbs that touch tensors. Started by sealgrad, or directly under mpirun. */
#include "commands.h"
#include "options.h"

static const struct sg_command commands[] = {
    {"programme", sg_cmd_programme, "fix a plan and a number of runs in advance, and charge them once"},
    {"train", sg_cmd_train, "train a model from a configuration"},
    {"score", sg_cmd_score, "score a file with a trained model"},
    {"evaluate", sg_cmd_evaluate, "metrics of a trained model on a labelled file"},
    {"dataset", sg_cmd_dataset, "register a dataset and its population's privacy limit"},
    {"schema", sg_cmd_schema, "draft a schema from a data file"},
    {"bench", sg_cmd_bench, "step times, private against non-private"},
};

int main(int argc, char **argv)
{
    return sg_main("sealgrad-trainer", commands, sizeof commands / sizeof *commands, argc, argv);
}
