/*
 * base/http.c - Retry-After (RFC 9110 10.2.3), in seconds or as a date (5.6.7).
 *
 * Pure; any thread. The grammars with more to them have files of their own: range.c, accept.c,
 * url.c, percent.c, addr.c; base/http.h is the header of all.
 */
#include "base/http.h"

#include <string.h>
#include <time.h>

/* RFC 9110 5.6.7: what is sent today, and the two older forms that must still be understood.
 * strptime() reads English names because no program here calls setlocale(). */
static const char *const date_formats[] = {
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %d %H:%M:%S %Y",
};

static bool date_parse(uint64_t *out_ms, const char *text)
{
    for (size_t i = 0; i < sizeof(date_formats) / sizeof(date_formats[0]); i++) {
        struct tm tm = {.tm_isdst = 0};
        const char *end = strptime(text, date_formats[i], &tm);
        time_t when;

        if (end == NULL || end[strspn(end, " \t")] != '\0')
            continue;
        when = timegm(&tm);
        *out_ms = when > 0 ? (uint64_t)when * 1000 : 0;
        return true;
    }
    return false;
}

uint64_t dt_retry_after_parse(const char *value, uint64_t now_wall_ms, uint64_t max_ms)
{
    size_t n_digits;
    uint64_t ms = 0;

    if (value == NULL)
        return 0;
    value += strspn(value, " \t");
    n_digits = strspn(value, "0123456789");
    if (n_digits == 0) {
        if (!date_parse(&ms, value) || ms <= now_wall_ms)
            return 0;
        ms -= now_wall_ms;
    } else {
        if (value[n_digits + strspn(value + n_digits, " \t")] != '\0')
            return 0;
        for (size_t i = 0; i < n_digits && ms <= max_ms; i++)
            ms = ms > UINT64_MAX / 20 ? max_ms : ms * 10 + (uint64_t)(value[i] - '0');
        ms = ms > max_ms / 1000 ? max_ms : ms * 1000;
    }
    return ms < max_ms ? ms : max_ms;
}
