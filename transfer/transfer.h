/*
 * transfer/transfer.h - how blobs come in: sources, tasks, repair. What both daemons share.
 *
 *   transfer_open -> tasks and questions -> transfer_tasks_abort -> transfer_close   (life.h)
 *
 * A node's proxy and a site's supernode fill their caches by the same code: one task per digest,
 * any number of sources, every byte verified. What differs is who asks and which sources there are.
 * The parts below are made by the daemon before its loops start and read-only afterwards; what
 * changes lives in the objects that are pointed to, each with its own rule (the cache: any thread;
 * a task: the loop its digest hashes to).
 */
#ifndef DARTER_TRANSFER_TRANSFER_H
#define DARTER_TRANSFER_TRANSFER_H

#include "base/bucket.h"
#include "base/fetch.h"
#include "base/loop.h"
#include "base/pool.h"
#include "cache/cache.h"
#include "registry-client/endpoint.h"

#define TRANSFER_STREAMS_MAX 8 /* of one blob at once, from registries */
#define TRANSFER_FETCHES_MAX 8 /* the same, of single pieces that a director ordered */

/* What a daemon's operator may set; rows of its table of options. */
struct transfer_options {
    uint64_t head_deadline_ms; /* 20s: to the response head, whatever happens (containerd: 30 s) */
    uint64_t stall_timeout_ms; /* 10s without a byte: the source is replaced */
    uint64_t min_rate_bytes;   /* 64KiB per second, over stall_timeout_ms: a slower source is
                                  replaced; 0 = never */
    unsigned streams_per_blob; /* 4: at most so many ranges at once */
    uint64_t segment_bytes;    /* 64MiB: larger blobs are asked for in ranges of this size */
};

struct transfer_director; /* transfer/director.h */
struct transfer_tasks;    /* transfer/task.c: one table per loop */
struct transfer_accounts; /* transfer/account.c: our own tokens, per loop and endpoint */

struct transfer {
    const struct transfer_options *options; /* borrowed from the daemon */
    struct dt_loops *loops;
    struct dt_pool *pool;
    struct dt_fetcher *fetcher;
    struct cache *cache;
    struct dt_bucket *down; /* what may come in per second; borrowed; NULL = no limit */
    const struct transfer_director *director; /* borrowed; NULL = registries only */
    struct transfer_tasks *tasks;
    struct transfer_accounts *accounts;
};

/* How long one source may think about a response head: a fifth of the deadline while another one
 * stands ready, all of it where there is nobody else. */
uint64_t transfer_patience_ms(const struct transfer_options *, bool has_other);
/* After how much silence the same source is asked again (transfer/hedge.h): a quarter of the
 * deadline where there is nobody else, 0 = never while another one stands ready. */
uint64_t transfer_again_ms(const struct transfer_options *, bool has_other);

#endif
