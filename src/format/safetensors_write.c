#include "format/safetensors.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/json.h"
#include "safetensors_limits.h"

/* Adds `value` under a new name; takes the reference either way. */
static bool add(json_t *object, const char *name, json_t *value)
{
    if (json_object_get(object, name)) {
        json_decref(value);
        return false;
    }
    return json_object_set_new(object, name, value) == 0; /* fails on names that are not UTF-8 */
}

/* The tensor's header entry, or NULL when its shape does not say n. */
static json_t *describe(const struct sg_tensor *tensor, int64_t begin)
{
    if (tensor->n_dimensions < 0 || tensor->n_dimensions > SG_TENSOR_DIMENSIONS_MAX)
        return NULL;
    int64_t n = 1;
    for (int i = 0; i < tensor->n_dimensions; i++)
        if (tensor->shape[i] < 0 || __builtin_mul_overflow(n, tensor->shape[i], &n))
            return NULL;
    if (n != tensor->n)
        return NULL;
    json_t *shape = json_array();
    for (int i = 0; i < tensor->n_dimensions; i++)
        json_array_append_new(shape, json_integer(tensor->shape[i]));
    json_t *entry = json_object();
    json_object_set_new(entry, "dtype", json_string("F32"));
    json_object_set_new(entry, "shape", shape);
    json_object_set_new(entry, "data_offsets",
                        json_pack("[I,I]", (json_int_t)begin, (json_int_t)(begin + 4 * tensor->n)));
    return entry;
}

static enum sg_status build_header(const char *path, const struct sg_tensor *tensors, size_t n_tensors,
                                   const char *const *metadata, size_t n_metadata, json_t *header)
{
    json_t *pairs = json_object();
    if (n_metadata)
        json_object_set(header, "__metadata__", pairs);
    bool good = true;
    for (size_t i = 0; i < n_metadata; i++)
        good = add(pairs, metadata[2 * i], json_string(metadata[2 * i + 1])) && good;
    json_decref(pairs);
    if (!good)
        return sg_fail(SG_FAILED, "%s: cannot write: a metadata key appears twice or is not UTF-8", path);
    int64_t at = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        bool reserved = strcmp(tensors[i].name, "__metadata__") == 0;
        json_t *entry = reserved ? NULL : describe(&tensors[i], at);
        if (!entry || !add(header, tensors[i].name, entry))
            return sg_fail(SG_FAILED, "%s: cannot write the tensor \"%.100s\": bad shape, or a name that is taken",
                           path, tensors[i].name);
        at += 4 * tensors[i].n;
    }
    return SG_OK;
}

static enum sg_status write_stream(const char *path, const struct sg_buffer *header, const struct sg_tensor *tensors,
                                   size_t n_tensors)
{
    struct sg_file_writer writer;
    SG_TRY(sg_file_writer_open(path, 0644, &writer));
    uint64_t header_bytes = header->len;
    fwrite(&header_bytes, 1, PREFIX_BYTES, writer.stream); /* commit sees any failure of these */
    fwrite(header->data, 1, header->len, writer.stream);
    for (size_t i = 0; i < n_tensors; i++)
        if (tensors[i].n)
            fwrite(tensors[i].data, sizeof(float), (size_t)tensors[i].n, writer.stream);
    return sg_file_writer_commit(&writer);
}

enum sg_status sg_safetensors_write(const char *path, const struct sg_tensor *tensors, size_t n_tensors,
                                    const char *const *metadata, size_t n_metadata)
{
    json_t *header = json_object();
    enum sg_status status = build_header(path, tensors, n_tensors, metadata, n_metadata, header);
    struct sg_buffer text = {0};
    if (status == SG_OK)
        sg_json_dump(header, &text);
    json_decref(header);
    while (status == SG_OK && text.len % 8)
        sg_buffer_text(&text, " ");
    if (status == SG_OK && text.len > HEADER_BYTES_MAX)
        status = sg_fail(SG_FAILED, "%s: cannot write: too many tensors", path);
    if (status == SG_OK)
        status = write_stream(path, &text, tensors, n_tensors);
    sg_buffer_free(&text);
    return status;
}
