/*
 * cache/evict.c - choosing who leaves when room is needed, on the index writer's thread.
 *
 *   room asks -> choose by last use (ORDER) -> out of the index, commit -> unlink -> room
 *
 * Never chosen: what is pinned (not in ORDER), and what is in the table (open, being written, being
 * put away). A victim stands in the table as LEAVING until its name is free, so that nobody opens
 * what is about to vanish. Index first, file second: a crash in between leaves a file nobody knows,
 * which the sweep removes, and never a record without bytes.
 */
#include "cache/cache_priv.h"

#include <string.h>

#include "base/mem.h"

#define EVICT_FILES_MAX   256 /* per commit: descriptors of a departure; the pump asks again */
#define EVICT_OBJECTS_MAX 4096

struct victim {
    struct index_entry entry;
    struct cache_blob *blob; /* a file's place in the table; NULL = object */
};

struct evict_change {
    struct index_change change;
    struct cache *cache;
    struct victim *victims; /* owned */
    size_t n, capacity, n_files;
    bool is_short; /* the order ran out before the need did */
};

static void victims_unmark(struct evict_change *evict)
{
    struct cache *cache = evict->cache;
    for (size_t i = 0; i < evict->n; i++) {
        struct victim *victim = &evict->victims[i];
        pthread_mutex_lock(&cache->lock);
        cache->room.leaving_bytes -= victim->entry.pub.size;
        if (victim->blob != NULL)
            cache_blob_detach_locked(cache, victim->blob);
        pthread_mutex_unlock(&cache->lock);
        cache_blob_unref(cache, &victim->blob);
    }
    evict->n = evict->n_files = 0;
}

/* Returns how much is still needed after taking this one (or not taking it). */
static uint64_t victim_take(struct evict_change *evict, const struct index_entry *entry,
                            uint64_t fs_free)
{
    struct cache *cache = evict->cache;
    struct victim victim = {.entry = *entry};
    pthread_mutex_lock(&cache->lock);
    bool is_free = cache_blob_find_locked(cache, &entry->pub.digest) == NULL;
    if (is_free && !entry->pub.is_object)
        victim.blob =
            cache_blob_add_locked(cache, &entry->pub.digest, entry->pub.size, BLOB_LEAVING);
    if (is_free)
        cache->room.leaving_bytes += entry->pub.size;
    uint64_t still_needed = cache_room_shortfall_locked(cache, fs_free);
    pthread_mutex_unlock(&cache->lock);
    if (!is_free)
        return still_needed;
    if (evict->n == evict->capacity) {
        evict->capacity = evict->capacity * 2 + 16;
        evict->victims = dt_realloc(evict->victims, evict->capacity * sizeof(*evict->victims));
    }
    evict->victims[evict->n++] = victim;
    evict->n_files += victim.blob != NULL;
    return still_needed;
}

static int victims_choose(struct evict_change *evict, struct index_view *view, struct dt_err *err)
{
    struct index_cursor cursor;
    struct index_slice key, value, start = {"", 0};
    struct cache *cache = evict->cache;
    uint64_t fs_free = cache_fs_free(cache);
    pthread_mutex_lock(&cache->lock);
    uint64_t needed = cache_room_shortfall_locked(cache, fs_free);
    pthread_mutex_unlock(&cache->lock);
    evict->is_short = false;
    int rc = index_cursor_open(&cursor, view, INDEX_ORDER, err);
    if (rc < 0)
        return rc;
    rc = index_cursor_seek(&cursor, start, &key, &value, err);
    while (rc == 0 && needed > 0 && evict->n_files < EVICT_FILES_MAX &&
           evict->n < EVICT_OBJECTS_MAX) {
        struct index_entry entry;
        struct dt_digest digest;
        struct index_slice digest_key = {(const uint8_t *)key.data + 8, key.len - 8};
        if (key.len > 8 && index_key_to_digest(&digest, digest_key) &&
            index_entry_get(&entry, view, &digest, err) == 0)
            needed = victim_take(evict, &entry, fs_free);
        rc = index_cursor_next(&cursor, &key, &value, err);
    }
    index_cursor_close(&cursor);
    evict->is_short = rc == -DT_ENOTFOUND && needed > 0;
    return rc == -DT_ENOTFOUND ? 0 : rc;
}

static int evict_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct evict_change *evict = dt_container_of(change, struct evict_change, change);
    victims_unmark(evict); /* from an attempt whose commit failed */
    int rc = victims_choose(evict, view, err);
    for (size_t i = 0; rc == 0 && i < evict->n; i++)
        rc = index_entry_remove(view, &evict->victims[i].entry, err);
    return rc == -DT_ENOTFOUND ? dt_err_set(err, DT_EIO, "index: entry vanished") : rc;
}

static void victims_unlink(struct evict_change *evict)
{
    struct cache *cache = evict->cache;
    struct departure *departure = cache_departure_new(cache);
    for (size_t i = 0; i < evict->n; i++) {
        struct victim *victim = &evict->victims[i];
        const struct cache_entry *entry = &victim->entry.pub;
        atomic_fetch_add(&cache->evictions, 1);
        atomic_fetch_add(&cache->evicted_bytes, entry->size);
        if (victim->blob == NULL) {
            cache_departure_add_bytes(departure, entry->size);
            continue;
        }
        bool is_part = entry->state != CACHE_SEALED;
        cache_departure_unlink(departure, &entry->digest, is_part, entry->size);
        pthread_mutex_lock(&cache->lock);
        cache_blob_detach_locked(cache, victim->blob);
        pthread_mutex_unlock(&cache->lock);
        cache_blob_unref(cache, &victim->blob);
    }
    cache_departure_start(&departure);
}

/* The disk is so full that even the index cannot say goodbye. Files first, then: their records
 * are found without bytes and go when there is room to write that down. */
static void victims_unlink_unrecorded(struct evict_change *evict)
{
    for (size_t i = 0; i < evict->n; i++) {
        const struct victim *victim = &evict->victims[i];
        if (victim->blob != NULL)
            cache_layout_unlink(evict->cache, &victim->entry.pub.digest,
                                victim->entry.pub.state != CACHE_SEALED);
    }
}

static void evict_after(struct index_change *change, const struct dt_err *err)
{
    struct evict_change *evict = dt_container_of(change, struct evict_change, change);
    struct cache *cache = evict->cache;
    bool is_done = err->code == 0 && evict->n > 0;
    if (err->code == DT_ENOSPACE) {
        victims_unlink_unrecorded(evict);
        cache_note_full(cache);
    }
    if (is_done)
        victims_unlink(evict);
    else
        victims_unmark(evict);
    pthread_mutex_lock(&cache->lock);
    cache->room.is_evicting = false;
    cache->room.is_exhausted = err->code != 0 || evict->is_short;
    pthread_mutex_unlock(&cache->lock);
    cache_room_pump(cache);
    free(evict->victims);
    free(evict);
    cache_background_end(cache);
}

void cache_evict_submit(struct cache *cache)
{
    struct evict_change *evict = dt_new(struct evict_change);
    evict->change.apply = evict_apply;
    evict->change.after = evict_after;
    evict->change.wants_touches = true;
    evict->cache = cache;
    cache_background_begin(cache);
    index_submit(cache->index, &evict->change);
}
