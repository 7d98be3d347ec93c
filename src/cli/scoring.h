/* A trained model over the units of a file: what `score` and `evaluate` share. */
#ifndef SG_CLI_SCORING_H
#define SG_CLI_SCORING_H

#include "data/dataset.h"
#include "run/model_folder.h"

struct sg_scoring_flags {
    const char *data, *split, *backend;
    int64_t workers;
    bool quiet;
};

struct sg_scoring {
    struct sg_model_folder model;
    struct sg_dataset *data;
    int32_t *unit; /* (n) those of the split that was asked for, else all */
    int64_t n, n_outputs;
    float *score; /* (n, n_outputs) */
};

/* A name ending in .txt is read as plain text, one message a line, where the model reads text and no label is needed.
 * The caller closes, also after a fault. */
SG_MUST_USE enum sg_status sg_scoring_open(const char *folder, const struct sg_scoring_flags *flags, bool need_label,
                                           struct sg_scoring *out);
/* By how a file's name ends its kind is told. */
bool sg_scoring_ends_in(const char *text, const char *end);
void sg_scoring_close(struct sg_scoring *scoring);

#endif
