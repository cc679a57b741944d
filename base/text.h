/*
 * base/text.h - a growable text buffer, and small questions about strings.
 *
 * `struct dt_text` starts as {0}, grows by appending, and is released with dt_text_fini(). The
 * content is always NUL-terminated. Not for bytes from the network without a limit: callers check
 * sizes first.
 */
#ifndef DARTER_BASE_TEXT_H
#define DARTER_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct dt_text {
    char *data; /* owned; NULL while empty */
    size_t len;
    size_t capacity;
};

void dt_text_fini(struct dt_text *);
void dt_text_clear(struct dt_text *); /* keeps the memory */
void dt_text_add(struct dt_text *, const char *text);
void dt_text_add_len(struct dt_text *, const void *bytes, size_t len);
void dt_text_addf(struct dt_text *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *dt_text_str(const struct dt_text *); /* "" when empty; borrowed */
char *dt_text_take(struct dt_text *); /* the string is the caller's; buffer is {0} again */

/* snprintf() that says whether all of it fitted. */
bool dt_text_print(char *out, size_t out_size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

bool dt_text_has_prefix(const char *text, const char *prefix);
bool dt_text_has_suffix(const char *text, const char *suffix);
/* Moves both ends past spaces and tabs. */
void dt_text_trim(const char **text, size_t *len);
/* ASCII only, whatever the locale. */
bool dt_text_equal_nocase(const char *a, const char *b);
/* Strict decimal uint64: whole string, no sign, no space, no overflow. */
bool dt_text_parse_u64(unsigned long long *out, const char *text, size_t len);

#endif
