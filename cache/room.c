/*
 * cache/room.c - how many bytes are ours, who may have more, and who has to wait for them.
 *
 *   reserve -> COUNTED                                  fits
 *           -> WAITING -> COUNTED | refused             victims have to go first
 *           -> refused (DT_ENOSPACE)                    all that may go would not suffice
 *
 * Exact means: `used_bytes` covers every byte our files and objects may occupy, at every moment.
 * A byte is counted before the disk hears of it and until its file is closed after the unlink; so
 * the disk never holds more than the quota, also while a cache at its limit is being filled. A
 * writer that has to wait for room queues its bytes in memory meanwhile (high-water mark as ever).
 *
 * Requests are served in order: a large one is not starved by small ones. Any thread; callbacks are
 * made without the lock.
 */
#include "cache/cache_priv.h"

#include <sys/statvfs.h>

#include "base/units.h"

uint64_t cache_fs_free(const struct cache *cache)
{
    struct statvfs fs;
    if (fstatvfs(cache->dir_fd, &fs) < 0)
        return UINT64_MAX; /* the quota still holds; a file system without figures has no floor */
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

static uint64_t sat_add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t sat_sub(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static uint64_t shortfall(const struct room *room, uint64_t waiting, uint64_t fs_free)
{
    uint64_t wanted = sat_add(room->used_bytes - room->leaving_bytes, waiting);
    uint64_t by_quota = sat_sub(wanted, room->max_bytes);
    if (waiting == 0)
        return by_quota; /* others filled the disk: not our doing, and nobody needs room now */
    uint64_t needed = sat_add(sat_add(room->min_free_bytes, room->unallocated_bytes), waiting);
    uint64_t by_floor = sat_sub(needed, sat_add(fs_free, room->leaving_bytes));
    return by_quota > by_floor ? by_quota : by_floor;
}

uint64_t cache_room_shortfall_locked(const struct cache *cache, uint64_t fs_free)
{
    return shortfall(&cache->room, cache->room.waiting_bytes, fs_free);
}

static bool fits(const struct room *room, uint64_t bytes, uint64_t fs_free)
{
    if (bytes == 0)
        return true; /* an empty blob: no eviction would ever make room for less */
    uint64_t needed = sat_add(sat_add(room->min_free_bytes, room->unallocated_bytes), bytes);
    return sat_add(room->used_bytes, bytes) <= room->max_bytes && fs_free >= needed;
}

static void count_locked(struct room *room, const struct room_request *request)
{
    room->used_bytes += request->bytes;
    if (request->is_file)
        room->unallocated_bytes += request->bytes;
}

/* What could be evicted if it had to be: neither open nor pinned nor leaving already. */
static uint64_t evictable(const struct room *room, uint64_t pinned_bytes)
{
    uint64_t pinned_idle = sat_sub(pinned_bytes, room->pinned_held_bytes);
    return sat_sub(room->used_bytes, room->held_bytes + room->leaving_bytes + pinned_idle);
}

static int refuse(uint64_t bytes, uint64_t max_bytes, uint64_t fs_free, uint64_t min_free_bytes,
                  struct dt_err *err)
{
    char size[24], max[24], there[24], kept[24];
    return dt_err_set(
        err, DT_ENOSPACE,
        "no room for %s: cache-max %s, disk free %s, cache-min-free %s, what is cached "
        "is too little, pinned or in use",
        dt_size_format(size, bytes), dt_size_format(max, max_bytes), dt_size_format(there, fs_free),
        dt_size_format(kept, min_free_bytes));
}

int cache_room_reserve(struct cache *cache, struct room_request *request, struct dt_err *err)
{
    struct room *room = &cache->room;
    struct index_totals totals;
    index_totals_now(&totals, cache->index);
    uint64_t fs_free = cache_fs_free(cache);
    bool must_evict = false;
    request->next = NULL;
    pthread_mutex_lock(&cache->lock);
    uint64_t max_bytes = room->max_bytes, min_free_bytes = room->min_free_bytes;
    int rc = 1;
    if (room->first == NULL && fits(room, request->bytes, fs_free)) {
        count_locked(room, request);
        rc = 0;
    } else if (request->bytes > max_bytes ||
               shortfall(room, sat_add(room->waiting_bytes, request->bytes), fs_free) >
                   evictable(room, totals.pinned_bytes)) {
        rc = -DT_ENOSPACE;
    } else {
        *room->last = request;
        room->last = &request->next;
        room->waiting_bytes += request->bytes;
        must_evict = !room->is_evicting;
        room->is_evicting = true;
    }
    pthread_mutex_unlock(&cache->lock);
    if (must_evict)
        cache_evict_submit(cache);
    if (rc < 0)
        return refuse(request->bytes, max_bytes, fs_free, min_free_bytes, err);
    return rc;
}

static struct room_request *pop_locked(struct room *room)
{
    struct room_request *request = room->first;
    room->first = request->next;
    if (room->first == NULL)
        room->last = &room->first;
    room->waiting_bytes -= request->bytes;
    request->next = NULL;
    return request;
}

/* Moves decided requests out of the queue. True = eviction must be asked for. */
static bool pump_locked(struct room *room, uint64_t fs_free, struct room_request **granted,
                        struct room_request **refused)
{
    while (room->first != NULL) {
        if (fits(room, room->first->bytes, fs_free)) {
            *granted = pop_locked(room);
            count_locked(room, *granted);
            granted = &(*granted)->next;
        } else if (room->is_evicting || room->leaving_bytes > 0) {
            return false; /* will be pumped again when that is done */
        } else if (room->is_exhausted) {
            *refused = pop_locked(room);
            refused = &(*refused)->next;
        } else {
            room->is_evicting = true;
            return true;
        }
    }
    bool must_evict = !room->is_evicting && !room->is_exhausted && shortfall(room, 0, fs_free) > 0;
    room->is_exhausted = false;
    if (must_evict)
        room->is_evicting = true;
    return must_evict;
}

static void decide(struct room_request *request, const struct dt_err *err)
{
    while (request != NULL) {
        struct room_request *next = request->next;
        request->next = NULL;
        request->decided(request, err);
        request = next;
    }
}

void cache_room_pump(struct cache *cache)
{
    struct room_request *granted = NULL, *refused = NULL;
    uint64_t fs_free = cache_fs_free(cache);
    pthread_mutex_lock(&cache->lock);
    bool must_evict = pump_locked(&cache->room, fs_free, &granted, &refused);
    pthread_mutex_unlock(&cache->lock);
    if (must_evict)
        cache_evict_submit(cache);
    struct dt_err ok = {0}, full;
    (void)dt_err_set(&full, DT_ENOSPACE, "no room: what is left in the cache is pinned or in use");
    decide(granted, &ok);
    decide(refused, &full);
}

void cache_room_release(struct cache *cache, uint64_t bytes)
{
    pthread_mutex_lock(&cache->lock);
    DT_ASSERT(cache->room.used_bytes >= bytes);
    cache->room.used_bytes -= bytes;
    pthread_mutex_unlock(&cache->lock);
    cache_room_pump(cache);
}

void cache_room_left(struct cache *cache, uint64_t bytes)
{
    pthread_mutex_lock(&cache->lock);
    DT_ASSERT(cache->room.leaving_bytes >= bytes && cache->room.used_bytes >= bytes);
    cache->room.leaving_bytes -= bytes;
    cache->room.used_bytes -= bytes;
    pthread_mutex_unlock(&cache->lock);
    cache_room_pump(cache);
}

void cache_room_allocated(struct cache *cache, uint64_t bytes)
{
    pthread_mutex_lock(&cache->lock);
    DT_ASSERT(cache->room.unallocated_bytes >= bytes);
    cache->room.unallocated_bytes -= bytes;
    pthread_mutex_unlock(&cache->lock);
}

void cache_room_hold_locked(struct cache *cache, struct cache_blob *blob)
{
    DT_ASSERT(!blob->is_held);
    blob->is_held = true;
    cache->room.held_bytes += blob->size;
    if (blob->is_pinned)
        cache->room.pinned_held_bytes += blob->size;
}

void cache_room_unhold_locked(struct cache *cache, struct cache_blob *blob)
{
    if (!blob->is_held)
        return;
    blob->is_held = false;
    cache->room.held_bytes -= blob->size;
    if (blob->is_pinned)
        cache->room.pinned_held_bytes -= blob->size;
}

void cache_set_bounds(struct cache *cache, uint64_t max_bytes, uint64_t min_free_bytes)
{
    DT_ASSERT(max_bytes > 0);
    pthread_mutex_lock(&cache->lock);
    cache->room.max_bytes = max_bytes;
    cache->room.min_free_bytes = min_free_bytes;
    pthread_mutex_unlock(&cache->lock);
    if (cache->is_usable)
        cache_room_pump(cache);
}
