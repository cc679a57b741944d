/*
 * tests/fuzz/units_fuzz.c - sizes and durations: what is accepted is printed so that it can be read
 * again, and what was printed once is printed the same for ever.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef int parse_f(uint64_t *out, const char *text, struct dt_err *err);
typedef char *format_f(char out[24], uint64_t value);

static void check(parse_f *parse, format_f *format, const char *text)
{
    uint64_t value, again;
    struct dt_err err = {0};
    if (parse(&value, text, &err) < 0) {
        DT_ASSERT(err.code == DT_EINVAL && err.msg[0] != '\0');
        return;
    }
    char first[24], second[24];
    /* Only the very largest round up to what 64 bits cannot hold. */
    if (parse(&again, format(first, value), NULL) < 0)
        DT_ASSERT(value > UINT64_MAX / 16 * 15);
    else
        DT_ASSERT(strcmp(format(second, again), first) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dt_strndup((const char *)data, size);
    check(dt_size_parse, dt_size_format, text);
    check(dt_duration_parse, dt_duration_format, text);
    free(text);
    return 0;
}
