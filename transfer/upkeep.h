/*
 * transfer/upkeep.h - what a daemon's main does for its cache between start and end: scrubs it when
 * that is due.
 */
#ifndef DARTER_TRANSFER_UPKEEP_H
#define DARTER_TRANSFER_UPKEEP_H

#include <signal.h>

#include "transfer/process.h"

/* Pure: when the next scrub is due, given when one was last begun (0 = never; then a full interval
 * after `started_ms`). UINT64_MAX = never. */
uint64_t transfer_scrub_due_ms(uint64_t last_ms, uint64_t started_ms, uint64_t interval_ms);

/* Waits for one of `signals` and returns it. Whenever a scrub is due meanwhile it is begun, which
 * is remembered across restarts. `started_ms`: of the daemon, wall clock. */
int transfer_upkeep_wait(struct transfer *, const struct transfer_process_options *,
                         uint64_t started_ms, const sigset_t *signals);

#endif
