#include "base/bytes.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Noreturn void out_of_memory(void)
{
    fputs("sealgrad: out of memory\n", stderr);
    exit(SG_FAILED);
}

void *sg_realloc(void *old, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        out_of_memory();
    void *p = realloc(old, bytes ? bytes : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *sg_alloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *sg_alloc_aligned(size_t bytes)
{
    if (bytes > SIZE_MAX - 63)
        out_of_memory();
    size_t whole = (bytes + 63) / 64 * 64;
    void *p = aligned_alloc(64, whole ? whole : 64);
    if (!p)
        out_of_memory();
    memset(p, 0, whole);
    return p;
}

void *sg_alloc_pages(size_t bytes)
{
    void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        out_of_memory();
    return p;
}

void sg_free_pages(void *pages, size_t bytes)
{
    if (pages)
        munmap(pages, bytes ? bytes : 1);
}

char *sg_strdup(const char *text)
{
    size_t n = strlen(text) + 1;
    return memcpy(sg_alloc(n, 1), text, n);
}

char *sg_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int n = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (n < 0)
        out_of_memory();
    return text;
}

static void reserve(struct sg_buffer *buffer, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(buffer->len, more, &need) || need == SIZE_MAX)
        out_of_memory();
    need++;
    if (need <= buffer->capacity)
        return;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < need)
        capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    char *grown = sg_realloc(NULL, capacity, 1); /* realloc would leave an unwiped copy of what may be a secret */
    if (buffer->data) {
        memcpy(grown, buffer->data, buffer->len + 1);
        sg_wipe(buffer->data, buffer->capacity);
        free(buffer->data);
    }
    buffer->data = grown;
    buffer->capacity = capacity;
}

void sg_buffer_append(struct sg_buffer *buffer, const void *bytes, size_t len)
{
    reserve(buffer, len);
    if (len)
        memcpy(buffer->data + buffer->len, bytes, len);
    buffer->len += len;
    buffer->data[buffer->len] = 0;
}

void sg_buffer_text(struct sg_buffer *buffer, const char *text)
{
    sg_buffer_append(buffer, text, strlen(text));
}

void sg_buffer_printf(struct sg_buffer *buffer, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    reserve(buffer, 63); /* most texts fit, and are printed once */
    size_t room = buffer->capacity - buffer->len;
    int n = vsnprintf(buffer->data + buffer->len, room, format, arguments);
    va_end(arguments);
    if (n < 0)
        out_of_memory();
    if ((size_t)n >= room) {
        reserve(buffer, (size_t)n);
        vsnprintf(buffer->data + buffer->len, (size_t)n + 1, format, again);
    }
    va_end(again);
    buffer->len += (size_t)n;
}

void sg_buffer_u64be(struct sg_buffer *buffer, uint64_t value)
{
    uint8_t bytes[8];
    sg_store_u64be(bytes, value);
    sg_buffer_append(buffer, bytes, sizeof bytes);
}

void sg_buffer_field(struct sg_buffer *buffer, const void *bytes, size_t len)
{
    sg_buffer_u64be(buffer, len);
    sg_buffer_append(buffer, bytes, len);
}

void sg_buffer_free(struct sg_buffer *buffer)
{
    if (buffer->data)
        sg_wipe(buffer->data, buffer->capacity);
    free(buffer->data);
    *buffer = (struct sg_buffer){0};
}

void sg_hex_encode(const void *bytes, size_t n, char *out)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = "0123456789abcdef"[p[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[p[i] & 15];
    }
    out[2 * n] = 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool sg_hex_decode(const char *text, size_t text_len, void *out, size_t n)
{
    if (text_len != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ((uint8_t *)out)[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void sg_base64_append(struct sg_buffer *buffer, const void *bytes, size_t n)
{
    size_t chars = sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_ORIGINAL);
    reserve(buffer, chars);
    sodium_bin2base64(buffer->data + buffer->len, chars, bytes, n, sodium_base64_VARIANT_ORIGINAL);
    buffer->len += chars - 1;
}

bool sg_base64_decode(const char *text, size_t text_len, uint8_t **out, size_t *out_len)
{
    size_t room = text_len / 4 * 3 + 3, n = 0;
    const char *end = NULL;
    uint8_t *bytes = sg_alloc(room, 1);
    if (text_len % 4 ||
        sodium_base642bin(bytes, room, text, text_len, NULL, &n, &end, sodium_base64_VARIANT_ORIGINAL) ||
        end != text + text_len) {
        free(bytes);
        return false;
    }
    *out = bytes;
    *out_len = n;
    return true;
}

bool sg_bytes_equal(const void *a, const void *b, size_t n)
{
    return sodium_memcmp(a, b, n) == 0;
}

void sg_wipe(void *bytes, size_t n)
{
    sodium_memzero(bytes, n);
}
