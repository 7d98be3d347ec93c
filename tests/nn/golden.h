/* A file of tools/encoder_golden.py: the model that it describes with its weights, and its tensors by name. A file that
 * is not one ends the program. */
#ifndef SG_TESTS_GOLDEN_H
#define SG_TESTS_GOLDEN_H

#include "format/safetensors.h"
#include "nn/model.h"

struct golden {
    struct sg_safetensors file;
    const struct sg_ops *ops;
    struct sg_model *model; /* learns what the file has gradients of */
    float *weights;         /* all */
    int64_t n_units, n_outputs;
    int32_t *token, *offset; /* the texts, packed */
    int32_t *masked_offset;  /* (n_units + 1) answers of each unit; one each where whole texts are classified */
    int32_t *masked;         /* the rows that are asked for, or NULL */
};

void golden_open(const char *path, const struct sg_ops *ops, struct golden *out);
void golden_close(struct golden *golden);
const struct sg_tensor *golden_tensor(const struct golden *golden, const char *prefix, const char *name);
const char *golden_metadata(const struct golden *golden, const char *key);

/* The small generated encoders beside this file, NULL at the end; the caller frees the path of one. */
extern const char *const golden_names[];
char *golden_path(const char *name);

#endif
