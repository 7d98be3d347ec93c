#include "tokenizer_words.h"

#include <ctype.h>
#include <string.h>
#include <utf8proc.h>

#include "tokenizer_unicode.h"

enum { PENDING_MAX = 128 }; /* more than WORD_CHARACTERS_MAX */

struct splitter {
    const struct word_rules *rules;
    word_sink *sink;
    void *context;
    bool stopped;

    size_t n_characters, n_bytes; /* of the word that grows; bytes of the first WORD_CHARACTERS_MAX alone */
    char word[WORD_BYTES_MAX];

    /* Characters with a combining class, to be sorted by it before they join the word. */
    size_t n_pending;
    struct pending {
        int32_t c;
        int32_t combining_class;
    } pending[PENDING_MAX];
};

/* ---- classes ---- */

static uint8_t classes_in_ranges(int32_t c)
{
    size_t low = 0, high = n_character_ranges;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > character_ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n_character_ranges && c >= character_ranges[low].first ? character_ranges[low].classes : 0;
}

static uint8_t classes_of(const struct word_rules *rules, int32_t c)
{
    return c < 0x80 ? rules->ascii[c] : c < 0x10000 ? rules->classes[c] : classes_in_ranges(c);
}

void word_rules_set(struct word_rules *rules, const struct sg_tokenizer_settings *settings)
{
    memset(rules, 0, sizeof *rules);
    rules->settings = *settings;
    for (int c = 0; c < 0x80; c++)
        rules->ascii[c] = c == ' ' || c == '\t' || c == '\n' || c == '\r' ? CLASS_SPACE
                          : c < 0x20 || c == 0x7f                         ? CLASS_DROPPED
                          : isalnum(c)                                    ? 0
                                                                          : CLASS_PUNCTUATION;
    for (size_t i = 0; i < n_character_ranges; i++)
        for (int32_t c = character_ranges[i].first; c <= character_ranges[i].last && c < 0x10000; c++)
            rules->classes[c] = character_ranges[i].classes;
}

/* ---- UTF-8 ---- */

bool utf8_valid(const char *text, size_t n)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + n;
    while (p < end) {
        uint64_t word;
        if (end - p >= 8 && (memcpy(&word, p, 8), (word & 0x8080808080808080u) == 0)) {
            p += 8;
            continue;
        }
        if (*p < 0x80) {
            p++;
            continue;
        }
        utf8proc_int32_t c;
        utf8proc_ssize_t length = utf8proc_iterate(p, end - p, &c);
        if (length <= 0)
            return false;
        p += length;
    }
    return true;
}

/* Of valid text; moves *p behind the character. */
static int32_t decode(const uint8_t **p)
{
    const uint8_t *s = *p;
    if (s[0] < 0x80) {
        *p += 1;
        return s[0];
    }
    if (s[0] < 0xe0) {
        *p += 2;
        return (s[0] & 0x1f) << 6 | (s[1] & 0x3f);
    }
    if (s[0] < 0xf0) {
        *p += 3;
        return (s[0] & 0xf) << 12 | (s[1] & 0x3f) << 6 | (s[2] & 0x3f);
    }
    *p += 4;
    return (s[0] & 7) << 18 | (s[1] & 0x3f) << 12 | (s[2] & 0x3f) << 6 | (s[3] & 0x3f);
}

/* ---- the word that grows ---- */

static void append(struct splitter *s, int32_t c)
{
    if (s->n_characters++ < WORD_CHARACTERS_MAX)
        s->n_bytes += (size_t)utf8proc_encode_char(c, (utf8proc_uint8_t *)s->word + s->n_bytes);
}

static int32_t lower_case(int32_t c)
{
    for (size_t i = 0; i < n_lower_ranges; i++)
        if (c >= lower_ranges[i].first && c <= lower_ranges[i].last)
            return c + lower_ranges[i].difference;
    return utf8proc_tolower(c);
}

static void end_word(struct splitter *s);

/* A character in its final place, but for its case. */
static void place(struct splitter *s, int32_t c)
{
    if (s->rules->settings.lower_case) {
        if (c == 0x130) { /* the one character whose lower case is two */
            append(s, 'i');
            append(s, 0x307);
            return;
        }
        c = lower_case(c);
    }
    uint8_t classes = classes_of(s->rules, c);
    if (classes & (CLASS_SPACE | CLASS_PUNCTUATION))
        end_word(s);
    if (classes & CLASS_SPACE)
        return;
    append(s, c);
    if (classes & CLASS_PUNCTUATION)
        end_word(s);
}

/* Sorted by combining class, equal ones in their order. More than fit belong to a word that is too long anyway. */
static void place_pending(struct splitter *s)
{
    size_t n = s->n_pending;
    s->n_pending = 0; /* before place, which may end the word */
    for (size_t i = 1; i < n; i++) {
        struct pending p = s->pending[i];
        size_t k = i;
        for (; k > 0 && s->pending[k - 1].combining_class > p.combining_class; k--)
            s->pending[k] = s->pending[k - 1];
        s->pending[k] = p;
    }
    for (size_t i = 0; i < n; i++)
        place(s, s->pending[i].c);
}

static void end_word(struct splitter *s)
{
    if (s->n_pending)
        place_pending(s);
    if (s->n_characters && !s->stopped)
        s->stopped = !s->sink(s->context, s->n_characters > WORD_CHARACTERS_MAX ? NULL : s->word, s->n_bytes);
    s->n_characters = s->n_bytes = 0;
}

/* ---- accents ---- */

/* One character of the canonical decomposition. */
static void add_decomposed(struct splitter *s, int32_t c)
{
    uint8_t classes = classes_of(s->rules, c);
    int32_t combining_class = classes & CLASS_INERT ? 0 : utf8proc_get_property(c)->combining_class;
    if (combining_class == 0 && s->n_pending)
        place_pending(s);
    if (classes & CLASS_MARK)
        return;
    if (combining_class == 0) {
        place(s, c);
        return;
    }
    if (s->n_pending == PENDING_MAX)
        place_pending(s);
    s->pending[s->n_pending++] = (struct pending){c, combining_class};
}

static void add_without_accents(struct splitter *s, int32_t c, uint8_t classes)
{
    utf8proc_int32_t parts[8];
    int boundary = 0;
    utf8proc_ssize_t n = 0;
    if (!(classes & CLASS_INERT))
        n = utf8proc_decompose_char(c, parts, 8, UTF8PROC_DECOMPOSE, &boundary);
    if (n <= 0 || n > 8) {
        parts[0] = c;
        n = 1;
    }
    for (utf8proc_ssize_t i = 0; i < n; i++)
        add_decomposed(s, parts[i]);
}

/* ---- text ---- */

static void add(struct splitter *s, int32_t c)
{
    uint8_t classes = classes_of(s->rules, c);
    if (classes & CLASS_DROPPED)
        return;
    bool apart = (classes & CLASS_SPACE) || ((classes & CLASS_IDEOGRAPH) && s->rules->settings.spaced_cjk);
    if (apart)
        end_word(s);
    if (classes & CLASS_SPACE)
        return;
    if (s->rules->settings.strip_accents)
        add_without_accents(s, c, classes);
    else
        place(s, c);
    if (apart)
        end_word(s);
}

static void add_ascii(struct splitter *s, uint8_t c)
{
    uint8_t classes = s->rules->ascii[c];
    if (classes & CLASS_DROPPED)
        return;
    if (s->n_pending)
        place_pending(s);
    if (classes)
        end_word(s);
    if (classes & CLASS_SPACE)
        return;
    if (s->rules->settings.lower_case && c >= 'A' && c <= 'Z')
        c |= 0x20;
    if (s->n_characters++ < WORD_CHARACTERS_MAX)
        s->word[s->n_bytes++] = (char)c;
    if (classes)
        end_word(s);
}

bool words_split(const struct word_rules *rules, const char *text, size_t n, word_sink *sink, void *context)
{
    struct splitter s; /* its buffers need no clearing */
    s.rules = rules;
    s.sink = sink;
    s.context = context;
    s.stopped = false;
    s.n_characters = s.n_bytes = s.n_pending = 0;
    const uint8_t *p = (const uint8_t *)text, *end = p + n;
    while (p < end && !s.stopped) {
        if (*p < 0x80)
            add_ascii(&s, *p++);
        else
            add(&s, decode(&p));
    }
    end_word(&s);
    return !s.stopped;
}
