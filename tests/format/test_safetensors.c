/* Would catch: a writer whose bytes depend on anything but its arguments or that other programs cannot read, a reader
 * that trusts a length, offset, shape or type in a hostile file, halves that are converted wrongly. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "format/safetensors.h"

static char folder[] = "/tmp/sg_test_safetensors_XXXXXX", *path;

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    path = sg_path_join(folder, "model.safetensors");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    free(path);
    return rmdir(folder); /* fails when something was left behind */
}

/* A file from a header text (not padded) and data bytes. */
static void write_file(const char *header, const void *data, size_t n)
{
    struct sg_buffer bytes = {0};
    uint64_t len = strlen(header);
    sg_buffer_append(&bytes, &len, 8);
    sg_buffer_text(&bytes, header);
    sg_buffer_append(&bytes, data, n);
    assert_int_equal(sg_file_write(path, bytes.data, bytes.len, 0600), SG_OK);
    sg_buffer_free(&bytes);
}

static void refuse(const char *message)
{
    struct sg_safetensors file = {.n_tensors = 9};
    assert_int_equal(sg_safetensors_read(path, &file), SG_USAGE);
    if (!strstr(sg_error_text(), message))
        fail_msg("got \"%s\", want \"%s\"", sg_error_text(), message);
    assert_true(file.n_tensors == 0 && !file.tensors && !file.metadata && !file.memory);
}

static float weight[6] = {1, -2, 0.5f, 3e38f, -0.0f, 1e-45f}, bias[1] = {7};
static const struct sg_tensor tensors[] = {
    {.name = "layer.weight", .n_dimensions = 2, .shape = {2, 3}, .n = 6, .data = weight},
    {.name = "a \"quoted\" \xc3\xa9", .n_dimensions = 0, .n = 1, .data = bias},
    {.name = "empty", .n_dimensions = 2, .shape = {0, 4}, .n = 0, .data = NULL},
};
static const char *const metadata[] = {"format", "pt", "note", "x"};

static void writes_the_specified_bytes(void **state)
{
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"note\":\"x\"},"
        "\"layer.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"a \\\"quoted\\\" \xc3\xa9\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[24,28]},"
        "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[28,28]}}";
    size_t n = (strlen(header) + 7) / 8 * 8;
    struct sg_buffer bytes;
    assert_int_equal(sg_safetensors_write(path, tensors, 3, metadata, 2), SG_OK);
    assert_int_equal(sg_file_read(path, "model", 10000, &bytes), SG_OK);
    assert_int_equal(bytes.len, 8 + n + 28);
    uint64_t len;
    memcpy(&len, bytes.data, 8);
    assert_int_equal(len, n);
    assert_memory_equal(bytes.data + 8, header, strlen(header));
    for (size_t i = strlen(header); i < n; i++)
        assert_int_equal(bytes.data[8 + i], ' ');
    assert_memory_equal(bytes.data + 8 + n, weight, 24);
    assert_memory_equal(bytes.data + 8 + n + 24, bias, 4);
    sg_buffer_free(&bytes);
}

static void reads_back(void **state)
{
    (void)state;
    struct sg_safetensors file;
    assert_int_equal(sg_safetensors_write(path, tensors, 3, metadata, 2), SG_OK);
    assert_int_equal(sg_safetensors_read(path, &file), SG_OK);
    assert_int_equal(file.n_tensors, 3);
    assert_int_equal(file.n_metadata, 2);
    for (size_t i = 0; i < 4; i++)
        assert_string_equal(file.metadata[i], metadata[i]);
    for (size_t i = 0; i < 3; i++) {
        const struct sg_tensor *tensor = sg_safetensors_find(&file, tensors[i].name);
        assert_ptr_equal(tensor, &file.tensors[i]);
        assert_int_equal(tensor->n, tensors[i].n);
        assert_int_equal(tensor->n_dimensions, tensors[i].n_dimensions);
        for (int j = 0; j < tensor->n_dimensions; j++)
            assert_int_equal(tensor->shape[j], tensors[i].shape[j]);
        assert_int_equal((uintptr_t)tensor->data % 64, 0);
        if (tensor->n)
            assert_memory_equal(tensor->data, tensors[i].data, (size_t)tensor->n * 4);
    }
    assert_null(sg_safetensors_find(&file, "absent"));
    sg_safetensors_free(&file);
    sg_safetensors_free(&file);
    assert_int_equal(sg_safetensors_write(path, NULL, 0, NULL, 0), SG_OK);
    assert_int_equal(sg_safetensors_read(path, &file), SG_OK);
    assert_int_equal(file.n_tensors, 0);
    assert_int_equal(file.n_metadata, 0);
    sg_safetensors_free(&file);
}

static void writer_refuses_nonsense(void **state)
{
    (void)state;
    struct sg_tensor bad[2] = {tensors[0], tensors[0]};
    assert_int_equal(sg_safetensors_write(path, bad, 2, NULL, 0), SG_FAILED); /* one name twice */
    bad[0].n = 5;
    assert_int_equal(sg_safetensors_write(path, bad, 1, NULL, 0), SG_FAILED);
    bad[0] = tensors[0];
    bad[0].name = (char *)"__metadata__";
    assert_int_equal(sg_safetensors_write(path, bad, 1, NULL, 0), SG_FAILED);
    bad[0].name = (char *)"\xff";
    assert_int_equal(sg_safetensors_write(path, bad, 1, NULL, 0), SG_FAILED);
    const char *const twice[] = {"k", "1", "k", "2"};
    assert_int_equal(sg_safetensors_write(path, tensors, 1, twice, 2), SG_FAILED);
    assert_int_equal(sg_safetensors_write("/nonexistent/x", tensors, 1, NULL, 0), SG_FAILED);
}

static void reads_halves_and_skips_integers(void **state)
{
    (void)state;
    static const uint16_t f16[] = {0x3c00, 0xc000, 0x0001, 0x83ff, 0x0400, 0x7bff,
                                   0x7c00, 0xfc00, 0x7e00, 0x8000, 0x3555};
    static const float want[] = {1,        -2,        0x1p-24f, -0x3ffp-24f, 0x1p-14f,   65504,
                                 INFINITY, -INFINITY, NAN,      -0.0f,       0x1.554p-2f};
    static const uint16_t bf16[] = {0x3f80, 0xc2f7};
    char data[8 + sizeof f16 + sizeof bf16] = {0};
    memcpy(data + 8, f16, sizeof f16);
    memcpy(data + 8 + sizeof f16, bf16, sizeof bf16);
    write_file("{\"position_ids\":{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[0,8]},"
               "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[30,34]},"
               "\"h\":{\"dtype\":\"F16\",\"shape\":[11],\"data_offsets\":[8,30]}}   ",
               data, sizeof data);
    struct sg_safetensors file;
    if (sg_safetensors_read(path, &file) != SG_OK)
        fail_msg("%s", sg_error_text());
    assert_int_equal(file.n_tensors, 2);
    assert_null(sg_safetensors_find(&file, "position_ids"));
    const float *half = sg_safetensors_find(&file, "h")->data, *brain = sg_safetensors_find(&file, "b")->data;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        if (isnan(want[i]))
            assert_true(isnan(half[i]));
        else
            assert_memory_equal(&half[i], &want[i], 4);
    }
    assert_true(brain[0] == 1 && brain[1] == -123.5f);
    sg_safetensors_free(&file);
}

static void refuses_bad_headers(void **state)
{
    (void)state;
#define T(name, dtype, shape, begin, end)                                                                              \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *message;
    } cases[] = {
        {"{" T("a", "F32", "[2]", "0", "8") "}", 9, "1 bytes follow the last tensor"},
        {"{" T("a", "F32", "[2]", "0", "8") "}", 7, "data_offsets lie outside the file"},
        {"{}", 1, "1 bytes follow the last tensor"},
        {"{" T("a", "F32", "[2]", "4", "12") "}", 12, "leaves a gap"},
        {"{" T("a", "F32", "[2]", "0", "8") "," T("b", "F32", "[2]", "12", "20") "}", 20, "\"b\": leaves a gap"},
        {"{" T("a", "F32", "[2]", "0", "8") "," T("b", "F32", "[2]", "4", "12") "}", 12, "\"b\": overlaps another"},
        {"{" T("a", "F32", "[2]", "0", "8") "," T("b", "F32", "[2]", "0", "8") "}", 8, "overlaps another"},
        {"{" T("a", "F32", "[0]", "4", "4") "," T("b", "F32", "[2]", "0", "8") "}", 8, "overlaps another"},
        {"{" T("a", "F32", "[2]", "8", "0") "}", 8, "outside the file"},
        {"{" T("a", "F32", "[2]", "-8", "0") "}", 8, "outside the file"},
        {"{" T("a", "F32", "[2]", "0", "9223372036854775807") "}", 8, "outside the file"},
        {"{" T("a", "F32", "[2]", "0", "18446744073709551624") "}", 8, "number out of range"},
        {"{" T("a", "F32", "[2]", "0.0", "8") "}", 8, "must be two integers"},
        {"{" T("a", "F32", "[3]", "0", "8") "}", 8, "do not fit dtype and shape"},
        {"{" T("a", "F16", "[2]", "0", "8") "}", 8, "do not fit dtype and shape"},
        {"{" T("a", "F32", "[-2]", "0", "8") "}", 8, "not a natural number"},
        {"{" T("a", "F32", "[-1,-2]", "0", "8") "}", 8, "not a natural number"},
        {"{" T("a", "F32", "[2.0]", "0", "8") "}", 8, "not a natural number"},
        {"{" T("a", "F32", "[4294967296,4294967296,4294967296]", "0", "8") "}", 8, "shape is too large"},
        {"{" T("a", "F32", "[4611686018427387906]", "0", "8") "}", 8, "do not fit dtype and shape"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,2]", "0", "8") "}", 8, "at most 8 sizes"},
        {"{" T("a", "F32", "2", "0", "8") "}", 8, "the shape must be a list"},
        {"{" T("a", "F64", "[1]", "0", "8") "}", 8, "the dtype must be"},
        {"{" T("a", "F8_E4M3", "[8]", "0", "8") "}", 8, "the dtype must be"},
        {"{" T("a", "F32", "[2]", "0", "8") "," T("a", "F32", "[2]", "8", "16") "}", 16, "duplicate key"},
        {"{\"a\":{\"dtype\":5,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "the dtype must be"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", 8, "must have exactly"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "must have exactly"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"offsets\":[0,8]}}", 8, "must be two integers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,8]}}", 8, "must be two integers"},
        {"{\"a\":[1,2,3]}", 8, "must have exactly"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ must be"},
        {"{\"__metadata__\":\"x\"}", 0, "__metadata__ must be"},
        {" {}", 0, "not a JSON object"},
        {"[]", 0, "not a JSON object"},
        {"{}x", 0, "something follows"},
        {"{\"a\":", 0, "ends too early"},
    };
    static const char data[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file(cases[i].header, data, cases[i].data_bytes);
        refuse(cases[i].message);
    }
}

static void refuses_bad_lengths(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {
        3, 4, (16u << 20) + 1, INT64_MAX, INT64_MAX - 7, UINT64_MAX, UINT64_MAX - 7, UINT64_C(1) << 63};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char bytes[10] = "........{}";
        memcpy(bytes, &lengths[i], 8);
        assert_int_equal(sg_file_write(path, bytes, sizeof bytes, 0600), SG_OK);
        refuse("impossible header length");
    }
    assert_int_equal(sg_file_write(path, "", 0, 0600), SG_OK);
    refuse("only 0 bytes long");
    struct sg_safetensors file;
    assert_int_equal(sg_safetensors_read(folder, &file), SG_USAGE);
    assert_int_equal(sg_safetensors_read("/dev/zero", &file), SG_USAGE);
    assert_int_equal(sg_safetensors_read("/nonexistent", &file), SG_USAGE);
}

/* Whatever is accepted must make sense: then it can be written, and reads back the same. */
static void check_mutant(const char *bytes, size_t n)
{
    struct sg_safetensors file;
    FILE *stream = fopen(path, "wb");
    assert_true(stream && fwrite(bytes, 1, n, stream) == n && fclose(stream) == 0);
    enum sg_status status = sg_safetensors_read(path, &file);
    if (status != SG_OK) {
        assert_int_equal(status, SG_USAGE);
        assert_true(strstr(sg_error_text(), path) == sg_error_text());
        return;
    }
    for (size_t i = 0; i < file.n_tensors; i++) {
        int64_t product = 1;
        for (int j = 0; j < file.tensors[i].n_dimensions; j++)
            product *= file.tensors[i].shape[j];
        assert_int_equal(product, file.tensors[i].n);
    }
    static int accepted;
    if (accepted++ % 64) { /* each write waits for the disk */
        sg_safetensors_free(&file);
        return;
    }
    struct sg_safetensors again;
    assert_int_equal(
        sg_safetensors_write(path, file.tensors, file.n_tensors, (const char *const *)file.metadata, file.n_metadata),
        SG_OK);
    assert_int_equal(sg_safetensors_read(path, &again), SG_OK);
    assert_int_equal(again.n_tensors, file.n_tensors);
    for (size_t i = 0; i < file.n_tensors; i++)
        assert_memory_equal(again.tensors[i].data, file.tensors[i].data, (size_t)file.tensors[i].n * sizeof(float));
    sg_safetensors_free(&again);
    sg_safetensors_free(&file);
}

static void mutations_end_well(void **state)
{
    (void)state;
    struct sg_buffer good;
    assert_int_equal(sg_safetensors_write(path, tensors, 3, metadata, 2), SG_OK);
    assert_int_equal(sg_file_read(path, "model", 10000, &good), SG_OK);
    struct sg_safetensors file;
    for (size_t n = 0; n < good.len; n++) { /* every cut is refused, and a byte too many too */
        FILE *stream = fopen(path, "wb");
        assert_true(stream && fwrite(good.data, 1, n, stream) == n && fclose(stream) == 0);
        assert_int_equal(sg_safetensors_read(path, &file), SG_USAGE);
    }
    static const unsigned char replacements[] = {0,   1,   ' ', '"', '0', '1', '9',  '-',  ',',
                                                 ':', '[', ']', '{', '}', 'F', '\\', 0x80, 0xff};
    char *mutant = malloc(good.len + 1);
    memcpy(mutant, good.data, good.len);
    check_mutant(mutant, good.len + 1);
    for (size_t i = 0; i < good.len; i++) {
        for (size_t j = 0; j < sizeof replacements; j++) {
            mutant[i] = (char)replacements[j];
            check_mutant(mutant, good.len);
        }
        mutant[i] = good.data[i];
    }
    uint64_t seed = 99;
    for (int i = 0; i < 3000; i++) { /* several bytes at once */
        for (int j = 0; j < 3; j++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            mutant[(seed >> 33) % good.len] = (char)replacements[(seed >> 20) % sizeof replacements];
        }
        check_mutant(mutant, good.len);
        memcpy(mutant, good.data, good.len);
    }
    free(mutant);
    sg_buffer_free(&good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_specified_bytes), cmocka_unit_test(reads_back),
        cmocka_unit_test(writer_refuses_nonsense),    cmocka_unit_test(reads_halves_and_skips_integers),
        cmocka_unit_test(refuses_bad_headers),        cmocka_unit_test(refuses_bad_lengths),
        cmocka_unit_test(mutations_end_well),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
