/* What transformer blocks cost in the CPU backend, per vector width: nanoseconds an element (user time of this thread,
 * the least over rounds), and attention beside the time that its multiply-adds would take at the rate of an encoder's
 * GEMM (1024 x 384 x 384). The layer's own GEMMs are given too, so that shares can be read off. One JSON object per
 * line with
 * --json. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops_cpu.h"
#include "timing.h"

#define ROUNDS 40
#define ROWS 512
static const int32_t one_panel[2] = {0, ROWS};
#define WIDTH 384
#define WIDE 1536

/* Everything a kernel below may read or write. */
struct world {
    const struct sg_ops *ops;
    const char *lanes;
    bool json;
    float *x, *y, *z, *g, *d, *gain, *keep; /* (ROWS, WIDE), gain (WIDE), keep (ROWS WIDE) */
    int32_t *id, *first, *target;
    double *w;
    int64_t *sum;
    struct sg_group_norm *norm;
    void *scratch;
    int64_t rows_per_unit, n_units;
    double gemm_rate; /* multiply-adds a second */
};

typedef void kernel(struct world *w);

static double least_seconds(struct world *w, kernel *run)
{
    double least = 1;
    for (int round = 0; round < ROUNDS; round++) {
        double t0 = thread_seconds();
        run(w);
        double t = thread_seconds() - t0;
        least = t < least ? t : least;
    }
    return least;
}

static void gelu_erf(struct world *w)
{
    w->ops->gelu(SG_GELU_ERF, ROWS, WIDE, w->x, WIDE, w->y, WIDE);
}
static void gelu_tanh(struct world *w)
{
    w->ops->gelu(SG_GELU_TANH, ROWS, WIDE, w->x, WIDE, w->y, WIDE);
}
static void gelu_erf_backward(struct world *w)
{
    w->ops->gelu_backward(SG_GELU_ERF, ROWS, WIDE, w->x, WIDE, w->g, WIDE);
}
static void gelu_tanh_backward(struct world *w)
{
    w->ops->gelu_backward(SG_GELU_TANH, ROWS, WIDE, w->x, WIDE, w->g, WIDE);
}

static void norm(struct world *w)
{
    w->ops->layer_norm(ROWS, WIDTH, 1e-12f, w->x, WIDTH, w->gain, w->gain, w->z, WIDTH, w->keep, w->y, WIDTH);
}

static void norm_backward(struct world *w)
{
    w->ops->layer_norm_backward(ROWS, WIDTH, w->x, WIDTH, w->keep, w->gain, w->g, WIDTH, w->y, WIDTH);
}

static void entropy(struct world *w)
{
    w->ops->cross_entropy(ROWS, WIDE, w->x, WIDE, w->target, 1, NULL, w->y, WIDE);
}

static void embed_norm(struct world *w)
{
    w->ops->embed_norm(w->n_units, w->first, w->id, WIDTH, w->g, WIDTH, w->norm, w->scratch);
}

static void scale_norm(struct world *w)
{
    w->ops->scale_norm(w->n_units, w->first, WIDTH, w->x, WIDTH, w->g, WIDTH, w->norm, w->scratch);
}

static void bias_norm(struct world *w)
{
    w->ops->group_norm(SG_ROUTE_INSTANTIATE, w->n_units, w->first, 1, WIDTH, w->gain, 0, w->g, WIDTH, w->norm,
                       w->scratch);
}

static void embed_absorb(struct world *w)
{
    bool overflow = false;
    w->ops->embed_absorb(ROWS, 1, one_panel, 1000, w->id, WIDTH, w->g, WIDTH, w->w, 0x1p-40, 0x1p20, w->sum, &overflow,
                         w->scratch);
}

static void scale_absorb(struct world *w)
{
    bool overflow = false;
    w->ops->scale_absorb(ROWS, 1, one_panel, WIDTH, w->x, WIDTH, w->g, WIDTH, w->w, 0x1p-40, 0x1p20, w->sum, &overflow,
                         w->scratch);
}

static void bias_absorb(struct world *w)
{
    bool overflow = false;
    w->ops->absorb(ROWS, 1, one_panel, 1, WIDTH, w->gain, 0, w->g, WIDTH, w->w, 0x1p-40, 0x1p20, w->sum, &overflow,
                   w->scratch);
}

#define HEADS 12
#define HEAD 32

static void attend(struct world *w)
{
    w->ops->attention(w->n_units, w->first, HEADS, HEAD, 0.17677669f, w->x, w->x + WIDTH, w->x + 2 * WIDTH, WIDE,
                      w->keep, w->y, WIDTH, w->scratch);
}

static void attend_backward(struct world *w)
{
    w->ops->attention_backward(w->n_units, w->first, HEADS, HEAD, 0.17677669f, w->x, w->x + WIDTH, w->x + 2 * WIDTH,
                               WIDE, w->keep, w->y, WIDTH, w->d, WIDTH, w->g, w->g + WIDTH, w->g + 2 * WIDTH, WIDE,
                               w->scratch);
}

static void units_of(struct world *w, int64_t rows)
{
    w->rows_per_unit = rows;
    w->n_units = ROWS / rows;
    for (int64_t j = 0; j <= w->n_units; j++)
        w->first[j] = (int32_t)(j * rows);
}

static void element(struct world *w, const char *name, kernel *run, int64_t width)
{
    double ns = 1e9 * least_seconds(w, run) / (double)(ROWS * width);
    printf(w->json ? "{\"kernel\":\"%s\",\"lanes\":\"%s\",\"ns_an_element\":%.3f}\n"
                   : "%-20s %-7s %.3f ns an element\n",
           name, w->lanes, ns);
}

static void gemm_rate(struct world *w)
{
    void *packed = memory(w->ops->packed_bytes(WIDTH, WIDTH));
    double least = 1;
    w->ops->pack_forward(WIDTH, WIDTH, w->x, WIDTH, packed);
    for (int round = 0; round < ROUNDS; round++) {
        double t0 = thread_seconds();
        w->ops->gemm(ROWS, WIDTH, WIDTH, w->x, WIDTH, NULL, packed, w->y, WIDTH, NULL, false, w->scratch);
        double t = thread_seconds() - t0;
        least = t < least ? t : least;
    }
    w->gemm_rate = (double)ROWS * WIDTH * WIDTH / least;
    free(packed);
}

static void attention(struct world *w, int64_t rows)
{
    units_of(w, rows);
    double forward = least_seconds(w, attend), backward = least_seconds(w, attend_backward);
    double macs = 2.0 * ROWS * (double)rows * WIDTH, layer = 12.0 * ROWS * WIDTH * WIDTH / w->gemm_rate;
    printf(
        w->json
            ? "{\"kernel\":\"attention\",\"lanes\":\"%s\",\"T\":%ld,\"forward_over_gemm\":%.2f,\"backward_over_gemm\":"
              "%.2f,\"forward_share\":%.4f,\"backward_share\":%.4f}\n"
            : "attention  %-7s T %-4ld forward %.2f x its multiply-adds at GEMM rate, backward %.2f; %.4f of the "
              "layer's GEMMs forward, %.4f of those of backward\n",
        w->lanes, (long)rows, forward * w->gemm_rate / macs, backward * w->gemm_rate / (2.5 * macs), forward / layer,
        backward / (2 * layer));
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && !strcmp(argv[1], "--json");
    const struct sg_ops *widths[] = {sg_ops_has_avx512() ? sg_ops_cpu_avx512() : NULL,
                                     sg_ops_has_avx2() ? sg_ops_cpu_avx2() : NULL};
    const char *names[] = {"avx512", "avx2"};
    const int64_t floats = ROWS * WIDE;
    for (int i = 0; i < 2; i++) {
        if (!widths[i])
            continue;
        struct world w = {.ops = widths[i],
                          .lanes = names[i],
                          .json = json,
                          .x = random_floats(floats),
                          .y = random_floats(floats),
                          .z = random_floats(floats),
                          .g = random_floats(floats),
                          .d = random_floats(floats),
                          .gain = random_floats(WIDE),
                          .keep = random_floats(floats),
                          .id = memory(ROWS * sizeof *w.id),
                          .first = memory((ROWS + 1) * sizeof *w.first),
                          .target = memory(ROWS * sizeof *w.target),
                          .w = memory(ROWS * sizeof *w.w),
                          .sum = memory((size_t)(1000 * WIDTH) * sizeof *w.sum),
                          .norm = memory(ROWS * sizeof *w.norm)};
        size_t need = w.ops->scratch_bytes(WIDE, ROWS), other = w.ops->attention_scratch_bytes(ROWS, HEAD);
        w.scratch = memory(need > other ? need : other);
        for (int64_t r = 0; r < ROWS; r++) {
            w.id[r] = (int32_t)(r * 7919 % 1000);
            w.w[r] = 0.7f;
        }
        gemm_rate(&w);
        element(&w, "gelu erf", gelu_erf, WIDE);
        memset(w.g, 0, (size_t)floats * sizeof *w.g); /* or rounds would make it ever smaller */
        element(&w, "gelu erf backward", gelu_erf_backward, WIDE);
        element(&w, "gelu tanh", gelu_tanh, WIDE);
        element(&w, "gelu tanh backward", gelu_tanh_backward, WIDE);
        memcpy(w.g, w.d, (size_t)floats * sizeof *w.g);
        element(&w, "layer norm", norm, WIDTH);
        element(&w, "layer norm backward", norm_backward, WIDTH);
        element(&w, "cross entropy", entropy, WIDE);
        units_of(&w, 16);
        element(&w, "embed norm", embed_norm, WIDTH);
        element(&w, "scale norm", scale_norm, WIDTH);
        element(&w, "bias norm", bias_norm, WIDTH);
        element(&w, "embed absorb", embed_absorb, WIDTH);
        element(&w, "scale absorb", scale_absorb, WIDTH);
        element(&w, "bias absorb", bias_absorb, WIDTH);
        printf(json ? "{\"kernel\":\"gemm\",\"lanes\":\"%s\",\"gflops\":%.1f}\n" : "gemm %-7s %.1f GFLOP/s\n", w.lanes,
               2e-9 * w.gemm_rate);
        for (int64_t rows = 8; rows <= ROWS; rows *= 2)
            attention(&w, rows);
        void *owned[] = {w.x,  w.y,     w.z,      w.g, w.d,   w.gain, w.keep,
                         w.id, w.first, w.target, w.w, w.sum, w.norm, w.scratch};
        for (size_t k = 0; k < sizeof owned / sizeof *owned; k++)
            free(owned[k]);
    }
    return 0;
}
