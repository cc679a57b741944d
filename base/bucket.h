/*
 * base/bucket.h - a rate limit that all loops share: a token bucket, changed while it runs.
 *
 *   take what is there -> 0: wait dt_bucket_wait_ms() -> take again
 *
 * Bytes flow in at `rate` per second, and at most a tenth of a second's worth is kept: so over any
 * second the sum is within 10 % of the limit (below 40 KiB/s a whole helping of DT_BUCKET_MIN_TAKE
 * is kept, or none could ever be had). A rate of 0 is no limit. Any thread: two atomics, no
 * lock. Time is an argument (microseconds, never going back; dt_mono_us()).
 */
#ifndef DARTER_BASE_BUCKET_H
#define DARTER_BASE_BUCKET_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define DT_BUCKET_MIN_TAKE 4096u /* smaller helpings cost more than they are worth */

struct dt_bucket {
    _Atomic uint64_t rate;    /* bytes per second; 0 = no limit */
    _Atomic uint64_t paid_ns; /* everything up to this moment is spent (GCRA's arrival time) */
};

void dt_bucket_init(struct dt_bucket *, uint64_t rate, uint64_t now_us);
/* From now on; what was spent stays spent. */
void dt_bucket_set(struct dt_bucket *, uint64_t rate, uint64_t now_us);
/* Takes up to `wanted` bytes; returns how many may go now. 0 = none: wait. */
size_t dt_bucket_take(struct dt_bucket *, size_t wanted, uint64_t now_us);
/* Gives back what was taken and not used. */
void dt_bucket_give_back(struct dt_bucket *, size_t bytes);
/* Milliseconds until a helping of DT_BUCKET_MIN_TAKE can be had; at least 1. */
uint64_t dt_bucket_wait_ms(const struct dt_bucket *, uint64_t now_us);

#endif
