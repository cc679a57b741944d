/*
 * supernode/rate.c - how fast a link is, as far as transfers have shown. Pure.
 */
#include "supernode/rate.h"

#define RATE_RISE 0.5f         /* weight of a sample above the estimate */
#define RATE_FALL 0.125f       /* weight of one below: it may have been somebody else's fault */
#define RATE_MAX  100000000.0f /* bytes per ms, 800 Gbit/s: no clock is better than this */

void supernode_rate_add(struct supernode_rate *rate, uint64_t bytes, uint64_t took_ms,
                        uint32_t n_sharing)
{
    float sample = (float)bytes * (float)(n_sharing > 0 ? n_sharing : 1);
    sample /= (float)(took_ms > 0 ? took_ms : 1);
    if (sample > RATE_MAX)
        sample = RATE_MAX;
    if (rate->n_samples == 0)
        rate->bytes_per_ms = sample;
    else if (sample > rate->bytes_per_ms)
        rate->bytes_per_ms += (sample - rate->bytes_per_ms) * RATE_RISE;
    else
        rate->bytes_per_ms += (sample - rate->bytes_per_ms) * RATE_FALL;
    if (rate->n_samples < UINT32_MAX)
        rate->n_samples++;
}

bool supernode_rate_is_known(const struct supernode_rate *rate)
{
    return rate->n_samples >= SUPERNODE_RATE_SAMPLES_TRUSTED;
}
