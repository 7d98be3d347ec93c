/* sealgrad ledger reproduce: what the same run to the bit needs, field by field, against this program and machine. */
#include <gnu/libc-version.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <sqlite3.h>
#include <string.h>

#include "audit/query.h"
#include "cmd_ledger.h"
#include "code_digest.h"
#include "options.h"
#include "print_rows.h"

struct field {
    const char *name, *now; /* now NULL: this program cannot know */
    const char *what;
};

/* match: true, false, or null where nothing was recorded or there is nothing to hold it against. */
static void add_row(json_t *rows, const struct field *field, const json_t *recorded, const json_t *leaf)
{
    const char *text = json_string_value(recorded);
    json_t *row = json_object();
    json_object_set_new(row, "field", json_string(field->name));
    json_object_set(row, "recorded", recorded ? (json_t *)recorded : json_null());
    json_object_set_new(row, "now", field->now ? json_string(field->now) : json_null());
    json_object_set_new(row, "match", text && field->now ? json_boolean(strcmp(text, field->now) == 0) : json_null());
    json_object_set_new(row, "needs", json_string(field->what));
    json_object_set(row, "leaf", (json_t *)leaf);
    json_array_append_new(rows, row);
}

static json_t *compare(const json_t *facts, const json_t *leaf)
{
    const struct field fields[] = {
        {"code_digest", SG_CODE_DIGEST, "the same sources"},
        {"binary_digest", NULL, "the same trainer: sha256sum sealgrad-trainer"},
        {"environment", NULL, "a backend with this arithmetic: train --backend"},
        {"data_commitment", NULL, "the same bytes: checked by train, while the dataset's key exists"},
        {"base_model_digest", NULL, "the same base model; null: none"},
        {"secret_commitment", NULL, "the run's secret, which the ledger does not hold: train --secret"},
    };
    const struct field libraries[] = {
        {"libsodium", sodium_version_string(), "the same noise generator's library"},
        {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING), "the same cipher library"},
        {"sqlite", sqlite3_libversion(), "nothing: it has no part in training"},
        {"jansson", jansson_version_str(), "nothing: it has no part in training"},
        {"libc", gnu_get_libc_version(), "the same, with the reference backend"},
    };
    json_t *rows = json_array();
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        add_row(rows, &fields[i], json_object_get(facts, fields[i].name), leaf);
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++)
        add_row(rows, &libraries[i], json_object_get(json_object_get(facts, "libraries"), libraries[i].name), leaf);
    return rows;
}

enum sg_status sg_ledger_verb_reproduce(int argc, char **argv)
{
    const char *positional[2], *format = NULL;
    bool json = false;
    struct sg_ledger *ledger = NULL;
    json_t *object = NULL;
    const struct sg_option options[] = {
        {"format", SG_OPTION_TEXT, &format, "FORMAT", "table, csv, json or html", 0, 0, false},
        {"json", SG_OPTION_FLAG, &json, NULL, "one JSON object a line", 0, 0, false},
    };
    const struct sg_command_line line = {
        .name = "ledger reproduce",
        .summary = "what a repetition of a run to the bit needs, as recorded and as it is here",
        .options = options,
        .n_options = sizeof options / sizeof *options,
        .positional_help = "FILE RUN",
        .positional_min = 2,
        .positional_max = 2,
    };
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    SG_TRY(sg_ledger_open_read(positional[0], &ledger));
    enum sg_status status = sg_query_show(ledger, positional[1], &object);
    if (status == SG_OK) {
        const json_t *facts = json_object_get(json_object_get(json_object_get(object, "start"), "predicate"), "facts");
        json_t *rows = compare(facts, json_object_get(json_object_get(object, "run"), "start_leaf"));
        status = sg_print_rows(rows, json ? "json" : format, "reproduce");
        json_decref(rows);
    }
    json_decref(object);
    sg_ledger_close(&ledger);
    return status;
}
