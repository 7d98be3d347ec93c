#include "fixture.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/evidence.h"
#include "base/file.h"
#include "signer.h"
#include "store.h"

static void must(enum sg_status status)
{
    if (status == SG_OK)
        return;
    fprintf(stderr, "fixture: %s\n", sg_error_text());
    abort();
}

char *fixture_folder(void)
{
    const char *base = getenv("TMPDIR");
    if (!base || !*base) /* in memory where there is such a place: each append syncs several times */
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char *folder = sg_format("%s/sealgrad-test-XXXXXX", base);
    if (!mkdtemp(folder))
        abort();
    return folder;
}

void fixture_remove(char *folder)
{
    DIR *list = opendir(folder);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char *path = sg_format("%s/%s", folder, entry->d_name);
        unlink(path);
        free(path);
    }
    if (list)
        closedir(list);
    rmdir(folder);
    free(folder);
}

struct sg_signer *fixture_signer(uint8_t seed_byte)
{
    uint8_t seed[SG_KEY_BYTES];
    struct sg_signer *signer = NULL;
    memset(seed, seed_byte, sizeof seed);
    must(sg_signer_from_seed("tester", seed, &signer));
    return signer;
}

struct sg_signer *fixture_signer_p256(uint8_t scalar_byte)
{
    uint8_t scalar[SG_KEY_BYTES];
    struct sg_signer *signer = NULL;
    memset(scalar, scalar_byte, sizeof scalar);
    must(sg_signer_from_secret("tester", SG_KEY_P256, scalar, &signer));
    return signer;
}

void fixture_trust(const struct sg_signer *signer, struct sg_trust *out)
{
    struct sg_buffer vkey = {0};
    sg_vkey_print(sg_signer_vkey(signer), &vkey);
    must(sg_trust_parse("trust", vkey.data, vkey.len, out));
    sg_buffer_free(&vkey);
}

struct sg_plan_request fixture_request(double epsilon, double delta)
{
    return (struct sg_plan_request){
        .is_private = epsilon > 0,
        .sampler = SG_SAMPLER_POISSON,
        .relation = SG_ADD_OR_REMOVE_ONE,
        .clip_group = SG_CLIP_EXAMPLE,
        .microbatch_size = 1,
        .expected_batch_size = 512,
        .population_size = 10000,
        .steps = 100,
        .target_epsilon = epsilon,
        .target_delta = delta,
        .max_grad_norm = 1,
        .rows_per_unit_max = 6,
        .n_weights = 1000,
        .noise_source = "chacha20",
        .noise_tau_log2 = -90,
    };
}

struct sg_plan fixture_plan(double epsilon, double delta)
{
    struct sg_plan_request request = fixture_request(epsilon, delta);
    struct sg_plan plan;
    must(sg_plan_resolve(&request, &plan));
    return plan;
}

char *fixture_init(const char *folder, const struct sg_signer *signer)
{
    char *path = sg_format("%s/ledger.db", folder);
    must(sg_ledger_init(path, "bank.example/credit", signer));
    return path;
}

enum sg_status fixture_register(struct sg_ledger *ledger, const char *name, const char *population,
                                double epsilon_limit, double delta_limit)
{
    uint8_t commitment[SG_DIGEST_BYTES], schema[SG_DIGEST_BYTES], key[SG_KEY_BYTES];
    memset(commitment, 7, sizeof commitment), memset(schema, 8, sizeof schema), memset(key, name[0], sizeof key);
    struct sg_dataset_facts facts = {
        .name = name,
        .population = population,
        .unit = "all rows of a customer",
        .population_size = 10000,
        .is_public = epsilon_limit < 0,
        .epsilon_limit = fmax(epsilon_limit, 0),
        .delta_limit = delta_limit,
        .commitment = commitment,
        .schema_digest = schema,
        .row_bucket = "10k-100k",
    };
    return sg_ledger_register_dataset(ledger, &facts, key);
}

enum sg_status fixture_draw(struct sg_ledger *ledger, const char *dataset, const struct sg_plan *plan,
                            const char *programme, struct sg_run *out)
{
    uint8_t commitment[SG_DIGEST_BYTES];
    memset(commitment, 9, sizeof commitment);
    json_t *configuration =
        json_pack("{s:{s:s,s:i},s:[i,i]}", "model", "type", "logistic", "outputs", 1, "steps", 6, 24);
    json_t *parameters = json_pack("{s:f,s:s}", "learning_rate", 0.1, "optimizer", "sgd");
    json_t *libraries = json_pack("{s:s}", "libsodium", "1.0.18");
    struct sg_run_facts facts = {
        .dataset = dataset,
        .programme = programme,
        .plan = plan,
        .configuration = configuration,
        .parameters = parameters,
        .secret_commitment = commitment,
        .code_digest = "c0de",
        .binary_digest = "b1",
        .environment = "cpu/1",
        .libraries = libraries,
    };
    enum sg_status status = sg_ledger_run_start(ledger, &facts, out);
    json_decref(configuration);
    json_decref(parameters);
    json_decref(libraries);
    return status;
}

enum sg_status fixture_start(struct sg_ledger *ledger, const char *dataset, const struct sg_plan *plan,
                             struct sg_run *out)
{
    return fixture_draw(ledger, dataset, plan, NULL, out);
}

enum sg_status fixture_end(struct sg_ledger *ledger, const struct sg_run *run, enum sg_run_end end)
{
    char digest[65];
    memset(digest, 'a', 64), digest[64] = 0;
    json_t *metrics =
        json_pack("[{s:s,s:f,s:s,s:s}]", "name", "auc", "value", 0.77, "split", "validation", "released", "internal");
    json_t *artifacts = json_pack("[{s:s,s:s,s:i}]", "name", "model.safetensors", "sha256", digest, "bytes", 1234);
    json_t *curves =
        json_pack("[{s:s,s:s,s:s,s:[[i,i,i,i,i],[i,i,i,i,i],[i,i,i,i,i]]},{s:s,s:s,s:s,s:[[i,i],[i,i],[i,i]]}]", "name",
                  "scores", "split", "validation", "released", "exact", "bins", 12, 13, 5000, 700, 400, 14, 17, 3500,
                  1600, 1800, 18, 22, 1500, 4200, 4000, "name", "auc", "split", "validation", "released", "exact",
                  "points", 25, 6500, 50, 7300, 100, 7700);
    struct sg_run_result result = {.end = end,
                                   .reason = end == SG_RUN_COMPLETE ? NULL : "interrupted",
                                   .steps_done = end == SG_RUN_COMPLETE ? 100 : 3};
    if (end == SG_RUN_COMPLETE) {
        result.metrics = metrics;
        result.artifacts = artifacts;
        result.curves = curves;
    }
    enum sg_status status = sg_ledger_run_end(ledger, run, &result);
    json_decref(metrics);
    json_decref(artifacts);
    json_decref(curves);
    return status;
}

char *fixture_twenty(const char *folder, const struct sg_signer *signer)
{
    char *path = fixture_init(folder, signer);
    struct sg_ledger *ledger = NULL;
    struct sg_plan private = fixture_plan(1, 1e-6), open = fixture_plan(0, 0);
    struct sg_run run;
    must(sg_ledger_open(path, signer, &ledger));
    must(fixture_register(ledger, "book", "customers", 20, 1e-4));
    must(fixture_register(ledger, "book-2", "customers", 0, 0));
    must(fixture_register(ledger, "open-data", NULL, -1, 0));
    for (int i = 0; i < 7; i++) { /* 1 genesis + 3 datasets + 14 run events + 1 decision + 1 erasure */
        must(fixture_start(ledger, i == 3 ? "open-data" : i % 2 ? "book-2" : "book", i == 3 ? &open : &private, &run));
        must(fixture_end(ledger, &run, i == 5 ? SG_RUN_FAIL : i == 6 ? SG_RUN_ABORT : SG_RUN_COMPLETE));
    }
    struct sg_decision decision = {
        .kind = "model.approve", .model = "1", .role = "validator", .reason = "all tests passed", .expires_ms = 1};
    must(sg_ledger_decide(ledger, &decision));
    must(sg_ledger_erase_dataset(ledger, "book-2", "retention"));
    sg_ledger_close(&ledger);
    return path;
}

char *fixture_programme(const char *folder, const struct sg_signer *signer)
{
    char *path = fixture_twenty(folder, signer);
    struct sg_ledger *ledger = NULL;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_programme programme;
    struct sg_run run;
    must(sg_ledger_open(path, signer, &ledger));
    must(sg_ledger_register_programme(ledger, "book", &plan, 3, &programme));
    must(fixture_draw(ledger, "book", &plan, programme.programme_id, &run));
    must(fixture_end(ledger, &run, SG_RUN_COMPLETE));
    sg_ledger_close(&ledger);
    return path;
}

/* A key of another writer, of which the owner learns later that somebody else has had it all the time. */
char *fixture_compromised(const char *folder, const struct sg_signer *signer)
{
    char *path = fixture_twenty(folder, signer);
    struct sg_ledger *ledger = NULL;
    struct sg_signer *writer = fixture_signer(2);
    must(sg_ledger_open(path, signer, &ledger));
    must(sg_ledger_change_keys(ledger, sg_signer_vkey(writer), NULL, 0));
    sg_ledger_close(&ledger);
    must(sg_ledger_open(path, writer, &ledger));
    must(fixture_register(ledger, "book-3", "customers", 0, 0));
    sg_ledger_close(&ledger);
    must(sg_ledger_open(path, signer, &ledger));
    must(sg_ledger_change_keys(ledger, NULL, sg_signer_vkey(writer), 1000));
    sg_ledger_close(&ledger);
    sg_signer_close(&writer);
    return path;
}

struct sg_signer *fixture_witness_signer(void)
{
    uint8_t seed[SG_KEY_BYTES];
    struct sg_signer *witness = NULL;
    memset(seed, 77, sizeof seed);
    must(sg_signer_from_seed("compliance", seed, &witness));
    return witness;
}

void fixture_policy(const struct sg_vkey *log, const struct sg_vkey *witness, struct sg_buffer *out)
{
    sg_buffer_text(out, "log ");
    sg_vkey_print(log, out);
    sg_buffer_text(out, "\nwitness officer ");
    sg_vkey_print(witness, out);
    sg_buffer_text(out, "\ngroup all-of-them all officer\nquorum all-of-them\n");
}

void fixture_witness(const char *folder, const char *path, const struct sg_signer *signer, struct sg_trust *policy)
{
    struct sg_signer *witness = fixture_witness_signer();
    struct sg_buffer text = {0};
    struct sg_vkey log, key;
    struct sg_ledger *ledger = NULL;
    int64_t size;
    must(sg_vkey_rename(sg_signer_vkey(signer), "bank.example/credit", &log));
    must(sg_vkey_cosigner(sg_signer_vkey(witness), &key));
    fixture_policy(&log, &key, &text);
    must(sg_trust_parse("policy", text.data, text.len, policy));
    must(sg_ledger_open(path, NULL, &ledger));
    must(sg_witness_ledger(ledger, folder, witness, policy, &size));
    sg_ledger_close(&ledger);
    sg_signer_close(&witness);
    sg_buffer_free(&text);
}

/* ---- What most programs begin with. */
int fixture_setup(void **state)
{
    struct fixture *stage = sg_alloc(1, sizeof *stage);
    stage->folder = fixture_folder();
    stage->signer = fixture_signer(1);
    stage->path = fixture_init(stage->folder, stage->signer);
    fixture_trust(stage->signer, &stage->trust);
    *state = stage;
    return sg_ledger_open(stage->path, stage->signer, &stage->ledger);
}

int fixture_teardown(void **state)
{
    struct fixture *stage = *state;
    sg_ledger_close(&stage->ledger);
    sg_signer_close(&stage->signer);
    free(stage->path);
    fixture_remove(stage->folder);
    free(stage);
    return 0;
}

int64_t fixture_n_events(struct sg_ledger *ledger)
{
    int64_t size;
    uint8_t root[SG_DIGEST_BYTES];
    sg_ledger_head(ledger, &size, root);
    return size;
}

void fixture_verify(const struct fixture *stage, struct sg_verdict *out)
{
    struct sg_verify_options options = {.trust = &stage->trust, .allow_unwitnessed = true};
    must(sg_verify_file(stage->path, &options, out));
}

static pid_t draw_one(const struct fixture *stage, const struct sg_plan *plan, const char *programme)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    struct sg_ledger *ledger = NULL;
    struct sg_run run;
    enum sg_status status = sg_ledger_open(stage->path, stage->signer, &ledger);
    if (status == SG_OK)
        status = fixture_draw(ledger, "book", plan, programme, &run);
    if (status == SG_OK)
        status = fixture_end(ledger, &run, SG_RUN_COMPLETE);
    sg_ledger_close(&ledger);
    _exit((int)status);
}

void fixture_race(const struct fixture *stage, const struct sg_plan *plan, const char *programme, int n, int *started,
                  int *refused)
{
    pid_t *child = sg_alloc((size_t)n, sizeof *child);
    *started = *refused = 0;
    for (int i = 0; i < n; i++)
        child[i] = draw_one(stage, plan, programme);
    for (int i = 0; i < n; i++) {
        int code = 0;
        if (waitpid(child[i], &code, 0) != child[i] || !WIFEXITED(code))
            abort();
        *started += WEXITSTATUS(code) == SG_OK;
        *refused += WEXITSTATUS(code) == SG_REFUSED;
    }
    free(child);
}

/* ---- Attacks. */
void fixture_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        fprintf(stderr, "fixture: %s: %s\n", sql, sqlite3_errmsg(db));
        abort();
    }
    sqlite3_close(db);
}

enum sg_status fixture_append(struct sg_ledger *ledger, const char *type, json_t *facts)
{
    char event_id[33] = "";
    uint8_t digest[SG_DIGEST_BYTES] = {0};
    json_t *subjects = sg_store_subject("x", "sha256", digest);
    must(sg_store_begin(ledger));
    enum sg_status status = sg_store_append(ledger, type, subjects, facts, event_id);
    must(sg_store_commit(ledger, event_id));
    json_decref(subjects);
    json_decref(facts);
    return status;
}

void fixture_restore(const char *path, const struct sg_buffer *original)
{
    char *side = sg_format("%s.side.db", path);
    must(sg_file_write(path, original->data, original->len, 0644));
    unlink(side);
    free(side);
}

void fixture_tell(const struct sg_verdict *verdict)
{
    for (size_t i = 0; i < verdict->n_listed; i++)
        printf("  %s: %s\n", verdict->problems[i].place, verdict->problems[i].text);
}

bool fixture_found(const struct sg_verdict *verdict, const char *place, const char *text)
{
    for (size_t i = 0; i < verdict->n_listed; i++)
        if (strcmp(verdict->problems[i].place, place) == 0 && strstr(verdict->problems[i].text, text))
            return true;
    fixture_tell(verdict);
    return false;
}
