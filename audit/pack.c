#include "pack.h"

#include <stdlib.h>
#include <string.h>

#include "audit/pack.h"
#include "audit/query.h"
#include "html.h"
#include "schema.h"
#include "store.h"

static const char disclaimer[] =
    "This list is made by a program. It is not legal advice, not a conformity assessment and not complete: provisions "
    "are "
    "paraphrased, the official text in force decides, and what is marked as present is evidence that the ledger holds "
    "something, not that it suffices.";

static const struct sg_pack *const packs[] = {&sg_pack_annex_iv, &sg_pack_mrm, &sg_pack_dora};

static const struct sg_pack *find_pack(const char *name)
{
    for (size_t i = 0; i < sizeof packs / sizeof *packs; i++)
        if (strcmp(packs[i]->name, name) == 0)
            return packs[i];
    return NULL;
}

bool sg_pack_exists(const char *name)
{
    return find_pack(name) != NULL;
}

struct subject {
    char *run_no, *run_id, *model, *dataset, *population; /* NULL: the whole ledger */
    int64_t start_leaf;
    json_t *start; /* the statement of run.start */
};

static void free_subject(struct subject *subject)
{
    free(subject->run_no);
    free(subject->run_id);
    free(subject->model);
    free(subject->dataset);
    free(subject->population);
    json_decref(subject->start);
}

static char *text_at(sqlite3_stmt *row, int column)
{
    const unsigned char *text = sqlite3_column_text(row, column);
    return text ? sg_strdup((const char *)text) : NULL;
}

/* The run that `name` means: an id, a number, or the first that made the file of this digest. */
static enum sg_status read_subject(struct sg_ledger *ledger, const char *name, struct subject *out)
{
    sqlite3_stmt *row = NULL;
    SG_TRY(sg_db_prepare(ledger->db,
                         "SELECT r.run_no, r.run_id, r.dataset, r.population, r.start_leaf, coalesce((SELECT sha256 "
                         "FROM artifact a WHERE "
                         "a.run_no = r.run_no AND a.sha256 = ?1), (SELECT sha256 FROM artifact a WHERE a.run_no = "
                         "r.run_no ORDER BY ordinal "
                         "LIMIT 1)) FROM run r WHERE r.run_id = ?1 OR r.run_no = ?1 OR r.run_no = (SELECT run_no FROM "
                         "artifact WHERE sha256 = "
                         "?1 ORDER BY run_no LIMIT 1) LIMIT 1",
                         &row));
    sg_db_bind(row, "t", name);
    bool found = sqlite3_step(row) == SQLITE_ROW;
    if (found) {
        out->run_no = text_at(row, 0);
        out->run_id = text_at(row, 1);
        out->dataset = text_at(row, 2);
        out->population = text_at(row, 3);
        out->start_leaf = sqlite3_column_int64(row, 4);
        out->model = text_at(row, 5);
    }
    sqlite3_finalize(row);
    if (!found)
        return sg_fail(SG_USAGE, "the ledger has no model or run \"%.80s\"", name);
    return sg_query_leaf(ledger, out->start_leaf, &out->start);
}

/* Without a name: the one model that is in use. */
static enum sg_status choose_subject(struct sg_ledger *ledger, const struct sg_pack *pack, const char *name,
                                     struct subject *out)
{
    json_t *rows = NULL;
    if (name)
        return read_subject(ledger, name, out);
    if (!pack->needs_model)
        return SG_OK;
    SG_TRY(sg_query_view(ledger, "deployed", NULL, &rows));
    size_t n = json_array_size(rows);
    const char *model = json_string_value(json_object_get(json_array_get(rows, 0), "model"));
    enum sg_status status = n == 1 && model ? read_subject(ledger, model, out)
                                            : sg_fail(SG_USAGE,
                                                      "report %s: name the model, by the SHA-256 of its file or by its "
                                                      "run: the ledger has %zu models in use",
                                                      pack->name, n);
    json_decref(rows);
    return status;
}

static void add_evidence(json_t *evidence, const char *what, json_t *value, int64_t leaf)
{
    json_array_append_new(evidence,
                          json_pack("{s:s, s:o, s:I}", "what", what, "value", value, "leaf", (json_int_t)leaf));
}

static enum sg_status find_rows(struct sg_ledger *ledger, const struct subject *subject,
                                const struct sg_pack_item *item, json_t *evidence, int *n)
{
    sqlite3_stmt *rows = NULL;
    int code;
    int64_t last = 0;
    SG_TRY(sg_db_prepare(ledger->db, item->sql, &rows));
    sg_db_bind(rows, "tttt", subject->run_no, subject->model, subject->dataset, subject->population);
    for (*n = 0; (code = sqlite3_step(rows)) == SQLITE_ROW; ++*n) {
        char *text = text_at(rows, 0);
        last = sqlite3_column_int64(rows, 1);
        if (*n < SG_PACK_ROWS_MAX)
            add_evidence(evidence, item->label, json_string(text ? text : "not recorded"), last);
        free(text);
    }
    if (*n > SG_PACK_ROWS_MAX) {
        char *text = sg_format("and %d more, the last at this leaf", *n - SG_PACK_ROWS_MAX);
        add_evidence(evidence, item->label, json_string(text), last);
        free(text);
    }
    enum sg_status status = code == SQLITE_DONE ? SG_OK : sg_db_fail(ledger->db, "reading");
    sqlite3_finalize(rows);
    return status;
}

static int find_fact(const struct subject *subject, const struct sg_pack_item *item, json_t *evidence)
{
    const json_t *facts = json_object_get(json_object_get(subject->start, "predicate"), "facts");
    json_t *value = json_object_get(facts, item->fact);
    if (!value || json_is_null(value))
        return 0;
    struct sg_buffer text = {0};
    if (json_is_string(value))
        sg_buffer_text(&text, json_string_value(value));
    else
        sg_json_dump(value, &text);
    add_evidence(evidence, item->label, json_string(text.data ? text.data : ""), subject->start_leaf);
    sg_buffer_free(&text);
    return 1;
}

static enum sg_status answer(struct sg_ledger *ledger, const struct subject *subject,
                             const struct sg_pack_provision *provision, json_t *counts, json_t *out)
{
    json_t *evidence = json_array(), *missing = json_array();
    enum sg_status status = SG_OK;
    for (int i = 0; i < SG_PACK_ITEMS_MAX && status == SG_OK; i++) {
        const struct sg_pack_item *item = &provision->items[i];
        int n = 0;
        if (item->sql)
            status = find_rows(ledger, subject, item, evidence, &n);
        else if (item->fact)
            n = find_fact(subject, item, evidence);
        if (n == 0 && item->missing)
            json_array_append_new(missing, json_string(item->missing));
    }
    const char *word = json_array_size(missing) == 0    ? "present"
                       : json_array_size(evidence) == 0 ? "missing"
                                                        : "partial";
    json_object_set_new(counts, word, json_integer(json_integer_value(json_object_get(counts, word)) + 1));
    json_array_append_new(out, json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "number", provision->number, "title",
                                         provision->title, "asks", provision->asks, "status", word, "evidence",
                                         evidence, "missing", missing));
    return status;
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static enum sg_status build(struct sg_ledger *ledger, const struct sg_verdict *verdict, const struct sg_pack *pack,
                            const struct subject *subject, json_t **out)
{
    char root[2 * SG_DIGEST_BYTES + 1];
    sg_hex_encode(verdict->root, SG_DIGEST_BYTES, root);
    json_t *counts = json_pack("{s:i, s:i, s:i}", "present", 0, "partial", 0, "missing", 0), *provisions = json_array();
    enum sg_status status = SG_OK;
    for (size_t i = 0; i < pack->n_provisions && status == SG_OK; i++)
        status = answer(ledger, subject, &pack->provisions[i], counts, provisions);
    *out = json_pack("{s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:s, s:o, s:o, s:o, s:o}", "pack", pack->name, "title",
                     pack->title, "disclaimer", disclaimer, "note", text_or_null(pack->note), "verdict",
                     verdict->sentence, "origin", ledger->origin, "events", (json_int_t)verdict->size, "root", root,
                     "model", text_or_null(subject->model), "run_id", text_or_null(subject->run_id), "counts", counts,
                     "provisions", provisions);
    if (status != SG_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

enum sg_status sg_pack_build(struct sg_ledger *ledger, const struct sg_verdict *verdict, const char *name,
                             const char *model, json_t **out)
{
    const struct sg_pack *pack = find_pack(name);
    struct subject subject = {0};
    *out = NULL;
    if (!pack)
        return sg_fail(SG_USAGE, "there is no pack of that name; there are annex-iv, mrm and dora");
    enum sg_status status = choose_subject(ledger, pack, model, &subject);
    if (status == SG_OK)
        status = build(ledger, verdict, pack, &subject, out);
    free_subject(&subject);
    return status;
}

/* ---- As text. */
static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "not recorded";
}

/* Text of the ledger inside Markdown: it must start no line, no tag and no emphasis of its own. */
static void markdown_text(struct sg_buffer *out, const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            sg_buffer_text(out, " ");
        else if (strchr("\\`*_<>[]|#", *text))
            sg_buffer_printf(out, "\\%c", *text);
        else
            sg_buffer_append(out, text, 1);
    }
}

static void markdown_provision(struct sg_buffer *out, const json_t *provision)
{
    const json_t *one;
    size_t i;
    sg_buffer_printf(out, "\n## %s: %s\n\n%s. Asked for: %s.\n\n", member(provision, "number"),
                     member(provision, "title"), member(provision, "status"), member(provision, "asks"));
    json_array_foreach(json_object_get(provision, "evidence"), i, one)
    {
        sg_buffer_printf(out, "- %s: ", member(one, "what"));
        markdown_text(out, member(one, "value"));
        sg_buffer_printf(out, " (leaf %lld)\n", (long long)json_integer_value(json_object_get(one, "leaf")));
    }
    json_array_foreach(json_object_get(provision, "missing"), i, one)
        sg_buffer_printf(out, "- MISSING: %s\n", json_string_value(one));
}

static long long count_of(const json_t *pack, const char *word)
{
    return (long long)json_integer_value(json_object_get(json_object_get(pack, "counts"), word));
}

void sg_pack_markdown(const json_t *pack, struct sg_buffer *out)
{
    const json_t *provision;
    size_t i;
    sg_buffer_printf(out, "# %s\n\n> %s\n\n", member(pack, "title"), member(pack, "disclaimer"));
    if (json_is_string(json_object_get(pack, "note")))
        sg_buffer_printf(out, "> %s\n\n", member(pack, "note"));
    markdown_text(out, member(pack, "verdict"));
    sg_buffer_printf(out, "\n\n- ledger: ");
    markdown_text(out, member(pack, "origin"));
    sg_buffer_printf(out, ", %lld events, root %s\n", (long long)json_integer_value(json_object_get(pack, "events")),
                     member(pack, "root"));
    if (json_is_string(json_object_get(pack, "run_id"))) {
        sg_buffer_text(out, "- run: ");
        markdown_text(out, member(pack, "run_id"));
        sg_buffer_printf(out, "\n- model: %s\n", member(pack, "model"));
    } else {
        sg_buffer_text(out, "- about the whole ledger\n");
    }
    sg_buffer_printf(out, "- provisions: %lld present, %lld partial, %lld missing\n", count_of(pack, "present"),
                     count_of(pack, "partial"), count_of(pack, "missing"));
    json_array_foreach(json_object_get(pack, "provisions"), i, provision) markdown_provision(out, provision);
}

void sg_pack_html(const json_t *pack, struct sg_buffer *out)
{
    static const char *const head[] = {"origin", "events", "root", "run_id", "model", NULL};
    const json_t *provision, *one;
    size_t i, j;
    sg_html_begin(out, member(pack, "title"));
    sg_buffer_text(out, "<p class=\"verdict\">");
    sg_html_text(out, member(pack, "verdict"));
    sg_buffer_text(out, "</p>\n");
    sg_html_paragraph(out, "%s", member(pack, "disclaimer"));
    if (json_is_string(json_object_get(pack, "note")))
        sg_html_paragraph(out, "%s", member(pack, "note"));
    sg_html_members(out, pack, head);
    sg_html_paragraph(out, "%lld provisions present, %lld partial, %lld missing.", count_of(pack, "present"),
                      count_of(pack, "partial"), count_of(pack, "missing"));
    json_array_foreach(json_object_get(pack, "provisions"), i, provision)
    {
        char *heading = sg_format("%s: %s", member(provision, "number"), member(provision, "title"));
        sg_html_heading(out, heading);
        free(heading);
        sg_html_paragraph(out, "%s. Asked for: %s.", member(provision, "status"), member(provision, "asks"));
        sg_html_rows(out, json_object_get(provision, "evidence"));
        json_array_foreach(json_object_get(provision, "missing"), j, one)
        {
            char *text = sg_format("Missing: %s", json_string_value(one));
            sg_html_missing(out, text);
            free(text);
        }
    }
    sg_html_end(out);
}
