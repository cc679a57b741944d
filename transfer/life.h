/*
 * transfer/life.h - the parts of a struct transfer, made and ended in the order that is safe.
 *
 *   transfer_open -> transfer_tasks_new, what is the daemon's own -> dt_loops_start -> ...
 *     -> transfer_tasks_abort -> transfer_stop -> the own, transfer_tasks_free -> transfer_close
 *
 * All from main.
 */
#ifndef DARTER_TRANSFER_LIFE_H
#define DARTER_TRANSFER_LIFE_H

#include "transfer/process.h"

/* Loops (not running yet), pool, fetcher, cache, accounts. What was made before a failure stays:
 * transfer_close() ends it. */
int transfer_open(struct transfer *, const struct transfer_process_options *, struct dt_err *err);
/* Stops the loops when the cache has brought to an end what tasks left. */
void transfer_stop(struct transfer *);
/* After that. Harmless on what was never made. */
void transfer_close(struct transfer *);

/* Legal, and useless: a cache that may take nothing. Says so in the log. */
void transfer_warn_of_no_room(const struct transfer *);

#endif
