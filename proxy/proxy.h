/*
 * proxy/proxy.h - what the whole process shares, and who may touch it.
 *
 * Made by main.c before the loops start and read-only afterwards; what changes lives in the objects
 * that are pointed to, each with its own rule (the cache: any thread; a repository: the loop its
 * name hashes to; a task: the loop its digest hashes to). SIGHUP changes nothing here: what may be
 * reloaded is applied by main (proxy/upkeep.c), and every other option keeps its value.
 */
#ifndef DARTER_PROXY_PROXY_H
#define DARTER_PROXY_PROXY_H

#include "base/httpd.h"
#include "proxy/limits.h"
#include "proxy/options.h"
#include "transfer/transfer.h"

struct proxy_repositories; /* proxy/repository.c: one table per loop */
struct proxy_pings;        /* proxy/ping.c */
struct proxy_swarm;        /* proxy/swarm.c */

struct proxy {
    const struct proxy_options *options; /* borrowed from main */
    struct proxy_limits limits;          /* of the whole node */
    struct transfer transfer;            /* loops, pool, cache, tasks: what brings blobs in */
    struct reg_upstream *upstreams;      /* owned by main; health fields are atomics */
    size_t n_upstreams;
    size_t default_upstream; /* index */
    struct proxy_repositories *repositories;
    struct proxy_pings *pings;
    struct proxy_swarm *swarm; /* NULL: no cluster key */
    uint64_t started_ms;       /* wall clock */
    _Atomic bool is_draining;
};

#endif
