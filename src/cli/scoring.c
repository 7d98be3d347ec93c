#include "scoring.h"

#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "base/bytes.h"
#include "run/evaluate.h"

static enum sg_status choose_units(const struct sg_scoring_flags *flags, struct sg_scoring *s)
{
    for (int split = 0; flags->split && split < SG_N_SPLITS; split++)
        if (strcmp(flags->split, sg_split_name((enum sg_split)split)) == 0) {
            s->unit = sg_units_of_split(s->data, (enum sg_split)split, &s->n);
            return SG_OK;
        }
    if (flags->split)
        return sg_fail(SG_USAGE, "--split is train, validation or test, not \"%s\"", flags->split);
    s->unit = sg_alloc((size_t)s->data->n_units, sizeof *s->unit);
    for (; s->n < s->data->n_units; s->n++)
        s->unit[s->n] = (int32_t)s->n;
    return SG_OK;
}

bool sg_scoring_ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

enum sg_status sg_scoring_open(const char *folder, const struct sg_scoring_flags *flags, bool need_label,
                               struct sg_scoring *s)
{
    *s = (struct sg_scoring){0};
    const struct sg_ops *ops;
    SG_TRY(sg_backend_choose(flags->backend, &ops));
    SG_TRY(sg_model_folder_read(folder, ops, 0, &s->model));
    if (sg_model_spec_of(s->model.model)->objective == SG_MASKED_TOKENS)
        return sg_fail(SG_USAGE, "%s: this model guesses masked words; give it to a training as model: base", folder);
    bool is_text_lines = s->model.tokenizer && !need_label && sg_scoring_ends_in(flags->data, ".txt");
    if (is_text_lines && flags->split)
        return sg_fail(SG_USAGE, "%s: a file of plain lines has no splits; leave --split out", flags->data);
    const struct sg_dataset_options reading = {
        .tokenizer = s->model.tokenizer,
        .is_text_lines = is_text_lines,
        .keep_ids = true,
        .need_label = need_label,
        .need_split = flags->split != NULL,
        .progress = flags->quiet ? NULL : "reading",
    };
    SG_TRY(sg_dataset_read(flags->data, s->model.schema, &reading, &s->data));
    SG_TRY(choose_units(flags, s));
    const struct sg_model_spec *spec = sg_model_spec_of(s->model.model);
    s->n_outputs = spec->n_outputs > 1 ? spec->n_outputs : 1;
    s->score = sg_alloc((size_t)(s->n * s->n_outputs), sizeof(float));
    return sg_predict(s->model.model, s->model.weights, s->data, s->unit, s->n, sg_workers_choose(flags->workers),
                      s->score);
}

void sg_scoring_close(struct sg_scoring *s)
{
    sg_model_folder_free(&s->model);
    sg_dataset_close(&s->data);
    free(s->unit);
    free(s->score);
}
