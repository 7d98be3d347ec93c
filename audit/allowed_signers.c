/* Who owns which SSH key: "principals [options] type base64 [comment]" a line, # comments. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/sshsig.h"
#include "base/file.h"

/* The next word of a line, with quoted parts as they are; false at its end. */
static bool next_word(const char **at, char *out, size_t size)
{
    size_t n = 0;
    bool quoted = false;
    while (**at == ' ' || **at == '\t')
        (*at)++;
    if (!**at)
        return false;
    for (; **at && (quoted || (**at != ' ' && **at != '\t')); (*at)++) {
        quoted ^= **at == '"';
        if (n + 1 < size)
            out[n++] = **at;
    }
    out[n] = 0;
    return true;
}

/* YYYYMMDD[HHMM[SS]][Z] */
static bool read_time(const char *text, size_t n, int64_t *out)
{
    int part[6] = {0, 0, 0, 0, 0, 0};
    if (n > 0 && text[n - 1] == 'Z')
        n--;
    if (n != 8 && n != 12 && n != 14)
        return false;
    for (size_t i = 0; i < n; i++) {
        size_t which = i < 4 ? 0 : (i - 2) / 2;
        if (text[i] < '0' || text[i] > '9')
            return false;
        part[which] = part[which] * 10 + text[i] - '0';
    }
    struct tm utc = {.tm_year = part[0] - 1900,
                     .tm_mon = part[1] - 1,
                     .tm_mday = part[2],
                     .tm_hour = part[3],
                     .tm_min = part[4],
                     .tm_sec = part[5]};
    *out = (int64_t)timegm(&utc) * 1000;
    return part[1] >= 1 && part[1] <= 12 && part[2] >= 1 && part[2] <= 31;
}

static bool lists_us(const char *list, size_t n)
{
    size_t us = strlen(SG_SSHSIG_NAMESPACE);
    for (size_t i = 0; i < n;) {
        size_t len = 0;
        while (i + len < n && list[i + len] != ',')
            len++;
        if ((len == us && memcmp(list + i, SG_SSHSIG_NAMESPACE, us) == 0) || (len == 1 && list[i] == '*'))
            return true;
        i += len + 1;
    }
    return false;
}

enum option { OPTION_NONE, OPTION_TAKEN, OPTION_AUTHORITY, OPTION_BAD };

/* One of name="value", comma-separated among themselves, or cert-authority. */
static enum option read_options(const char *word, struct sg_signer_line *line)
{
    static const char *const names[] = {"namespaces=\"", "valid-after=\"", "valid-before=\""};
    enum option kind = OPTION_NONE;
    while (*word) {
        size_t which = 0;
        if (strncmp(word, "cert-authority", 14) == 0)
            return OPTION_AUTHORITY;
        while (which < 3 && strncmp(word, names[which], strlen(names[which])) != 0)
            which++;
        const char *value = which < 3 ? word + strlen(names[which]) : NULL, *end = value ? strchr(value, '"') : NULL;
        if (!end)
            return kind == OPTION_NONE ? OPTION_NONE : OPTION_BAD;
        size_t n = (size_t)(end - value);
        if (which == 0)
            line->for_us = lists_us(value, n);
        else if (!read_time(value, n, which == 1 ? &line->after_ms : &line->before_ms))
            return OPTION_BAD;
        kind = OPTION_TAKEN;
        word = end + 1;
        if (*word == ',')
            word++;
        else if (*word)
            return OPTION_BAD;
    }
    return kind;
}

static bool read_key(const char *type, const char *base64, struct sg_signer_line *line)
{
    uint8_t *bytes = NULL;
    size_t n = 0, type_len = strlen(type);
    if (!sg_base64_decode(base64, strlen(base64), &bytes, &n))
        return false;
    bool good = n > 4 + type_len && bytes[0] == 0 && bytes[1] == 0 && bytes[2] == 0 && bytes[3] == type_len &&
                memcmp(bytes + 4, type, type_len) == 0;
    if (good)
        sg_ssh_fingerprint(bytes, n, line->fingerprint);
    free(bytes);
    return good;
}

/* False: malformed. *is_signer is false for a line that names none. */
static bool read_line(const char *text, struct sg_signer_line *line, bool *is_signer)
{
    char principals[256], word[4096], key[4096];
    *line = (struct sg_signer_line){.for_us = true};
    *is_signer = false;
    if (!next_word(&text, principals, sizeof principals) || principals[0] == '#')
        return true;
    if (!next_word(&text, word, sizeof word))
        return false;
    enum option option = read_options(word, line);
    if (option == OPTION_AUTHORITY)
        return true;
    if (option == OPTION_BAD || (option == OPTION_TAKEN && !next_word(&text, word, sizeof word)))
        return false;
    const char *name = principals + (principals[0] == '"');
    snprintf(line->name, sizeof line->name, "%.*s", (int)strcspn(name, ",\""), name);
    *is_signer = next_word(&text, key, sizeof key) && read_key(word, key, line) && *line->name;
    return *is_signer;
}

enum sg_status sg_signers_parse(const char *path, const char *text, size_t n, struct sg_signers *out)
{
    const char *end = text + n;
    int64_t number = 1;
    *out = (struct sg_signers){0};
    for (; text < end; number++) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        if (!stop)
            stop = end;
        char *line = sg_format("%.*s", (int)(stop - text), text);
        line[strcspn(line, "\r")] = 0;
        bool is_signer;
        struct sg_signer_line one;
        bool good = read_line(line, &one, &is_signer);
        free(line);
        if (!good) {
            sg_signers_free(out);
            return sg_fail(SG_USAGE, "%s:%lld: expected: name [namespaces=\"sealgrad\"] key-type key", path,
                           (long long)number);
        }
        if (is_signer) {
            out->line = sg_realloc(out->line, out->n + 1, sizeof *out->line);
            out->line[out->n++] = one;
        }
        text = stop + 1;
    }
    return SG_OK;
}

enum sg_status sg_signers_read(const char *path, struct sg_signers *out)
{
    struct sg_buffer text = {0};
    *out = (struct sg_signers){0};
    SG_TRY(sg_file_read(path, "list of signers", 1 << 20, &text));
    enum sg_status status = sg_signers_parse(path, text.data ? text.data : "", text.len, out);
    sg_buffer_free(&text);
    return status;
}

void sg_signers_free(struct sg_signers *signers)
{
    free(signers->line);
    *signers = (struct sg_signers){0};
}

const char *sg_signers_name(const struct sg_signers *signers, const char *fingerprint, int64_t time_ms)
{
    for (size_t i = 0; i < signers->n; i++) {
        const struct sg_signer_line *line = &signers->line[i];
        if (line->for_us && strcmp(line->fingerprint, fingerprint) == 0 &&
            (!line->after_ms || time_ms >= line->after_ms) && (!line->before_ms || time_ms < line->before_ms))
            return line->name;
    }
    return NULL;
}
