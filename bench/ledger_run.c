/* What the ledger costs one training run: everything that train does with it (key, open, dataset, run.start,
 * run.complete with metrics and curves, proof, close), each time in a process of its own on a ledger of its own, as a
 * job scheduler would. One JSON object: medians of CPU and wall milliseconds for each call, and their sum; the share is
 * theirs of the run that is meant (time build/src/cli/sealgrad train ...). A second one: by how much the file grows, a
 * run and a heartbeat, over many in one ledger. Usage: ledger_run FOLDER [runs, default 25]; FOLDER must be on the disk
 * that is meant. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "account/plan.h"
#include "audit/evidence.h"
#include "audit/ledger.h"
#include "base/json.h"
#include "timing.h"

enum { KEY, OPEN, DATASET, START, END, PROOF, CLOSE, N_CALLS, RUNS_MAX = 1000, GROWTH = 100 };
static const char *const names[N_CALLS] = {"key", "open", "dataset", "run.start", "run.complete", "proof", "close"};
struct sample {
    double cpu_ms[N_CALLS], wall_ms[N_CALLS];
};

static void must(enum sg_status status)
{
    if (status == SG_OK)
        return;
    fprintf(stderr, "ledger_run: %s\n", sg_error_text());
    _exit(status);
}

/* The configuration of examples/credit_risk: 200 steps on 24,000 customers, epsilon 3 of 6. */
static struct sg_plan credit_plan(double epsilon)
{
    struct sg_plan_request request = {.is_private = true,
                                      .target_epsilon = epsilon,
                                      .target_delta = 1e-5,
                                      .sampler = SG_SAMPLER_POISSON,
                                      .relation = SG_ADD_OR_REMOVE_ONE,
                                      .clip_group = SG_CLIP_EXAMPLE,
                                      .microbatch_size = 1,
                                      .expected_batch_size = 2048,
                                      .population_size = 24000,
                                      .steps = 200,
                                      .max_grad_norm = 4,
                                      .rows_per_unit_max = 6,
                                      .n_weights = 4712,
                                      .noise_source = "chacha20",
                                      .noise_tau_log2 = -115};
    struct sg_plan plan;
    must(sg_plan_resolve(&request, &plan));
    return plan;
}

static json_t *parsed(const char *text)
{
    json_t *value = NULL;
    must(sg_json_parse(text, strlen(text), "benchmark", SG_FAILED, &value));
    return value;
}

static json_t *configuration(void)
{
    return parsed(
        "{\"run\": {\"name\": \"credit\"}, \"data\": {\"dataset\": \"credit\"}, \"model\": {\"kind\": "
        "\"bilstm_attention\", \"hidden\": 16, \"attention\": 32, \"mlp\": 0, \"linear_path\": false}, \"privacy\": "
        "{\"target_epsilon\": 3, \"target_delta\": 1e-05, \"max_grad_norm\": 4}, \"training\": "
        "{\"expected_batch_size\": 2048, \"steps\": 200, \"optimizer\": \"sgd\", \"learning_rate\": 0.7, "
        "\"momentum\": 0.9, \"schedule\": \"linear\", \"decay_start\": 0.5, \"average_decay\": 0.97, "
        "\"validation_points\": 10}}");
}

static json_t *parameters(void)
{
    return parsed(
        "{\"model\": {\"kind\": \"bilstm_attention\", \"n_features\": 11, \"n_static\": 7, \"linear_steps\": 0, "
        "\"hidden\": 16, \"layers\": 1, \"attention\": 32, \"mlp\": 0, \"mlp_activation\": \"relu\", \"dropout\": "
        "0.0}, \"training\": {\"optimizer\": \"sgd\", \"learning_rate\": 0.7, \"momentum\": 0.9, \"beta1\": 0.9, "
        "\"beta2\": 0.999, \"adam_epsilon\": 1e-08, \"schedule\": \"linear\", \"decay_start\": 0.5, "
        "\"warmup_steps\": 0, \"average_decay\": 0.97, \"public_seed\": 1}, \"backend\": \"cpu\", \"workers\": 2, "
        "\"ranks\": 1}");
}

static json_t *metrics(void)
{
    static const char *const each[] = {"auc",     "auc_low",    "auc_high",          "gini",
                                       "ks",      "brier",      "log_loss",          "ece",
                                       "lift_10", "capture_10", "accuracy_base_rate"};
    json_t *list = json_array();
    for (int split = 0; split < 2; split++)
        for (size_t i = 0; i < sizeof each / sizeof *each; i++)
            json_array_append_new(list, json_pack("{s:s, s:f, s:s, s:s}", "name", each[i], "value",
                                                  0.7847982495909784 / (double)(i + 1), "split",
                                                  split ? "test" : "validation", "released", "exact"));
    return list;
}

static json_t *curves(void)
{
    json_t *list = json_array();
    for (int split = 0; split < 2; split++) {
        json_t *bins = json_array();
        for (int bin = 9; bin < 25; bin++)
            json_array_append_new(bins, json_pack("[i, i, i, i, i]", bin, bin, 67 * bin, 300 * bin, 290 * bin));
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", "scores", "split",
                                              split ? "test" : "validation", "released", "exact", "bins", bins));
    }
    for (int which = 0; which < 2; which++) {
        json_t *points = json_array();
        for (int i = 1; i <= 10; i++)
            json_array_append_new(points, json_pack("[i, i]", 20 * i, 7000 + 80 * i));
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "name", which ? "log_loss" : "auc", "split",
                                              "validation", "released", "exact", "points", points));
    }
    return list;
}

static void make(const char *folder)
{
    uint8_t digest[SG_DIGEST_BYTES] = {7}, key[SG_KEY_BYTES] = {9};
    struct sg_signer *signer = NULL;
    struct sg_ledger *ledger = NULL;
    char *path = sg_format("%s/ledger.db", folder), *key_path = sg_format("%s/bench.key", folder);
    struct sg_dataset_facts facts = {
        .name = "credit",
        .population = "customers",
        .unit = "ID",
        .population_size = 24000,
        .epsilon_limit = 6,
        .delta_limit = 1e-5,
        .commitment = digest,
        .schema_digest = digest,
        .row_bucket = "10,000 to 100,000",
    };
    must(sg_key_generate(folder, "bench", SG_ALGORITHM_ED25519, NULL));
    must(sg_signer_open(key_path, NULL, &signer));
    must(sg_ledger_init(path, "bench.example/ledger", signer));
    must(sg_ledger_open(path, signer, &ledger));
    must(sg_ledger_register_dataset(ledger, &facts, key));
    sg_ledger_close(&ledger);
    _exit(0);
}

static int64_t size_of(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (int64_t)info.st_size : 0;
}

#define TIMED(which, call)                                                                                             \
    do {                                                                                                               \
        double cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID), wall = clock_seconds(CLOCK_MONOTONIC);                   \
        call;                                                                                                          \
        out->cpu_ms[which] = (clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e3;                                    \
        out->wall_ms[which] = (clock_seconds(CLOCK_MONOTONIC) - wall) * 1e3;                                           \
    } while (0)

struct session {
    struct sg_signer *signer;
    struct sg_ledger *ledger;
    struct sg_dataset_entry entry;
    struct sg_run run;
    struct sg_run_facts facts;
    struct sg_run_result result;
    char *path, *key, *proof;
};

static void prepare(const char *folder, const struct sg_plan *plan, struct session *s)
{
    static const uint8_t commitment[SG_DIGEST_BYTES] = {1};
    static const char digest[] = "d100ce4daca175122a08460194d888b26e32067f3880d73febd6178e1aaaa65f";
    uint8_t unused[SG_DIGEST_BYTES];
    *s = (struct session){
        .facts = {.dataset = "credit",
                  .plan = plan,
                  .configuration = configuration(),
                  .parameters = parameters(),
                  .secret_commitment = commitment,
                  .code_digest = digest,
                  .binary_digest = digest,
                  .environment = "cpu-2",
                  .libraries = parsed("{\"libsodium\": \"1.0.18\", \"sqlite\": \"3.40.1\", \"libc\": \"2.36\"}")},
        .result = {.steps_done = 200, .metrics = metrics(), .curves = curves()},
        .path = sg_format("%s/ledger.db", folder),
        .key = sg_format("%s/bench.key", folder),
        .proof = sg_format("%s/run.proof", folder),
    };
    s->result.artifacts = json_pack("[{s:s, s:s, s:i}]", "name", "model.safetensors", "sha256", digest, "bytes", 19304);
    sg_sha256(digest, sizeof digest, unused); /* OpenSSL starts: a run pays for that with its data's digest */
}

static void one_run(const char *folder, const struct sg_plan *plan, struct sample *out)
{
    struct session s;
    prepare(folder, plan, &s);
    TIMED(KEY, must(sg_signer_open(s.key, NULL, &s.signer)));
    TIMED(OPEN, must(sg_ledger_open(s.path, s.signer, &s.ledger)));
    TIMED(DATASET, must(sg_ledger_find_dataset(s.ledger, "credit", &s.entry)));
    TIMED(START, must(sg_ledger_run_start(s.ledger, &s.facts, &s.run)));
    TIMED(END, must(sg_ledger_run_end(s.ledger, &s.run, &s.result)));
    TIMED(PROOF, must(sg_evidence_run_proof(s.ledger, &s.run, s.proof)));
    TIMED(CLOSE, sg_ledger_close(&s.ledger));
    _exit(0);
}

/* Runs of little epsilon, as many as pages need to even out, and then as many heartbeats of one more. */
static void grow(const char *folder, const struct sg_plan *plan)
{
    struct session s;
    int64_t bytes[3];
    bool written = true;
    prepare(folder, plan, &s);
    must(sg_signer_open(s.key, NULL, &s.signer));
    must(sg_ledger_open(s.path, s.signer, &s.ledger));
    bytes[0] = size_of(s.path);
    for (int i = 0; i < GROWTH; i++) {
        must(sg_ledger_run_start(s.ledger, &s.facts, &s.run));
        must(sg_ledger_run_end(s.ledger, &s.run, &s.result));
    }
    bytes[1] = size_of(s.path);
    must(sg_ledger_run_start(s.ledger, &s.facts, &s.run));
    for (int i = 0; i < GROWTH && written; i++) {
        const struct sg_heartbeat beat = {.step = i, .interval_s = 600};
        must(sg_ledger_heartbeat(s.ledger, &s.run, &beat, &written));
    }
    bytes[2] = size_of(s.path);
    int64_t a_run = (bytes[1] - bytes[0]) / GROWTH;
    printf("{\"what\": \"size\", \"runs\": %d, \"bytes_a_run\": %lld, \"bytes_a_heartbeat\": %lld}\n", GROWTH,
           (long long)a_run, (long long)((bytes[2] - bytes[1] - a_run / 2) / GROWTH));
    fflush(stdout);
    sg_ledger_close(&s.ledger);
    _exit(0);
}

static void wait_for(pid_t child)
{
    int code = 1;
    if (child < 0 || waitpid(child, &code, 0) != child || code != 0)
        exit(1);
}

static void empty(const char *folder)
{
    static const char *const files[] = {"ledger.db", "ledger.db.side.db", "bench.key", "bench.pub", "run.proof"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = sg_format("%s/%s", folder, files[i]);
        unlink(path);
        free(path);
    }
}

static void say(const struct sample *samples, int n)
{
    double values[RUNS_MAX], cpu = 0, wall = 0;
    printf("{\"what\": \"one run\", \"runs\": %d", n);
    for (int call = 0; call < N_CALLS; call++) {
        for (int i = 0; i < n; i++)
            values[i] = samples[i].cpu_ms[call];
        double cpu_ms = median(values, (size_t)n);
        for (int i = 0; i < n; i++)
            values[i] = samples[i].wall_ms[call];
        double wall_ms = median(values, (size_t)n);
        printf(", \"%s\": {\"cpu_ms\": %.3f, \"wall_ms\": %.3f}", names[call], cpu_ms, wall_ms);
        cpu += cpu_ms, wall += wall_ms;
    }
    printf(", \"cpu_ms\": %.3f, \"wall_ms\": %.3f}\n", cpu, wall);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    int n = argc == 3 ? atoi(argv[2]) : 25;
    if (argc < 2 || argc > 3 || n < 1 || n > RUNS_MAX) {
        fprintf(stderr, "usage: ledger_run FOLDER [runs, 1 to %d]\n", RUNS_MAX);
        return 2;
    }
    struct sample *samples =
        mmap(NULL, sizeof *samples * (size_t)n, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (samples == MAP_FAILED)
        return 1;
    struct sg_plan plan = credit_plan(3);
    for (int i = 0; i < n; i++) {
        pid_t child = fork();
        if (child == 0)
            make(argv[1]);
        wait_for(child);
        child = fork();
        if (child == 0)
            one_run(argv[1], &plan, &samples[i]);
        wait_for(child);
        empty(argv[1]);
    }
    say(samples, n);
    pid_t child = fork();
    if (child == 0)
        make(argv[1]);
    wait_for(child);
    plan = credit_plan(.05);
    child = fork();
    if (child == 0)
        grow(argv[1], &plan);
    wait_for(child);
    return 0;
}
