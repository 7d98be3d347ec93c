/* What the ledger costs: bulk append of N events in one transaction through the store's own code, the three depths of
 * verify, a proof, answers to questions, and appends with their own durable commit beside what the disk takes to sync.
 * One JSON object a line. Usage: ledger FOLDER [events, default 1000000] [runs, a hundred events hold so many runs,
 * default 0] ; FOLDER must be on the disk that is meant, and keeps ledger.db. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "account/plan.h"
#include "audit/evidence.h"
#include "audit/query.h"
#include "audit/verify.h"
#include "base/file.h"
#include "schema.h"
#include "store.h"
#include "timing.h"

enum { APPENDS = 200, SYNC_BYTES = 4096 };

static void must(enum sg_status status)
{
    if (status == SG_OK)
        return;
    fprintf(stderr, "ledger: %s\n", sg_error_text());
    exit(status);
}

static double wall_seconds(void)
{
    return clock_seconds(CLOCK_MONOTONIC);
}

static double cpu_seconds(void)
{
    return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

struct clock {
    double wall, cpu;
};

static struct clock start(void)
{
    return (struct clock){wall_seconds(), cpu_seconds()};
}

static void say(const char *what, struct clock since, const char *more)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"what\":\"%s\",\"wall_s\":%.4f,\"cpu_s\":%.4f,\"peak_mib\":%ld,\"more\":\"%s\"}\n", what,
           wall_seconds() - since.wall, cpu_seconds() - since.cpu, usage.ru_maxrss >> 10, more);
    fflush(stdout);
}

/* ---- Making. */
static void register_book(struct sg_ledger *ledger)
{
    uint8_t digest[SG_DIGEST_BYTES] = {7}, key[SG_KEY_BYTES] = {9};
    struct sg_dataset_facts facts = {
        .name = "book",
        .unit = "all rows of a customer",
        .population_size = 24000,
        .is_public = true,
        .commitment = digest,
        .schema_digest = digest,
        .row_bucket = "10k-100k",
    };
    must(sg_ledger_register_dataset(ledger, &facts, key));
}

static json_t *run_start(const struct sg_plan *plan, const struct sg_run *run, const char *digest)
{
    return json_pack("{s:s,s:I,s:s,s:s,s:s,s:o,s:n,s:n,s:{s:{s:s,s:i},s:i},s:{s:f,s:s},s:s,s:b,s:s,s:s,s:s,s:{s:s},s:n,"
                     "s:b,s:{s:s,s:I}}",
                     "run_id", run->run_id, "run_no", (json_int_t)run->run_no, "dataset", "book", "population", "book",
                     "data_commitment", digest, "plan", sg_plan_to_json(plan), "budget", "programme", "configuration",
                     "model", "type", "logistic", "outputs", 1, "steps", 24, "parameters", "learning_rate", 0.1,
                     "optimizer", "sgd", "secret_commitment", digest, "secret_supplied", 0, "code_digest", digest,
                     "binary_digest", digest, "environment", "cpu/1", "libraries", "libsodium", "1.0.18",
                     "base_model_digest", "show_internal", 0, "clock", "boot_id", "0", "boottime_ms", (json_int_t)1);
}

static json_t *run_end(const struct sg_run *run, const char *digest)
{
    return json_pack("{s:s,s:I,s:I,s:n,s:i,s:[{s:s,s:f,s:s,s:s}],s:[{s:s,s:s,s:i}],s:{s:s,s:I}}", "run_id", run->run_id,
                     "run_no", (json_int_t)run->run_no, "start_leaf", (json_int_t)run->leaf, "reason", "steps_done", 24,
                     "metrics", "name", "auc", "value", 0.77, "split", "validation", "released", "internal",
                     "artifacts", "name", "model.safetensors", "sha256", digest, "bytes", 1234, "clock", "boot_id", "0",
                     "boottime_ms", (json_int_t)1);
}

static json_t *decision(const char *digest)
{
    return json_pack("{s:s,s:s,s:s,s:n}", "model", digest, "role", "", "reason", "", "expires_ms");
}

static void append(struct sg_ledger *ledger, const char *type, json_t *facts, char event_id[33])
{
    uint8_t digest[SG_DIGEST_BYTES] = {1};
    json_t *subjects = sg_store_subject("m", "sha256", digest);
    event_id[0] = 0;
    must(sg_store_append(ledger, type, subjects, facts, event_id));
    json_decref(facts);
    json_decref(subjects);
}

static struct sg_plan open_plan(void)
{
    struct sg_plan_request request = {.sampler = SG_SAMPLER_POISSON,
                                      .relation = SG_ADD_OR_REMOVE_ONE,
                                      .clip_group = SG_CLIP_EXAMPLE,
                                      .microbatch_size = 1,
                                      .expected_batch_size = 512,
                                      .population_size = 24000,
                                      .steps = 24,
                                      .max_grad_norm = 1,
                                      .rows_per_unit_max = 6,
                                      .n_weights = 1000,
                                      .noise_source = "chacha20",
                                      .noise_tau_log2 = -90};
    struct sg_plan plan;
    must(sg_plan_resolve(&request, &plan));
    return plan;
}

/* `runs` of every hundred events begin a run, as many end one, the others are decisions about the first run's model. */
static void fill(struct sg_ledger *ledger, int64_t n, int64_t runs)
{
    static const char *const kinds[] = {"model.approve", "model.deploy", "model.retire"};
    struct sg_plan plan = open_plan();
    struct sg_run run = {0};
    char event_id[33], digest[65];
    snprintf(digest, sizeof digest, "07%062d", 0); /* the dataset's commitment; a model of the same digits */
    must(sg_store_begin(ledger));
    while ((int64_t)ledger->tree.size < n) {
        int64_t i = (int64_t)ledger->tree.size;
        if (run.leaf) {
            append(ledger, "run.complete", run_end(&run, digest), event_id);
            run.leaf = 0;
        } else if (run.run_no == 0 || i % 100 < 2 * runs) {
            run.run_no++;
            run.leaf = i;
            snprintf(run.run_id, sizeof run.run_id, "run-%06lld-00000000", (long long)run.run_no);
            append(ledger, "run.start", run_start(&plan, &run, digest), event_id);
        } else {
            append(ledger, kinds[i % 3], decision(digest), event_id);
        }
    }
    must(sg_store_commit(ledger, event_id));
}

/* The public half under the ledger's name, for --trust. */
static void write_trust(const char *folder, const struct sg_signer *signer, struct sg_trust *trust)
{
    struct sg_buffer text = {0};
    char *path = sg_format("%s/ledger.pub", folder);
    sg_vkey_print(sg_signer_vkey(signer), &text);
    sg_buffer_text(&text, "\n");
    must(sg_file_write(path, text.data, text.len, 0644));
    must(sg_trust_read(path, trust));
    sg_buffer_free(&text);
    free(path);
}

static void make(const char *path, const struct sg_signer *signer, int64_t n, int64_t runs)
{
    struct sg_ledger *ledger = NULL;
    struct clock since = start();
    struct stat info;
    int64_t bytes;
    char more[160];
    must(sg_ledger_init(path, "bench.example/ledger", signer));
    must(sg_ledger_open(path, signer, &ledger));
    register_book(ledger);
    fill(ledger, n, runs);
    must(sg_db_number(ledger->db, "SELECT sum(length(body)) FROM leaf", &bytes));
    sg_ledger_close(&ledger);
    stat(path, &info);
    snprintf(more, sizeof more, "%lld events, %lld bytes a leaf, file of %lld MiB", (long long)n,
             (long long)(bytes / n), (long long)info.st_size >> 20);
    say("make", since, more);
}

/* ---- Reading. */
static void verify(const char *path, const struct sg_trust *trust, const char *what, bool quick, bool all)
{
    struct sg_verify_options how = {.trust = trust, .quick = quick, .all_signatures = all, .allow_unwitnessed = true};
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    struct clock since = start();
    must(sg_verify_file(path, &how, verdict));
    say(what, since, verdict->sentence);
    if (verdict->status != SG_OK)
        exit(1);
    free(verdict);
}

static void prove(const char *path, int64_t n)
{
    struct sg_ledger *ledger = NULL;
    struct sg_buffer text = {0};
    double times[100];
    struct clock since = start();
    must(sg_ledger_open_read(path, &ledger));
    say("open for reading", since, "");
    since = start();
    for (int i = 0; i < 100; i++) {
        double begin = wall_seconds();
        text.len = 0;
        must(sg_evidence_proof(ledger, n * i / 100, &text));
        times[i] = wall_seconds() - begin;
    }
    char more[80];
    snprintf(more, sizeof more, "median of one %.3f ms", median(times, 100) * 1e3);
    say("100 proofs", since, more);
    sg_buffer_free(&text);
    sg_ledger_close(&ledger);
}

static void ask(const char *path)
{
    static const char *const views[] = {"open", "keys", "deployed", "approvals"};
    for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
        struct sg_ledger *ledger = NULL;
        json_t *rows = NULL;
        char more[80];
        struct clock since = start();
        must(sg_ledger_open_read(path, &ledger));
        must(sg_query_view(ledger, views[i], NULL, &rows));
        snprintf(more, sizeof more, "view %s, %zu rows", views[i], json_array_size(rows));
        json_decref(rows);
        sg_ledger_close(&ledger);
        say("query", since, more);
    }
}

/* ---- Appending one by one. */
static double sync_median(const char *folder)
{
    char *path = sg_format("%s/sync", folder), block[SYNC_BYTES] = {1};
    double times[APPENDS];
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    for (int i = 0; i < APPENDS; i++) {
        double begin = wall_seconds();
        if (pwrite(file, block, sizeof block, (off_t)i % 8 * SYNC_BYTES) != SYNC_BYTES || fsync(file))
            exit(1);
        times[i] = wall_seconds() - begin;
    }
    close(file);
    unlink(path);
    free(path);
    return median(times, APPENDS);
}

static void append_each(const char *path, const struct sg_signer *signer, const char *folder)
{
    struct sg_ledger *ledger = NULL;
    struct sg_run_facts facts = {
        .dataset = "book", .code_digest = "c0de", .binary_digest = "b1", .environment = "cpu/1"};
    struct sg_plan plan = open_plan();
    double starts[APPENDS], ends[APPENDS], sync = sync_median(folder);
    uint8_t commitment[SG_DIGEST_BYTES] = {0};
    facts.plan = &plan;
    facts.secret_commitment = commitment;
    struct clock since = start();
    must(sg_ledger_open(path, signer, &ledger));
    say("open for writing", since, "");
    since = start();
    for (int i = 0; i < APPENDS; i++) {
        struct sg_run run;
        struct sg_run_result result = {.end = SG_RUN_ABORT, .reason = "interrupted"};
        double begin = wall_seconds();
        must(sg_ledger_run_start(ledger, &facts, &run));
        double middle = wall_seconds();
        must(sg_ledger_run_end(ledger, &run, &result));
        starts[i] = middle - begin;
        ends[i] = wall_seconds() - middle;
    }
    double first = starts[0];
    char more[200];
    snprintf(more, sizeof more,
             "run.start first %.2f ms, median %.2f ms; run.abort median %.2f ms; fsync median %.2f ms", first * 1e3,
             median(starts, APPENDS) * 1e3, median(ends, APPENDS) * 1e3, sync * 1e3);
    say("durable appends", since, more);
    sg_ledger_close(&ledger);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: ledger FOLDER [events] [runs a hundred events]\n");
        return 2;
    }
    int64_t n = argc > 2 ? atoll(argv[2]) : 1000000, runs = argc > 3 ? atoll(argv[3]) : 0;
    uint8_t seed[SG_KEY_BYTES] = {42};
    struct sg_signer *signer = NULL;
    static struct sg_trust trust;
    char *path = sg_format("%s/ledger.db", argv[1]);
    must(sg_signer_from_seed("bench", seed, &signer));
    write_trust(argv[1], signer, &trust);
    if (access(path, F_OK) != 0)
        make(path, signer, n, runs);
    verify(path, &trust, "verify --quick", true, false);
    verify(path, &trust, "verify", false, false);
    verify(path, &trust, "verify --all-signatures", false, true);
    prove(path, n);
    ask(path);
    append_each(path, signer, argv[1]);
    sg_signer_close(&signer);
    free(path);
    return 0;
}
