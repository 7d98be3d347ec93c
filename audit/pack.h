/* Inside the packs: a rule book is a table of provisions, a provision a list of things to look for. */
#ifndef SG_AUDIT_PACK_INSIDE_H
#define SG_AUDIT_PACK_INSIDE_H

#include <stddef.h>

enum { SG_PACK_ITEMS_MAX = 9, SG_PACK_ROWS_MAX = 40 };

/* One thing to look for. `sql` gives rows (text, leaf); ?1 is the run's number as text, ?2 the model's SHA-256, ?3 the
 * dataset, ?4 the population, all null where the pack is about the whole ledger. `fact` names a member of run.start
 * instead. Neither: no ledger holds it. `missing` is said when nothing is found, and always for the last kind. */
struct sg_pack_item {
    const char *label, *sql, *fact, *missing;
};

struct sg_pack_provision {
    const char *number, *title, *asks;
    struct sg_pack_item items[SG_PACK_ITEMS_MAX]; /* up to the first without label and missing */
};

struct sg_pack {
    const char *name, *title;
    int needs_model;
    const struct sg_pack_provision *provisions;
    size_t n_provisions;
    const char *note; /* said beside the disclaimer; may be NULL */
};
extern const struct sg_pack sg_pack_annex_iv, sg_pack_mrm, sg_pack_dora;

/* ---- Questions that several rule books ask. */
#define SG_PACK_RUN                                                                                                    \
    "SELECT run_id || ', ' || status || ', by ' || actor || ' on ' || host, start_leaf FROM run WHERE run_no = ?1"
#define SG_PACK_FILES                                                                                                  \
    "SELECT name || ', ' || bytes || ' bytes, SHA-256 ' || sha256, leaf FROM artifact WHERE run_no = ?1 ORDER BY "     \
    "ordinal"
#define SG_PACK_DATASET                                                                                                \
    "SELECT name || ': unit of privacy ' || unit || ', at most ' || population_size || ' units, ' || row_bucket || "   \
    "' rows, ' || CASE WHEN is_public THEN 'public' ELSE 'limited' END, leaf FROM dataset WHERE ?3 IS NULL OR name = " \
    "?3 "                                                                                                              \
    "ORDER BY leaf"
#define SG_PACK_COMMITMENT                                                                                             \
    "SELECT name || ': keyed commitment ' || lower(hex(commitment)) || ', schema ' || lower(hex(schema_digest)), "     \
    "leaf "                                                                                                            \
    "FROM dataset WHERE ?3 IS NULL OR name = ?3 ORDER BY leaf"
#define SG_PACK_SETTINGS "SELECT name || ' = ' || value, leaf FROM param WHERE run_no = ?1 ORDER BY name"
#define SG_PACK_METRIC(where)                                                                                          \
    "SELECT split || ' ' || name || ' = ' || coalesce(printf('%.6g', value), 'not a number') || ' (released: ' || "    \
    "released || ')', leaf FROM metric WHERE run_no = ?1 AND " where " ORDER BY ordinal"
#define SG_PACK_PRIVACY                                                                                                \
    "SELECT printf('epsilon %.4g, delta %.3g, relation %s, %d steps', epsilon, delta, relation, steps), start_leaf "   \
    "FROM "                                                                                                            \
    "run WHERE run_no = ?1 AND is_private"
#define SG_PACK_TRIALS                                                                                                 \
    "SELECT count(*) || ' runs on this population, ' || sum(status = 'complete') || ' complete, ' || "                 \
    "sum(status IN ('failed', 'aborted')) || ' failed or aborted, ' || sum(status = 'running') || ' without an end', " \
    "max(start_leaf) FROM run WHERE population = ?4 HAVING count(*) > 0"
#define SG_PACK_OTHER_MODELS                                                                                           \
    "SELECT run_id || ', complete', end_leaf FROM run WHERE population = ?4 AND run_no <> ?1 AND status = 'complete' " \
    "ORDER BY run_no"
#define SG_PACK_DECISION(kind, who)                                                                                    \
    "SELECT person || ' (' || role || '): ' || reason, leaf FROM decision WHERE (?2 IS NULL OR model = ?2) AND kind "  \
    "= '" kind "' AND " who " ORDER BY leaf"
#define SG_PACK_WITNESS                                                                                                \
    "SELECT witness || ' has signed the ledger up to leaf ' || (size - 1), size - 1 FROM cosignature ORDER BY size"
#define SG_PACK_KEYS                                                                                                   \
    "SELECT role || ' key ' || key_id || CASE WHEN ended_leaf IS NULL THEN ', in force' ELSE ', ended at leaf ' || "   \
    "ended_leaf END, added_leaf FROM signing_key ORDER BY added_leaf"
#define SG_PACK_OPEN                                                                                                   \
    "SELECT run_id || ' began and has no end', start_leaf FROM run WHERE status = 'running' AND (?4 IS NULL OR "       \
    "population = ?4) ORDER BY run_no"

#endif
