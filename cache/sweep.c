/*
 * cache/sweep.c - what a crash left behind, and what nobody wants any more; the janitor's thread.
 *
 *   a file the index does not know      -> unlinked (killed between file and record)
 *   a PARTIAL record without part file  -> removed (killed between rename and record)
 *   a tag or link unused for a month    -> removed: both are bounded by use
 *
 * Writers and readers are at work meanwhile: a name is touched only while it stands in the table as
 * LEAVING, and the index is asked again after that. Files go first: a record is removed later, on
 * the index writer's thread, and would be refused while its name stands there because of its file.
 */
#include "cache/cache_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cache/record_priv.h"
#include "base/mem.h"
#define LOG_COMPONENT "cache"
#include "base/log.h"

#define AGE_MAX_MS (30 * 24 * 3600 * 1000ULL)
#define AGE_BATCH  512
#define PAGE       256

struct sweep {
    struct cache *cache;
    uint64_t n_files, n_records;
};

static bool is_wanted(struct cache *cache, const struct dt_digest *digest, bool is_part)
{
    struct index_view view;
    struct index_entry entry;
    if (index_view_begin(&view, cache->index, NULL) < 0)
        return true;
    int rc = index_entry_get(&entry, &view, digest, NULL);
    index_view_end(&view);
    if (rc < 0)
        return rc != -DT_ENOTFOUND; /* unreadable: better keep it */
    return !entry.pub.is_object && is_part == (entry.pub.state == CACHE_PARTIAL);
}

static struct cache_blob *mark_leaving(struct cache *cache, const struct dt_digest *digest)
{
    struct cache_blob *blob = NULL;
    pthread_mutex_lock(&cache->lock);
    if (cache_blob_find_locked(cache, digest) == NULL)
        blob = cache_blob_add_locked(cache, digest, 0, BLOB_LEAVING);
    pthread_mutex_unlock(&cache->lock);
    return blob;
}

static void unmark(struct cache *cache, struct cache_blob **blob)
{
    pthread_mutex_lock(&cache->lock);
    cache_blob_detach_locked(cache, *blob);
    pthread_mutex_unlock(&cache->lock);
    cache_blob_unref(cache, blob);
}

static bool sweep_file(void *arg, const struct dt_digest *digest, bool is_part)
{
    struct sweep *sweep = arg;
    struct cache *cache = sweep->cache;
    if (!is_wanted(cache, digest, is_part)) {
        struct cache_blob *blob = mark_leaving(cache, digest);
        if (blob != NULL && !is_wanted(cache, digest, is_part)) {
            cache_layout_unlink(cache, digest, is_part);
            sweep->n_files++;
        }
        if (blob != NULL)
            unmark(cache, &blob);
    }
    return !cache_janitor_is_stopping(cache->janitor);
}

static void sweep_record(struct sweep *sweep, const struct cache_entry *entry)
{
    char path[CACHE_PATH_MAX];
    struct cache *cache = sweep->cache;
    if (entry->is_object || cache_needs_verify(cache, &entry->digest))
        return;
    cache_layout_path(path, &entry->digest, true);
    if (faccessat(cache->dir_fd, path, F_OK, 0) == 0 || errno != ENOENT)
        return;
    cache_remove_lost(cache, &entry->digest, (struct cache_completion){0});
    sweep->n_records++;
}

static void sweep_records(struct sweep *sweep)
{
    const struct cache_filter partial = {.state = CACHE_PARTIAL, .pinned = -1};
    struct cache_entry *page = NULL;
    struct dt_digest last;
    size_t n = 1;
    for (const struct dt_digest *after = NULL; n > 0; after = &last) {
        if (cache_list(&page, &n, sweep->cache, &partial, after, PAGE, NULL) < 0)
            return;
        for (size_t i = 0; i < n; i++)
            sweep_record(sweep, &page[i]);
        if (n > 0)
            last = page[n - 1].digest;
        free(page);
        if (cache_janitor_is_stopping(sweep->cache->janitor))
            return;
    }
}

void cache_sweep(struct cache *cache)
{
    struct sweep sweep = {.cache = cache};
    cache_layout_each(cache, sweep_file, &sweep);
    sweep_records(&sweep);
    if (sweep.n_files + sweep.n_records > 0)
        dt_log_info("swept", "files=%llu records=%llu what=%s", (unsigned long long)sweep.n_files,
                    (unsigned long long)sweep.n_records, DT_LOG_Q("left behind by a crash"));
}

/* ---- ageing ---- */

/* Tags and links carry the time that counts as their second field. */
static bool is_aged(struct index_slice value, uint64_t now_ms)
{
    struct record_in in;
    record_in_init(&in, value.data, value.len);
    (void)record_get_u8(&in);
    uint64_t then_ms = record_get_u64(&in);
    return in.is_bad || (now_ms > then_ms && now_ms - then_ms > AGE_MAX_MS);
}

/* Collects aged keys from `from` on; true when there may be more, *from moved on. */
static bool collect_aged(struct cache *cache, enum index_db db, struct index_key *from,
                         uint64_t now_ms, struct cache_fact *facts, size_t *n)
{
    struct index_view view;
    struct index_cursor cursor;
    struct index_slice key, value;
    if (index_view_begin(&view, cache->index, NULL) < 0)
        return false;
    int rc = index_cursor_open(&cursor, &view, db, NULL);
    if (rc == 0)
        rc = index_cursor_seek(&cursor, index_key_slice(from), &key, &value, NULL);
    for (size_t seen = 0; rc == 0 && seen < AGE_BATCH; seen++) {
        DT_ASSERT(key.len <= sizeof(from->bytes));
        memcpy(from->bytes, key.data, key.len);
        from->len = key.len;
        if (is_aged(value, now_ms))
            facts[(*n)++] = (struct cache_fact){.db = db, .key = *from};
        rc = index_cursor_next(&cursor, &key, &value, NULL);
    }
    if (rc == 0) { /* the next one, so that the last is not seen twice */
        memcpy(from->bytes, key.data, key.len);
        from->len = key.len;
    }
    index_cursor_close(&cursor);
    index_view_end(&view);
    return rc == 0;
}

static void age_out(struct cache *cache, enum index_db db, uint64_t now_ms)
{
    struct index_key from = {.len = 0};
    bool is_more = true;
    while (is_more && !cache_janitor_is_stopping(cache->janitor)) {
        size_t n = 0;
        struct cache_fact *facts = dt_new_array(struct cache_fact, AGE_BATCH);
        is_more = collect_aged(cache, db, &from, now_ms, facts, &n);
        if (n > 0)
            cache_facts_put(cache, &facts, n, (struct cache_completion){0});
        free(facts);
    }
}

void cache_age_out(struct cache *cache, uint64_t now_ms)
{
    age_out(cache, INDEX_TAGS, now_ms);
    age_out(cache, INDEX_LINKS, now_ms);
}
