#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "commands.h"
#include "metrics/metrics.h"
#include "options.h"
#include "print_rows.h"
#include "scoring.h"

struct flags {
    struct sg_scoring_flags scoring;
    const char *out;
    bool json;
};

/* Text as a CSV field: quoted where it must be. */
static void write_field(FILE *stream, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stream);
        return;
    }
    putc('"', stream);
    for (const char *c = text; *c; c++) {
        if (*c == '"')
            putc('"', stream);
        putc(*c, stream);
    }
    putc('"', stream);
}

/* id and score: the probability of label 1, or a value; of classes the most probable one and its probability. */
static enum sg_status write_scores(const char *path, const struct sg_scoring *s)
{
    struct sg_file_writer writer;
    bool has_classes = sg_model_spec_of(s->model.model)->objective == SG_CLASSES;
    SG_TRY(sg_file_writer_open(path, 0600, &writer));
    fprintf(writer.stream, has_classes ? "id,class,score\n" : "id,score\n");
    for (int64_t i = 0; i < s->n; i++) {
        const float *score = s->score + i * s->n_outputs;
        int64_t best = has_classes ? sg_metrics_best_class(score, s->n_outputs) : 0;
        if (s->data->id)
            write_field(writer.stream, s->data->id[s->unit[i]]);
        else
            fprintf(writer.stream, "%lld", (long long)s->unit[i] + 1);
        if (has_classes) {
            putc(',', writer.stream);
            write_field(writer.stream, sg_schema_class_name(s->model.schema, best));
        }
        fprintf(writer.stream, ",%.9g\n", (double)score[best]);
    }
    return sg_file_writer_commit(&writer);
}

static void print_scored(const struct flags *flags, const struct sg_scoring *s)
{
    json_t *object = json_pack("{s:I, s:s, s:s}", "scored", (json_int_t)s->n, "out", flags->out, "model_sha256", s->model.digest);
    sg_print_json(object);
    json_decref(object);
}

enum sg_status sg_cmd_score(int argc, char **argv)
{
    struct flags flags = {0};
    struct sg_scoring_flags *f = &flags.scoring;
    const struct sg_option options[] = {
        {"data", SG_OPTION_TEXT, &f->data, "FILE", "the file to score; .txt: one message a line", 0, 0, true},
        {"out", SG_OPTION_TEXT, &flags.out, "FILE", "CSV with id and score: the probability of label 1, or class and its probability",
         0, 0, true},
        {"split", SG_OPTION_TEXT, &f->split, "NAME", "only this split of the file", 0, 0, false},
        {"workers", SG_OPTION_INT, &f->workers, "N", "worker threads; changes no bit", 1, 1024, false},
        {"backend", SG_OPTION_TEXT, &f->backend, "NAME", "cpu (default), cuda or reference", 0, 0, false},
        {"quiet", SG_OPTION_FLAG, &f->quiet, NULL, "no progress", 0, 0, false},
        {"json", SG_OPTION_FLAG, &flags.json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {"score", "score a file with a trained model", options, sizeof options / sizeof *options,
                                         "MODEL", 1, 1, NULL};
    const char *folder;
    SG_TRY(sg_options_parse(&line, argc, argv, &folder, NULL));
    struct sg_scoring s;
    enum sg_status status = sg_scoring_open(folder, f, false, &s);
    if (status == SG_OK)
        status = write_scores(flags.out, &s);
    if (status == SG_OK && flags.json)
        print_scored(&flags, &s);
    else if (status == SG_OK)
        printf("%lld scores in %s\n", (long long)s.n, flags.out);
    sg_scoring_close(&s);
    return status;
}
