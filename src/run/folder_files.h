/* What model folders are made of, ours and published ones: JSON files, and tensors that are a model's parameters. */
#ifndef SG_RUN_FOLDER_FILES_H
#define SG_RUN_FOLDER_FILES_H

#include "base/json.h"
#include "format/safetensors.h"
#include "nn/model.h"

/* `what` names the file's role in messages. SG_USAGE when it is no JSON. The caller json_decrefs. */
SG_MUST_USE enum sg_status sg_folder_read_json(const char *path, const char *what, json_t **out);
SG_MUST_USE enum sg_status sg_folder_write_json(const char *folder, const char *name, const json_t *value);

/* The name of a parameter in a model's file: of an encoder all but the head and the decoder carry the prefix "bert.",
 * as the usual library writes them. Other kinds of models: the name itself. */
void sg_tensor_name(const struct sg_model *model, const struct sg_parameter *parameter, char out[128]);
/* A parameter as a tensor to be written; name and weights are borrowed. */
struct sg_tensor sg_tensor_of(const struct sg_parameter *parameter, char *name, const float *weights);
/* Whether it has the parameter's shape. */
bool sg_tensor_fits(const struct sg_tensor *tensor, const struct sg_parameter *parameter);
/* Into the vector of all weights, where it fits. SG_USAGE when a value is not finite; `path` is for the message. */
SG_MUST_USE enum sg_status sg_tensor_take(const char *path, const struct sg_tensor *tensor,
                                          const struct sg_parameter *parameter, float *weights);

#endif
