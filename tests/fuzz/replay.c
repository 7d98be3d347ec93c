/* Runs a fuzz target without a fuzzer: every file of a corpus folder as it is, then seeded mutations of them.
 * Would catch: a reader that crashes, hangs, reads outside its input (under the sanitizers) or refuses without a word.
 *
 * usage: target CORPUS [MUTATIONS [SEED]]. A failure prints the input's number and bytes; the same seed makes the same
 * inputs. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "fuzz.h"

#define INPUT_BYTES_MAX (1 << 16)
#define FILES_MAX 64

static uint64_t state;
static struct sg_buffer corpus[FILES_MAX];
static size_t n_corpus;
static uint8_t input[2 * INPUT_BYTES_MAX];
static size_t input_bytes;
static volatile long current;

/* SplitMix64. */
static uint64_t draw(uint64_t below)
{
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (z ^ z >> 31) % below;
}

/* What parsers stumble over. */
/* clang-format off */
static const char *const tokens[] = {
    "\"", "'", ",", ";", "\n", "\r", "\r\n", "\t", "{", "}", "[", "]", ":", "- ", "#", "&a", "*a", "!!int ", "---\n", "...",
    "\\", "\\u0000", "\\ud800", "null", "~", "true", "-", "-0", "1e999", "1e-999", "0x1", "010", "nan", "inf",
    "9223372036854775807", "9223372036854775808", "-9223372036854775809", "4294967296", "\xff", "\xef\xbb\xbf",
    "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "=", "\xe2\x80\x94 ", "names:", "<<:", "|", ">", "?",
};
/* clang-format on */

static void splice(size_t at, size_t removed, const void *bytes, size_t n)
{
    if (at > input_bytes)
        at = input_bytes;
    if (removed > input_bytes - at)
        removed = input_bytes - at;
    if (input_bytes - removed + n > INPUT_BYTES_MAX)
        return;
    uint8_t copy[INPUT_BYTES_MAX]; /* `bytes` may lie in the input */
    memcpy(copy, bytes, n);
    memmove(input + at + n, input + at + removed, input_bytes - at - removed);
    memcpy(input + at, copy, n);
    input_bytes += n - removed;
}

static void mutate(void)
{
    size_t at = draw(input_bytes + 1), length = 1 + draw(draw(4) ? 8 : 200);
    uint8_t byte = (uint8_t)draw(256);
    const char *token = tokens[draw(sizeof tokens / sizeof *tokens)];
    const struct sg_buffer *other = &corpus[draw(n_corpus)];
    switch (draw(7)) {
    case 0:
        if (at < input_bytes)
            input[at] ^= (uint8_t)(1u << draw(8));
        break;
    case 1:
        splice(at, draw(2), &byte, 1);
        break;
    case 2:
        splice(at, length, "", 0);
        break;
    case 3:
        splice(at, draw(2) ? 0 : length, token, strlen(token));
        break;
    case 4: /* a piece of this input again, elsewhere */
        if (at + length <= input_bytes)
            splice(draw(input_bytes + 1), 0, input + at, length);
        break;
    case 5: /* a piece of another file */
        if (length < other->len)
            splice(at, 0, other->data + draw(other->len - length), length);
        break;
    default:
        input_bytes = at;
    }
}

static enum sg_status read_corpus(const char *folder)
{
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort);
    if (n < 0)
        return sg_fail(SG_FAILED, "%s: cannot read the corpus", folder);
    enum sg_status status = SG_OK;
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.' && n_corpus < FILES_MAX && status == SG_OK) {
            char *path = sg_path_join(folder, names[i]->d_name);
            status = sg_file_read(path, "corpus file", INPUT_BYTES_MAX, &corpus[n_corpus++]);
            free(path);
        }
        free(names[i]);
    }
    free(names);
    return n_corpus > 0 || status != SG_OK ? status : sg_fail(SG_FAILED, "%s: the corpus is empty", folder);
}

static void on_crash(int signal_number)
{
    char text[64];
    int n = snprintf(text, sizeof text, "input %ld, %zu bytes: signal %d\n", current, input_bytes, signal_number);
    if (write(STDERR_FILENO, text, (size_t)n) != n || write(STDERR_FILENO, input, input_bytes) < 0)
        _exit(3);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* From memory of exactly its size, so that a sanitizer sees the first byte read beyond it. */
static void run_one(void)
{
    uint8_t *exact = malloc(input_bytes ? input_bytes : 1);
    if (!exact)
        abort();
    memcpy(exact, input, input_bytes);
    LLVMFuzzerTestOneInput(exact, input_bytes);
    free(exact);
    current++;
}

int main(int argc, char **argv)
{
    long mutations = argc > 2 ? atol(argv[2]) : 0;
    state = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    if (argc < 2 || read_corpus(argv[1]) != SG_OK) {
        fprintf(stderr, "%s\n", argc < 2 ? "usage: target CORPUS [MUTATIONS [SEED]]" : sg_error_text());
        return 2;
    }
    printf("seed %llu, %zu files, %ld mutations\n", (unsigned long long)state, n_corpus, mutations);
    signal(SIGABRT, on_crash);
    signal(SIGALRM, on_crash);
    for (size_t i = 0; i < n_corpus; i++) {
        input_bytes = corpus[i].len;
        memcpy(input, corpus[i].data, input_bytes);
        run_one();
    }
    for (long i = 0; i < mutations; i++) {
        const struct sg_buffer *file = &corpus[draw(n_corpus)];
        input_bytes = file->len;
        memcpy(input, file->data, input_bytes);
        for (uint64_t k = 1 + draw(6); k > 0; k--)
            mutate();
        alarm(20);
        run_one();
    }
    alarm(0);
    for (size_t i = 0; i < n_corpus; i++)
        sg_buffer_free(&corpus[i]);
    printf("%ld inputs\n", current);
    return 0;
}
