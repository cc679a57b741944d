/*
 * cache/entry.c - looking at what the cache holds, and pinning it.
 *
 * The index says what is durable, the table what is going on right now: an entry is shown as the
 * two together. Any thread; the caller gets copies.
 */
#include "cache/cache_priv.h"

#include <string.h>

#include "base/mem.h"

/* What readers could have: a rebuilt entry is not whole before it was checked. */
static void entry_present(struct cache_entry *out, const struct index_entry *entry)
{
    *out = entry->pub;
    if (entry->needs_verify)
        out->state = CACHE_PARTIAL;
}

/* Overlays what the table knows; true when the blob is open or being written. */
static bool entry_overlay(struct cache_entry *entry, struct cache *cache, bool is_in_index)
{
    pthread_mutex_lock(&cache->lock);
    const struct cache_blob *blob = cache_blob_find_locked(cache, &entry->digest);
    bool is_shown = blob != NULL && blob->state != BLOB_LEAVING;
    if (is_shown && !is_in_index) {
        entry->state = CACHE_PARTIAL;
        entry->size = blob->size;
        entry->piece_size = blob->landed.piece_size;
        entry->n_pieces = blob->landed.n;
    }
    if (is_shown && atomic_load(&blob->is_verified) && entry->state != CACHE_SEALED) {
        entry->state = CACHE_SEALED;
        entry->present_bytes = entry->size;
        entry->n_present_pieces = entry->n_pieces;
    }
    pthread_mutex_unlock(&cache->lock);
    return is_shown;
}

int cache_stat(struct cache_entry *out, struct cache *cache, const struct dt_digest *digest,
               struct dt_err *err)
{
    struct index_view view;
    struct index_entry entry;
    if (!cache->is_usable)
        return dt_err_set(err, DT_ENOTFOUND, "%s", cache->reason);
    int rc = index_view_begin(&view, cache->index, err);
    if (rc < 0)
        return rc;
    rc = index_entry_get(&entry, &view, digest, err);
    index_view_end(&view);
    *out = (struct cache_entry){.digest = *digest};
    if (rc == 0)
        entry_present(out, &entry);
    if (rc < 0 && rc != -DT_ENOTFOUND)
        return rc;
    bool is_open = entry_overlay(out, cache, rc == 0);
    if (rc < 0 && !is_open)
        return rc;
    out->hits += index_touches_pending(cache->index, digest);
    return 0;
}

bool cache_needs_verify(struct cache *cache, const struct dt_digest *digest)
{
    struct index_view view;
    struct index_entry entry;
    if (index_view_begin(&view, cache->index, NULL) < 0)
        return false;
    int rc = index_entry_get(&entry, &view, digest, NULL);
    index_view_end(&view);
    return rc == 0 && entry.needs_verify;
}

/* ---- listing ---- */

static bool matches_link(struct index_view *view, const struct dt_digest *digest,
                         const struct cache_filter *filter)
{
    struct index_cursor cursor;
    struct index_key prefix, exact;
    struct index_slice key, value;
    if (filter->upstream == NULL)
        return true;
    if (filter->repository != NULL) {
        index_key_link(&exact, digest, filter->upstream, filter->repository);
        return index_get(view, INDEX_LINKS, index_key_slice(&exact), &value, NULL) == 0;
    }
    index_key_digest(&prefix, digest);
    if (index_cursor_open(&cursor, view, INDEX_LINKS, NULL) < 0)
        return false;
    int rc = index_cursor_seek(&cursor, index_key_slice(&prefix), &key, &value, NULL);
    bool is_match = false;
    while (rc == 0 && !is_match && key.len >= prefix.len &&
           memcmp(key.data, prefix.bytes, prefix.len) == 0) {
        is_match = cache_link_has_upstream(value, filter->upstream);
        rc = index_cursor_next(&cursor, &key, &value, NULL);
    }
    index_cursor_close(&cursor);
    return is_match;
}

static bool matches(struct index_view *view, const struct cache_entry *entry,
                    const struct cache_filter *filter)
{
    if (filter == NULL)
        return true;
    if (filter->state >= 0 && filter->state != (int)entry->state)
        return false;
    if (filter->pinned >= 0 && filter->pinned != (int)entry->is_pinned)
        return false;
    return matches_link(view, &entry->digest, filter);
}

static int list_page(struct cache_entry *page, size_t *n, struct index_view *view,
                     const struct cache_filter *filter, const struct dt_digest *after, size_t limit)
{
    struct index_cursor cursor;
    struct index_key start = {.len = 0};
    struct index_slice key, value;
    if (after != NULL)
        index_key_digest(&start, after);
    int rc = index_cursor_open(&cursor, view, INDEX_ENTRIES, NULL);
    if (rc < 0)
        return rc;
    rc = index_cursor_seek(&cursor, index_key_slice(&start), &key, &value, NULL);
    while (rc == 0 && *n < limit) {
        struct index_entry entry;
        struct dt_digest digest;
        bool is_entry = index_key_to_digest(&digest, key) &&
                        (after == NULL || !dt_digest_equal(&digest, after)) &&
                        index_entry_decode(&entry, &digest, value);
        if (is_entry) {
            entry_present(&page[*n], &entry);
            *n += matches(view, &page[*n], filter);
        }
        rc = index_cursor_next(&cursor, &key, &value, NULL);
    }
    index_cursor_close(&cursor);
    return rc == -DT_ENOTFOUND ? 0 : rc;
}

int cache_list(struct cache_entry **out, size_t *n, struct cache *cache,
               const struct cache_filter *filter, const struct dt_digest *after, size_t limit,
               struct dt_err *err)
{
    struct index_view view;
    *n = 0;
    *out = NULL;
    if (!cache->is_usable)
        return 0;
    if (limit > CACHE_LIST_MAX)
        limit = CACHE_LIST_MAX;
    int rc = index_view_begin(&view, cache->index, err);
    if (rc < 0)
        return rc;
    struct cache_entry *page = dt_new_array(struct cache_entry, limit + 1);
    rc = list_page(page, n, &view, filter, after, limit);
    index_view_end(&view);
    if (rc < 0) {
        free(page);
        *n = 0;
        return dt_err_set(err, DT_EIO, "the index cannot be listed");
    }
    *out = page;
    return 0;
}

/* ---- piece map ---- */

static char *map_of_open(struct cache *cache, const struct dt_digest *digest)
{
    char *map = NULL;
    pthread_mutex_lock(&cache->lock);
    const struct cache_blob *blob = cache_blob_find_locked(cache, digest);
    if (blob != NULL && blob->landed.n > 0) {
        map = dt_calloc(blob->landed.n + 1, 1);
        for (uint32_t piece = 0; piece < blob->landed.n; piece++)
            map[piece] = cache_pieces_is_complete(&blob->landed, piece) ? '1' : '0';
    }
    pthread_mutex_unlock(&cache->lock);
    return map;
}

int cache_piece_map(char **out, struct cache *cache, const struct dt_digest *digest,
                    struct dt_err *err)
{
    struct cache_entry entry;
    struct index_view view;
    struct index_pieces pieces = {0};
    int rc = cache_stat(&entry, cache, digest, err);
    *out = NULL;
    if (rc < 0)
        return rc;
    *out = entry.state == CACHE_PARTIAL ? map_of_open(cache, digest) : NULL;
    if (*out != NULL)
        return 0;
    char *map = dt_calloc((size_t)entry.n_pieces + 1, 1);
    memset(map, entry.state == CACHE_SEALED ? '1' : '0', entry.n_pieces);
    *out = map;
    if (entry.state == CACHE_SEALED || index_view_begin(&view, cache->index, NULL) < 0)
        return 0;
    if (index_pieces_get(&pieces, &view, digest, NULL) == 0)
        for (uint32_t piece = 0; piece < pieces.n && piece < entry.n_pieces; piece++)
            map[piece] = pieces.is_present[piece] ? '1' : '0';
    index_view_end(&view);
    index_pieces_fini(&pieces);
    return 0;
}

/* ---- pins ---- */

struct pin {
    struct index_change change;
    struct cache *cache;
    struct dt_digest digest;
    bool is_pinned;
    struct cache_completion completion;
};

static int pin_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct pin *pin = dt_container_of(change, struct pin, change);
    struct index_entry entry;
    int rc = index_entry_get(&entry, view, &pin->digest, err);
    if (rc < 0)
        return rc;
    entry.pub.is_pinned = pin->is_pinned;
    return index_entry_put(view, &entry, err);
}

static void pin_after(struct index_change *change, const struct dt_err *err)
{
    struct pin *pin = dt_container_of(change, struct pin, change);
    struct cache *cache = pin->cache;
    pthread_mutex_lock(&cache->lock);
    struct cache_blob *blob = cache_blob_find_locked(cache, &pin->digest);
    if (err->code == 0 && blob != NULL && blob->is_pinned != pin->is_pinned) {
        blob->is_pinned = pin->is_pinned;
        if (blob->is_held && pin->is_pinned)
            cache->room.pinned_held_bytes += blob->size;
        else if (blob->is_held)
            cache->room.pinned_held_bytes -= blob->size;
    }
    pthread_mutex_unlock(&cache->lock);
    cache_complete(pin->completion, err);
    free(pin);
    cache_background_end(cache);
}

void cache_pin(struct cache *cache, const struct dt_digest *digest, bool pinned,
               struct cache_completion completion)
{
    struct dt_err err;
    if (cache_check_usable(cache, &err) < 0) {
        cache_complete(completion, &err);
        return;
    }
    struct pin *pin = dt_new(struct pin);
    pin->change.apply = pin_apply;
    pin->change.after = pin_after;
    pin->cache = cache;
    pin->digest = *digest;
    pin->is_pinned = pinned;
    pin->completion = completion;
    cache_background_begin(cache);
    index_submit(cache->index, &pin->change);
}
