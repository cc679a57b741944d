/*
 * supernode/rate.h - how fast a link is, as far as transfers have shown. Pure; a value type.
 *
 * One transfer shows a lower bound only: the other end, or a third one, may have been the narrow
 * place. So the estimate follows higher samples quickly and lower ones slowly. It is advice for
 * sharing work, never a reason to shut somebody out: a receiver may report what it likes.
 */
#ifndef DARTER_SUPERNODE_RATE_H
#define DARTER_SUPERNODE_RATE_H

#include <stdbool.h>
#include <stdint.h>

#define SUPERNODE_RATE_SAMPLES_TRUSTED 3

struct supernode_rate {
    float bytes_per_ms;
    uint32_t n_samples;
};

/* `bytes` took `took_ms` while `n_sharing` transfers shared the link. */
void supernode_rate_add(struct supernode_rate *, uint64_t bytes, uint64_t took_ms,
                        uint32_t n_sharing);
bool supernode_rate_is_known(const struct supernode_rate *);

#endif
