#include "folder_files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"

#define JSON_BYTES_MAX (1 << 20)

enum sg_status sg_folder_read_json(const char *path, const char *what, json_t **out)
{
    struct sg_buffer bytes = {0};
    SG_TRY(sg_file_read(path, what, JSON_BYTES_MAX, &bytes));
    enum sg_status status = sg_json_parse(bytes.data, bytes.len, path, SG_USAGE, out);
    sg_buffer_free(&bytes);
    return status;
}

enum sg_status sg_folder_write_json(const char *folder, const char *name, const json_t *value)
{
    char *path = sg_path_join(folder, name), *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    struct sg_buffer bytes = {0};
    sg_buffer_printf(&bytes, "%s\n", text);
    enum sg_status status = sg_file_write(path, bytes.data, bytes.len, 0644);
    sg_buffer_free(&bytes);
    free(text);
    free(path);
    return status;
}

void sg_tensor_name(const struct sg_model *model, const struct sg_parameter *p, char out[128])
{
    bool bare = sg_model_spec_of(model)->kind != SG_MODEL_ENCODER || strncmp(p->name, "classifier.", 11) == 0 ||
                strncmp(p->name, "cls.", 4) == 0;
    snprintf(out, 128, "%s%s", bare ? "" : "bert.", p->name);
}

struct sg_tensor sg_tensor_of(const struct sg_parameter *p, char *name, const float *weights)
{
    return (struct sg_tensor){
        .name = name,
        .n_dimensions = p->n_dimensions,
        .shape = {p->n_out, p->n_in},
        .n = p->n_out * p->n_in,
        .data = (float *)weights + p->first, /* only read: it is borrowed for writing a file */
    };
}

bool sg_tensor_fits(const struct sg_tensor *t, const struct sg_parameter *p)
{
    return t->n_dimensions == p->n_dimensions && t->shape[0] == p->n_out &&
           (p->n_dimensions == 1 || t->shape[1] == p->n_in);
}

enum sg_status sg_tensor_take(const char *path, const struct sg_tensor *t, const struct sg_parameter *p, float *weights)
{
    for (int64_t k = 0; k < t->n; k++)
        if (!isfinite(t->data[k]))
            return sg_fail(SG_USAGE, "%s: tensor %s holds a value that is not finite", path, p->name);
    memcpy(weights + p->first, t->data, (size_t)t->n * sizeof *weights);
    return SG_OK;
}
