/* Which signatures are checked, and by whom they must be.
 *
 * Every event names the hash of the one before it, so that a signature under one event vouches for all bytes before it;
 * every checkpoint signs the root of all bytes up to it. So the newest checkpoint's signature alone tells whether
 * anybody without a key in force changed a byte. What the others add is who, among several keys in force, signed what:
 * for that it is enough to check the last event of every stretch by one key, since a writer checks the signature of the
 * last event before it appends another (store.c). docs/ledger.md, section 7, has the argument and what is left out. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "schema.h"

enum { NEWEST_DEFAULT = 10000 };

/* ---- Which. */
static void next_evidence(struct sg_check_signatures *s)
{
    s->has_evidence = sqlite3_step(s->evidence) == SQLITE_ROW;
    s->evidence_size = s->has_evidence ? sqlite3_column_int64(s->evidence, 0) : 0;
}

enum sg_status sg_check_signatures_begin(struct sg_check *check)
{
    const struct sg_verify_options *options = check->options;
    struct sg_check_signatures *s = &check->signatures;
    int64_t newest = options->newest_signatures ? options->newest_signatures : NEWEST_DEFAULT;
    SG_TRY(sg_db_number(check->db, "SELECT max(seq) + 1 FROM leaf", &s->last));
    s->all_from = options->quick ? INT64_MAX : options->all_signatures || newest >= s->last ? 0 : s->last - newest;
    SG_TRY(
        sg_db_prepare(check->db, "SELECT size FROM cosignature UNION SELECT size FROM tsa ORDER BY 1", &s->evidence));
    next_evidence(s);
    return SG_OK;
}

void sg_check_signatures_end(struct sg_check *check)
{
    sqlite3_finalize(check->signatures.evidence);
    sg_envelope_free(&check->signatures.pending);
    sg_buffer_free(&check->signatures.text);
}

/* Whether the checkpoint of that size is more than one of many: the newest, or a witness or authority vouched for it.
 */
static bool is_checkpoint_wanted(struct sg_check_signatures *s, int64_t size)
{
    while (s->has_evidence && s->evidence_size < size)
        next_evidence(s);
    return size > s->all_from || size == s->last || (s->has_evidence && s->evidence_size == size);
}

/* ---- Events. */
static bool verify(struct sg_check *check, const struct sg_envelope *envelope, const struct sg_check_key *key)
{
    check->verdict->n_signatures++;
    return sg_envelope_verify(envelope, &key->key);
}

/* The stretch of the key that signed the last event ends: its signature vouches for the stretch. */
void sg_check_stretch(struct sg_check *check)
{
    struct sg_check_signatures *s = &check->signatures;
    char place[64];
    if (!s->is_pending)
        return;
    s->is_pending = false;
    check->verdict->n_signatures_left--;
    snprintf(place, sizeof place, "leaf %lld", (long long)s->pending_seq);
    if (!verify(check, &s->pending, &check->keys[s->pending_key]))
        sg_check_problem(check, SG_BROKEN, place, "its signature is not by a key that was in force");
}

/* Puts off the check of this signature until the stretch ends, and takes the envelope's payload for that. */
static void put_off(struct sg_check *check, struct sg_envelope *envelope, size_t key)
{
    struct sg_check_signatures *s = &check->signatures;
    struct sg_envelope old = s->pending;
    if (s->is_pending && s->pending_key != key)
        sg_check_stretch(check);
    s->pending = *envelope;
    *envelope = old; /* its buffer is used again */
    s->is_pending = true;
    s->pending_key = key;
    s->pending_seq = (int64_t)check->tree.size;
    check->verdict->n_signatures_left++;
}

const struct sg_check_key *sg_check_signer(struct sg_check *check, struct sg_envelope *envelope, bool is_deciding)
{
    struct sg_check_signatures *s = &check->signatures;
    int64_t seq = (int64_t)check->tree.size;
    bool is_now = is_deciding || seq == 0 || seq >= s->all_from;
    for (size_t i = 0; i < check->n_keys; i++) {
        struct sg_check_key *key = &check->keys[i];
        if (key->has_ended || strcmp(key->label, envelope->key_label) != 0)
            continue;
        if (is_now) {
            if (s->is_pending && s->pending_key != i)
                sg_check_stretch(check);
            s->is_pending = false; /* this event vouches for the ones before it by the same key */
            return verify(check, envelope, key) ? key : NULL;
        }
        put_off(check, envelope, i);
        return key;
    }
    return NULL;
}

/* ---- Checkpoints. */
static void check_note(struct sg_check *check, const char *note, size_t n, const struct sg_buffer *text,
                       const char *place)
{
    struct sg_vkey keys[SG_CHECK_KEYS_MAX];
    struct sg_note_check result;
    size_t n_keys = 0;
    for (size_t i = 0; i < check->n_keys; i++)
        if (!check->keys[i].has_ended)
            keys[n_keys++] = check->keys[i].key;
    check->verdict->n_signatures++;
    if (sg_note_verify(note, n, keys, n_keys, &result) != SG_OK)
        sg_check_error(check, place);
    else if (result.text_len != text->len || result.n_signatures != 1 || !result.verified)
        sg_check_problem(check, SG_BROKEN, place, "it is not signed by exactly one key that was in force");
}

/* What can be said of a signature line without its key. */
static bool is_one_line(const char *line, size_t n, const char *origin)
{
    static const char dash[] = "\xe2\x80\x94 ";
    size_t name = strlen(origin), begin = sizeof dash - 1 + name + 1;
    return n > begin && memcmp(line, dash, sizeof dash - 1) == 0 && memcmp(line + sizeof dash - 1, origin, name) == 0 &&
           line[begin - 1] == ' ' && memchr(line, '\n', n) == line + n - 1;
}

void sg_check_note(struct sg_check *check, const struct sg_checkpoint *expected, const char *note, size_t n,
                   const char *place)
{
    struct sg_buffer *text = &check->signatures.text;
    text->len = 0;
    sg_checkpoint_print(expected, text);
    if (n <= text->len || memcmp(note, text->data, text->len) != 0 || note[text->len] != '\n')
        sg_check_problem(check, SG_BROKEN, place,
                         "its text is not the origin, size and root that follow from the leaves");
    else if (is_checkpoint_wanted(&check->signatures, expected->size))
        check_note(check, note, n, text, place);
    else if (!is_one_line(note + text->len + 1, n - text->len - 1, expected->origin))
        sg_check_problem(check, SG_BROKEN, place, "it is not signed by exactly one key that was in force");
    else
        check->verdict->n_signatures_left++;
}
