/*
 * base/accept.c - may this media type be sent to that client? (RFC 9110 12.5.1)
 *
 * Pure; any thread. Only yes or no is needed: a registry object has one type, there is nothing to
 * choose from. The most specific range that matches decides, so that "a/b;q=0, *" refuses a/b.
 * Parameters other than q are ignored on both sides: registries use none that matter.
 */
#include "base/http.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

/* How well a range fits; the order is the precedence. */
enum fit { FIT_NONE, FIT_ANY, FIT_TYPE, FIT_EXACT };

static enum fit fit_of(const char *range, size_t len, const char *media_type, size_t media_len)
{
    const char *slash = memchr(media_type, '/', media_len);
    size_t type_len = slash != NULL ? (size_t)(slash - media_type) + 1 : media_len;

    if (len == media_len && strncasecmp(range, media_type, len) == 0)
        return FIT_EXACT;
    /* A bare star is what old Java clients send. */
    if ((len == 3 && memcmp(range, "*/*", 3) == 0) || (len == 1 && *range == '*'))
        return FIT_ANY;
    if (slash != NULL && len == type_len + 1 && range[len - 1] == '*' &&
        strncasecmp(range, media_type, type_len) == 0)
        return FIT_TYPE;
    return FIT_NONE;
}

/* Is a weight ("0", "0.000", "0.5", "1") above zero? An unreadable one counts as 1. */
static bool weight_is_positive(const char *text, size_t len)
{
    bool is_zero = len > 0 && text[0] == '0';

    for (size_t i = 1; i < len && is_zero; i++)
        is_zero = text[i] == '0' || text[i] == '.';
    return !is_zero;
}

/* The end of the piece that starts at `text`: at `a`, `b` or the end of the string, but not inside
 * a quoted parameter value. */
static size_t piece_len(const char *text, char a, char b)
{
    bool is_quoted = false;
    size_t n = 0;

    for (; text[n] != '\0'; n++) {
        if (text[n] == '\\' && is_quoted && text[n + 1] != '\0')
            n++;
        else if (text[n] == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && (text[n] == a || text[n] == b))
            break;
    }
    return n;
}

/* Reads one list element at *cursor and moves behind it (not behind the comma). */
static enum fit element_read(bool *is_wanted, const char **cursor, const char *media_type,
                             size_t media_len)
{
    size_t len = piece_len(*cursor, ',', ';');
    const char *piece = *cursor;
    enum fit fit;

    *cursor += len;
    dt_text_trim(&piece, &len);
    fit = len == 0 ? FIT_NONE : fit_of(piece, len, media_type, media_len);
    *is_wanted = true;
    while (**cursor == ';') {
        piece = *cursor + 1;
        len = piece_len(piece, ',', ';');
        *cursor = piece + len;
        dt_text_trim(&piece, &len);
        if (len >= 2 && strncasecmp(piece, "q=", 2) == 0)
            *is_wanted = weight_is_positive(piece + 2, len - 2);
    }
    return fit;
}

bool dt_accept_admits(const char *accept, const char *media_type)
{
    size_t media_len = strcspn(media_type, "; \t");
    enum fit best = FIT_NONE;
    bool is_admitted = false;

    if (accept == NULL || accept[strspn(accept, ", \t")] == '\0')
        return true;
    for (;;) {
        bool is_wanted;
        enum fit fit = element_read(&is_wanted, &accept, media_type, media_len);
        if (fit > best)
            is_admitted = is_wanted;
        else if (fit == best && fit != FIT_NONE)
            is_admitted = is_admitted || is_wanted; /* said twice: the kinder word counts */
        best = fit > best ? fit : best;
        if (*accept == '\0')
            return is_admitted;
        accept++;
    }
}
