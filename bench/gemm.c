/* The CPU backend beside OpenBLAS, both on one thread, interleaved: the machine drifts, so only ratios taken in one
 * round mean anything. Prints a table, and one JSON object per line with --json.
 *
 * Times are CPU time of this thread. A round times a few calls of one side, then of the other; the ratio is the median
 * over rounds. Weights are packed outside the timing for forward and input gradient, since that happens once per step;
 * a weight gradient counts everything: packing, double sums, rounding to the grid. */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops_cpu.h"
#include "timing.h"

#define ROUNDS 31
#define SAMPLE_SECONDS 2e-3

struct problem {
    const struct sg_ops *ops;
    int64_t m, n, k; /* c (m, n), k deep; for weight gradients m = outputs, n = inputs, k = rows */
    float *a, *b, *c;
    void *packed, *scratch;
    double *w;
    int64_t *sum;
};

typedef void (*work)(struct problem *);

static void ours_gemm(struct problem *p)
{
    p->ops->gemm(p->m, p->k, p->n, p->a, p->k, NULL, p->packed, p->c, p->n, NULL, false, p->scratch);
}

static void peer_forward(struct problem *p)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)p->m, (int)p->n, (int)p->k, 1, p->a, (int)p->k, p->b,
                (int)p->k, 0, p->c, (int)p->n);
}

static void peer_input_gradient(struct problem *p)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1, p->a, (int)p->k, p->b,
                (int)p->n, 0, p->c, (int)p->n);
}

/* a: g (k, m), b: activations (k, n) */
static void ours_absorb(struct problem *p)
{
    bool overflow = false;
    const int32_t one_panel[2] = {0, (int32_t)p->k};
    p->ops->absorb(p->k, 1, one_panel, p->n, p->m, p->b, p->n, p->a, p->m, p->w, 0x1p-40, 0x1p20, p->sum, &overflow,
                   p->scratch);
}

static void peer_weight_gradient(struct problem *p)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1, p->a, (int)p->m, p->b,
                (int)p->n, 1, p->c, (int)p->n);
}

static double time_calls(work f, struct problem *p, int64_t calls)
{
    double start = thread_seconds();
    for (int64_t i = 0; i < calls; i++)
        f(p);
    return (thread_seconds() - start) / (double)calls;
}

struct result {
    double ours, peer, ratio; /* seconds, seconds, median of peer / ours: above 1 we are faster */
};

static struct result compare(work ours, work peer, struct problem *p)
{
    double t_ours[ROUNDS], t_peer[ROUNDS], ratio[ROUNDS];
    double once = time_calls(ours, p, 2);
    int64_t calls = (int64_t)(SAMPLE_SECONDS / once) + 1;
    time_calls(peer, p, 2);
    for (int r = 0; r < ROUNDS; r++) {
        bool first = r % 2;
        if (first)
            t_peer[r] = time_calls(peer, p, calls);
        t_ours[r] = time_calls(ours, p, calls);
        if (!first)
            t_peer[r] = time_calls(peer, p, calls);
        ratio[r] = t_peer[r] / t_ours[r];
    }
    return (struct result){median(t_ours, ROUNDS), median(t_peer, ROUNDS), median(ratio, ROUNDS)};
}

enum kind { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT };

struct shape {
    enum kind kind;
    int64_t m, n, k;
};

static const struct shape shapes[] = {
    {FORWARD, 192, 256, 75},           {FORWARD, 384, 256, 75},          {FORWARD, 1024, 256, 74},
    {FORWARD, 384, 512, 161},          {FORWARD, 512, 384, 384},         {FORWARD, 512, 1536, 384},
    {FORWARD, 512, 384, 1536},         {INPUT_GRADIENT, 192, 64, 256},   {INPUT_GRADIENT, 192, 75, 256},
    {INPUT_GRADIENT, 384, 128, 512},   {INPUT_GRADIENT, 384, 256, 512},  {INPUT_GRADIENT, 512, 384, 1536},
    {INPUT_GRADIENT, 512, 1536, 384},  {WEIGHT_GRADIENT, 256, 75, 192},  {WEIGHT_GRADIENT, 256, 75, 144},
    {WEIGHT_GRADIENT, 512, 161, 384},  {WEIGHT_GRADIENT, 512, 161, 576}, {WEIGHT_GRADIENT, 384, 384, 256},
    {WEIGHT_GRADIENT, 1536, 384, 256},
};

static void run_shape(const struct sg_ops *ops, const char *width, struct shape s, bool json)
{
    const char *name[] = {"forward", "input_gradient", "weight_gradient"};
    struct problem p = {.ops = ops, .m = s.m, .n = s.n, .k = s.k};
    p.a = random_floats(s.m * s.k);
    p.b = random_floats(s.k * s.n);
    p.c = random_floats(s.m * s.n);
    p.scratch = memory(ops->scratch_bytes(2048, 256));
    p.packed = memory(ops->packed_bytes(s.k, s.n));
    p.w = memory((size_t)s.k * sizeof(double));
    p.sum = memory((size_t)(s.m * s.n) * sizeof(int64_t));
    for (int64_t i = 0; i < s.k; i++)
        p.w[i] = 0.7f;
    if (s.kind == FORWARD)
        ops->pack_forward(s.n, s.k, p.b, s.k, p.packed);
    else if (s.kind == INPUT_GRADIENT)
        ops->pack_backward(s.k, s.n, p.b, s.n, p.packed);
    work ours = s.kind == WEIGHT_GRADIENT ? ours_absorb : ours_gemm;
    work peer[] = {peer_forward, peer_input_gradient, peer_weight_gradient};
    struct result r = compare(ours, peer[s.kind], &p);
    double flops = 2e-9 * (double)s.m * (double)s.n * (double)s.k;
    if (json)
        printf("{\"kernel\":\"%s\",\"lanes\":\"%s\",\"m\":%ld,\"n\":%ld,\"k\":%ld,\"gflops\":%.1f,\"openblas_gflops\":%"
               ".1f,"
               "\"ratio\":%.3f}\n",
               name[s.kind], width, (long)s.m, (long)s.n, (long)s.k, flops / r.ours, flops / r.peer, r.ratio);
    else
        printf("%-16s %-7s %5ld %5ld %5ld  %7.1f %7.1f  %5.3f\n", name[s.kind], width, (long)s.m, (long)s.n, (long)s.k,
               flops / r.ours, flops / r.peer, r.ratio);
    free(p.a), free(p.b), free(p.c), free(p.scratch), free(p.packed), free(p.w), free(p.sum);
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && !strcmp(argv[1], "--json");
    const struct sg_ops *widths[] = {sg_ops_has_avx512() ? sg_ops_cpu_avx512() : NULL,
                                     sg_ops_has_avx2() ? sg_ops_cpu_avx2() : NULL};
    const char *names[] = {"avx512", "avx2"};
    openblas_set_num_threads(1);
    fprintf(stderr, "%s, core %s\n", openblas_get_config(), openblas_get_corename());
    if (!json)
        printf("%-16s %-7s %5s %5s %5s  %7s %7s  %5s\n", "kernel", "lanes", "m", "n", "k", "GFLOP/s", "OpenBLAS",
               "ratio");
    for (int w = 0; w < 2; w++)
        for (size_t i = 0; widths[w] && i < sizeof shapes / sizeof *shapes; i++)
            run_shape(widths[w], names[w], shapes[i], json);
    return 0;
}
