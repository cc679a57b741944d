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

#include "base/fetch.h"
#include "base/httpd.h"
#include "base/loop.h"
#include "base/pool.h"
#include "cache/cache.h"
#include "proxy/options.h"
#include "registry-client/endpoint.h"

struct proxy_repositories; /* proxy/repository.c: one table per loop */
struct proxy_tasks;        /* proxy/task.c: one table per loop */
struct proxy_pings;        /* proxy/ping.c */
struct proxy_accounts;     /* proxy/account.c: our own tokens, per loop and endpoint */

struct proxy {
    const struct proxy_options *options; /* borrowed from main */
    struct dt_loops *loops;
    struct dt_pool *pool;
    struct dt_fetcher *fetcher;
    struct cache *cache;
    struct reg_upstream *upstreams; /* owned by main; health fields are atomics */
    size_t n_upstreams;
    size_t default_upstream; /* index */
    struct proxy_repositories *repositories;
    struct proxy_tasks *tasks;
    struct proxy_pings *pings;
    struct proxy_accounts *accounts;
    uint64_t started_ms; /* wall clock */
    _Atomic bool is_draining;
};

#endif
