/*
 * base/units.h - sizes, durations and addresses as people write them. Pure; any thread.
 */
#ifndef DARTER_BASE_UNITS_H
#define DARTER_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* "512", "64KiB", "1.5GiB", "20GB", "10%" is not a size. Errors: DT_EINVAL. */
int dt_size_parse(uint64_t *out_bytes, const char *text, struct dt_err *err);
/* "1.5 GiB"; returns out. */
char *dt_size_format(char out[24], uint64_t bytes);
/* "250ms", "30s", "5m", "12h", "7d"; a bare number is refused: which unit would it be? */
int dt_duration_parse(uint64_t *out_ms, const char *text, struct dt_err *err);
char *dt_duration_format(char out[24], uint64_t ms);

/* RFC 3339 in UTC with milliseconds: "2026-11-22T20:05:01.123Z". */
char *dt_time_format(char out[32], uint64_t unix_ms);

#endif
