/* Text to ids, one line a text, in megabytes a second of CPU time. usage: bench_tokenizer VOCABULARY TEXT [PASSES] */
#include "data/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/file.h"

enum { MAX_TOKENS = 512, PASSES = 7 };

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec + 1e-6 * (double)usage.ru_utime.tv_usec;
}

static int64_t encode_lines(const struct sg_tokenizer *tokenizer, const struct sg_buffer *text)
{
    int32_t ids[MAX_TOKENS];
    int64_t n_ids = 0;
    const char *p = text->data, *end = p + text->len;
    while (p < end) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        n_ids += sg_tokenizer_encode(tokenizer, p, (size_t)(stop - p), MAX_TOKENS, ids, NULL);
        p = stop + 1;
    }
    return n_ids;
}

int main(int argc, char **argv)
{
    struct sg_tokenizer *tokenizer = NULL;
    struct sg_buffer text = {0};
    if (argc < 3 || sg_tokenizer_read(argv[1], NULL, &tokenizer) != SG_OK ||
        sg_file_read(argv[2], "text", (size_t)1 << 30, &text) != SG_OK) {
        fprintf(stderr, "%s\n", argc < 3 ? "usage: bench_tokenizer VOCABULARY TEXT [PASSES]" : sg_error_text());
        return 2;
    }
    int passes = argc > 3 ? atoi(argv[3]) : PASSES;
    for (int i = 0; i < passes; i++) {
        double begin = cpu_seconds();
        int64_t n_ids = encode_lines(tokenizer, &text);
        double seconds = cpu_seconds() - begin;
        printf("%.1f MB/s, %lld ids, %.1f ns each\n", (double)text.len / seconds / 1e6, (long long)n_ids,
               seconds / (double)n_ids * 1e9);
    }
    sg_tokenizer_close(&tokenizer);
    sg_buffer_free(&text);
    return 0;
}
