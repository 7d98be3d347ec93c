#include "report.h"

#include <stdio.h>
#include <string.h>

#include "figure.h"

static void plan_privacy(const struct sg_plan *plan)
{
    printf("  %-22s epsilon %s, delta %s (%s, %s)\n", "privacy", figure_fixed_up(plan->epsilon, 4).text,
           figure_up(plan->delta, 3).text, plan->accountant, sg_relation_name(plan->relation));
    printf("  %-22s at least %s; by RDP %s\n", "", figure_fixed_down(plan->epsilon_lower, 4).text,
           figure_fixed_up(plan->epsilon_rdp, 4).text);
    printf("  %-22s %.6g (noise multiplier) x %.6g (max_grad_norm), source %s\n", "noise", plan->noise_multiplier,
           plan->max_grad_norm, plan->noise_source);
    printf("  %-22s %.3f %% of max_grad_norm kept back for rounding\n", "shrink", plan->shrink * 100);
    if (plan->clip_group == SG_CLIP_MICROBATCH)
        printf("  %-22s microbatches of %lld: sensitivity 2C, %lld x the noise of clipping each unit for equal epsilon\n",
               "clip group", (long long)plan->microbatch_size, 2 * (long long)plan->microbatch_size);
}

void sg_report_plan(const struct sg_plan *plan)
{
    printf("plan\n");
    if (plan->is_private)
        plan_privacy(plan);
    else
        printf("  %-22s none: no claim is made for anyone in the data\n", "privacy");
    printf("  %-22s %lld steps of %.6g expected units (rate %.6g of at most %lld), %s sampling\n", "training", (long long)plan->steps,
           plan->expected_batch_size, plan->sample_rate, (long long)plan->population_size, sg_sampler_name(plan->sampler));
    printf("  %-22s %lld of at most %lld units each\n", "panels", (long long)plan->n_panels, (long long)plan->units_per_panel_max);
    printf("  %-22s %lld\n", "trainable weights", (long long)plan->n_weights);
}

static const json_t *figure(const json_t *by_split, const char *split, const char *name)
{
    return json_object_get(json_object_get(by_split, split), name);
}

void sg_report_metrics(const json_t *by_split)
{
    static const char *const splits[] = {"train", "validation", "test", "all"};
    enum { N_COLUMNS = sizeof splits / sizeof *splits };
    static const char *const rows[][2] = {
        {"auc", "AUC"},           {"auc_low", "  95 % from"},    {"auc_high", "  95 % to"},   {"gini", "Gini"},
        {"ks", "KS"},             {"brier", "Brier score"},      {"log_loss", "log loss"},    {"ece", "calibration error"},
        {"lift_10", "lift at 10 %"}, {"capture_10", "capture at 10 %"}, {"accuracy_base_rate", "accuracy at base rate"},
        {"accuracy", "accuracy"}, {"top_3_accuracy", "in the first three"}, {"macro_f1", "macro F1"},
        {"balanced_accuracy", "balanced accuracy"}, {"rmse", "RMSE"}, {"mae", "mean error"}, {"r2", "R squared"},
        {"psi_from_validation", "PSI from validation"}, {"psi_from_train", "PSI from train"},
    };
    printf("%-24s", "metrics");
    for (size_t s = 0; s < N_COLUMNS; s++)
        if (json_object_get(by_split, splits[s]))
            printf("%12s", splits[s]);
    printf("\n");
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        bool is_there = false;
        for (size_t s = 0; s < N_COLUMNS; s++)
            is_there |= figure(by_split, splits[s], rows[r][0]) != NULL;
        if (!is_there)
            continue;
        printf("  %-22s", rows[r][1]);
        for (size_t s = 0; s < N_COLUMNS; s++) {
            const json_t *value = figure(by_split, splits[s], rows[r][0]);
            if (!json_object_get(by_split, splits[s]))
                continue;
            if (json_is_number(value))
                printf("%12.4f", json_number_value(value));
            else
                printf("%12s", "-");
        }
        printf("\n");
    }
}

const char *sg_report_bucket(int64_t n)
{
    static const char *const names[] = {"none", "under 100", "100 to 1,000", "1,000 to 10,000", "10,000 to 100,000",
                                        "100,000 to 1 million", "1 to 10 million", "over 10 million"};
    int i = n > 0;
    for (int64_t bound = 100; i > 0 && i < 7 && n >= bound; bound *= 10)
        i++;
    return names[i];
}
