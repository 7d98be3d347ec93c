/* Which classes are taken for which: from the wrong answers alone, so that many classes cost no matrix. */
#include <stdlib.h>

#include "base/bytes.h"
#include "metrics/metrics.h"

static int by_class(const void *a, const void *b)
{
    const struct sg_confusion *x = a, *y = b;
    if (x->truth != y->truth)
        return x->truth < y->truth ? -1 : 1;
    return (x->guess > y->guess) - (x->guess < y->guess);
}

static int by_frequency(const void *a, const void *b)
{
    const struct sg_confusion *x = a, *y = b;
    return x->n != y->n ? (x->n > y->n ? -1 : 1) : by_class(a, b);
}

/* Equal neighbours become one entry; returns how many are left. */
static int64_t join_equal(int64_t n, struct sg_confusion *wrong)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < n; i++)
        if (kept > 0 && by_class(&wrong[kept - 1], &wrong[i]) == 0)
            wrong[kept - 1].n++;
        else
            wrong[kept++] = wrong[i];
    return kept;
}

int64_t sg_metrics_confusions(int64_t n, int64_t n_classes, const float *probability, const float *label, int64_t n_max,
                              struct sg_confusion *out)
{
    struct sg_confusion *wrong = sg_alloc((size_t)n + 1, sizeof *wrong);
    int64_t n_wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t truth = (int64_t)label[i], guess = sg_metrics_best_class(probability + i * n_classes, n_classes);
        if (guess != truth)
            wrong[n_wrong++] = (struct sg_confusion){truth, guess, 1};
    }
    qsort(wrong, (size_t)n_wrong, sizeof *wrong, by_class);
    n_wrong = join_equal(n_wrong, wrong);
    qsort(wrong, (size_t)n_wrong, sizeof *wrong, by_frequency);
    int64_t kept = n_wrong < n_max ? n_wrong : n_max;
    for (int64_t i = 0; i < kept; i++)
        out[i] = wrong[i];
    free(wrong);
    return kept;
}
