#include "audit/trust.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/number.h"

struct line {
    const char *path;
    int number;
    const char *word[40];
    size_t len[40];
    size_t n;
};

static bool split(const char *text, size_t n, struct line *out)
{
    out->n = 0;
    for (size_t i = 0; i < n;) {
        while (i < n && (text[i] == ' ' || text[i] == '\t'))
            i++;
        size_t begin = i;
        while (i < n && text[i] != ' ' && text[i] != '\t')
            i++;
        if (i == begin)
            break;
        if (out->n == sizeof out->word / sizeof *out->word)
            return false;
        out->word[out->n] = text + begin;
        out->len[out->n++] = i - begin;
    }
    return true;
}

static bool is_word(const struct line *line, size_t i, const char *word)
{
    return i < line->n && line->len[i] == strlen(word) && memcmp(line->word[i], word, line->len[i]) == 0;
}

static bool take_name(const struct line *line, size_t i, char out[SG_NAME_MAX])
{
    if (i >= line->n || line->len[i] >= SG_NAME_MAX)
        return false;
    memcpy(out, line->word[i], line->len[i]);
    out[line->len[i]] = 0;
    return sg_key_name_valid(out);
}

static int find_witness(const struct sg_trust *trust, const struct line *line, size_t i)
{
    for (size_t k = 0; k < trust->n_witnesses; k++)
        if (is_word(line, i, trust->witness_names[k]))
            return (int)k;
    return -1;
}

static int find_group(const struct sg_trust *trust, const struct line *line, size_t i)
{
    for (size_t k = 0; k < trust->n_groups; k++)
        if (is_word(line, i, trust->groups[k].name))
            return (int)k;
    return -1;
}

static bool add_log(struct sg_trust *trust, const struct line *line)
{
    return line->n >= 2 && line->n <= 3 && trust->n_logs < SG_TRUST_LOGS_MAX &&
           sg_vkey_parse(line->word[1], line->len[1], SG_USAGE, &trust->logs[trust->n_logs]) == SG_OK &&
           trust->logs[trust->n_logs++].type != SG_KEY_COSIGNATURE;
}

static bool add_witness(struct sg_trust *trust, const struct line *line)
{
    struct sg_vkey key;
    if (line->n < 3 || line->n > 4 || trust->n_witnesses == SG_TRUST_WITNESSES_MAX ||
        find_witness(trust, line, 1) >= 0 || !take_name(line, 1, trust->witness_names[trust->n_witnesses]) ||
        sg_vkey_parse(line->word[2], line->len[2], SG_USAGE, &key) != SG_OK)
        return false;
    return sg_vkey_cosigner(&key, &trust->witnesses[trust->n_witnesses++]) == SG_OK;
}

static bool add_group(struct sg_trust *trust, const struct line *line)
{
    if (line->n < 4 || trust->n_groups == SG_TRUST_GROUPS_MAX || find_group(trust, line, 1) >= 0 ||
        find_witness(trust, line, 1) >= 0)
        return false;
    struct sg_trust_group group = {0};
    for (size_t i = 3; i < line->n; i++) {
        int witness = find_witness(trust, line, i), member = find_group(trust, line, i);
        if (witness < 0 && member < 0)
            return false;
        group.witnesses |= witness >= 0 ? (uint64_t)1 << witness : 0;
        group.groups |= witness < 0 ? (uint64_t)1 << member : 0;
    }
    int64_t threshold = 0, members = __builtin_popcountll(group.witnesses) + __builtin_popcountll(group.groups);
    if (is_word(line, 2, "any"))
        threshold = 1;
    else if (is_word(line, 2, "all"))
        threshold = members;
    else if (!sg_number_int64(line->word[2], line->len[2], &threshold))
        return false;
    group.threshold = (int)threshold;
    if (threshold < 1 || threshold > members || !take_name(line, 1, group.name))
        return false;
    trust->groups[trust->n_groups++] = group;
    return true;
}

static bool set_quorum(struct sg_trust *trust, const struct line *line, bool *seen)
{
    if (line->n != 2 || *seen)
        return false;
    *seen = true;
    trust->quorum_witness = find_witness(trust, line, 1);
    trust->quorum_group = trust->quorum_witness < 0 ? find_group(trust, line, 1) : -1;
    return is_word(line, 1, "none") || trust->quorum_witness >= 0 || trust->quorum_group >= 0;
}

static enum sg_status parse_line(struct sg_trust *trust, const struct line *line, bool *seen_quorum)
{
    bool good = false;
    if (is_word(line, 0, "log"))
        good = add_log(trust, line);
    else if (is_word(line, 0, "witness"))
        good = add_witness(trust, line);
    else if (is_word(line, 0, "group"))
        good = add_group(trust, line);
    else if (is_word(line, 0, "quorum"))
        good = set_quorum(trust, line, seen_quorum);
    return good ? SG_OK
                : sg_fail(SG_USAGE,
                          "%s:%d: expected \"log VKEY\", \"witness NAME VKEY\", \"group NAME N MEMBER...\" or "
                          "\"quorum NAME\"",
                          line->path, line->number);
}

static enum sg_status parse_policy(const char *path, const char *text, size_t n, struct sg_trust *out)
{
    struct line line = {.path = path};
    bool seen_quorum = false;
    out->is_policy = true;
    for (const char *at = text, *end = text + n; at < end;) {
        const char *feed = memchr(at, '\n', (size_t)(end - at)), *stop = feed ? feed : end;
        const char *hash = memchr(at, '#', (size_t)(stop - at));
        line.number++;
        if (!split(at, (size_t)((hash == at ? hash : stop) - at), &line))
            return sg_fail(SG_USAGE, "%s:%d: too many words", path, line.number);
        if (line.n)
            SG_TRY(parse_line(out, &line, &seen_quorum));
        at = stop + 1;
    }
    if (out->n_logs == 0)
        return sg_fail(SG_USAGE, "%s: it names no log: give a line \"log VKEY\", or a .pub file", path);
    return SG_OK;
}

enum sg_status sg_trust_parse(const char *path, const char *text, size_t n, struct sg_trust *out)
{
    *out = (struct sg_trust){.quorum_group = -1, .quorum_witness = -1};
    size_t len = n;
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (len && !memchr(text, '\n', len) && !memchr(text, ' ', len)) {
        enum sg_status status = sg_vkey_parse(text, len, SG_USAGE, &out->logs[0]);
        out->n_logs = 1;
        return status == SG_OK && out->logs[0].type != SG_KEY_COSIGNATURE
                   ? SG_OK
                   : sg_fail(SG_USAGE, "%s: expected a public key (a .pub file that keygen made) or a policy", path);
    }
    return parse_policy(path, text, n, out);
}

enum sg_status sg_trust_read(const char *path, struct sg_trust *out)
{
    struct sg_buffer text = {0};
    SG_TRY(sg_file_read(path, "trust file", 1 << 16, &text));
    enum sg_status status = sg_trust_parse(path, text.data ? text.data : "", text.len, out);
    sg_buffer_free(&text);
    return status;
}

bool sg_trust_has_log(const struct sg_trust *trust, const char *origin, const struct sg_vkey *key)
{
    for (size_t i = 0; i < trust->n_logs; i++)
        if (sg_vkey_same(&trust->logs[i], key) && (!trust->is_policy || strcmp(trust->logs[i].name, origin) == 0))
            return true;
    return false;
}

bool sg_trust_quorum(const struct sg_trust *trust, uint64_t witnesses)
{
    uint64_t satisfied = 0; /* groups name earlier ones only */
    for (size_t i = 0; i < trust->n_groups; i++) {
        const struct sg_trust_group *group = &trust->groups[i];
        int n = __builtin_popcountll(group->witnesses & witnesses) + __builtin_popcountll(group->groups & satisfied);
        if (n >= group->threshold)
            satisfied |= (uint64_t)1 << i;
    }
    if (trust->quorum_witness >= 0)
        return witnesses >> trust->quorum_witness & 1;
    return trust->quorum_group >= 0 && satisfied >> trust->quorum_group & 1;
}
