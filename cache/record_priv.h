/*
 * cache/record_priv.h - bytes as they lie in the index: little-endian, length-prefixed, versioned.
 *
 * Writing appends to a `struct dt_text`; reading walks a slice and remembers the first thing that
 * did not fit in `is_bad`, so that a decoder reads all fields and asks once. A record written by a
 * damaged disk can be refused but never read beyond its end. Pure.
 */
#ifndef DARTER_CACHE_RECORD_PRIV_H
#define DARTER_CACHE_RECORD_PRIV_H

#include <stdint.h>

#include "base/text.h"

struct record_in {
    const uint8_t *at, *end;
    bool is_bad;
};

void record_put_u8(struct dt_text *, uint8_t value);
void record_put_u32(struct dt_text *, uint32_t value);
void record_put_u64(struct dt_text *, uint64_t value);
/* u32 length and the bytes. */
void record_put_string(struct dt_text *, const char *text);

void record_in_init(struct record_in *, const void *bytes, size_t len);
uint8_t record_get_u8(struct record_in *);
uint32_t record_get_u32(struct record_in *);
uint64_t record_get_u64(struct record_in *);
const uint8_t *record_get_bytes(struct record_in *, size_t len); /* borrowed; NULL = bad */
/* Copies into a fixed field; too long = bad. */
void record_get_string(struct record_in *, char *out, size_t out_size);
/* True when it equals `text`; compares without copying. */
bool record_get_equals(struct record_in *, const char *text);

#endif
