/*
 * cache/remove.c - taking one blob or object out: asked for, proved bad, or never finished.
 *
 *   asked -> (refused) | record gone, commit -> name gone -> last reader done: bytes gone
 *
 * Runs on the index writer's thread, in order with all other changes, so that what it sees in index
 * and table is how things are. Eviction has its own file (evict.c).
 */
#include "cache/cache_priv.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/mem.h"
#define LOG_COMPONENT "cache"
#include "base/log.h"

enum removal_kind {
    REMOVE_ASKED, /* not what is pinned or being written */
    REMOVE_BAD,   /* a sealed blob whose file is missing or wrong; pinned or not */
    REMOVE_LOST,  /* a partial one without its file, unless somebody has it in hand again */
};

struct removal {
    struct index_change change;
    struct cache *cache;
    struct dt_digest digest;
    enum removal_kind kind;
    struct cache_completion completion;
    struct index_entry entry;
    struct cache_blob *blob; /* a reference */
};

/* Stands in the table as LEAVING, so that nobody opens it; readers it has may finish. */
static int removal_mark(struct removal *removal, struct dt_err *err)
{
    struct cache *cache = removal->cache;
    int rc = 0;
    pthread_mutex_lock(&cache->lock);
    struct cache_blob *blob = cache_blob_find_locked(cache, &removal->digest);
    if (blob == NULL) {
        blob =
            cache_blob_add_locked(cache, &removal->digest, removal->entry.pub.size, BLOB_LEAVING);
        blob->counted_bytes = removal->entry.pub.size;
    } else if (blob->state == BLOB_SEALED && removal->kind != REMOVE_LOST) {
        cache_blob_ref_locked(blob);
        blob->state = BLOB_LEAVING;
    } else {
        rc = -DT_ECONFLICT;
    }
    pthread_mutex_unlock(&cache->lock);
    if (rc < 0)
        return dt_err_set(err, DT_ECONFLICT, "blob is being written or removed");
    removal->blob = blob;
    return 0;
}

static int removal_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct removal *removal = dt_container_of(change, struct removal, change);
    int rc = index_entry_get(&removal->entry, view, &removal->digest, err);
    if (rc < 0)
        return rc;
    if (removal->kind != REMOVE_BAD && removal->entry.pub.is_pinned)
        return dt_err_set(err, DT_ECONFLICT, "it is pinned: unpin it first");
    if ((removal->kind == REMOVE_BAD && removal->entry.pub.state != CACHE_SEALED) ||
        (removal->kind == REMOVE_LOST && removal->entry.pub.state != CACHE_PARTIAL))
        return dt_err_set(err, DT_ENOTFOUND, "it was replaced meanwhile");
    if (!removal->entry.pub.is_object && removal->blob == NULL)
        rc = removal_mark(removal, err);
    return rc < 0 ? rc : index_entry_remove(view, &removal->entry, err);
}

/* The bytes go with the last reader; with none, now, on the pool. */
static void blob_leave(struct cache *cache, struct cache_blob **blob)
{
    int fd = cache_layout_open_file(cache, &(*blob)->digest, false, O_RDONLY), none = -1;
    cache_layout_unlink(cache, &(*blob)->digest, false);
    cache_layout_unlink(cache, &(*blob)->digest, true);
    if (fd >= 0 && !atomic_compare_exchange_strong(&(*blob)->fd, &none, fd))
        dt_close(&fd);
    pthread_mutex_lock(&cache->lock);
    (*blob)->is_gone = true;
    cache_blob_detach_locked(cache, *blob);
    pthread_mutex_unlock(&cache->lock);
    cache_blob_unref(cache, blob);
}

/* Its commit failed: it stays. */
static void blob_stay(struct cache *cache, struct cache_blob **blob)
{
    pthread_mutex_lock(&cache->lock);
    (*blob)->state = BLOB_SEALED;
    if (atomic_load(&(*blob)->fd) < 0) /* never opened: it was put here as a mark */
        cache_blob_detach_locked(cache, *blob);
    pthread_mutex_unlock(&cache->lock);
    cache_blob_unref(cache, blob);
}

static void removal_after(struct index_change *change, const struct dt_err *err)
{
    struct removal *removal = dt_container_of(change, struct removal, change);
    struct cache *cache = removal->cache;
    if (removal->blob != NULL && err->code == 0)
        blob_leave(cache, &removal->blob);
    else if (removal->blob != NULL)
        blob_stay(cache, &removal->blob);
    else if (err->code == 0)
        cache_room_release(cache, removal->entry.pub.size); /* an object */
    cache_complete(removal->completion, err);
    free(removal);
    cache_background_end(cache);
}

static void removal_submit(struct cache *cache, const struct dt_digest *digest,
                           enum removal_kind kind, struct cache_completion completion)
{
    struct removal *removal = dt_new(struct removal);
    removal->change.apply = removal_apply;
    removal->change.after = removal_after;
    removal->cache = cache;
    removal->digest = *digest;
    removal->kind = kind;
    removal->completion = completion;
    cache_background_begin(cache);
    index_submit(cache->index, &removal->change);
}

void cache_remove(struct cache *cache, const struct dt_digest *digest,
                  struct cache_completion completion)
{
    struct dt_err err;
    if (cache_check_usable(cache, &err) < 0)
        cache_complete(completion, &err);
    else
        removal_submit(cache, digest, REMOVE_ASKED, completion);
}

void cache_remove_bad(struct cache *cache, const struct dt_digest *digest, const char *why)
{
    char name[13];
    dt_log_warn("blob_bad", "blob=%s reason=%s", dt_digest_short(name, digest), DT_LOG_Q(why));
    removal_submit(cache, digest, REMOVE_BAD, (struct cache_completion){0});
}

void cache_remove_lost(struct cache *cache, const struct dt_digest *digest,
                       struct cache_completion completion)
{
    removal_submit(cache, digest, REMOVE_LOST, completion);
}

/* ---- an unsealed blob whose writer failed or gave it up ---- */

struct discard {
    struct index_change change;
    struct cache *cache;
    struct cache_blob *blob; /* the writer's reference */
    struct cache_completion completion;
    struct dt_err result;
    bool had_record;
};

static int discard_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct discard *discard = dt_container_of(change, struct discard, change);
    struct index_entry entry;
    int rc = index_entry_get(&entry, view, &discard->blob->digest, err);
    discard->had_record = rc == 0;
    if (rc == -DT_ENOTFOUND)
        return 0;
    return rc < 0 ? rc : index_entry_remove(view, &entry, err);
}

static void discard_after(struct index_change *change, const struct dt_err *err)
{
    struct discard *discard = dt_container_of(change, struct discard, change);
    struct cache *cache = discard->cache;
    struct cache_blob *blob = discard->blob;
    cache_layout_unlink(cache, &blob->digest, true);
    /* Also the final name: its seal may have failed after the rename. */
    cache_layout_unlink(cache, &blob->digest, false);
    pthread_mutex_lock(&cache->lock);
    /* A record that could not be removed still counts its bytes; whoever removes it gives them
     * back. */
    blob->is_gone = err->code == 0 || !discard->had_record;
    cache_blob_detach_locked(cache, blob);
    pthread_mutex_unlock(&cache->lock);
    cache_blob_unref(cache, &blob);
    cache_complete(discard->completion, &discard->result);
    free(discard);
    cache_background_end(cache);
}

void cache_discard(struct cache *cache, struct cache_blob **blob,
                   struct cache_completion completion, const struct dt_err *result)
{
    struct discard *discard = dt_new(struct discard);
    discard->change.apply = discard_apply;
    discard->change.after = discard_after;
    discard->cache = cache;
    discard->blob = *blob;
    discard->completion = completion;
    if (result != NULL)
        discard->result = *result;
    *blob = NULL;
    cache_background_begin(cache);
    index_submit(cache->index, &discard->change);
}
