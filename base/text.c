/*
 * base/text.c - a growable text buffer, and small questions about strings.
 *
 * Life: {0} -> add* -> take or fini. Capacity doubles, and one byte is always kept for the NUL.
 * Threads: any; a buffer belongs to one at a time.
 */
#include "base/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define TEXT_CAPACITY_MIN 64

/* Room for `more` bytes and the NUL. */
static void text_reserve(struct dt_text *text, size_t more)
{
    size_t need;
    DT_ASSERT(!__builtin_add_overflow(text->len, more, &need) && need < SIZE_MAX / 2);
    need++;
    if (need <= text->capacity)
        return;
    size_t capacity = text->capacity > 0 ? text->capacity : TEXT_CAPACITY_MIN;
    while (capacity < need)
        capacity *= 2;
    text->data = dt_realloc(text->data, capacity);
    text->capacity = capacity;
}

void dt_text_fini(struct dt_text *text)
{
    free(text->data);
    *text = (struct dt_text){0};
}

void dt_text_clear(struct dt_text *text)
{
    text->len = 0;
    if (text->data != NULL)
        text->data[0] = '\0';
}

void dt_text_add(struct dt_text *text, const char *more)
{
    dt_text_add_len(text, more, strlen(more));
}

void dt_text_add_len(struct dt_text *text, const void *bytes, size_t len)
{
    text_reserve(text, len);
    if (len > 0)
        memcpy(text->data + text->len, bytes, len);
    text->len += len;
    text->data[text->len] = '\0';
}

void dt_text_addf(struct dt_text *text, const char *fmt, ...)
{
    text_reserve(text, TEXT_CAPACITY_MIN);
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    size_t room = text->capacity - text->len;
    int len = vsnprintf(text->data + text->len, room, fmt, args);
    DT_ASSERT(len >= 0);
    if ((size_t)len >= room) {
        text_reserve(text, (size_t)len);
        (void)vsnprintf(text->data + text->len, (size_t)len + 1, fmt, again); /* same text */
    }
    text->len += (size_t)len;
    va_end(again);
    va_end(args);
}

const char *dt_text_str(const struct dt_text *text)
{
    return text->data != NULL ? text->data : "";
}

char *dt_text_take(struct dt_text *text)
{
    char *taken = text->data != NULL ? text->data : dt_strdup("");
    *text = (struct dt_text){0};
    return taken;
}

bool dt_text_print(char *out, size_t out_size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(out, out_size, fmt, args);
    va_end(args);
    return len >= 0 && (size_t)len < out_size;
}

bool dt_text_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool dt_text_has_suffix(const char *text, const char *suffix)
{
    size_t len = strlen(text), suffix_len = strlen(suffix);
    return len >= suffix_len && memcmp(text + len - suffix_len, suffix, suffix_len) == 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

void dt_text_trim(const char **text, size_t *len)
{
    for (; *len > 0 && is_blank(**text); (*len)--)
        (*text)++;
    while (*len > 0 && is_blank((*text)[*len - 1]))
        (*len)--;
}

static unsigned char ascii_lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

bool dt_text_equal_nocase(const char *a, const char *b)
{
    while (*a != '\0' && ascii_lower(*a) == ascii_lower(*b))
        a++, b++;
    return *a == '\0' && *b == '\0';
}

bool dt_text_parse_u64(unsigned long long *out, const char *text, size_t len)
{
    unsigned long long value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        unsigned digit = (unsigned)(text[i] - '0');
        if (__builtin_mul_overflow(value, 10ULL, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (len > 0)
        *out = value;
    return len > 0;
}
