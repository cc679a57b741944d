/*
 * proxy/limits.h - how many bytes per second this node may send to nodes and take from anybody.
 *
 *   init -> (set_own | set_told)*          the lowest holds; 0 = no limit
 *
 * Set by the operator (options, SIGHUP) and by supernodes; everything that moves bytes takes from
 * the two buckets. What clients of this node read is never limited. A supernode's word falls to a
 * floor, never to nothing: a byte a second would stop pulls that its registry could serve. Any
 * thread.
 */
#ifndef DARTER_PROXY_LIMITS_H
#define DARTER_PROXY_LIMITS_H

#include "base/bucket.h"

struct proxy_limits {
    struct dt_bucket up, down;
    _Atomic uint64_t own_up, own_down, told_up, told_down; /* bytes per second */
};

/* Pure: a limit as a supernode told it -> the one that counts. Bytes per second; 0 = no limit. */
uint64_t proxy_limits_floor(uint64_t told);

void proxy_limits_init(struct proxy_limits *, uint64_t own_up, uint64_t own_down);
void proxy_limits_set_own(struct proxy_limits *, uint64_t up, uint64_t down);
void proxy_limits_set_told(struct proxy_limits *, uint64_t up, uint64_t down); /* by supernodes */

#endif
