/*
 * A proxy without its listeners, two scripted registries as its upstream.
 */
#ifndef DARTER_TESTS_UNIT_PROXY_LAB_H
#define DARTER_TESTS_UNIT_PROXY_LAB_H

#include <ftw.h>
#include <semaphore.h>
#include <time.h>

#include "transfer/account.h"
#include "proxy/repository.h"
#include "tests/unit/proxy_origin.h"

#define LAB_DEADLINE_S 20

struct lab {
    struct proxy_options options;
    struct reg_upstream upstream;
    struct proxy proxy;
    struct origin origin, standby;
    bool has_standby;
    char dir[64];
};

static inline void lab_open(struct lab *lab, unsigned n_loops)
{
    struct dt_err err = {0};
    char url[64];

    lab->upstream.name = dt_strdup("lab");
    lab->upstream.n_endpoints = lab->has_standby ? 2 : 1;
    lab->upstream.endpoints = dt_new_array(struct reg_endpoint, 2);
    for (unsigned i = 0; i < lab->upstream.n_endpoints; i++) {
        (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d",
                       i == 0 ? lab->origin.port : lab->standby.port);
        DT_ASSERT(reg_endpoint_init(&lab->upstream.endpoints[i], url, i, &err) == 0);
    }
    lab->proxy = (struct proxy){.options = &lab->options,
                                .transfer = {.options = &lab->options.transfer},
                                .upstreams = &lab->upstream,
                                .n_upstreams = 1};
    DT_ASSERT(dt_loops_new(&lab->proxy.transfer.loops, n_loops, &err) == 0);
    DT_ASSERT(dt_pool_new(&lab->proxy.transfer.pool, 2, &err) == 0);
    DT_ASSERT(dt_fetcher_new(&lab->proxy.transfer.fetcher, lab->proxy.transfer.loops,
                             &(struct dt_fetcher_opts){.user_agent = "test"}, &err) == 0);
    DT_ASSERT(cache_open(&lab->proxy.transfer.cache,
                         &(struct cache_opts){.dir = lab->dir,
                                              .max_bytes = 100 * MIB,
                                              .pool = lab->proxy.transfer.pool,
                                              .flush_interval_ms = 20},
                         &err) == 0);
    transfer_accounts_new(&lab->proxy.transfer);
    proxy_repositories_new(&lab->proxy);
}

/* The loops are started apart: a test may still change options and upstream. */
static inline void lab_run(struct lab *lab)
{
    struct dt_err err = {0};
    DT_ASSERT(dt_loops_start(lab->proxy.transfer.loops, &err) == 0);
}

static inline void lab_on_flushed(void *arg, const struct dt_err *err)
{
    (void)err;
    sem_post(arg);
}

static inline void lab_on_round(void *arg)
{
    (void)arg;
}

/* Waits until the cache has told every loop what became of its writes, and the loops have heard. */
static inline void lab_settle(struct lab *lab)
{
    struct cache_tag tag = {.digest = {.algo = DT_SHA256}};
    sem_t done;

    sem_init(&done, 0, 0);
    cache_tag_put(lab->proxy.transfer.cache, "lab", "settle", "x", &tag,
                  (struct cache_completion){.done = lab_on_flushed,
                                            .arg = &done,
                                            .loop = dt_loops_at(lab->proxy.transfer.loops, 0)});
    sem_wait(&done);
    sem_destroy(&done);
    for (unsigned i = 0; i < dt_loops_count(lab->proxy.transfer.loops); i++)
        dt_loop_call(dt_loops_at(lab->proxy.transfer.loops, i), lab_on_round, NULL);
}

/* As main does it: what lives on loops goes when they stand still. */
static inline void lab_close_stopped(struct lab *lab)
{
    proxy_repositories_free(&lab->proxy);
    transfer_accounts_free(&lab->proxy.transfer);
    cache_close(&lab->proxy.transfer.cache);
    dt_fetcher_free(&lab->proxy.transfer.fetcher);
    dt_pool_free(&lab->proxy.transfer.pool);
    dt_loops_free(&lab->proxy.transfer.loops);
    reg_upstream_fini(&lab->upstream);
    memset(&lab->upstream, 0, sizeof(lab->upstream));
}

static inline void lab_close(struct lab *lab)
{
    lab_settle(lab);
    dt_loops_stop(lab->proxy.transfer.loops);
    lab_close_stopped(lab);
}

static inline struct lab *lab_new(void)
{
    struct lab *lab = dt_new(struct lab);

    (void)snprintf(lab->dir, sizeof(lab->dir), "/tmp/darter-test-XXXXXX");
    DT_ASSERT(mkdtemp(lab->dir) != NULL);
    origin_start(&lab->origin);
    origin_start(&lab->standby);
    lab->options.tag_fresh_ms = 60000;
    lab->options.tag_stale_ms = 3600000;
    lab->options.tag_budget_ms = 3000;
    lab->options.grant_ttl_ms = 60000;
    lab->options.grant_grace_ms = 3600000;
    lab->options.transfer.head_deadline_ms = 15000;
    return lab;
}

static inline int lab_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static inline void lab_free(struct lab *lab)
{
    origin_stop(&lab->origin);
    origin_stop(&lab->standby);
    (void)nftw(lab->dir, lab_remove, 16, FTW_DEPTH | FTW_PHYS); /* what stays is /tmp's */
    free(lab);
}

#endif
