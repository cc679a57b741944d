/*
 * cache/blob.c - one open blob, shared by its writer and its readers, and the table of them.
 *
 *   WRITING -> SEALING -> SEALED -> (last reader closes) gone from the table
 *   WRITING -> CLOSING -> gone             anything at rest -> LEAVING -> gone
 *
 * The table says who may do what with a digest right now; the index says what is on disk. A blob
 * lives as long as somebody holds a reference; one that was removed meanwhile is detached: nobody
 * finds it, its readers finish, and its room is given back when the last of them is done.
 *
 * A new state: BLOB_STATES in cache_priv.h, and every switch on `state`.
 */
#include "cache/cache_priv.h"

#include <unistd.h>

#include "base/mem.h"

struct cache_blob *cache_blob_find_locked(struct cache *cache, const struct dt_digest *digest)
{
    struct cache_blob *blob = NULL;
    HASH_FIND(hh, cache->blobs, digest, sizeof(*digest), blob);
    return blob;
}

struct cache_blob *cache_blob_add_locked(struct cache *cache, const struct dt_digest *digest,
                                         uint64_t size, enum blob_state state)
{
    struct cache_blob *blob = dt_new(struct cache_blob);
    blob->magic = BLOB_MAGIC;
    blob->digest = *digest;
    blob->size = size;
    atomic_store(&blob->fd, -1);
    blob->state = state;
    blob->n_refs = 1;
    blob->is_in_table = true;
    HASH_ADD(hh, cache->blobs, digest, sizeof(blob->digest), blob);
    return blob;
}

void cache_blob_ref_locked(struct cache_blob *blob)
{
    DT_ASSERT(blob->magic == BLOB_MAGIC && blob->n_refs > 0);
    blob->n_refs++;
}

void cache_blob_detach_locked(struct cache *cache, struct cache_blob *blob)
{
    if (!blob->is_in_table)
        return;
    HASH_DEL(cache->blobs, blob);
    blob->is_in_table = false;
}

static void blob_free(struct cache_blob *blob)
{
    int fd = atomic_load(&blob->fd);
    dt_close(&fd);
    cache_pieces_fini(&blob->landed);
    blob->magic = 0;
    free(blob);
}

struct blob_goodbye {
    struct dt_job job;
    struct cache *cache;
    struct cache_blob *blob; /* owned */
};

static void goodbye_run(struct dt_job *job)
{
    struct blob_goodbye *goodbye = dt_container_of(job, struct blob_goodbye, job);
    struct cache *cache = goodbye->cache;
    uint64_t bytes = goodbye->blob->counted_bytes;
    blob_free(goodbye->blob);
    free(goodbye);
    cache_room_release(cache, bytes);
    cache_background_end(cache);
}

void cache_blob_unref(struct cache *cache, struct cache_blob **blob_in)
{
    struct cache_blob *blob = *blob_in;
    *blob_in = NULL;
    if (blob == NULL)
        return;
    pthread_mutex_lock(&cache->lock);
    DT_ASSERT(blob->magic == BLOB_MAGIC && blob->n_refs > 0);
    bool is_last = --blob->n_refs == 0;
    if (is_last) {
        DT_ASSERT(blob->waiters == NULL);
        cache_blob_detach_locked(cache, blob);
        cache_room_unhold_locked(cache, blob);
    }
    pthread_mutex_unlock(&cache->lock);
    if (!is_last)
        return;
    if (!blob->is_gone) {
        blob_free(blob);
        return;
    }
    /* The last close of an unlinked file frees its blocks and its cached pages: gigabytes of them
     * take the kernel a second that a loop does not have. */
    struct blob_goodbye *goodbye = dt_new(struct blob_goodbye);
    goodbye->job.run = goodbye_run;
    goodbye->cache = cache;
    goodbye->blob = blob;
    cache_background_begin(cache);
    dt_pool_submit(cache->pool, &goodbye->job);
}

uint64_t cache_blob_available_locked(const struct cache_blob *blob, uint64_t off, bool by_piece)
{
    if (off >= blob->size)
        return 0;
    if (atomic_load(&blob->is_verified))
        return blob->size - off;
    uint64_t len = cache_pieces_available(&blob->landed, off);
    return !by_piece && len == blob->size - off ? len - 1 : len;
}

void cache_blob_landed(struct cache *cache, struct cache_blob *blob, uint64_t off, uint64_t len)
{
    pthread_mutex_lock(&cache->lock);
    (void)cache_pieces_add(&blob->landed, off, len);
    cache_reader_wake_locked(blob);
    pthread_mutex_unlock(&cache->lock);
}

void cache_blob_verified(struct cache *cache, struct cache_blob *blob)
{
    pthread_mutex_lock(&cache->lock);
    atomic_store(&blob->is_verified, true);
    blob->state = BLOB_SEALING;
    cache_reader_wake_locked(blob);
    pthread_mutex_unlock(&cache->lock);
}

void cache_blob_fail(struct cache *cache, struct cache_blob *blob, const struct dt_err *err)
{
    DT_ASSERT(err->code != 0);
    pthread_mutex_lock(&cache->lock);
    if (blob->err.code == 0)
        blob->err = *err;
    cache_reader_wake_locked(blob);
    pthread_mutex_unlock(&cache->lock);
}
