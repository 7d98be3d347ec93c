/* Bytes: a growing buffer, hexadecimal and base64, comparison in constant time, wiping. */
#ifndef SG_BASE_BYTES_H
#define SG_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* A growing byte buffer. Zero-initialise. `data` is always followed by a NUL that is not counted in `len`
 * (NULL while nothing was ever appended). Running out of memory ends the program: see sg_alloc. */
struct sg_buffer {
    char *data;
    size_t len, capacity;
};

void sg_buffer_append(struct sg_buffer *buffer, const void *bytes, size_t len);
void sg_buffer_text(struct sg_buffer *buffer, const char *text);
void sg_buffer_printf(struct sg_buffer *buffer, const char *format, ...) SG_PRINTF(2, 3);
/* Appends an unsigned integer, big-endian. */
void sg_buffer_u64be(struct sg_buffer *buffer, uint64_t value);
/* Appends u64be(len) and the bytes: the length prefix that keeps concatenations unambiguous. */
void sg_buffer_field(struct sg_buffer *buffer, const void *bytes, size_t len);
/* Wipes, frees and zeroes. */
void sg_buffer_free(struct sg_buffer *buffer);

/* calloc and realloc that never return NULL: they print one line and end the program with status 1, for there is
 * nothing sensible that a batch job could do. n * size is checked for overflow. */
void *sg_alloc(size_t n, size_t size);
void *sg_realloc(void *old, size_t n, size_t size);
/* Memory aligned to 64 bytes, zeroed; free() releases it. */
void *sg_alloc_aligned(size_t bytes);
/* Zeroed like the others, but a page takes memory only once it is written: for room that is sized for the worst case. Ends
 * with sg_free_pages, given the same number of bytes. */
void *sg_alloc_pages(size_t bytes);
void sg_free_pages(void *pages, size_t bytes);
char *sg_strdup(const char *text);
/* printf into new memory that the caller frees. */
char *sg_format(const char *format, ...) SG_PRINTF(1, 2);

/* `out` takes 2 n + 1 characters, lower case, NUL at the end. */
void sg_hex_encode(const void *bytes, size_t n, char *out);
/* Exactly 2 n hexadecimal digits; false otherwise. */
bool sg_hex_decode(const char *text, size_t text_len, void *out, size_t n);
/* Standard base64 with padding, into `buffer`. */
void sg_base64_append(struct sg_buffer *buffer, const void *bytes, size_t n);
/* Strict: alphabet, padding and zero trailing bits are checked. The caller frees *out. */
bool sg_base64_decode(const char *text, size_t text_len, uint8_t **out, size_t *out_len);

bool sg_bytes_equal(const void *a, const void *b, size_t n); /* in constant time */
void sg_wipe(void *bytes, size_t n);

static inline uint64_t sg_load_u64be(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

static inline void sg_store_u64be(uint8_t *p, uint64_t v)
{
    for (int i = 7; i >= 0; i--, v >>= 8)
        p[i] = (uint8_t)v;
}

#endif
