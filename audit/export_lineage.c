/* Formats openlineage (run events, OpenLineage 2-0-2) and slsa (in-toto Statement v1 with SLSA provenance v1).
 *
 * Both restate signed leaves in other words and are not signed themselves; each names its leaves by number and hash, so
 * that whoever doubts it asks for the proof. */
#include <stdlib.h>
#include <string.h>

#include "audit/query.h"
#include "export.h"

#define PRODUCER "urn:sealgrad:ledger-export:1"
#define FACETS "https://openlineage.io/spec/facets/"

/* OpenLineage wants a UUID for a run: version 8 (RFC 9562) over the first bytes of the run.start leaf's hash. */
static void uuid_of(const char hash[65], char out[37])
{
    char h[33];
    memcpy(h, hash, 32);
    h[32] = 0;
    h[12] = '8';
    h[16] =
        "89ab"[strchr("0123456789abcdef", h[16]) ? (strchr("0123456789abcdef", h[16]) - "0123456789abcdef") & 3 : 0];
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", h, h + 8, h + 12, h + 16, h + 20);
}

/* A facet: who made it, which schema describes it, and the members of `content` (stolen). */
static json_t *facet(const char *schema, json_t *content)
{
    json_t *object = json_pack("{s:s, s:s}", "_producer", PRODUCER, "_schemaURL", schema);
    json_object_update(object, content);
    json_decref(content);
    return object;
}

static json_t *own_facet(const char *name, json_t *content)
{
    char *schema = sg_format("urn:sealgrad:openlineage:%s:1", name);
    json_t *object = facet(schema, content);
    free(schema);
    return object;
}

/* NULL stands for null; `value` is borrowed. */
static void put(json_t *object, const char *key, const json_t *value)
{
    json_object_set(object, key, value ? (json_t *)value : json_null());
}

static json_t *leaf_facet(int64_t leaf, const char *hash)
{
    return own_facet("leaf", json_pack("{s:I, s:s}", "leaf", (json_int_t)leaf, "leafHash", hash));
}

static json_t *run_facets(const struct sg_export_run *run, bool is_end)
{
    static const char *const plan[] = {"epsilon", "delta",       "accountant",       "neighboring_relation",
                                       "sampler", "sample_rate", "noise_multiplier", "max_grad_norm",
                                       "steps"};
    json_t *facets = json_object(), *privacy = json_object();
    for (size_t i = 0; i < sizeof plan / sizeof *plan; i++)
        put(privacy, plan[i], json_object_get(json_object_get(run->facts, "plan"), plan[i]));
    put(privacy, "private", json_object_get(run->row, "private"));
    json_object_set_new(facets, "sealgrad_privacy", own_facet("privacy", privacy));
    json_object_set_new(facets, "sealgrad_leaf",
                        leaf_facet(is_end ? run->end_leaf : run->start_leaf, is_end ? run->end_hash : run->start_hash));
    json_object_set_new(
        facets, "sealgrad_run",
        own_facet("run", json_pack("{s:s, s:s, s:s}", "runId", run->run_id, "actor",
                                   sg_export_member(run->row, "actor"), "host", sg_export_member(run->row, "host"))));
    const char *reason = json_string_value(json_object_get(run->row, "reason"));
    if (is_end && reason)
        json_object_set_new(facets, "errorMessage",
                            facet(FACETS "1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
                                  json_pack("{s:s, s:s}", "message", reason, "programmingLanguage", "C")));
    if (is_end) {
        json_t *metrics = json_object();
        put(metrics, "metrics", json_object_get(run->end_facts, "metrics"));
        put(metrics, "curves", json_object_get(run->end_facts, "curves"));
        put(metrics, "stepsDone", json_object_get(run->end_facts, "steps_done"));
        json_object_set_new(facets, "sealgrad_metrics", own_facet("metrics", metrics));
    }
    return facets;
}

static json_t *version_facet(const char *version)
{
    return facet(FACETS "1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet",
                 json_pack("{s:s}", "datasetVersion", version));
}

/* The data by its keyed commitment, the base model by its digest. */
static json_t *inputs_of(const struct sg_export_run *run, const char *namespace)
{
    json_t *inputs = json_array();
    const char *base = json_string_value(json_object_get(run->facts, "base_model_digest"));
    json_array_append_new(
        inputs,
        json_pack(
            "{s:s, s:s, s:{s:o, s:o}}", "namespace", namespace, "name", sg_export_member(run->facts, "dataset"),
            "facets", "version", version_facet(sg_export_member(run->facts, "data_commitment")), "sealgrad_population",
            own_facet("population", json_pack("{s:s}", "population", sg_export_member(run->facts, "population")))));
    if (base)
        json_array_append_new(inputs, json_pack("{s:s, s:s, s:{s:o}}", "namespace", namespace, "name", "base-model",
                                                "facets", "version", version_facet(base)));
    return inputs;
}

static json_t *outputs_of(const struct sg_export_run *run, const char *namespace)
{
    json_t *outputs = json_array();
    const json_t *row;
    size_t i;
    json_array_foreach(json_object_get(run->show, "artifacts"), i, row)
    {
        char *name = sg_format("%s/%s", run->run_id, sg_export_member(row, "name"));
        json_t *size = json_object();
        put(size, "bytes", json_object_get(row, "bytes"));
        json_array_append_new(outputs, json_pack("{s:s, s:s, s:{s:o, s:o}}", "namespace", namespace, "name", name,
                                                 "facets", "version", version_facet(sg_export_member(row, "sha256")),
                                                 "sealgrad_file", own_facet("file", size)));
        free(name);
    }
    return outputs;
}

static enum sg_status write_event(struct sg_export *into, const struct sg_export_run *run, bool is_end)
{
    char uuid[37], time[40];
    const char *type = !is_end                                ? "START"
                       : strcmp(run->status, "complete") == 0 ? "COMPLETE"
                       : strcmp(run->status, "failed") == 0   ? "FAIL"
                                                              : "ABORT";
    struct sg_buffer line = {0};
    uuid_of(run->start_hash, uuid);
    sg_query_time(is_end ? run->ended_ms : run->started_ms, time);
    char *namespace = sg_format("sealgrad:%s", into->ledger->origin);
    char *job = sg_format("train.%s", sg_export_member(run->facts, "dataset"));
    json_t *job_type = facet(
        FACETS "2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
        json_pack("{s:s, s:s, s:s}", "processingType", "BATCH", "integration", "SEALGRAD", "jobType", "TRAINING"));
    json_t *event =
        json_pack("{s:s, s:s, s:{s:s, s:o}, s:{s:s, s:s, s:{s:o}}, s:o, s:o, s:s, s:s}", "eventType", type, "eventTime",
                  time, "run", "runId", uuid, "facets", run_facets(run, is_end), "job", "namespace", namespace, "name",
                  job, "facets", "jobType", job_type, "inputs", inputs_of(run, namespace), "outputs",
                  is_end ? outputs_of(run, namespace) : json_array(), "producer", PRODUCER, "schemaURL",
                  "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent");
    sg_json_dump(event, &line);
    sg_buffer_text(&line, "\n");
    json_decref(event);
    free(job);
    free(namespace);
    enum sg_status status = sg_export_text(into, "events.jsonl", &line);
    sg_buffer_free(&line);
    return status;
}

static enum sg_status lineage_of(struct sg_export *into, const struct sg_export_run *run, void *context)
{
    (void)context;
    SG_TRY(write_event(into, run, false));
    return run->end_facts ? write_event(into, run, true) : SG_OK;
}

enum sg_status sg_export_openlineage(struct sg_export *into, const char *run)
{
    SG_TRY(sg_export_file(into, "events.jsonl", "", 0));
    return sg_export_runs(into, run, lineage_of, NULL);
}

/* ---- SLSA */
static json_t *resource(const char *name, const char *kind, const char *digest)
{
    return json_pack("{s:s, s:{s:s}}", "name", name, "digest", kind, digest);
}

static json_t *leaf_resource(struct sg_export *into, const char *type, int64_t seq, const char *hash)
{
    char *name = sg_format("leaf %lld, %s, of ledger %s", (long long)seq, type, into->ledger->origin);
    json_t *object = resource(name, "rfc6962LeafSha256", hash);
    free(name);
    return object;
}

static json_t *build_definition(const struct sg_export_run *run)
{
    json_t *external = json_object(), *internal = json_object(), *resolved = json_array();
    const char *base = json_string_value(json_object_get(run->facts, "base_model_digest"));
    put(external, "configuration", json_object_get(run->facts, "configuration"));
    put(external, "dataset", json_object_get(run->facts, "dataset"));
    put(internal, "parameters", json_object_get(run->facts, "parameters"));
    put(internal, "plan", json_object_get(run->facts, "plan"));
    put(internal, "environment", json_object_get(run->facts, "environment"));
    json_array_append_new(resolved, resource(sg_export_member(run->facts, "dataset"), "commitmentHmacSha256",
                                             sg_export_member(run->facts, "data_commitment")));
    json_array_append_new(resolved, resource("source tree", "sha256", sg_export_member(run->facts, "code_digest")));
    if (base)
        json_array_append_new(resolved, resource("base model", "sha256", base));
    return json_pack("{s:s, s:o, s:o, s:o}", "buildType", "urn:sealgrad:train:1", "externalParameters", external,
                     "internalParameters", internal, "resolvedDependencies", resolved);
}

static json_t *run_details(struct sg_export *into, const struct sg_export_run *run)
{
    char started[40], ended[40];
    json_t *builder = json_pack("{s:s, s:[o]}", "id", "urn:sealgrad:trainer:1", "builderDependencies",
                                resource("trainer", "sha256", sg_export_member(run->facts, "binary_digest")));
    put(builder, "version", json_object_get(run->facts, "libraries"));
    sg_query_time(run->started_ms, started);
    sg_query_time(run->ended_ms, ended);
    return json_pack("{s:o, s:{s:s, s:s, s:s}, s:[o, o]}", "builder", builder, "metadata", "invocationId", run->run_id,
                     "startedOn", started, "finishedOn", ended, "byproducts",
                     leaf_resource(into, "run.start", run->start_leaf, run->start_hash),
                     leaf_resource(into, "run.complete", run->end_leaf, run->end_hash));
}

static enum sg_status slsa_of(struct sg_export *into, const struct sg_export_run *run, void *context)
{
    int64_t *n_written = context;
    json_t *subjects = json_array();
    const json_t *row;
    size_t i;
    if (strcmp(run->status, "complete") == 0)
        json_array_foreach(json_object_get(run->show, "artifacts"), i, row) json_array_append_new(
            subjects, resource(sg_export_member(row, "name"), "sha256", sg_export_member(row, "sha256")));
    if (json_array_size(subjects) == 0) { /* provenance is of files: a run without any has none */
        json_decref(subjects);
        return SG_OK;
    }
    json_t *statement = json_pack("{s:s, s:o, s:s, s:{s:o, s:o}}", "_type", "https://in-toto.io/Statement/v1",
                                  "subject", subjects, "predicateType", "https://slsa.dev/provenance/v1", "predicate",
                                  "buildDefinition", build_definition(run), "runDetails", run_details(into, run));
    struct sg_buffer text = {0};
    char *safe = sg_export_name(run->run_id), *path = sg_format("%s.intoto.json", safe);
    sg_json_dump(statement, &text);
    sg_buffer_text(&text, "\n");
    enum sg_status status = sg_export_text(into, path, &text);
    json_decref(statement);
    sg_buffer_free(&text);
    free(path);
    free(safe);
    (*n_written)++;
    return status;
}

enum sg_status sg_export_slsa(struct sg_export *into, const char *run)
{
    int64_t n_written = 0;
    SG_TRY(sg_export_runs(into, run, slsa_of, &n_written));
    return n_written ? SG_OK
                     : sg_fail(SG_USAGE, "export slsa: %s, so there is no file to state the provenance of",
                               run ? "that run did not finish with a file" : "no run has finished with a file");
}
