/* What every norm of a group begins and ends with. One block of NORM_THREADS threads works on one group; functions are
 * called by all its threads unless they say otherwise. */
#ifndef SG_CUDA_NORM_ROWS_H
#define SG_CUDA_NORM_ROWS_H

#include "ops/ops.h"
#include "sums.h"

#define NORM_THREADS 256
#define NORM_HALVES (NORM_THREADS / SUM_LANES)
#define NORM_ROWS 64 /* rows whose norms wait in shared memory to be added in order */

#define NORM_UNIT 0x1p-24
#define NORM_A_MAX2 0x1p128 /* squares of the row norms: beyond it the group is excluded, */
#define NORM_LOW2 0x1p-110  /* below or */
#define NORM_HIGH2 0x1p96   /* above these float products might underflow or overflow unseen */

enum { NORM_UNFIT = 1, NORM_WILD = 2 };

/* A LINEAR tap's rows of one group. */
struct norm_group {
    int64_t n_rows, n_in, n_out, lda, ldg;
    const float *a, *g;
};

struct norm_sums {
    double diagonal; /* sum over rows of |a|^2 |g|^2 */
    double mass;     /* sum over rows of |a| |g| */
    int flags; /* NORM_UNFIT: something is not finite, or an |a| is above 2^64. NORM_WILD: float dots are not safe */
};

struct norm_shared {
    double product[NORM_ROWS], root[NORM_ROWS];
    struct norm_sums sums;
};

SG_DEVICE struct norm_group norm_group_of(const int32_t *first, int64_t j, int64_t n_in, int64_t n_out, const float *a,
                                          int64_t lda, const float *g, int64_t ldg)
{
    int64_t r = first[j];
    struct norm_group p = {first[j + 1] - r, n_in, n_out, lda, ldg, a + r * lda, g + r * ldg};
    return p;
}

SG_DEVICE bool norm_is_wild(double norm2)
{
    return !(norm2 == 0 || (norm2 >= NORM_LOW2 && norm2 <= NORM_HIGH2));
}

SG_DEVICE int norm_flags(double a2, double g2)
{
    return (a2 <= NORM_A_MAX2 && isfinite(g2) ? 0 : NORM_UNFIT) |
           (norm_is_wild(a2) || norm_is_wild(g2) ? NORM_WILD : 0);
}

/* Whether the group contributes nothing: the same for the whole block. */
SG_DEVICE bool norm_excludes(const struct norm_sums *s, struct sg_group_norm *norm)
{
    if ((s->flags & NORM_UNFIT) && threadIdx.x == 0)
        norm->excluded = true;
    return s->flags & NORM_UNFIT;
}

/* Thread 0's sums and everybody's flags, to all. */
SG_DEVICE struct norm_sums norm_share(double diagonal, double mass, int flags, struct norm_shared *shared)
{
    if (threadIdx.x == 0) {
        shared->sums.diagonal = diagonal;
        shared->sums.mass = mass;
        shared->sums.flags = 0;
    }
    __syncthreads();
    if (flags)
        atomicOr(&shared->sums.flags, flags);
    __syncthreads();
    const struct norm_sums out = {shared->sums.diagonal, shared->sums.mass, shared->sums.flags};
    return out;
}

/* The sums over rows, in ascending order: norms by half warps, then one thread adds. Ends with a barrier. */
SG_DEVICE struct norm_sums norm_sum_rows(const struct norm_group *p, struct norm_shared *shared)
{
    double diagonal = 0, mass = 0;
    int flags = 0;
    for (int64_t begin = 0; begin < p->n_rows; begin += NORM_ROWS) {
        const int n = (int)smaller(NORM_ROWS, p->n_rows - begin);
        for (int i = sum_half(); i < NORM_ROWS; i += NORM_HALVES) {
            const bool there = i < n;
            const float *a = p->a + (there ? begin + i : 0) * p->lda, *g = p->g + (there ? begin + i : 0) * p->ldg;
            double a2 = lanes_sum(dot_lane(there ? p->n_in : 0, a, a));
            double g2 = lanes_sum(dot_lane(there ? p->n_out : 0, g, g));
            flags |= norm_flags(a2, g2);
            if (sum_lane() == 0) {
                shared->product[i] = a2 * g2;
                shared->root[i] = sqrt(a2 * g2);
            }
        }
        __syncthreads();
        for (int i = 0; threadIdx.x == 0 && i < n; i++) {
            diagonal += shared->product[i];
            mass += shared->root[i];
        }
        __syncthreads();
    }
    return norm_share(diagonal, mass, flags, shared);
}

/* sum over s < t of (a_t . a_s)(g_t . g_s), wholly in double, in the CPU's order; valid in thread 0. For groups whose
 * float products might underflow or overflow. */
SG_DEVICE double norm_pairs_double(const struct norm_group *p, struct norm_shared *shared)
{
    double sum = 0;
    for (int64_t t = 1; t < p->n_rows; t++)
        for (int64_t begin = 0; begin < t; begin += NORM_HALVES) {
            const int64_t s = begin + sum_half();
            const bool there = s < t;
            const float *a = p->a + (there ? s : 0) * p->lda, *g = p->g + (there ? s : 0) * p->ldg;
            double dot_a = lanes_sum(dot_lane(there ? p->n_in : 0, p->a + t * p->lda, a));
            double dot_g = lanes_sum(dot_lane(there ? p->n_out : 0, p->g + t * p->ldg, g));
            if (sum_lane() == 0)
                shared->product[sum_half()] = dot_a * dot_g;
            __syncthreads();
            for (int64_t i = begin; threadIdx.x == 0 && i < smaller(t, begin + NORM_HALVES); i++)
                sum += shared->product[i - begin];
            __syncthreads();
        }
    return sum;
}

SG_DEVICE double norm_gamma(double k)
{
    return k * NORM_UNIT / (1 - k * NORM_UNIT);
}

/* Adds one tap's share to a group; by one thread. Rows that cancel can leave a negative rest; a NaN stays one. */
SG_DEVICE void norm_add(double norm2, double gamma, double mass, struct sg_group_norm *norm)
{
    norm->norm2 += norm2 < 0 ? 0 : norm2;
    norm->slack2 += gamma * mass * mass;
    norm->mass2 += mass * mass;
}

/* Gram: gamma(n_in + n_out + 4); written out: 3 gamma(rows + 2), whatever the kernel that took the norm. */
SG_DEVICE double norm_gamma_of(enum sg_norm_route asked, const struct norm_group *p)
{
    return sg_norm_route_of(asked, p->n_rows, p->n_in, p->n_out) == SG_ROUTE_GRAM
               ? norm_gamma((double)(p->n_in + p->n_out + 4))
               : 3 * norm_gamma((double)(p->n_rows + 2));
}

/* group_norm by the Gram, for the groups whose route that is, and for a weight with one input, whatever the route.
 * n_groups > 0. */
void sg_cuda_gram(enum sg_norm_route asked, int64_t n_groups, const int32_t *first, int64_t n_in, int64_t n_out,
                  const float *a, int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm);
void sg_cuda_bias_norm(enum sg_norm_route asked, int64_t n_groups, const int32_t *first, int64_t n_out, const float *a,
                       int64_t lda, const float *g, int64_t ldg, struct sg_group_norm *norm);

#endif
