#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/file.h"
#include "commands.h"
#include "metrics/metrics.h"
#include "options.h"
#include "print_rows.h"
#include "scoring.h"

struct flags {
    struct sg_scoring_flags scoring;
    const char *out;
    bool all_classes, json;
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

static const char *id_of(const struct sg_scoring *s, int64_t i, char text[24])
{
    if (s->data->id)
        return s->data->id[s->unit[i]];
    snprintf(text, 24, "%lld", (long long)s->unit[i] + 1);
    return text;
}

static bool has_classes(const struct sg_scoring *s)
{
    return sg_model_spec_of(s->model.model)->objective == SG_CLASSES;
}

static void write_csv_header(FILE *stream, const struct sg_scoring *s, bool all_classes)
{
    fputs(has_classes(s) ? "id,class,score" : "id,score", stream);
    for (int64_t c = 0; all_classes && c < s->n_outputs; c++) {
        char *name = sg_format("score of %s", sg_schema_class_name(s->model.schema, c));
        putc(',', stream);
        write_field(stream, name);
        free(name);
    }
    putc('\n', stream);
}

static void write_csv(FILE *stream, const struct sg_scoring *s, int64_t i, bool all_classes)
{
    const float *score = s->score + i * s->n_outputs;
    int64_t best = sg_metrics_best_class(score, s->n_outputs);
    char text[24];
    write_field(stream, id_of(s, i, text));
    if (has_classes(s)) {
        putc(',', stream);
        write_field(stream, sg_schema_class_name(s->model.schema, best));
    }
    fprintf(stream, ",%.9g", (double)score[best]);
    for (int64_t c = 0; all_classes && c < s->n_outputs; c++)
        fprintf(stream, ",%.9g", (double)score[c]);
    putc('\n', stream);
}

static void write_json(FILE *stream, const struct sg_scoring *s, int64_t i, bool all_classes)
{
    const float *score = s->score + i * s->n_outputs;
    int64_t best = sg_metrics_best_class(score, s->n_outputs);
    char text[24];
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string_nocheck(id_of(s, i, text))); /* the reader of CSV checked it */
    if (has_classes(s))
        json_object_set_new(object, "class", json_string(sg_schema_class_name(s->model.schema, best)));
    json_object_set_new(object, "score", sg_json_real((double)score[best]));
    json_t *each = all_classes ? json_object() : NULL;
    for (int64_t c = 0; all_classes && c < s->n_outputs; c++)
        json_object_set_new(each, sg_schema_class_name(s->model.schema, c), sg_json_real((double)score[c]));
    if (each)
        json_object_set_new(object, "scores", each);
    json_dumpf(object, stream, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(9));
    putc('\n', stream);
    json_decref(object);
}

/* id and score: the probability of label 1, or a value; of classes the most probable one and its probability. */
static enum sg_status write_scores(const struct flags *flags, const struct sg_scoring *s)
{
    struct sg_file_writer writer;
    if (flags->all_classes && !has_classes(s))
        return sg_fail(SG_USAGE, "--all-classes: this model does not predict classes");
    bool is_json = sg_scoring_ends_in(flags->out, ".jsonl");
    SG_TRY(sg_file_writer_open(flags->out, 0600, &writer));
    if (!is_json)
        write_csv_header(writer.stream, s, flags->all_classes);
    for (int64_t i = 0; i < s->n; i++)
        (is_json ? write_json : write_csv)(writer.stream, s, i, flags->all_classes);
    return sg_file_writer_commit(&writer);
}

/* Scores must not take the place of what they were made from. */
static enum sg_status check_out(const struct flags *flags)
{
    struct stat data, out;
    if (stat(flags->scoring.data, &data) == 0 && stat(flags->out, &out) == 0 && data.st_dev == out.st_dev &&
        data.st_ino == out.st_ino)
        return sg_fail(SG_USAGE, "--out %s is the file to score; name another one", flags->out);
    return SG_OK;
}

static void print_scored(const struct flags *flags, const struct sg_scoring *s)
{
    json_t *object =
        json_pack("{s:I, s:s, s:s}", "scored", (json_int_t)s->n, "out", flags->out, "model_sha256", s->model.digest);
    sg_print_json(object);
    json_decref(object);
}

enum sg_status sg_cmd_score(int argc, char **argv)
{
    struct flags flags = {0};
    struct sg_scoring_flags *f = &flags.scoring;
    const struct sg_option options[] = {
        {"data", SG_OPTION_TEXT, &f->data, "FILE",
         "the file to score: CSV, or one message a line where it ends in .txt", 0, 0, true},
        {"out", SG_OPTION_TEXT, &flags.out, "FILE",
         "id and score (the probability of label 1, or class and its probability): CSV, or JSON lines where it ends in "
         ".jsonl",
         0, 0, true},
        {"all-classes", SG_OPTION_FLAG, &flags.all_classes, NULL, "the probability of every class, too", 0, 0, false},
        {"split", SG_OPTION_TEXT, &f->split, "NAME", "only this split of the file", 0, 0, false},
        {"workers", SG_OPTION_INT, &f->workers, "N", "worker threads; changes no bit", 1, 1024, false},
        {"backend", SG_OPTION_TEXT, &f->backend, "NAME", "cpu (default), cuda, cuda:CARD or reference", 0, 0, false},
        {"quiet", SG_OPTION_FLAG, &f->quiet, NULL, "no progress", 0, 0, false},
        {"json", SG_OPTION_FLAG, &flags.json, NULL, "print one JSON object", 0, 0, false},
    };
    const struct sg_command_line line = {
        "score", "score a file with a trained model", options, sizeof options / sizeof *options, "MODEL", 1, 1, NULL};
    const char *folder;
    SG_TRY(sg_options_parse(&line, argc, argv, &folder, NULL));
    struct sg_scoring s;
    SG_TRY(check_out(&flags));
    enum sg_status status = sg_scoring_open(folder, f, false, &s);
    if (status == SG_OK)
        status = write_scores(&flags, &s);
    if (status == SG_OK && flags.json)
        print_scored(&flags, &s);
    else if (status == SG_OK)
        printf("%lld scores in %s\n", (long long)s.n, flags.out);
    sg_scoring_close(&s);
    return status;
}
