/*
 * base/units.c - sizes, durations and points in time as people write them.
 *
 * A quantity is a number, with a fraction if one likes, and a unit from a table; one space between
 * them is allowed, so what the formatters print can be read back. Units are spelt as in the tables:
 * "Gb" is a bit, "m" is a minute, and guessing would be wrong once a year. Pure; any thread.
 *
 * To add a unit: one row in its table.
 */
#include "base/units.h"

#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"

#define FRACTION_DIGITS_MAX 9

struct unit {
    const char *name;
    uint64_t factor;
    bool is_printed; /* the formatters use it; printed units ascend */
};

static const struct unit size_units[] = {
    {"", 1, false},
    {"B", 1, true},
    {"kB", 1000, false},
    {"KB", 1000, false},
    {"MB", 1000000, false},
    {"GB", 1000000000, false},
    {"TB", 1000000000000, false},
    {"PB", 1000000000000000, false},
    {"KiB", KIB, true},
    {"MiB", MIB, true},
    {"GiB", GIB, true},
    {"TiB", KIB *GIB, true},
    {"PiB", MIB *GIB, true},
    {NULL, 0, false},
};

static const struct unit duration_units[] = {
    {"ms", 1, true},          {"s", 1000, true},         {"m", 60 * 1000, true},
    {"h", 3600 * 1000, true}, {"d", 86400 * 1000, true}, {NULL, 0, false},
};

/* "12", "1.5": whole part, and fraction / scale. Returns where it ended, or NULL. */
static const char *number_read(uint64_t *whole, uint64_t *fraction, uint64_t *scale,
                               const char *text)
{
    size_t n_digits = strspn(text, "0123456789");
    unsigned long long value;
    *fraction = 0;
    *scale = 1;
    if (!dt_text_parse_u64(&value, text, n_digits))
        return NULL;
    *whole = value;
    text += n_digits;
    if (*text != '.')
        return text;
    text++;
    n_digits = strspn(text, "0123456789");
    if (n_digits > FRACTION_DIGITS_MAX || !dt_text_parse_u64(&value, text, n_digits))
        return NULL;
    *fraction = value;
    for (size_t i = 0; i < n_digits; i++)
        *scale *= 10;
    return text + n_digits;
}

static const struct unit *unit_find(const struct unit *units, const char *name)
{
    while (units->name != NULL && strcmp(units->name, name) != 0)
        units++;
    return units->name != NULL ? units : NULL;
}

static int quantity_parse(uint64_t *out, const struct unit *units, const char *text)
{
    uint64_t whole, fraction, scale;
    const char *rest = number_read(&whole, &fraction, &scale, text);
    if (rest == NULL)
        return -DT_EINVAL;
    if (rest[0] == ' ' && rest[1] != '\0')
        rest++;
    const struct unit *unit = unit_find(units, rest);
    /* Half a byte is a mistake, and so is half a millisecond. */
    if (unit == NULL || (unit->factor == 1 && scale > 1))
        return -DT_EINVAL;
    unsigned __int128 total = (unsigned __int128)whole * unit->factor +
                              (unsigned __int128)fraction * unit->factor / scale;
    if (total > UINT64_MAX)
        return -DT_EINVAL;
    *out = (uint64_t)total;
    return 0;
}

/* The largest unit that leaves a number of at least 1, with one decimal unless that is 0. */
static void quantity_format(char out[24], const struct unit *units, const char *space,
                            uint64_t value)
{
    const struct unit *best = NULL;
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        /* Rounded to tenths, 1023.96 KiB would read "1024 KiB": that is the next unit's. */
        if (unit->is_printed && (best == NULL || (unsigned __int128)value * 20 + best->factor >=
                                                     (unsigned __int128)unit->factor * 20))
            best = unit;
    }
    DT_ASSERT(best != NULL);
    uint64_t tenths = (uint64_t)(((unsigned __int128)value * 10 + best->factor / 2) / best->factor);
    bool fitted = tenths % 10 == 0
                      ? dt_text_print(out, 24, "%llu%s%s", (unsigned long long)(tenths / 10), space,
                                      best->name)
                      : dt_text_print(out, 24, "%llu.%llu%s%s", (unsigned long long)(tenths / 10),
                                      (unsigned long long)(tenths % 10), space, best->name);
    DT_ASSERT(fitted);
}

int dt_size_parse(uint64_t *out_bytes, const char *text, struct dt_err *err)
{
    if (quantity_parse(out_bytes, size_units, text) < 0)
        return dt_err_set(err, DT_EINVAL, "'%.40s' is not a size: write 512, 64KiB, 1.5GiB, 20GB",
                          text);
    return 0;
}

char *dt_size_format(char out[24], uint64_t bytes)
{
    quantity_format(out, size_units, " ", bytes);
    return out;
}

int dt_duration_parse(uint64_t *out_ms, const char *text, struct dt_err *err)
{
    if (quantity_parse(out_ms, duration_units, text) < 0)
        return dt_err_set(err, DT_EINVAL,
                          "'%.40s' is not a duration: write 250ms, 30s, 5m, 12h, 7d", text);
    return 0;
}

char *dt_duration_format(char out[24], uint64_t ms)
{
    quantity_format(out, duration_units, "", ms);
    return out;
}

char *dt_time_format(char out[32], uint64_t unix_ms)
{
    time_t seconds = (time_t)(unix_ms / 1000);
    struct tm utc;
    /* A year beyond int, or one that would not fit: nonsense in, epoch out, never garbage. */
    if (unix_ms > 253402300799999ULL || gmtime_r(&seconds, &utc) == NULL)
        return memcpy(out, "1970-01-01T00:00:00.000Z", 25);
    size_t len = strftime(out, 32, "%Y-%m-%dT%H:%M:%S", &utc);
    DT_ASSERT(len > 0 && dt_text_print(out + len, 32 - len, ".%03uZ", (unsigned)(unix_ms % 1000)));
    return out;
}
