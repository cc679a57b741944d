/*
 * transfer/upkeep.h - what a daemon's main does for its cache between start and end: scrubs it when
 * that is due.
 */
#ifndef DARTER_TRANSFER_UPKEEP_H
#define DARTER_TRANSFER_UPKEEP_H

#include "transfer/transfer.h"

/* Pure: when the next scrub is due, given when one was last begun (0 = never; then a full interval
 * after `started_ms`). UINT64_MAX = never. */
uint64_t transfer_scrub_due_ms(uint64_t last_ms, uint64_t started_ms, uint64_t interval_ms);

struct transfer_scrub {
    uint64_t interval_ms; /* 0 = never by itself */
    uint64_t rate_bytes;  /* per second; 0 = no limit */
    uint64_t started_ms;  /* of the daemon; wall clock */
};
/* Begins a scrub if one is due and remembers that across restarts. Returns milliseconds until it
 * has to be called again. */
uint64_t transfer_upkeep_scrub(struct transfer *, const struct transfer_scrub *,
                               uint64_t now_wall_ms);

#endif
