/*
 * transfer/hedge.h - one request that is asked again while its server says nothing.
 *
 *   ASKED -> (silence) -> asked again beside it, at most HEDGE_TRIES_MAX in all -> HEAD -> DONE
 *                                                                   any -> cancelled
 *
 * For the last source there is: where another one stands ready, that one is asked instead. Each try
 * goes out on a connection of its own, as the old one may be what is broken; the first response
 * head counts, the other tries are dropped. So a server that swallows a request, or a connection
 * that died without a word, costs a part of the deadline and not the answer. All on the calling
 * loop.
 */
#ifndef DARTER_TRANSFER_HEDGE_H
#define DARTER_TRANSFER_HEDGE_H

#include "base/fetch.h"

#define HEDGE_TRIES_MAX 3

struct transfer_hedge;

/* As dt_fetch_start(), with the same promises. `again_after_ms` of silence: once more; 0 = never.
 * The deadlines in `opts` count from here, for all tries. opts->ca_file must outlive the hedge. */
int transfer_hedge_start(struct transfer_hedge **out, const struct dt_fetch_opts *opts,
                         uint64_t again_after_ms, const struct dt_fetch_ops *, void *arg,
                         struct dt_err *err);
void transfer_hedge_resume(struct transfer_hedge *);
void transfer_hedge_cancel(struct transfer_hedge **); /* as dt_fetch_cancel() */
/* For dt_fetch_header(): the try whose head came; NULL before. Until on_done returns. */
struct dt_fetch *transfer_hedge_fetch(struct transfer_hedge *);

#endif
