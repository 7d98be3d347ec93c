/* Format mlflow: what MLflow's file store keeps, so that MLflow's own pages, searches and migrations read it.
 *
 *   mlruns/0/meta.yaml                          one experiment, named by the ledger's origin
 *   mlruns/0/RUN/meta.yaml                      a run under its own id
 *   mlruns/0/RUN/params/NAME, tags/NAME         a text each
 *   mlruns/0/RUN/metrics/NAME                   lines "time_ms value step": the validation split on the way, the end
 *   mlruns/0/RUN/inputs/ID, mlruns/0/datasets/ID   the dataset, by its keyed commitment
 *   mlruns/0/RUN/artifacts                      empty: a ledger holds digests of files, not files
 *
 * YAML strings are written as JSON strings, which every YAML 1.2 reader takes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"
#include "export.h"
#include "schema.h"

enum { MLFLOW_RUNNING = 1, MLFLOW_FINISHED = 3, MLFLOW_FAILED = 4, MLFLOW_KILLED = 5 };

static void yaml_text(struct sg_buffer *out, const char *key, const char *text)
{
    json_t *value = json_string(text);
    sg_buffer_printf(out, "%s: ", key);
    if (value)
        sg_json_dump(value, out);
    else
        sg_buffer_text(out, "\"\"");
    sg_buffer_text(out, "\n");
    json_decref(value);
}

/* params/NAME, tags/NAME: the value as text; a file with several lines would be read as several values by some
 * versions. */
static enum sg_status write_value(struct sg_export *into, const struct sg_export_run *run, const char *kind,
                                  const char *name, const char *value)
{
    char *file = sg_export_name(name), *path = sg_format("mlruns/0/%s/%s/%s", run->run_id, kind, file);
    char *text = sg_strdup(value);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    char *full = sg_format("%s/%s", into->temporary, path);
    enum sg_status status = SG_OK;
    if (!sg_file_exists(full)) /* two names that differ only in characters MLflow does not take: the first stays */
        status = sg_export_file(into, path, text, strlen(text));
    free(full);
    free(text);
    free(path);
    free(file);
    return status;
}

/* What a cell says as text: strings as they are, everything else as JSON. */
static enum sg_status write_json(struct sg_export *into, const struct sg_export_run *run, const char *kind,
                                 const char *name, const json_t *value)
{
    struct sg_buffer text = {0};
    if (json_is_string(value))
        sg_buffer_text(&text, json_string_value(value));
    else if (value && !json_is_null(value))
        sg_json_dump(value, &text);
    enum sg_status status = text.data ? write_value(into, run, kind, name, text.data) : SG_OK; /* null: no file */
    sg_buffer_free(&text);
    return status;
}

static enum sg_status write_params(struct sg_export *into, const struct sg_export_run *run)
{
    const json_t *row;
    const char *key;
    json_t *value;
    size_t i;
    json_array_foreach(json_object_get(run->show, "params"), i, row)
        SG_TRY(write_json(into, run, "params", sg_export_member(row, "name"), json_object_get(row, "value")));
    json_object_foreach(json_object_get(run->facts, "plan"), key, value)
    {
        char *name = sg_format("plan.%s", key);
        enum sg_status status = write_json(into, run, "params", name, value);
        free(name);
        SG_TRY(status);
    }
    return SG_OK;
}

static enum sg_status write_metric(struct sg_export *into, const struct sg_export_run *run, const char *name,
                                   double value, int64_t time_ms, int64_t step, const struct sg_buffer *before)
{
    char number[32] = "nan", *file = sg_export_name(name);
    struct sg_buffer line = {0};
    if (before && before->len)
        sg_buffer_append(&line, before->data, before->len);
    if (isfinite(value))
        sg_number_print(value, number);
    sg_buffer_printf(&line, "%lld %s %lld\n", (long long)time_ms, number, (long long)step);
    char *path = sg_format("mlruns/0/%s/metrics/%s", run->run_id, file);
    enum sg_status status = sg_export_text(into, path, &line);
    sg_buffer_free(&line);
    free(path);
    free(file);
    return status;
}

/* The figure on the way, where the run followed it: one line a point, before the one at the end. */
static void append_track(const struct sg_export_run *run, const json_t *row, int64_t steps, struct sg_buffer *out)
{
    const json_t *curve, *point;
    size_t i, k;
    json_array_foreach(json_object_get(run->end_facts, "curves"), i, curve)
    {
        if (!json_equal(json_object_get(curve, "name"), json_object_get(row, "name")) ||
            !json_equal(json_object_get(curve, "split"), json_object_get(row, "split")))
            continue;
        json_array_foreach(json_object_get(curve, "points"), k, point)
        {
            const json_t *step = json_array_get(point, 0), *value = json_array_get(point, 1);
            if (json_is_integer(step) && json_is_number(value) && json_integer_value(step) < steps)
                sg_buffer_printf(out, "%lld %.4f %lld\n", (long long)run->ended_ms, json_number_value(value) / 1e4,
                                 (long long)json_integer_value(step));
        }
    }
}

/* Named split.name; a tag says what was released. Epsilon and delta are metrics too, so that runs sort by them. */
static enum sg_status write_metrics(struct sg_export *into, const struct sg_export_run *run)
{
    static const char *const spent[] = {"epsilon", "delta"};
    int64_t steps = json_integer_value(json_object_get(run->row, "steps_done"));
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(run->show, "metrics"), i, row)
    {
        const json_t *value = json_object_get(row, "value");
        char *name = sg_format("%s.%s", sg_export_member(row, "split"), sg_export_member(row, "name"));
        char *tag = sg_format("sealgrad.released.%s", name);
        struct sg_buffer track = {0};
        append_track(run, row, steps, &track);
        enum sg_status status = write_metric(into, run, name, json_is_number(value) ? json_number_value(value) : NAN,
                                             run->ended_ms, steps, &track);
        sg_buffer_free(&track);
        if (status == SG_OK)
            status = write_json(into, run, "tags", tag, json_object_get(row, "released"));
        free(tag);
        free(name);
        SG_TRY(status);
    }
    for (i = 0; i < 2; i++) {
        const json_t *value = json_object_get(run->row, spent[i]);
        char *name = sg_format("privacy.%s", spent[i]);
        enum sg_status status = json_is_number(value)
                                    ? write_metric(into, run, name, json_number_value(value), run->started_ms, 0, NULL)
                                    : SG_OK;
        free(name);
        SG_TRY(status);
    }
    return SG_OK;
}

static enum sg_status write_facts(struct sg_export *into, const struct sg_export_run *run)
{
    static const char *const facts[] = {"run_no",          "dataset",           "population",        "data_commitment",
                                        "code_digest",     "binary_digest",     "environment",       "libraries",
                                        "secret_supplied", "secret_commitment", "base_model_digest", "show_internal"};
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        char *name = sg_format("sealgrad.%s", facts[i]);
        enum sg_status status = write_json(into, run, "tags", name, json_object_get(run->facts, facts[i]));
        free(name);
        SG_TRY(status);
    }
    return SG_OK;
}

static enum sg_status write_files(struct sg_export *into, const struct sg_export_run *run)
{
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(run->show, "artifacts"), i, row)
    {
        char *name = sg_format("sealgrad.sha256.%s", sg_export_member(row, "name"));
        enum sg_status status = write_json(into, run, "tags", name, json_object_get(row, "sha256"));
        free(name);
        SG_TRY(status);
    }
    json_array_foreach(run->decisions, i, row)
    {
        char *name = sg_format("sealgrad.%s.leaf-%lld", sg_export_member(row, "kind"),
                               (long long)json_integer_value(json_object_get(row, "leaf")));
        char *text = sg_format("%s (%s): %s", sg_export_member(row, "person"), sg_export_member(row, "role"),
                               sg_export_member(row, "reason"));
        enum sg_status status = write_value(into, run, "tags", name, text);
        free(text);
        free(name);
        SG_TRY(status);
    }
    return SG_OK;
}

static enum sg_status write_tags(struct sg_export *into, const struct sg_export_run *run)
{
    char leaf[32];
    SG_TRY(write_value(into, run, "tags", "mlflow.runName", run->run_id));
    SG_TRY(write_value(into, run, "tags", "mlflow.user", sg_export_member(run->row, "actor")));
    SG_TRY(write_value(into, run, "tags", "mlflow.source.name", "sealgrad"));
    SG_TRY(write_value(into, run, "tags", "mlflow.source.type", "LOCAL"));
    SG_TRY(write_value(into, run, "tags", "sealgrad.origin", into->ledger->origin));
    SG_TRY(write_value(into, run, "tags", "sealgrad.host", sg_export_member(run->row, "host")));
    SG_TRY(write_value(into, run, "tags", "sealgrad.status", run->status));
    SG_TRY(write_json(into, run, "tags", "sealgrad.reason", json_object_get(run->row, "reason")));
    snprintf(leaf, sizeof leaf, "%lld", (long long)run->start_leaf);
    SG_TRY(write_value(into, run, "tags", "sealgrad.start_leaf", leaf));
    SG_TRY(write_value(into, run, "tags", "sealgrad.start_leaf_hash", run->start_hash));
    if (run->end_facts) {
        snprintf(leaf, sizeof leaf, "%lld", (long long)run->end_leaf);
        SG_TRY(write_value(into, run, "tags", "sealgrad.end_leaf", leaf));
        SG_TRY(write_value(into, run, "tags", "sealgrad.end_leaf_hash", run->end_hash));
    }
    SG_TRY(write_facts(into, run));
    return write_files(into, run);
}

static int mlflow_status(const char *status)
{
    return strcmp(status, "running") == 0    ? MLFLOW_RUNNING
           : strcmp(status, "complete") == 0 ? MLFLOW_FINISHED
           : strcmp(status, "failed") == 0   ? MLFLOW_FAILED
                                             : MLFLOW_KILLED;
}

static enum sg_status write_run_meta(struct sg_export *into, const struct sg_export_run *run)
{
    struct sg_buffer text = {0};
    char *path = sg_format("mlruns/0/%s/meta.yaml", run->run_id);
    char *artifacts = sg_format("mlruns/0/%s/artifacts", run->run_id);
    yaml_text(&text, "artifact_uri", artifacts);
    if (run->end_facts)
        sg_buffer_printf(&text, "end_time: %lld\n", (long long)run->ended_ms);
    else
        sg_buffer_text(&text, "end_time: null\n");
    sg_buffer_text(&text, "entry_point_name: ''\nexperiment_id: '0'\nlifecycle_stage: active\n");
    yaml_text(&text, "run_id", run->run_id);
    yaml_text(&text, "run_name", run->run_id);
    yaml_text(&text, "run_uuid", run->run_id);
    sg_buffer_printf(&text,
                     "source_name: ''\nsource_type: 4\nsource_version: ''\nstart_time: %lld\nstatus: %d\ntags: []\n",
                     (long long)run->started_ms, mlflow_status(run->status));
    yaml_text(&text, "user_id", sg_export_member(run->row, "actor"));
    enum sg_status status = sg_export_text(into, path, &text);
    if (status == SG_OK)
        status = sg_export_folder(into, artifacts);
    sg_buffer_free(&text);
    free(artifacts);
    free(path);
    return status;
}

/* MLflow names a dataset by an id of its own and a digest of at most 36 characters: half of the keyed commitment. */
static enum sg_status write_dataset(struct sg_export *into, const struct sg_export_run *run)
{
    const char *commitment = sg_export_member(run->facts, "data_commitment");
    const char *name = sg_export_member(run->facts, "dataset");
    char both[512], id[2 * SG_DIGEST_BYTES + 1];
    uint8_t hash[SG_DIGEST_BYTES];
    int n = snprintf(both, sizeof both, "%s\n%s", name, commitment);
    sg_sha256(both, (size_t)n < sizeof both ? (size_t)n : sizeof both - 1, hash);
    sg_hex_encode(hash, 16, id);
    struct sg_buffer text = {0};
    char *path = sg_format("mlruns/0/datasets/%s/meta.yaml", id), *full = sg_format("%s/%s", into->temporary, path);
    sg_buffer_printf(&text, "digest: '%.32s'\n", commitment);
    yaml_text(&text, "name", name);
    sg_buffer_text(&text, "profile: null\nschema: null\n");
    yaml_text(&text, "source", "{\"keyed_commitment\": \"see the tag sealgrad.data_commitment\"}");
    yaml_text(&text, "source_type", "sealgrad");
    enum sg_status status = sg_file_exists(full) ? SG_OK : sg_export_text(into, path, &text);
    sg_buffer_free(&text);
    free(full);
    free(path);
    if (status == SG_OK) {
        path = sg_format("mlruns/0/%s/inputs/%s/meta.yaml", run->run_id, id);
        sg_buffer_printf(&text,
                         "destination_id: \"%s\"\ndestination_type: RUN\nsource_id: %s\nsource_type: DATASET\n"
                         "tags:\n  mlflow.data.context: training\n",
                         run->run_id, id);
        status = sg_export_text(into, path, &text);
        sg_buffer_free(&text);
        free(path);
    }
    return status;
}

static enum sg_status write_run(struct sg_export *into, const struct sg_export_run *run, void *context)
{
    (void)context;
    char *safe = sg_export_name(run->run_id);
    bool is_same = strcmp(safe, run->run_id) == 0; /* a folder's name */
    free(safe);
    if (!is_same)
        return sg_fail(SG_FAILED, "leaf %lld: its run's id cannot be a folder's name", (long long)run->start_leaf);
    SG_TRY(write_run_meta(into, run));
    SG_TRY(write_params(into, run));
    SG_TRY(write_metrics(into, run));
    SG_TRY(write_tags(into, run));
    return write_dataset(into, run);
}

enum sg_status sg_export_mlflow(struct sg_export *into, const char *run)
{
    struct sg_buffer text = {0};
    int64_t first = 0;
    SG_TRY(sg_db_number(into->ledger->db, "SELECT ts_ms FROM leaf WHERE seq = 0", &first));
    yaml_text(&text, "artifact_location", "mlruns/0");
    sg_buffer_printf(&text,
                     "creation_time: %lld\nexperiment_id: '0'\nlast_update_time: %lld\nlifecycle_stage: active\n",
                     (long long)first, (long long)into->ledger->last_ms);
    yaml_text(&text, "name", into->ledger->origin);
    enum sg_status status = sg_export_text(into, "mlruns/0/meta.yaml", &text);
    sg_buffer_free(&text);
    return status == SG_OK ? sg_export_runs(into, run, write_run, NULL) : status;
}
