/* What privacy and gate math cost in the CPU backend, per vector width: nanoseconds per cell and element, and each
 * private op as a share of the GEMMs of its layer (forward, input gradient, weight gradient). One JSON object per line
 * with --json.
 *
 * absorb is set against a GEMM of the same shape that only makes the float chains: the rest is weighting, packing,
 * double sums and the grid. Times are the least over rounds, CPU time of this thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops_cpu.h"
#include "timing.h"

#define ROUNDS 60
#define HIDDEN_ROWS 1024

static double least(double x, double y)
{
    return x < y ? x : y;
}

static void gates(const struct sg_ops *ops, const char *width, int64_t hidden, bool json)
{
    const int64_t r = HIDDEN_ROWS;
    float *start = random_floats(r * 4 * hidden), *g = random_floats(r * 4 * hidden), *c = random_floats(r * hidden);
    float *y = random_floats(r * hidden), *h = random_floats(r * hidden), *dy = random_floats(r * hidden);
    float *dc = random_floats(r * hidden);
    int32_t rows[HIDDEN_ROWS], prev[HIDDEN_ROWS], next[HIDDEN_ROWS];
    double forward = 1, backward = 1, tanh_time = 1, cells = (double)(r * hidden);
    for (int32_t i = 0; i < r; i++) {
        rows[i] = i;
        prev[i] = i - 1;
        next[i] = i + 1 < r ? i + 1 : -1;
    }
    for (int round = 0; round < ROUNDS; round++) {
        memcpy(g, start, (size_t)(r * 4 * hidden) * sizeof *g);
        double t0 = thread_seconds();
        ops->lstm_forward(r, hidden, rows, prev, next, g, 4 * hidden, c, hidden, y, hidden, h, hidden);
        double t1 = thread_seconds();
        ops->lstm_backward(r, hidden, rows, prev, next, g, 4 * hidden, c, hidden, dy, hidden, dc, hidden);
        double t2 = thread_seconds();
        ops->activate(SG_TANH, r, hidden, y, hidden);
        double t3 = thread_seconds();
        forward = least(forward, t1 - t0), backward = least(backward, t2 - t1), tanh_time = least(tanh_time, t3 - t2);
    }
    printf(json ? "{\"kernel\":\"lstm\",\"lanes\":\"%s\",\"hidden\":%ld,\"forward_ns\":%.2f,\"backward_ns\":%.2f,"
                  "\"tanh_ns\":%.2f}\n"
                : "lstm   %-7s H %-4ld  forward %.2f ns a cell, backward %.2f, tanh %.2f ns an element\n",
           width, (long)hidden, 1e9 * forward / cells, 1e9 * backward / cells, 1e9 * tanh_time / cells);
    free(start), free(g), free(c), free(y), free(h), free(dy), free(dc);
}

struct layer {
    int64_t units, steps, n_in, n_out;
};

static void layer_times(const struct sg_ops *ops, const struct layer *l, double t[5])
{
    int64_t r = l->units * l->steps, n_in = l->n_in, n_out = l->n_out;
    float *a = random_floats(r * n_in), *g = random_floats(r * n_out), *w = random_floats(n_in * n_out);
    float *out = random_floats(r * (n_in + n_out) + n_in * n_out), *gt = random_floats(r * n_out);
    void *scratch = memory(ops->scratch_bytes(2048, l->steps)), *forward = memory(ops->packed_bytes(n_in, n_out));
    void *backward = memory(ops->packed_bytes(n_out, n_in)), *columns = memory(ops->packed_bytes(r, n_in));
    int64_t *sum = memory((size_t)(n_in * n_out) * sizeof *sum);
    double *weight = memory((size_t)r * sizeof *weight);
    int32_t *first = memory((size_t)(l->units + 1) * sizeof *first);
    struct sg_group_norm *norm = memory((size_t)l->units * sizeof *norm);
    bool overflow = false;
    ops->pack_forward(n_out, n_in, w, n_in, forward);
    ops->pack_backward(n_out, n_in, w, n_in, backward);
    ops->pack_backward(r, n_in, a, n_in, columns);
    for (int64_t i = 0; i < r; i++)
        weight[i] = 0.7f;
    for (int64_t j = 0; j <= l->units; j++)
        first[j] = (int32_t)(j * l->steps);
    for (int i = 0; i < 5; i++)
        t[i] = 1;
    const int32_t one_panel[2] = {0, (int32_t)r};
    for (int round = 0; round < ROUNDS; round++) {
        double at[6] = {thread_seconds()};
        ops->gemm(r, n_in, n_out, a, n_in, NULL, forward, out, n_out, NULL, false, scratch);
        at[1] = thread_seconds();
        ops->gemm(r, n_out, n_in, g, n_out, NULL, backward, out, n_in, NULL, false, scratch);
        at[2] = thread_seconds();
        ops->gemm(n_out, r, n_in, gt, r, NULL, columns, out, n_in, NULL, false, scratch);
        at[3] = thread_seconds();
        ops->absorb(r, 1, one_panel, n_in, n_out, a, n_in, g, n_out, weight, 0x1p-40, 0x1p20, sum, &overflow, scratch);
        at[4] = thread_seconds();
        memset(norm, 0, (size_t)l->units * sizeof *norm);
        ops->group_norm(SG_ROUTE_GRAM, l->units, first, n_in, n_out, a, n_in, g, n_out, norm, scratch);
        at[5] = thread_seconds();
        for (int i = 0; i < 5; i++)
            t[i] = least(t[i], at[i + 1] - at[i]);
    }
    free(a), free(g), free(w), free(out), free(gt), free(scratch), free(forward), free(backward), free(columns),
        free(sum);
    free(weight), free(first), free(norm);
}

static void layer(const struct sg_ops *ops, const char *width, struct layer l, bool json)
{
    double t[5], macs = (double)(l.units * l.steps * l.n_in * l.n_out);
    layer_times(ops, &l, t);
    printf(json ? "{\"kernel\":\"private\",\"lanes\":\"%s\",\"steps\":%ld,\"n_in\":%ld,\"n_out\":%ld,\"absorb_over_"
                  "chains\":%.3f,"
                  "\"absorb_extra_ns\":%.3f,\"group_norm_share\":%.4f}\n"
                : "layer  %-7s T %-3ld %4ld -> %-4ld  absorb %.3f x its float chains (%.3f ns a weight more), "
                  "group_norm %.4f of forward + backward + absorb\n",
           width, (long)l.steps, (long)l.n_in, (long)l.n_out, t[3] / t[2],
           1e9 * (t[3] - t[2]) / (macs / (double)(l.units * l.steps)), t[4] / (t[0] + t[1] + t[3]));
}

int main(int argc, char **argv)
{
    bool json = argc > 1 && !strcmp(argv[1], "--json");
    const struct sg_ops *widths[] = {sg_ops_has_avx512() ? sg_ops_cpu_avx512() : NULL,
                                     sg_ops_has_avx2() ? sg_ops_cpu_avx2() : NULL};
    const char *names[] = {"avx512", "avx2"};
    const struct layer layers[] = {{24, 6, 75, 256},   {24, 6, 129, 64},   {24, 24, 161, 512},  {24, 24, 257, 128},
                                   {24, 24, 329, 512}, {32, 16, 384, 384}, {32, 16, 384, 1536}, {32, 16, 1536, 384},
                                   {8, 128, 384, 384}, {8, 128, 384, 1536}};
    for (int w = 0; w < 2; w++) {
        if (!widths[w])
            continue;
        gates(widths[w], names[w], 64, json);
        gates(widths[w], names[w], 128, json);
        for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
            layer(widths[w], names[w], layers[i], json);
    }
    return 0;
}
