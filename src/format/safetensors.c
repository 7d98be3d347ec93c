#include "format/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/json.h"
#include "safetensors_limits.h"

#define BLOCK_BYTES (1 << 16)
#define FLOATS_ALIGNED 16 /* every tensor begins on a line of the cache */

enum dtype { F32, F16, BF16, SKIPPED };

/* One tensor as the header describes it; offsets count from the end of the header. */
struct entry {
    const char *name; /* borrowed from the header */
    enum dtype dtype;
    int n_dimensions;
    int64_t shape[SG_TENSOR_DIMENSIONS_MAX];
    int64_t n, begin, end;
    float *data; /* where its floats go; NULL when skipped */
};

struct reader {
    const char *path;
    int file;
    int64_t data_at, data_bytes;
    json_t *header;
    struct entry *entries;
    size_t n_entries;
};

static enum sg_status fail_tensor(const struct reader *reader, const char *name, const char *problem)
{
    return sg_fail(SG_USAGE, "%s: tensor \"%.100s\": %s", reader->path, name, problem);
}

static enum sg_status read_at(const struct reader *reader, void *out, int64_t n, int64_t at)
{
    for (char *p = out; n > 0;) {
        ssize_t got = pread(reader->file, p, (size_t)n, at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sg_fail(SG_USAGE, "%s: cannot read: %s", reader->path, strerror(errno));
        if (got == 0)
            return sg_fail(SG_USAGE, "%s: the file became shorter while it was read", reader->path);
        p += got;
        n -= got;
        at += got;
    }
    return SG_OK;
}

static enum sg_status read_header(struct reader *reader)
{
    struct stat facts;
    if (fstat(reader->file, &facts))
        return sg_fail(SG_USAGE, "%s: cannot read: %s", reader->path, strerror(errno));
    if (!S_ISREG(facts.st_mode))
        return sg_fail(SG_USAGE, "%s: not a regular file", reader->path);
    uint64_t n = 0;
    if (facts.st_size < PREFIX_BYTES + 2)
        return sg_fail(SG_USAGE, "%s: not a safetensors file: only %lld bytes long", reader->path,
                       (long long)facts.st_size);
    SG_TRY(read_at(reader, &n, PREFIX_BYTES, 0));
    if (n > HEADER_BYTES_MAX || (int64_t)n > facts.st_size - PREFIX_BYTES)
        return sg_fail(SG_USAGE, "%s: not a safetensors file: impossible header length %llu", reader->path,
                       (unsigned long long)n);
    reader->data_at = PREFIX_BYTES + (int64_t)n;
    reader->data_bytes = facts.st_size - reader->data_at;
    char *bytes = sg_alloc(n + 1, 1);
    enum sg_status status = read_at(reader, bytes, (int64_t)n, PREFIX_BYTES);
    if (status == SG_OK && bytes[0] != '{')
        status = sg_fail(SG_USAGE, "%s: not a safetensors file: the header is not a JSON object", reader->path);
    if (status == SG_OK)
        status = sg_json_parse(bytes, n, reader->path, SG_USAGE, &reader->header);
    free(bytes);
    return status;
}

static enum sg_status read_dtype(const struct reader *reader, const char *name, const json_t *value, enum dtype *dtype,
                                 int *element_bytes)
{
    static const struct {
        const char *name;
        enum dtype dtype;
        int bytes;
    } known[] = {{"F32", F32, 4},     {"F16", F16, 2},     {"BF16", BF16, 2},  {"I64", SKIPPED, 8},
                 {"I32", SKIPPED, 4}, {"I16", SKIPPED, 2}, {"I8", SKIPPED, 1}, {"U64", SKIPPED, 8},
                 {"U32", SKIPPED, 4}, {"U16", SKIPPED, 2}, {"U8", SKIPPED, 1}, {"BOOL", SKIPPED, 1}};
    for (size_t i = 0; json_is_string(value) && i < sizeof known / sizeof *known; i++) {
        if (strcmp(json_string_value(value), known[i].name) == 0) {
            *dtype = known[i].dtype;
            *element_bytes = known[i].bytes;
            return SG_OK;
        }
    }
    return fail_tensor(reader, name, "the dtype must be F32, F16, BF16 or an integer's");
}

static enum sg_status read_shape(const struct reader *reader, const char *name, const json_t *shape,
                                 struct entry *entry)
{
    if (!json_is_array(shape) || json_array_size(shape) > SG_TENSOR_DIMENSIONS_MAX)
        return fail_tensor(reader, name, "the shape must be a list of at most 8 sizes");
    entry->n_dimensions = (int)json_array_size(shape);
    entry->n = 1;
    for (int i = 0; i < entry->n_dimensions; i++) {
        const json_t *size = json_array_get(shape, (size_t)i);
        if (!json_is_integer(size) || json_integer_value(size) < 0)
            return fail_tensor(reader, name, "a size in the shape is not a natural number");
        entry->shape[i] = json_integer_value(size);
        if (__builtin_mul_overflow(entry->n, entry->shape[i], &entry->n))
            return fail_tensor(reader, name, "the shape is too large");
    }
    return SG_OK;
}

static enum sg_status read_entry(const struct reader *reader, const char *name, const json_t *value,
                                 struct entry *entry)
{
    if (!json_is_object(value) || json_object_size(value) != 3)
        return fail_tensor(reader, name, "must have exactly dtype, shape and data_offsets");
    int element_bytes = 0;
    int64_t bytes;
    entry->name = name;
    SG_TRY(read_dtype(reader, name, json_object_get(value, "dtype"), &entry->dtype, &element_bytes));
    SG_TRY(read_shape(reader, name, json_object_get(value, "shape"), entry));
    const json_t *offsets = json_object_get(value, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return fail_tensor(reader, name, "data_offsets must be two integers");
    entry->begin = json_integer_value(begin);
    entry->end = json_integer_value(end);
    if (entry->begin < 0 || entry->end < entry->begin || entry->end > reader->data_bytes)
        return fail_tensor(reader, name, "data_offsets lie outside the file");
    if (__builtin_mul_overflow(entry->n, element_bytes, &bytes) || bytes != entry->end - entry->begin)
        return fail_tensor(reader, name, "data_offsets do not fit dtype and shape");
    return SG_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end);
}

/* Together the tensors must be the data: no byte twice, no byte left over. */
static enum sg_status check_cover(const struct reader *reader)
{
    struct entry **sorted = sg_alloc(reader->n_entries, sizeof *sorted);
    for (size_t i = 0; i < reader->n_entries; i++)
        sorted[i] = &reader->entries[i];
    qsort(sorted, reader->n_entries, sizeof *sorted, compare_entries);
    int64_t at = 0;
    enum sg_status status = SG_OK;
    for (size_t i = 0; i < reader->n_entries && status == SG_OK; i++) {
        if (sorted[i]->begin != at)
            status = fail_tensor(reader, sorted[i]->name,
                                 sorted[i]->begin < at ? "overlaps another tensor" : "leaves a gap before it");
        at = sorted[i]->end;
    }
    free(sorted);
    if (status == SG_OK && at != reader->data_bytes)
        status = sg_fail(SG_USAGE, "%s: %lld bytes follow the last tensor", reader->path,
                         (long long)(reader->data_bytes - at));
    return status;
}

static enum sg_status read_metadata(const struct reader *reader, const json_t *metadata, struct sg_safetensors *out)
{
    if (!json_is_object(metadata))
        return sg_fail(SG_USAGE, "%s: __metadata__ must be an object of strings", reader->path);
    out->metadata = sg_alloc(json_object_size(metadata), 2 * sizeof *out->metadata);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)metadata, key, value)
    {
        if (!json_is_string(value))
            return sg_fail(SG_USAGE, "%s: __metadata__ must be an object of strings", reader->path);
        out->metadata[2 * out->n_metadata] = sg_strdup(key);
        out->metadata[2 * out->n_metadata + 1] = sg_strdup(json_string_value(value));
        out->n_metadata++;
    }
    return SG_OK;
}

static enum sg_status read_entries(struct reader *reader, struct sg_safetensors *out)
{
    reader->entries = sg_alloc(json_object_size(reader->header), sizeof *reader->entries);
    const char *name;
    json_t *value;
    json_object_foreach(reader->header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) {
            SG_TRY(read_metadata(reader, value, out));
            continue;
        }
        SG_TRY(read_entry(reader, name, value, &reader->entries[reader->n_entries]));
        reader->n_entries++;
    }
    return check_cover(reader);
}

static float float_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff;
    if (exponent == 31)
        return float_from_bits(sign | 0x7f800000 | fraction << 13);
    if (exponent)
        return float_from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float value = (float)fraction * 0x1p-24f; /* subnormal or zero: exact */
    return sign ? -value : value;
}

static enum sg_status read_halves(const struct reader *reader, const struct entry *entry)
{
    enum sg_status status = SG_OK;
    uint16_t *block = sg_alloc(BLOCK_BYTES, 1);
    for (int64_t done = 0; done < entry->n && status == SG_OK;) {
        int64_t n = entry->n - done < BLOCK_BYTES / 2 ? entry->n - done : BLOCK_BYTES / 2;
        status = read_at(reader, block, 2 * n, reader->data_at + entry->begin + 2 * done);
        for (int64_t i = 0; i < n; i++)
            entry->data[done + i] =
                entry->dtype == F16 ? from_f16(block[i]) : float_from_bits((uint32_t)block[i] << 16);
        done += n;
    }
    free(block);
    return status;
}

/* Places every tensor in one allocation, then fills it. The sizes are bounded by the file's: no sum overflows. */
static enum sg_status read_data(struct reader *reader, struct sg_safetensors *out)
{
    size_t n_floats = 0;
    for (size_t i = 0; i < reader->n_entries; i++)
        if (reader->entries[i].dtype != SKIPPED)
            n_floats += ((size_t)reader->entries[i].n + FLOATS_ALIGNED - 1) / FLOATS_ALIGNED * FLOATS_ALIGNED;
    float *floats = out->memory = sg_alloc_aligned(n_floats * sizeof(float));
    out->tensors = sg_alloc(reader->n_entries, sizeof *out->tensors);
    for (size_t i = 0; i < reader->n_entries; i++) {
        struct entry *entry = &reader->entries[i];
        if (entry->dtype == SKIPPED)
            continue;
        entry->data = floats;
        floats += (entry->n + FLOATS_ALIGNED - 1) / FLOATS_ALIGNED * FLOATS_ALIGNED;
        struct sg_tensor *tensor = &out->tensors[out->n_tensors++];
        *tensor = (struct sg_tensor){
            .name = sg_strdup(entry->name), .n_dimensions = entry->n_dimensions, .n = entry->n, .data = entry->data};
        memcpy(tensor->shape, entry->shape, sizeof tensor->shape);
        if (entry->dtype == F32)
            SG_TRY(read_at(reader, entry->data, entry->n * 4, reader->data_at + entry->begin));
        else
            SG_TRY(read_halves(reader, entry));
    }
    return SG_OK;
}

enum sg_status sg_safetensors_read(const char *path, struct sg_safetensors *out)
{
    *out = (struct sg_safetensors){0};
    struct reader reader = {.path = path, .file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (reader.file < 0)
        return sg_fail(SG_USAGE, "%s: cannot open: %s", path, strerror(errno));
    enum sg_status status = read_header(&reader);
    if (status == SG_OK)
        status = read_entries(&reader, out);
    if (status == SG_OK)
        status = read_data(&reader, out);
    json_decref(reader.header);
    free(reader.entries);
    close(reader.file);
    if (status != SG_OK)
        sg_safetensors_free(out);
    return status;
}

void sg_safetensors_free(struct sg_safetensors *file)
{
    for (size_t i = 0; i < file->n_tensors; i++)
        free(file->tensors[i].name);
    for (size_t i = 0; i < 2 * file->n_metadata; i++)
        free(file->metadata[i]);
    free(file->tensors);
    free(file->metadata);
    free(file->memory);
    *file = (struct sg_safetensors){0};
}

const struct sg_tensor *sg_safetensors_find(const struct sg_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->n_tensors; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}
