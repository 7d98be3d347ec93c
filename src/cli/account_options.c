#include "account_options.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/number.h"

struct account_options account_options_default(void)
{
    return (struct account_options){.sampler = "poisson", .relation = "add_or_remove_one", .group = 1};
}

enum sg_status account_numbers(const char *text, const char *flag, const char *form, size_t n, double *out)
{
    const char *at = text;
    for (size_t i = 0; i < n; i++) {
        const char *comma = i + 1 < n ? strchr(at, ',') : at + strlen(at);
        if (!comma || !sg_number_double(at, (size_t)(comma - at), &out[i]))
            return sg_fail(SG_USAGE, "--%s takes %s, not \"%s\"", flag, form, text);
        at = comma + 1;
    }
    return SG_OK;
}

static enum sg_status add_queries(const struct sg_option_list *list, enum sg_query_kind kind, const char *flag,
                                  struct account_storage *storage, size_t *n)
{
    for (size_t i = 0; i < list->n; i++) {
        double values[2];
        SG_TRY(account_numbers(list->items[i], flag, kind == SG_QUERY_GAUSSIAN ? "S,N" : "B,N", 2, values));
        if (!(values[1] >= 1 && values[1] <= 1e12) || values[1] != floor(values[1]))
            return sg_fail(SG_USAGE, "--%s %s: the count is a whole number from 1 to 10^12", flag, list->items[i]);
        storage->queries[(*n)++] = (struct sg_query){kind, values[0], (int64_t)values[1]};
    }
    return SG_OK;
}

enum sg_status account_history(const struct account_options *options, const struct sg_phase *phases, size_t n_phases,
                               struct account_storage *storage, struct sg_history *out)
{
    int sampler = sg_sampler_parse(options->sampler), relation = sg_relation_parse(options->relation);
    if (sampler < 0)
        return sg_fail(SG_USAGE,
                       "unknown sampler \"%s\": poisson, truncated_poisson, fixed_size, full_batch or shuffle",
                       options->sampler);
    if (relation < 0)
        return sg_fail(SG_USAGE, "unknown relation \"%s\": add_or_remove_one or replace_one", options->relation);
    *out = (struct sg_history){.sampler = (enum sg_sampler)sampler,
                               .relation = (enum sg_relation)relation,
                               .sensitivity = options->microbatch ? 2 : 1,
                               .phases = phases,
                               .n_phases = n_phases,
                               .queries = storage->queries,
                               .group_size = options->group,
                               .population_size = options->population_size,
                               .batch_max = options->batch_max};
    SG_TRY(add_queries(&options->gaussians, SG_QUERY_GAUSSIAN, "gaussian", storage, &out->n_queries));
    return add_queries(&options->laplaces, SG_QUERY_LAPLACE, "laplace", storage, &out->n_queries);
}

void account_facts_json(const struct sg_history *history, json_t *object)
{
    json_object_set_new(object, "sampler", json_string(sg_sampler_name(history->sampler)));
    json_object_set_new(object, "neighboring_relation", json_string(sg_relation_name(history->relation)));
    json_object_set_new(object, "sensitivity", sg_json_real(history->sensitivity));
    json_object_set_new(object, "group_size", json_integer(history->group_size));
    if (*sg_sampler_caution(history->sampler))
        json_object_set_new(object, "caution", json_string(sg_sampler_caution(history->sampler)));
}

void account_facts_print(const struct sg_history *history)
{
    printf("sampler        %s, %s", sg_sampler_name(history->sampler), sg_relation_name(history->relation));
    if (history->sensitivity != 1)
        printf(", sensitivity %g (one record changes its group's clipped vector from any to any other)",
               history->sensitivity);
    if (history->group_size > 1)
        printf(", groups of %lld", (long long)history->group_size);
    printf("\n");
    if (*sg_sampler_caution(history->sampler))
        printf("caution        %s\n", sg_sampler_caution(history->sampler));
}

void account_print_json(json_t *object)
{
    struct sg_buffer text = {0};
    sg_json_dump(object, &text);
    printf("%s\n", text.data);
    sg_buffer_free(&text);
    json_decref(object);
}

struct frame {
    double left, top, width, height;
};

static void svg_axis(struct sg_buffer *out, const struct frame *f, const char *x_label, const char *y_label)
{
    sg_buffer_printf(out, "<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" fill=\"none\" stroke=\"#888\"/>\n",
                     f->left, f->top, f->width, f->height);
    sg_buffer_printf(out, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">%s</text>\n", f->left + f->width / 2,
                     f->top + f->height + 38, x_label);
    sg_buffer_printf(out, "<text x=\"%g\" y=\"%g\">%s</text>\n", f->left, f->top - 10, y_label);
}

static void svg_tick(struct sg_buffer *out, const struct frame *f, bool is_x, double share, double value)
{
    double x = is_x ? f->left + share * f->width : f->left - 6,
           y = is_x ? f->top + f->height + 16 : f->top + (1 - share) * f->height + 4;
    sg_buffer_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%.3g</text>\n", x, y, is_x ? "middle" : "end",
                     value);
}

static void svg_privacy(const struct sg_curve *curve, const struct frame *f, struct sg_buffer *out)
{
    double last = fmax(curve->privacy[SG_CURVE_POINTS - 1].epsilon, 1e-9);
    svg_axis(out, f, "epsilon", "delta (upper bound)");
    for (int k = 0; k <= 4; k++)
        svg_tick(out, f, true, k / 4.0, last * k / 4);
    for (int k = 0; k <= 4; k++)
        svg_tick(out, f, false, k / 4.0, pow(10, -12 + 3 * k));
    sg_buffer_text(out, "<polyline fill=\"none\" stroke=\"#1f5fa8\" stroke-width=\"2\" points=\"");
    for (int i = 0; i < SG_CURVE_POINTS; i++) {
        double share = fmin(fmax((log10(fmax(curve->privacy[i].delta, 1e-300)) + 12) / 12, 0), 1);
        sg_buffer_printf(out, "%.1f,%.1f ", f->left + curve->privacy[i].epsilon / last * f->width,
                         f->top + (1 - share) * f->height);
    }
    sg_buffer_text(out, "\"/>\n");
}

static void svg_attack(const struct sg_curve *curve, const struct frame *f, struct sg_buffer *out)
{
    svg_axis(out, f, "false-positive rate", "true-positive rate of the best attack (upper bound)");
    for (int k = 0; k <= 5; k++)
        svg_tick(out, f, true, k / 5.0, pow(10, -5 + k));
    for (int k = 0; k <= 4; k++)
        svg_tick(out, f, false, k / 4.0, k / 4.0);
    for (int line = 0; line < 2; line++) { /* the bound, and guessing */
        sg_buffer_printf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"",
                         line ? "#999" : "#a83232");
        for (int i = 0; i < SG_ATTACK_POINTS; i++) {
            double rate = curve->attack[i].false_positive_rate;
            double y = line ? rate : curve->attack[i].true_positive_rate_max;
            sg_buffer_printf(out, "%.1f,%.1f ", f->left + (log10(rate) + 5) / 5 * f->width,
                             f->top + (1 - y) * f->height);
        }
        sg_buffer_text(out, "\"/>\n");
    }
}

void account_curve_svg(const struct sg_curve *curve, struct sg_buffer *out)
{
    sg_buffer_text(
        out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"400\" viewBox=\"0 0 960 400\" "
             "font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"960\" height=\"400\" fill=\"white\"/>\n");
    svg_privacy(curve, &(struct frame){70, 40, 370, 300}, out);
    svg_attack(curve, &(struct frame){550, 40, 370, 300}, out);
    sg_buffer_text(out, "</svg>\n");
}
