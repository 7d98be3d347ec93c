#include "loss.h"

#include <math.h>

int64_t sg_outputs_of(const struct sg_model_spec *spec)
{
    return spec->n_outputs > 1 ? spec->n_outputs : 1;
}

void sg_loss_gradient(const struct sg_model_spec *spec, const struct sg_ops *ops, int64_t n, const float *output,
                      const float *label, float scale, int32_t *target, float *doutput)
{
    int64_t width = sg_outputs_of(spec);
    if (spec->objective == SG_BINARY) {
        ops->bce(n, output, label, scale, NULL, doutput);
    } else if (spec->objective == SG_REGRESSION) {
        ops->squared_error(n, output, label, scale, NULL, doutput);
    } else {
        for (int64_t i = 0; i < n; i++)
            target[i] = (int32_t)label[i];
        ops->cross_entropy(n, width, output, width, target, scale, NULL, doutput, width);
    }
}

void sg_loss_masked(const struct sg_model_spec *spec, const struct sg_ops *ops, int64_t n_units, const int32_t *offset,
                    const float *output, const int32_t *target, float scale, float *doutput)
{
    int64_t width = sg_outputs_of(spec);
    for (int64_t b = 0; b < n_units; b++) {
        int64_t first = offset[b], n = offset[b + 1] - first;
        if (n > 0)
            ops->cross_entropy(n, width, output + first * width, width, target + first, scale / (float)n, NULL,
                               doutput + first * width, width);
    }
}

static void softmax(int64_t n_classes, float *z)
{
    float top = z[0];
    double sum = 0;
    for (int64_t c = 1; c < n_classes; c++)
        top = z[c] > top ? z[c] : top;
    for (int64_t c = 0; c < n_classes; c++)
        sum += exp((double)z[c] - (double)top);
    for (int64_t c = 0; c < n_classes; c++)
        z[c] = (float)(exp((double)z[c] - (double)top) / sum);
}

void sg_softmax_rows(int64_t n, int64_t width, float *z)
{
    for (int64_t i = 0; i < n; i++)
        softmax(width, z + i * width);
}

static bool has_range(const struct sg_model_spec *spec)
{
    return spec->objective == SG_REGRESSION && spec->value_low < spec->value_high;
}

float sg_label_of(const struct sg_model_spec *spec, float label)
{
    double middle = (spec->value_low + spec->value_high) / 2, half = (spec->value_high - spec->value_low) / 2;
    return has_range(spec) ? (float)(((double)label - middle) / half) : label;
}

void sg_outputs_to_scores(const struct sg_model_spec *spec, int64_t n, float *output)
{
    int64_t width = sg_outputs_of(spec);
    double middle = (spec->value_low + spec->value_high) / 2, half = (spec->value_high - spec->value_low) / 2;
    for (int64_t i = 0; i < n; i++)
        if (spec->objective == SG_BINARY)
            output[i] = (float)(1 / (1 + exp(-(double)output[i])));
        else if (spec->objective == SG_CLASSES)
            softmax(width, output + i * width);
        else if (has_range(spec))
            output[i] = (float)(middle + half * (double)output[i]);
}
