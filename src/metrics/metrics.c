#include "metrics/metrics.h"

#include <math.h>
#include <stddef.h>

#include "parts.h"

void sg_metrics_compute(int64_t n, const float *score, const float *label, struct sg_metrics *out)
{
    *out = (struct sg_metrics){.n = n,
                               .auc = NAN,
                               .auc_low = NAN,
                               .auc_high = NAN,
                               .gini = NAN,
                               .ks = NAN,
                               .brier = NAN,
                               .log_loss = NAN,
                               .ece = NAN,
                               .lift_10 = NAN,
                               .capture_10 = NAN,
                               .accuracy_base_rate = NAN};
    int finite = 1;
    for (int64_t i = 0; i < n; i++) {
        out->n_positive += metrics_is_positive(label[i]);
        finite = finite && isfinite(score[i]);
    }
    if (n < 1 || !finite)
        return;
    metrics_rank(n, score, label, out);
    metrics_calibrate(n, score, label, out);
}

json_t *sg_metrics_to_json(const struct sg_metrics *metrics)
{
    const struct {
        const char *key;
        double value;
    } members[] = {{"auc", metrics->auc},
                   {"auc_low", metrics->auc_low},
                   {"auc_high", metrics->auc_high},
                   {"gini", metrics->gini},
                   {"ks", metrics->ks},
                   {"brier", metrics->brier},
                   {"log_loss", metrics->log_loss},
                   {"ece", metrics->ece},
                   {"lift_10", metrics->lift_10},
                   {"capture_10", metrics->capture_10},
                   {"accuracy_base_rate", metrics->accuracy_base_rate}};
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        json_object_set_new(object, members[i].key, sg_json_real(members[i].value));
    return object;
}
