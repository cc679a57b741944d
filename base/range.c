/*
 * base/range.c - which bytes of a blob a request wants, and which bytes an answer holds.
 *
 *   Range: bytes=a-b | a- | -n         (RFC 9110 14.1, 14.2)   dt_range_parse
 *   Content-Range: bytes a-b/size | *  (RFC 9110 14.4)         dt_content_range_parse
 *
 * Pure; any thread. The two sides differ in temper: a strange Range may be ignored, the client then
 * gets everything; a strange Content-Range is fatal, or bytes would land at a wrong offset.
 */
#include "base/http.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

/* Reads digits into *out, which saturates: "0-99999999999999999999" only means "to the end".
 * Returns how many digits there were. */
static size_t read_saturated(uint64_t *out, const char *text)
{
    size_t n = 0;

    *out = 0;
    for (; text[n] >= '0' && text[n] <= '9'; n++) {
        uint64_t digit = (uint64_t)(text[n] - '0');
        if (*out > (UINT64_MAX - digit) / 10)
            *out = UINT64_MAX;
        else
            *out = *out * 10 + digit;
    }
    return n;
}

static struct dt_range range_of(uint64_t first, uint64_t last, uint64_t size)
{
    struct dt_range range = {.kind = DT_RANGE_UNSATISFIABLE};

    if (first >= size || first > last)
        return range;
    range.kind = DT_RANGE_SATISFIABLE;
    range.first = first;
    range.last = last < size ? last : size - 1;
    return range;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

struct dt_range dt_range_parse(const char *value, uint64_t size)
{
    const struct dt_range none = {.kind = DT_RANGE_NONE};
    uint64_t first = 0, last = UINT64_MAX;
    size_t n_first, n_last;

    if (value == NULL)
        return none;
    value = skip_blanks(value);
    if (strncasecmp(value, "bytes=", 6) != 0)
        return none;
    value = skip_blanks(value + 6);
    n_first = read_saturated(&first, value);
    value += n_first;
    if (*value++ != '-')
        return none;
    n_last = read_saturated(&last, value);
    if (n_first + n_last == 0 || *skip_blanks(value + n_last) != '\0')
        return none; /* "-", or more ranges: RFC 9110 14.2 lets us send everything */
    if (n_first == 0) {
        /* A suffix longer than the blob is the whole blob; of an empty one nothing can be had. */
        return last == 0 ? range_of(1, 0, size)
                         : range_of(last < size ? size - last : 0, UINT64_MAX, size);
    }
    return range_of(first, n_last == 0 ? UINT64_MAX : last, size);
}

int dt_content_range_parse(uint64_t *first, uint64_t *last, uint64_t *size, const char *value,
                           struct dt_err *err)
{
    unsigned long long a, b, total = UINT64_MAX;
    const char *dash, *slash;

    if (value == NULL || strncasecmp(value, "bytes ", 6) != 0)
        goto bad;
    value = skip_blanks(value + 6);
    dash = strchr(value, '-');
    slash = strchr(value, '/');
    if (dash == NULL || slash == NULL || dash > slash)
        goto bad;
    if (!dt_text_parse_u64(&a, value, (size_t)(dash - value)) ||
        !dt_text_parse_u64(&b, dash + 1, (size_t)(slash - dash - 1)))
        goto bad;
    if (strcmp(slash + 1, "*") != 0 && !dt_text_parse_u64(&total, slash + 1, strlen(slash + 1)))
        goto bad;
    /* b < total also keeps b + 1 from overflowing in the caller's hands. */
    if (a > b || b >= total)
        goto bad;
    *first = a;
    *last = b;
    *size = total;
    return 0;
bad:
    return dt_err_set(err, DT_EPROTO, "Content-Range makes no sense: '%.60s'",
                      value != NULL ? value : "(absent)");
}
