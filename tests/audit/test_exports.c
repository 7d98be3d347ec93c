/* Would catch: tiles that another program's client cannot find or that hash to another root; names chosen by whoever
 * wrote the ledger that leave the folder; a folder that is there in part; an export over something that was there. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// cmocka's own order
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "audit/pack.h"
#include "base/file.h"
#include "export.h"
#include "fixture.h"

/* ---- Tiles of a tree that is not a ledger. */
struct tree {
    int64_t size, fail_at;
    const char *const *entries; /* NULL: entry i is "i" in decimal */
    uint8_t (*hashes)[SG_DIGEST_BYTES];
};

static void entry_text(const struct tree *tree, int64_t seq, char out[32])
{
    if (tree->entries)
        snprintf(out, 32, "%s", tree->entries[seq]);
    else
        snprintf(out, 32, "%lld", (long long)seq);
}

static enum sg_status tree_entry(void *context, int64_t seq, struct sg_buffer *out)
{
    const struct tree *tree = context;
    char text[32];
    if (seq == tree->fail_at)
        return sg_fail(SG_FAILED, "planted");
    entry_text(tree, seq, text);
    sg_buffer_text(out, text);
    return SG_OK;
}

static enum sg_status tree_node(void *context, int level, uint64_t index, uint8_t out[SG_DIGEST_BYTES])
{
    const struct tree *tree = context;
    struct sg_merkle subtree = {0};
    for (uint64_t i = index << level; i < (index + 1) << level; i++)
        sg_merkle_append(&subtree, tree->hashes[i]);
    sg_merkle_root(&subtree, out);
    return SG_OK;
}

static void make_tree(struct tree *tree, int64_t size, const char *const *entries)
{
    *tree = (struct tree){.size = size, .fail_at = -1, .entries = entries};
    tree->hashes = sg_alloc((size_t)size, SG_DIGEST_BYTES);
    for (int64_t i = 0; i < size; i++) {
        char text[32];
        entry_text(tree, i, text);
        sg_merkle_leaf(text, strlen(text), tree->hashes[i]);
    }
}

static enum sg_status write_tree(struct tree *tree, const char *out)
{
    struct sg_export into;
    const struct sg_tile_source source = {tree->size, tree_node, tree_entry, tree};
    SG_TRY(sg_export_begin(NULL, out, &into));
    enum sg_status status = sg_export_write_tiles(&into, &source);
    if (status == SG_OK)
        status = sg_export_commit(&into);
    sg_export_abandon(&into);
    return status;
}

static void read_tile(const char *folder, const char *path, struct sg_buffer *out)
{
    char *full = sg_path_join(folder, path);
    if (sg_file_read(full, "tile", 1 << 24, out) != SG_OK)
        fail_msg("%s", sg_error_text());
    free(full);
}

static void root_of(const struct sg_buffer *tile, struct sg_merkle *tree)
{
    assert_int_equal(tile->len % SG_DIGEST_BYTES, 0);
    for (size_t i = 0; i < tile->len; i += SG_DIGEST_BYTES)
        sg_merkle_append(tree, (const uint8_t *)tile->data + i);
}

static void remove_tree(const char *path)
{
    char *command = sg_format("rm -rf '%s'", path);
    if (system(command) != 0)
        abort();
    free(command);
}

/* The published log of 15 entries (tessera's test data): entries as raw text, and its root. */
static void published_fifteen(void **state)
{
    (void)state;
    static const char *const entries[] = {"one",  "two", "three",  "four",  "five",     "six",     "seven", "eit",
                                          "nain", "ten", "ileven", "twelf", "threeten", "fourten", "fivten"};
    struct tree tree;
    struct sg_buffer tile = {0}, bundle = {0}, root64 = {0}, expected = {0};
    struct sg_merkle rebuilt = {0};
    uint8_t root[SG_DIGEST_BYTES];
    char *folder = fixture_folder(), *out = sg_path_join(folder, "tiles");
    make_tree(&tree, 15, entries);
    assert_int_equal(write_tree(&tree, out), SG_OK);
    read_tile(out, "tile/0/000.p/15", &tile);
    root_of(&tile, &rebuilt);
    sg_merkle_root(&rebuilt, root);
    sg_base64_append(&root64, root, sizeof root);
    assert_string_equal(root64.data, "rKbDipCvhuX1GZ7g5BBe8sA6BbJ7ja/1nk427v383cs=");
    for (size_t i = 0; i < 15; i++) {
        const uint8_t length[2] = {0, (uint8_t)strlen(entries[i])};
        sg_buffer_append(&expected, length, 2);
        sg_buffer_text(&expected, entries[i]);
    }
    read_tile(out, "tile/entries/000.p/15", &bundle);
    assert_int_equal(bundle.len, expected.len);
    assert_memory_equal(bundle.data, expected.data, expected.len);
    sg_buffer_free(&tile), sg_buffer_free(&bundle), sg_buffer_free(&root64), sg_buffer_free(&expected);
    remove_tree(folder);
    free(tree.hashes);
    free(out);
    free(folder);
}

/* Past a thousand full tiles, so that paths have groups; every level is the one below it, 256 to one. */
static void three_levels(void **state)
{
    (void)state;
    enum { SIZE = 256 * 1000 + 300 };
    struct tree tree;
    struct sg_buffer tile = {0};
    uint8_t root[SG_DIGEST_BYTES];
    char *folder = fixture_folder(), *out = sg_path_join(folder, "tiles");
    make_tree(&tree, SIZE, NULL);
    assert_int_equal(write_tree(&tree, out), SG_OK);
    struct sg_buffer above = {0};
    for (int n = 0; n < 4; n++) {
        char path[64];
        snprintf(path, sizeof path, n < 3 ? "tile/1/%03d" : "tile/1/%03d.p/233", n);
        read_tile(out, path, &tile);
        sg_buffer_append(&above, tile.data, tile.len);
        sg_buffer_free(&tile);
    }
    assert_int_equal(above.len, (SIZE / 256) * SG_DIGEST_BYTES);
    for (int n = 0; n <= SIZE / 256; n++) {
        char path[64];
        struct sg_merkle one = {0};
        if (n == SIZE / 256)
            snprintf(path, sizeof path, "tile/0/x001/001.p/44");
        else if (n >= 1000)
            snprintf(path, sizeof path, "tile/0/x001/%03d", n % 1000);
        else
            snprintf(path, sizeof path, "tile/0/%03d", n);
        read_tile(out, path, &tile);
        assert_int_equal(tile.len, (n == SIZE / 256 ? 44 : 256) * SG_DIGEST_BYTES);
        assert_memory_equal(tile.data, tree.hashes[256 * n], tile.len);
        root_of(&tile, &one);
        sg_merkle_root(&one, root);
        if (n < SIZE / 256)
            assert_memory_equal(root, above.data + (size_t)n * SG_DIGEST_BYTES, SG_DIGEST_BYTES);
        sg_buffer_free(&tile);
    }
    read_tile(out, "tile/2/000.p/3", &tile);
    assert_int_equal(tile.len, 3 * SG_DIGEST_BYTES);
    for (int n = 0; n < 3; n++) {
        struct sg_merkle one = {0};
        for (int i = 0; i < 256; i++)
            sg_merkle_append(&one, (const uint8_t *)above.data + (size_t)(256 * n + i) * SG_DIGEST_BYTES);
        sg_merkle_root(&one, root);
        assert_memory_equal(root, tile.data + (size_t)n * SG_DIGEST_BYTES, SG_DIGEST_BYTES);
    }
    sg_buffer_free(&tile);
    read_tile(out, "tile/entries/x001/000", &tile);
    assert_memory_equal(tile.data, "\0\006256000", 8);
    sg_buffer_free(&tile), sg_buffer_free(&above);
    remove_tree(folder);
    free(tree.hashes);
    free(out);
    free(folder);
}

/* ---- Whole or not at all. */
static int n_names(const char *folder)
{
    int n = 0;
    DIR *list = opendir(folder);
    for (struct dirent *entry; (entry = readdir(list));)
        n += entry->d_name[0] != '.';
    closedir(list);
    return n;
}

static void nothing_half_written(void **state)
{
    (void)state;
    struct tree tree;
    char *folder = fixture_folder(), *out = sg_path_join(folder, "tiles"), *file = sg_path_join(folder, "tiles/kept");
    make_tree(&tree, 600, NULL);
    tree.fail_at = 599;
    assert_int_equal(write_tree(&tree, out), SG_FAILED);
    assert_int_equal(n_names(folder), 0);
    tree.fail_at = -1;
    assert_int_equal(mkdir(out, 0755), 0);
    assert_int_equal(write_tree(&tree, out), SG_OK); /* an empty folder may be there */
    assert_int_equal(n_names(folder), 1);
    assert_int_equal(write_tree(&tree, out), SG_USAGE); /* a full one not */
    remove_tree(out);
    assert_int_equal(sg_file_write(out, "kept", 4, 0644), SG_OK);
    assert_int_equal(write_tree(&tree, out), SG_USAGE);
    assert_int_equal(write_tree(&tree, file), SG_USAGE);
    assert_int_equal(write_tree(&tree, ""), SG_USAGE);
    unlink(out);
    assert_int_equal(symlink(folder, out), 0); /* a link is not followed */
    assert_int_equal(write_tree(&tree, out), SG_USAGE);
    assert_int_equal(n_names(folder), 1);
    remove_tree(folder);
    free(tree.hashes);
    free(file);
    free(out);
    free(folder);
}

static void names_stay_inside(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"configuration.model.type", "configuration.model.type"},
        {"../../etc/passwd", "_._.._etc_passwd"},
        {"..", "_."},
        {".", "_"},
        {"", "_"},
        {"/", "_"},
        {"a\nb", "a_b"},
        {"\xc3\xa9", "__"},
        {" x", "_x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *name = sg_export_name(cases[i][0]);
        assert_null(strchr(name, '/'));
        if (i != 1)
            assert_string_equal(name, cases[i][1]);
        free(name);
    }
    char longer[1000];
    memset(longer, 'x', 999), longer[999] = 0;
    char *name = sg_export_name(longer);
    assert_true(strlen(name) <= 120);
    free(name);
}

/* A writer of the ledger chooses keys, values and names of files; none of them leaves the folder or runs in a
 * spreadsheet. */
static void hostile_facts(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *inner = sg_path_join(folder, "inner");
    assert_int_equal(mkdir(inner, 0755), 0);
    struct sg_signer *signer = fixture_signer(1);
    char *path = fixture_init(inner, signer), *out = sg_path_join(inner, "out"), digest[65];
    struct sg_ledger *ledger = NULL;
    struct sg_plan plan = fixture_plan(1, 1e-6);
    struct sg_run run, open_run;
    struct sg_export_result result;
    uint8_t commitment[SG_DIGEST_BYTES] = {9};
    memset(digest, 'a', 64), digest[64] = 0;
    assert_int_equal(sg_ledger_open(path, signer, &ledger), SG_OK);
    assert_int_equal(fixture_register(ledger, "=book", "../people", 20, 1e-4), SG_OK);
    json_t *configuration = json_pack("{s:s,s:s,s:s,s:{s:i}}", "../../../escaped", "x", "formula", "=1+1\n\"q\"",
                                      "negative", "-1.5", "..", "a/b", 3);
    json_t *none = json_object();
    struct sg_run_facts facts = {.dataset = "=book",
                                 .plan = &plan,
                                 .configuration = configuration,
                                 .parameters = none,
                                 .secret_commitment = commitment,
                                 .code_digest = digest,
                                 .binary_digest = digest,
                                 .environment = "cpu/1",
                                 .libraries = none};
    assert_int_equal(sg_ledger_run_start(ledger, &facts, &run), SG_OK);
    json_t *metrics =
        json_pack("[{s:s,s:f,s:s,s:s},{s:s,s:n,s:s,s:s}]", "name", "../../auc", "value", 0.5, "split", "../test",
                  "released", "internal", "name", "nan", "value", "split", "test", "released", "internal");
    json_t *artifacts = json_pack("[{s:s,s:s,s:i}]", "name", "../../model", "sha256", digest, "bytes", 1);
    struct sg_run_result end = {.end = SG_RUN_COMPLETE, .steps_done = 100, .metrics = metrics, .artifacts = artifacts};
    assert_int_equal(sg_ledger_run_end(ledger, &run, &end), SG_OK);
    assert_int_equal(sg_ledger_run_start(ledger, &facts, &open_run), SG_OK); /* which never ends */
    sg_ledger_close(&ledger);
    assert_int_equal(sg_ledger_open_read(path, &ledger), SG_OK);
    for (size_t i = 0; i < 3 * sg_n_export_formats; i++) {
        const struct sg_export_format *f = &sg_export_formats[i / 3];
        const char *const runs[] = {NULL, run.run_id, open_run.run_id};
        if (runs[i % 3] ? !f->takes_run : f->needs_run)
            continue;
        if (i % 3 == 2 && strcmp(f->name, "slsa") == 0) /* no file, no provenance */
            assert_int_equal(sg_export_write(ledger, f->name, open_run.run_id, NULL, out, &result), SG_USAGE);
        else if (sg_export_write(ledger, f->name, runs[i % 3], NULL, out, &result) != SG_OK)
            fail_msg("%s: %s", f->name, sg_error_text());
        else
            assert_true(result.n_files > 0);
        assert_int_equal(n_names(folder), 1);
        assert_int_equal(n_names(inner), sg_file_exists(out) ? 3 : 2); /* ledger, side storage, export */
        if (strcmp(f->name, "csv") == 0 && i % 3 < 2) {
            struct sg_buffer text = {0};
            read_tile(out, "param.csv", &text);
            assert_non_null(strstr(text.data, ",\"'=1+1\n\"\"q\"\"\","));
            assert_non_null(strstr(text.data, ",\"-1.5\","));
            sg_buffer_free(&text);
        }
        remove_tree(out);
    }
    sg_ledger_close(&ledger);
    sg_signer_close(&signer);
    json_decref(configuration), json_decref(none), json_decref(metrics), json_decref(artifacts);
    remove_tree(folder);
    free(path), free(out), free(inner), free(folder);
}

/* ---- Packs: every item of every rule book is asked of a real ledger, with and without a model. */
static void packs_answer(void **state)
{
    (void)state;
    static const char *const names[] = {"annex-iv", "mrm", "dora"};
    char *folder = fixture_folder();
    struct sg_signer *signer = fixture_signer(1);
    char *path = fixture_twenty(folder, signer);
    struct sg_ledger *ledger = NULL;
    struct sg_verdict *verdict = sg_alloc(1, sizeof *verdict);
    struct sg_verify_options how = {.allow_unwitnessed = true, .allow_self_trust = true};
    json_t *pack = NULL;
    assert_int_equal(sg_verify_file(path, &how, verdict), SG_OK);
    assert_int_equal(sg_ledger_open_read(path, &ledger), SG_OK);
    for (size_t i = 0; i < 3; i++) {
        if (sg_pack_build(ledger, verdict, names[i], "4", &pack) != SG_OK)
            fail_msg("%s: %s", names[i], sg_error_text());
        json_t *provisions = json_object_get(pack, "provisions"), *one, *row;
        size_t k, m;
        assert_true(json_array_size(provisions) >= 10);
        json_array_foreach(provisions, k, one)
        {
            /* Nothing may look complete: each provision asks for something that no ledger holds. */
            assert_string_not_equal(json_string_value(json_object_get(one, "status")), "present");
            json_array_foreach(json_object_get(one, "evidence"), m, row)
            {
                int64_t leaf = json_integer_value(json_object_get(row, "leaf"));
                assert_true(leaf >= 0 && leaf < 20);
            }
        }
        json_decref(pack);
        assert_int_equal(sg_pack_build(ledger, verdict, names[i], "nobody", &pack), SG_USAGE);
        assert_null(pack);
    }
    assert_int_equal(sg_pack_build(ledger, verdict, "dora", NULL, &pack), SG_OK);
    assert_true(json_is_null(json_object_get(pack, "run_id")));
    json_decref(pack);
    assert_int_equal(sg_pack_build(ledger, verdict, "annex-iv", NULL, &pack), SG_USAGE); /* none is in use */
    assert_int_equal(sg_pack_build(ledger, verdict, "annex-v", NULL, &pack), SG_USAGE);
    sg_ledger_close(&ledger);
    const struct sg_decision deploy = {.kind = "model.deploy", .model = "1", .role = "operator", .reason = "release"};
    assert_int_equal(sg_ledger_open(path, signer, &ledger), SG_OK);
    assert_int_equal(sg_ledger_decide(ledger, &deploy), SG_OK);
    sg_ledger_close(&ledger);
    assert_int_equal(sg_ledger_open_read(path, &ledger), SG_OK);
    assert_int_equal(sg_pack_build(ledger, verdict, "annex-iv", NULL, &pack), SG_OK); /* the one in use */
    assert_string_equal(json_string_value(json_object_get(pack, "model")),
                        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    json_decref(pack);
    sg_ledger_close(&ledger);
    sg_signer_close(&signer);
    free(verdict);
    free(path);
    fixture_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_fifteen), cmocka_unit_test(three_levels),  cmocka_unit_test(nothing_half_written),
        cmocka_unit_test(names_stay_inside), cmocka_unit_test(hostile_facts), cmocka_unit_test(packs_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
