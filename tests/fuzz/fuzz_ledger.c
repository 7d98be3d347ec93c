/* The verifier on a ledger that somebody changed. The first byte says how:
 *
 *   E   edits of a good, witnessed ledger's file: {what, place (3 bytes), length, bytes}: bytes written over, the file
 *       cut, a page copied over another. Whatever the edits are: a verdict of "intact" must be about the events that
 *       were witnessed, no more, no fewer and no others.
 *   S   events that a thief of the signing key appends, one a line, as TYPE FACTS (JSON): leaf, tree and checkpoint
 *       are correct, the facts may be anything.
 *
 * The ledger is made at the start; SEALGRAD_FUZZ_LEDGER names a file that keeps it, so that a finding can be made
 * again. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../audit/fixture.h"
#include "audit/verify.h"
#include "base/file.h"
#include "fuzz.h"

enum { PAGE = 4096, EVENTS_MAX = 6, FILE_BYTES_MAX = 1 << 22 };

static struct {
    char *folder, *path, *side;
    struct sg_signer *signer;
    struct sg_trust policy;
    struct sg_plan_memo *memo;
    struct sg_buffer file;
    struct sg_verdict verdict;
    int64_t size;
    uint8_t root[SG_DIGEST_BYTES];
} good;

static void must(enum sg_status status)
{
    fuzz_check(status, SG_OK);
}

static void make_events(void)
{
    struct sg_ledger *ledger = NULL;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_programme programme;
    struct sg_run run;
    must(sg_ledger_open(good.path, good.signer, &ledger));
    must(fixture_register(ledger, "book", "customers", 20, 1e-4));
    must(fixture_start(ledger, "book", &plan, &run));
    must(fixture_end(ledger, &run, SG_RUN_COMPLETE));
    must(sg_ledger_register_programme(ledger, "book", &plan, 3, &programme));
    must(fixture_draw(ledger, "book", &plan, programme.programme_id, &run));
    must(fixture_end(ledger, &run, SG_RUN_FAIL));
    struct sg_decision decision = {.kind = "model.approve", .model = "1", .role = "validator", .reason = "tested"};
    must(sg_ledger_decide(ledger, &decision));
    sg_ledger_close(&ledger);
}

static void verify(const void *bytes, size_t n)
{
    struct sg_verify_options options = {.trust = &good.policy, .memo = good.memo};
    must(sg_verify_bytes(bytes, n, &options, &good.verdict));
    if (!good.verdict.sentence[0] || good.verdict.n_listed > SG_PROBLEMS_MAX ||
        (good.verdict.status == SG_BROKEN) != (good.verdict.n_broken > 0))
        abort();
}

static void clean_up(void)
{
    sg_signer_close(&good.signer);
    sg_plan_memo_free(&good.memo);
    sg_buffer_free(&good.file);
    free(good.path);
    free(good.side);
    fixture_remove(good.folder);
}

static void prepare(void)
{
    const char *kept = getenv("SEALGRAD_FUZZ_LEDGER");
    good.folder = fixture_folder();
    good.signer = fixture_signer(1);
    good.path = fixture_init(good.folder, good.signer);
    good.side = sg_format("%s.side.db", good.path);
    good.memo = sg_plan_memo_new();
    make_events();
    fixture_witness(good.folder, good.path, good.signer, &good.policy);
    bool is_kept = kept && access(kept, R_OK) == 0;
    must(sg_file_read(is_kept ? kept : good.path, "ledger", FILE_BYTES_MAX, &good.file));
    if (kept && !is_kept)
        must(sg_file_write(kept, good.file.data, good.file.len, 0644));
    verify(good.file.data, good.file.len);
    if (good.verdict.status != SG_OK)
        abort();
    good.size = good.verdict.size;
    memcpy(good.root, good.verdict.root, sizeof good.root);
    atexit(clean_up);
}

static void edit_and_verify(const uint8_t *data, size_t n)
{
    size_t len = good.file.len;
    uint8_t *file = sg_alloc(1, len);
    memcpy(file, good.file.data, len);
    while (n >= 5) {
        size_t at = ((size_t)data[1] << 16 | (size_t)data[2] << 8 | data[3]) % good.file.len, length = data[4];
        uint8_t what = data[0] % 8;
        data += 5, n -= 5;
        if (what == 0) { /* cut */
            len = at < len ? at : len;
        } else if (what == 1) { /* page over page */
            size_t from = length * (size_t)PAGE % good.file.len, to = at / PAGE * PAGE;
            memmove(file + to, good.file.data + from, PAGE);
        } else {
            length = length < n ? length : n;
            length = at + length > good.file.len ? good.file.len - at : length;
            memcpy(file + at, data, length);
            data += length, n -= length;
        }
    }
    verify(file, len);
    free(file);
    if (good.verdict.status == SG_OK &&
        (good.verdict.size != good.size || memcmp(good.verdict.root, good.root, sizeof good.root) != 0))
        abort();
}

static void append_line(struct sg_ledger *ledger, const char *line, size_t n)
{
    json_t *facts = NULL;
    const char *blank = n ? memchr(line, ' ', n) : NULL;
    if (!blank || blank == line || blank - line > 60)
        return;
    enum sg_status status = sg_json_parse(blank + 1, n - (size_t)(blank + 1 - line), "facts", SG_USAGE, &facts);
    fuzz_check(status, SG_USAGE);
    json_t *type_text = json_stringn(line, (size_t)(blank - line));
    const char *type = json_string_value(type_text);
    if (json_is_object(facts) && type && strlen(type) == (size_t)(blank - line) &&
        fixture_append(ledger, type, json_incref(facts)) != SG_OK)
        sg_error_clear();
    json_decref(type_text);
    json_decref(facts);
}

static void append_and_verify(const char *text, size_t n)
{
    struct sg_ledger *ledger = NULL;
    struct sg_buffer file = {0};
    unlink(good.side); /* the anchor has seen what the last input appended */
    must(sg_file_write(good.path, good.file.data, good.file.len, 0600));
    must(sg_ledger_open(good.path, good.signer, &ledger));
    for (int i = 0; i < EVENTS_MAX && n > 0; i++) {
        const char *feed = memchr(text, '\n', n);
        size_t len = feed ? (size_t)(feed - text) : n;
        append_line(ledger, text, len);
        text += len + (feed != NULL);
        n -= len + (feed != NULL);
    }
    sg_ledger_close(&ledger);
    must(sg_file_read(good.path, "ledger", FILE_BYTES_MAX, &file));
    verify(file.data, file.len);
    sg_buffer_free(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (!good.folder)
        prepare();
    if (n > 0 && data[0] == 'E')
        edit_and_verify(data + 1, n - 1);
    else if (n > 0 && data[0] == 'S')
        append_and_verify((const char *)data + 1, n - 1);
    return 0;
}
