/*
 * cache/janitor.c - the thread for what is long and never urgent.
 *
 *   start -> sweep (after a crash) -> check what a rebuild found -> age out (daily) -> wait ...
 *                                                       scrub: when somebody asks
 *
 * One thread of its own and not the pool: a scrub sleeps to keep to its rate, and reads for hours.
 * It does its work in small steps and looks for `is_stopping` between them.
 */
#include "cache/cache_priv.h"

#include <time.h>

#include "base/mem.h"
#define LOG_COMPONENT "cache"
#include "base/log.h"

#define AGE_OUT_INTERVAL_S (24 * 3600)
#define URGENT_MAX         64 /* blobs somebody waits for; more are checked in their turn */
#define PAGE               256

struct cache_janitor {
    struct cache *cache;
    pthread_t thread;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    bool is_stopping, must_scrub, must_verify;
    unsigned wanted_run, current_run; /* a scrub goes on while they are the same */
    uint64_t rate_bytes;
    struct dt_digest urgent[URGENT_MAX];
    size_t n_urgent;
    struct cache_scrub_stats stats;
};

bool cache_janitor_is_stopping(struct cache_janitor *janitor)
{
    pthread_mutex_lock(&janitor->lock);
    bool is_stopping = janitor->is_stopping;
    pthread_mutex_unlock(&janitor->lock);
    return is_stopping;
}

void cache_janitor_stats(struct cache_scrub_stats *out, struct cache_janitor *janitor)
{
    pthread_mutex_lock(&janitor->lock);
    *out = janitor->stats;
    pthread_mutex_unlock(&janitor->lock);
}

void cache_janitor_verify_soon(struct cache_janitor *janitor, const struct dt_digest *digest)
{
    bool is_known = false;
    pthread_mutex_lock(&janitor->lock);
    for (size_t i = 0; i < janitor->n_urgent; i++)
        is_known = is_known || dt_digest_equal(&janitor->urgent[i], digest);
    if (!is_known && janitor->n_urgent < URGENT_MAX)
        janitor->urgent[janitor->n_urgent++] = *digest;
    janitor->must_verify = true;
    pthread_cond_signal(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
}

static bool urgent_take(struct cache_janitor *janitor, struct dt_digest *out)
{
    pthread_mutex_lock(&janitor->lock);
    bool is_any = janitor->n_urgent > 0 && !janitor->is_stopping;
    if (is_any) {
        *out = janitor->urgent[0];
        janitor->n_urgent--;
        memmove(janitor->urgent, janitor->urgent + 1, janitor->n_urgent * sizeof(*out));
    }
    pthread_mutex_unlock(&janitor->lock);
    return is_any;
}

static void verify_urgent(struct cache_janitor *janitor)
{
    struct dt_digest digest;
    while (urgent_take(janitor, &digest))
        (void)cache_scrub_one(janitor->cache, &digest, 0); /* it marks or removes by itself */
}

/* Calls what() for every sealed (or rebuilt, unchecked) file in digest order. */
static void each_blob(struct cache_janitor *janitor,
                      bool (*what)(struct cache_janitor *, const struct cache_entry *))
{
    struct cache_entry *page = NULL;
    struct dt_digest last;
    size_t n = 0;
    bool go_on = true;
    for (const struct dt_digest *after = NULL; go_on; after = &last) {
        if (cache_list(&page, &n, janitor->cache, NULL, after, PAGE, NULL) < 0)
            return;
        for (size_t i = 0; i < n && go_on; i++)
            go_on = page[i].is_object || what(janitor, &page[i]);
        go_on = go_on && n > 0 && !cache_janitor_is_stopping(janitor);
        if (n > 0)
            last = page[n - 1].digest;
        free(page);
    }
}

static bool verify_unchecked(struct cache_janitor *janitor, const struct cache_entry *entry)
{
    verify_urgent(janitor);
    if (entry->state == CACHE_PARTIAL && cache_needs_verify(janitor->cache, &entry->digest))
        (void)cache_scrub_one(janitor->cache, &entry->digest, 0);
    return !cache_janitor_is_stopping(janitor);
}

static bool scrub_goes_on(struct cache_janitor *janitor)
{
    pthread_mutex_lock(&janitor->lock);
    bool go_on = janitor->current_run == janitor->wanted_run && !janitor->is_stopping;
    pthread_mutex_unlock(&janitor->lock);
    return go_on;
}

static bool scrub_entry(struct cache_janitor *janitor, const struct cache_entry *entry)
{
    if (!scrub_goes_on(janitor))
        return false;
    if (entry->state != CACHE_SEALED)
        return true;
    pthread_mutex_lock(&janitor->lock);
    uint64_t rate_bytes = janitor->rate_bytes;
    pthread_mutex_unlock(&janitor->lock);
    bool is_good = cache_scrub_one(janitor->cache, &entry->digest, rate_bytes);
    pthread_mutex_lock(&janitor->lock);
    janitor->stats.n_checked++;
    janitor->stats.n_bad += !is_good;
    pthread_mutex_unlock(&janitor->lock);
    return scrub_goes_on(janitor);
}

static void scrub(struct cache_janitor *janitor)
{
    each_blob(janitor, scrub_entry);
    pthread_mutex_lock(&janitor->lock);
    if (janitor->current_run == janitor->wanted_run) { /* else stopped, and perhaps begun anew */
        janitor->stats.is_running = false;
        janitor->stats.finished_ms = dt_wall_ms();
    }
    struct cache_scrub_stats stats = janitor->stats;
    pthread_mutex_unlock(&janitor->lock);
    dt_log_info("scrub_done", "checked=%llu bad=%llu", (unsigned long long)stats.n_checked,
                (unsigned long long)stats.n_bad);
}

enum chore { CHORE_NONE, CHORE_STOP, CHORE_VERIFY, CHORE_SCRUB, CHORE_AGE };

static enum chore next_chore(struct cache_janitor *janitor)
{
    enum chore chore = CHORE_NONE;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += AGE_OUT_INTERVAL_S;
    pthread_mutex_lock(&janitor->lock);
    while (chore == CHORE_NONE) {
        if (janitor->is_stopping)
            chore = CHORE_STOP;
        else if (janitor->must_verify)
            chore = CHORE_VERIFY;
        else if (janitor->must_scrub)
            chore = CHORE_SCRUB;
        else if (pthread_cond_clockwait(&janitor->wake, &janitor->lock, CLOCK_MONOTONIC, &until) !=
                 0)
            chore = CHORE_AGE;
    }
    if (chore == CHORE_VERIFY)
        janitor->must_verify = false;
    if (chore == CHORE_SCRUB) {
        janitor->must_scrub = false;
        janitor->current_run = janitor->wanted_run;
    }
    pthread_mutex_unlock(&janitor->lock);
    return chore;
}

static void *janitor_main(void *arg)
{
    struct cache_janitor *janitor = arg;
    dt_log_thread_name("janitor");
    if (janitor->cache->must_sweep) {
        cache_sweep(janitor->cache);
        janitor->cache->must_sweep = cache_janitor_is_stopping(janitor); /* not to its end, maybe */
    }
    cache_age_out(janitor->cache, dt_wall_ms());
    for (enum chore chore; (chore = next_chore(janitor)) != CHORE_STOP;) {
        if (chore == CHORE_VERIFY) {
            verify_urgent(janitor);
            each_blob(janitor, verify_unchecked);
        } else if (chore == CHORE_SCRUB) {
            scrub(janitor);
        } else {
            cache_age_out(janitor->cache, dt_wall_ms());
        }
    }
    return NULL;
}

struct cache_janitor *cache_janitor_new(struct cache *cache)
{
    struct cache_janitor *janitor = dt_new(struct cache_janitor);
    janitor->cache = cache;
    janitor->must_verify = true;
    pthread_mutex_init(&janitor->lock, NULL);
    pthread_cond_init(&janitor->wake, NULL);
    return janitor;
}

void cache_janitor_start(struct cache_janitor *janitor)
{
    DT_ASSERT(pthread_create(&janitor->thread, NULL, janitor_main, janitor) == 0);
}

void cache_janitor_stop(struct cache_janitor **janitor_in)
{
    struct cache_janitor *janitor = *janitor_in;
    if (janitor == NULL)
        return;
    pthread_mutex_lock(&janitor->lock);
    janitor->is_stopping = true;
    pthread_cond_broadcast(&janitor->wake);
    pthread_mutex_unlock(&janitor->lock);
    pthread_join(janitor->thread, NULL);
    *janitor_in = NULL; /* only now: its thread reaches it through the cache */
    pthread_cond_destroy(&janitor->wake);
    pthread_mutex_destroy(&janitor->lock);
    free(janitor);
}

bool cache_janitor_pause(struct cache_janitor *janitor, uint64_t pause_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + pause_us * 1000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&janitor->lock);
    bool is_over = false;
    while (!janitor->is_stopping && janitor->current_run == janitor->wanted_run && !is_over)
        is_over =
            pthread_cond_clockwait(&janitor->wake, &janitor->lock, CLOCK_MONOTONIC, &until) != 0;
    bool go_on = !janitor->is_stopping && janitor->current_run == janitor->wanted_run;
    pthread_mutex_unlock(&janitor->lock);
    return go_on;
}

int cache_scrub_start(struct cache *cache, uint64_t rate_bytes, struct dt_err *err)
{
    int rc = cache_check_usable(cache, err);
    if (rc < 0)
        return rc;
    struct cache_janitor *janitor = cache->janitor;
    pthread_mutex_lock(&janitor->lock);
    bool is_running = janitor->stats.is_running;
    if (!is_running) {
        janitor->stats = (struct cache_scrub_stats){.n_checked = janitor->stats.n_checked,
                                                    .n_bad = janitor->stats.n_bad,
                                                    .started_ms = dt_wall_ms(),
                                                    .is_running = true};
        janitor->rate_bytes = rate_bytes;
        janitor->wanted_run++;
        janitor->must_scrub = true;
        pthread_cond_broadcast(&janitor->wake);
    }
    pthread_mutex_unlock(&janitor->lock);
    return is_running ? dt_err_set(err, DT_ECONFLICT, "a scrub is running already") : 0;
}

void cache_scrub_stop(struct cache *cache)
{
    if (!cache->is_usable)
        return;
    pthread_mutex_lock(&cache->janitor->lock);
    cache->janitor->stats.is_running = false;
    cache->janitor->must_scrub = false;
    cache->janitor->wanted_run++;
    pthread_cond_broadcast(&cache->janitor->wake);
    pthread_mutex_unlock(&cache->janitor->lock);
}
