/*
 * cache/usage.c - the figures of the whole: room now, totals as committed, counts since start.
 */
#include "cache/cache_priv.h"

#include "base/text.h"

void cache_usage(struct cache_usage *out, struct cache *cache)
{
    *out = (struct cache_usage){.is_usable = cache->is_usable};
    out->hits = atomic_load(&cache->hits);
    out->misses = atomic_load(&cache->misses);
    out->evictions = atomic_load(&cache->evictions);
    out->evicted_bytes = atomic_load(&cache->evicted_bytes);
    pthread_mutex_lock(&cache->lock);
    out->max_bytes = cache->room.max_bytes;
    out->min_free_bytes = cache->room.min_free_bytes;
    out->used_bytes = cache->room.used_bytes;
    pthread_mutex_unlock(&cache->lock);
    if (!cache->is_usable) {
        (void)dt_text_print(out->reason, sizeof(out->reason), "%s", cache->reason);
        return;
    }
    out->free_bytes = cache_fs_free(cache);
    out->is_full = cache_is_full(cache);
    if (out->is_full)
        (void)dt_text_print(out->reason, sizeof(out->reason),
                            "the disk is full: make space or lower the quota; reads go on");
    struct index_totals totals;
    index_totals_now(&totals, cache->index);
    out->pinned_bytes = totals.pinned_bytes;
    out->n_sealed = totals.n_sealed;
    out->n_partial = totals.n_partial;
    out->n_objects = totals.n_objects;
    out->n_tags = totals.n_tags;
    out->n_links = totals.n_links;
    struct cache_scrub_stats scrub;
    cache_janitor_stats(&scrub, cache->janitor);
    out->scrub_checked = scrub.n_checked;
    out->scrub_bad = scrub.n_bad;
    out->scrub_started_ms = scrub.started_ms;
    out->scrub_finished_ms = scrub.finished_ms;
    out->is_scrubbing = scrub.is_running;
}

void cache_count_hit(struct cache *cache)
{
    atomic_fetch_add(&cache->hits, 1);
}

void cache_count_miss(struct cache *cache)
{
    atomic_fetch_add(&cache->misses, 1);
}
