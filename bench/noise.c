/* Nanoseconds of CPU time for one noise value added into 64-bit sums, by source and kernel, beside what others do: a
 * double Gaussian by Box-Muller (SLEEF, 4 lanes, words of the same ChaCha20) rounded to the same grid, and cuRAND's own
 * double Gaussians rounded to it. One JSON object a line. Usage: noise [values, default 4000000] */
#include <dlfcn.h>
#include <immintrin.h>
#include <math.h>
#include <openssl/evp.h>
#include <sleef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "mechanism/noise.h"
#include "noise_core.h"
#include "timing.h"

enum { ROUNDS = 7, BLOCK = 1024 };

static const uint8_t key[SG_KEY_BYTES] = {42};

struct job {
    int64_t n;
    int64_t *sum;
    struct sg_noise *noise;
    uint64_t step;
    struct sg_noise_table *table;
    uint64_t *word;
    sg_noise_add_fn *add;
    struct sg_noise_more more;
    EVP_CIPHER_CTX *cipher;
    void *generator;
    int (*generate)(void *, double *, size_t, double, double);
    double *gaussian;
};

static void must(enum sg_status status)
{
    if (status == SG_OK)
        return;
    fprintf(stderr, "noise: %s\n", sg_error_text());
    exit(status);
}

static void run_source(struct job *job)
{
    must(sg_noise_add(job->noise, job->step++, 0, job->n, job->sum));
}

static void run_kernel(struct job *job)
{
    for (int64_t i = 0; i < job->n; i += BLOCK)
        job->add(job->table, &job->more, job->word, (uint64_t)i, BLOCK, job->sum + i);
}

static void chacha_words(struct job *job)
{
    int written = 0;
    memset(job->word, 0, BLOCK * sizeof *job->word);
    EVP_EncryptUpdate(job->cipher, (uint8_t *)job->word, &written, (const uint8_t *)job->word,
                      BLOCK * sizeof *job->word);
}

static void run_words(struct job *job)
{
    for (int64_t i = 0; i < job->n; i += BLOCK)
        chacha_words(job);
}

/* Two words give two Gaussians; 52-bit uniforms. */
static void box_muller(const uint64_t *word, int64_t *sum)
{
    const __m256i exponent = _mm256_set1_epi64x(0x3ff0000000000000);
    __m256d one = _mm256_set1_pd(1), std = _mm256_set1_pd(0x1p32);
    __m256i a = _mm256_srli_epi64(_mm256_loadu_si256((const __m256i *)word), 12);
    __m256i b = _mm256_srli_epi64(_mm256_loadu_si256((const __m256i *)(word + 4)), 12);
    __m256d u = _mm256_sub_pd(_mm256_set1_pd(2), _mm256_castsi256_pd(_mm256_or_si256(a, exponent)));
    __m256d v = _mm256_sub_pd(_mm256_castsi256_pd(_mm256_or_si256(b, exponent)), one);
    __m256d radius = _mm256_mul_pd(std, _mm256_sqrt_pd(_mm256_mul_pd(_mm256_set1_pd(-2), Sleef_logd4_u10avx2(u))));
    Sleef___m256d_2 turn = Sleef_sincospid4_u35avx2(_mm256_add_pd(v, v));
    double out[8];
    _mm256_storeu_pd(out, _mm256_round_pd(_mm256_mul_pd(radius, turn.x), _MM_FROUND_TO_NEAREST_INT));
    _mm256_storeu_pd(out + 4, _mm256_round_pd(_mm256_mul_pd(radius, turn.y), _MM_FROUND_TO_NEAREST_INT));
    for (int i = 0; i < 8; i++)
        sum[i] += (int64_t)out[i];
}

static void run_box_muller(struct job *job)
{
    for (int64_t i = 0; i < job->n; i += BLOCK) {
        chacha_words(job);
        for (int k = 0; k < BLOCK; k += 8)
            box_muller(job->word + k, job->sum + i + k);
    }
}

static void run_curand_double(struct job *job)
{
    for (int64_t i = 0; i < job->n; i += 1 << 16) {
        int64_t part = job->n - i < 1 << 16 ? job->n - i : 1 << 16;
        if (job->generate(job->generator, job->gaussian, (size_t)part, 0, 0x1p32))
            must(sg_fail(SG_FAILED, "curandGenerateNormalDouble failed"));
        for (int64_t k = 0; k < part; k++)
            job->sum[i + k] += (int64_t)rint(job->gaussian[k]);
    }
}

static void report(const char *name, void (*run)(struct job *), struct job *job)
{
    double best = INFINITY;
    run(job);
    for (int i = 0; i < ROUNDS; i++) {
        double start = thread_seconds();
        run(job);
        best = fmin(best, thread_seconds() - start);
    }
    printf("{\"bench\": \"noise\", \"case\": \"%s\", \"values\": %lld, \"ns_per_value\": %.2f}\n", name,
           (long long)job->n, best * 1e9 / (double)job->n);
    fflush(stdout);
}

static void no_more(struct sg_noise_more *more, uint64_t index, uint32_t attempt, uint64_t word[8])
{
    (void)more;
    for (int i = 0; i < 8; i++)
        word[i] = (index + attempt + 1) * 0x9e3779b97f4a7c15 * (uint64_t)(2 * i + 1);
}

static bool open_curand_double(struct job *job)
{
    const char *chosen = getenv("SEALGRAD_CURAND");
    void *library = dlopen(chosen ? chosen : "libcurand.so.10", RTLD_NOW);
    if (!library)
        library = dlopen("/usr/local/cuda/lib64/libcurand.so.10", RTLD_NOW);
    if (!library)
        return false;
    int (*create)(void **, int) = (int (*)(void **, int))dlsym(library, "curandCreateGeneratorHost");
    job->generate = (int (*)(void *, double *, size_t, double, double))dlsym(library, "curandGenerateNormalDouble");
    job->gaussian = sg_alloc(1 << 16, sizeof *job->gaussian);
    return create && job->generate && create(&job->generator, 161) == 0;
}

static void bench_source(enum sg_noise_source source, struct job *job)
{
    if (sg_noise_open(source, key, &job->noise) != SG_OK) {
        fprintf(stderr, "noise: left out: %s\n", sg_error_text());
        return;
    }
    report(sg_noise_source_name(source), run_source, job);
    sg_noise_close(&job->noise);
}

int main(int argc, char **argv)
{
    struct job job = {.n = argc > 1 ? atoll(argv[1]) / BLOCK * BLOCK : 4000000 / BLOCK * BLOCK, .more.block = no_more};
    job.sum = sg_alloc_aligned((size_t)job.n * sizeof *job.sum);
    job.word = sg_alloc_aligned(BLOCK * sizeof *job.word);
    job.table = sg_alloc_aligned(sizeof *job.table);
    job.cipher = EVP_CIPHER_CTX_new();
    uint8_t iv[16] = {0};
    EVP_EncryptInit_ex(job.cipher, EVP_chacha20(), NULL, key, iv);
    double start = thread_seconds();
    sg_noise_table_build(&sg_noise_shape, job.table);
    printf("{\"bench\": \"noise\", \"case\": \"table\", \"ms\": %.2f}\n", (thread_seconds() - start) * 1e3);

    bench_source(SG_NOISE_CHACHA20, &job);
    bench_source(SG_NOISE_CURAND, &job);
    report("words alone, chacha20", run_words, &job);
    chacha_words(&job);
    job.add = sg_noise_add_scalar;
    report("sampler alone, scalar", run_kernel, &job);
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        job.add = sg_noise_add_avx2;
        report("sampler alone, avx2", run_kernel, &job);
        report("box-muller in double, chacha20 words", run_box_muller, &job);
    }
    if (open_curand_double(&job))
        report("curand double gaussian", run_curand_double, &job);
    return 0;
}
