/*
 * cache/reader.c - one reader of one blob; contract in reader.h.
 *
 *   OPEN -> (WAITING -> WOKEN -> OPEN)* -> CLOSED [-> freed by the post on its way]
 *
 * A waiter stands in its blob's list until bytes at its offset arrive; then one message is posted
 * to its loop. A reader closed while that message travels stays behind as an empty shell, which the
 * message frees: so no call ever reaches a closed reader, and nothing has to be searched.
 */
#include "cache/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cache_priv.h"
#include "base/mem.h"

struct cache_reader {
    unsigned magic;
    struct cache *cache;     /* borrowed */
    struct cache_blob *blob; /* a reference */
    bool is_by_piece;        /* set before the first wait */

    /* The wait; under cache->lock. */
    bool is_waiting; /* in blob->waiters */
    bool is_posted;  /* a message is on its way to `loop` */
    bool is_closed;
    uint64_t wait_off;
    struct dt_loop *loop;
    dt_loop_f fn;
    void *arg;
    struct cache_reader *prev, *next;
};

static struct cache_reader *reader_new(struct cache *cache, struct cache_blob *blob)
{
    struct cache_reader *reader = dt_new(struct cache_reader);
    reader->magic = READER_MAGIC;
    reader->cache = cache;
    reader->blob = blob;
    return reader;
}

/* A blob that is open already: no disk. 1 = got it, 0 = look on the disk. */
static int open_from_table(struct cache_blob **out, struct cache *cache,
                           const struct dt_digest *digest, struct dt_err *err)
{
    char name[13];
    int rc = 0;
    pthread_mutex_lock(&cache->lock);
    struct cache_blob *blob = cache_blob_find_locked(cache, digest);
    if (blob != NULL && (blob->state == BLOB_CLOSING || blob->state == BLOB_LEAVING))
        rc = -DT_ENOTFOUND;
    else if (blob != NULL && blob->err.code != 0)
        rc = -DT_ENOTFOUND;
    else if (blob != NULL) {
        cache_blob_ref_locked(blob);
        *out = blob;
        rc = 1;
    }
    pthread_mutex_unlock(&cache->lock);
    if (rc < 0)
        return dt_err_set(err, DT_ENOTFOUND, "blob %s is leaving the cache",
                          dt_digest_short(name, digest));
    return rc;
}

static int lookup_sealed(struct index_entry *out, struct cache *cache,
                         const struct dt_digest *digest, struct dt_err *err)
{
    struct index_view view;
    char name[13];
    int rc = index_view_begin(&view, cache->index, err);
    if (rc < 0)
        return rc;
    rc = index_entry_get(out, &view, digest, err);
    index_view_end(&view);
    if (rc < 0)
        return rc;
    if (out->needs_verify) {
        cache_janitor_verify_soon(cache->janitor, digest);
        return dt_err_set(err, DT_ENOTFOUND, "blob %s is being checked after a rebuild",
                          dt_digest_short(name, digest));
    }
    if (out->pub.state != CACHE_SEALED || out->pub.is_object)
        return dt_err_set(err, DT_ENOTFOUND, "blob %s is not complete in the cache",
                          dt_digest_short(name, digest));
    return 0;
}

/* Takes a place in the table first, then asks the index again: from then on nobody evicts it, so
 * what the index says stays true. */
static int claim_sealed(struct cache_blob **out, struct cache *cache,
                        const struct dt_digest *digest, struct dt_err *err)
{
    struct index_entry entry;
    int rc = lookup_sealed(&entry, cache, digest, err);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&cache->lock);
    struct cache_blob *blob = cache_blob_find_locked(cache, digest);
    if (blob == NULL) {
        blob = cache_blob_add_locked(cache, digest, entry.pub.size, BLOB_SEALED);
        blob->counted_bytes = entry.pub.size;
        blob->is_pinned = entry.pub.is_pinned;
        atomic_store(&blob->is_verified, true);
        cache_room_hold_locked(cache, blob);
    } else if (blob->state == BLOB_SEALED) {
        cache_blob_ref_locked(blob);
    } else {
        blob = NULL; /* removed, or removed and begun again, between two lines of ours */
    }
    pthread_mutex_unlock(&cache->lock);
    if (blob == NULL)
        return dt_err_set(err, DT_ENOTFOUND, "blob is leaving the cache");
    rc = lookup_sealed(&entry, cache, digest, err);
    if (rc < 0)
        cache_blob_unref(cache, &blob);
    *out = blob;
    return rc;
}

static int open_file(struct cache *cache, struct cache_blob *blob, struct dt_err *err)
{
    char name[13];
    struct stat stat;
    if (atomic_load(&blob->fd) >= 0)
        return 0;
    int fd = cache_layout_open_file(cache, &blob->digest, false, O_RDONLY);
    if (fd < 0 && errno != ENOENT)
        return cache_errno(cache, err, errno, "open", &blob->digest);
    if (fd < 0 || fstat(fd, &stat) < 0 || (uint64_t)stat.st_size != blob->size) {
        dt_close(&fd);
        cache_remove_bad(cache, &blob->digest, "file missing or of the wrong size");
        return dt_err_set(err, DT_ENOTFOUND, "file of blob %s is missing or of the wrong size",
                          dt_digest_short(name, &blob->digest));
    }
    int none = -1;
    if (!atomic_compare_exchange_strong(&blob->fd, &none, fd))
        dt_close(&fd); /* another reader was first */
    return 0;
}

int cache_reader_open(struct cache_reader **out, struct cache *cache,
                      const struct dt_digest *digest, struct dt_err *err)
{
    struct cache_blob *blob = NULL;
    *out = NULL;
    if (!cache->is_usable)
        return dt_err_set(err, DT_ENOTFOUND, "%s", cache->reason);
    int rc = open_from_table(&blob, cache, digest, err);
    if (rc == 0)
        rc = claim_sealed(&blob, cache, digest, err);
    if (rc >= 0 && atomic_load(&blob->is_verified))
        rc = open_file(cache, blob, err);
    if (rc < 0) {
        cache_blob_unref(cache, &blob);
        return rc;
    }
    index_touch(cache->index, digest);
    *out = reader_new(cache, blob);
    return 0;
}

uint64_t cache_reader_size(const struct cache_reader *reader)
{
    return reader->blob->size;
}

bool cache_reader_is_sealed(const struct cache_reader *reader)
{
    return atomic_load(&reader->blob->is_verified);
}

bool cache_reader_is_unproved(const struct cache_reader *reader)
{
    return atomic_load(&reader->blob->is_unproved) && !cache_reader_is_sealed(reader);
}

void cache_reader_by_piece(struct cache_reader *reader)
{
    DT_ASSERT(reader->magic == READER_MAGIC && !reader->is_waiting && !reader->is_posted);
    reader->is_by_piece = true;
}

int cache_reader_fd(const struct cache_reader *reader)
{
    return atomic_load(&reader->blob->fd);
}

int64_t cache_reader_available(struct cache_reader *reader, uint64_t off, struct dt_err *err)
{
    struct cache_blob *blob = reader->blob;
    DT_ASSERT(reader->magic == READER_MAGIC);
    if (atomic_load(&blob->is_verified)) /* nothing of a verified blob changes: no lock */
        return off < blob->size ? (int64_t)(blob->size - off) : 0;
    struct dt_err failed = {0};
    uint64_t len = 0;
    pthread_mutex_lock(&reader->cache->lock);
    if (blob->err.code != 0)
        failed = blob->err;
    else
        len = cache_blob_available_locked(blob, off, reader->is_by_piece);
    pthread_mutex_unlock(&reader->cache->lock);
    if (failed.code == 0)
        return (int64_t)len;
    if (err != NULL)
        *err = failed;
    return -failed.code;
}

uint64_t cache_reader_landed(struct cache_reader *reader, uint64_t off)
{
    struct cache_blob *blob = reader->blob;
    DT_ASSERT(reader->magic == READER_MAGIC);
    pthread_mutex_lock(&reader->cache->lock);
    uint64_t len = cache_pieces_available(&blob->landed, off);
    pthread_mutex_unlock(&reader->cache->lock);
    return len;
}

/* ---- waiting ---- */

static void waiter_unlink(struct cache_reader *reader)
{
    if (reader->prev != NULL)
        reader->prev->next = reader->next;
    else
        reader->blob->waiters = reader->next;
    if (reader->next != NULL)
        reader->next->prev = reader->prev;
    reader->prev = reader->next = NULL;
    reader->is_waiting = false;
}

static void waiter_link(struct cache_reader *reader)
{
    reader->prev = NULL;
    reader->next = reader->blob->waiters;
    if (reader->next != NULL)
        reader->next->prev = reader;
    reader->blob->waiters = reader;
    reader->is_waiting = true;
}

static void waiter_called(void *arg)
{
    struct cache_reader *reader = arg;
    struct cache *cache = reader->cache;
    DT_ASSERT(reader->magic == READER_MAGIC);
    pthread_mutex_lock(&cache->lock);
    reader->is_posted = false;
    bool is_closed = reader->is_closed;
    if (reader->is_waiting)
        waiter_unlink(reader); /* waited again meanwhile: this call serves it */
    dt_loop_f fn = reader->fn;
    reader->fn = NULL;
    void *fn_arg = reader->arg;
    pthread_mutex_unlock(&cache->lock);
    if (is_closed) {
        reader->magic = 0;
        free(reader);
    } else if (fn != NULL) {
        fn(fn_arg);
    }
}

static bool is_worth_waking(const struct cache_reader *reader)
{
    const struct cache_blob *blob = reader->blob;
    return blob->err.code != 0 || atomic_load(&blob->is_verified) ||
           cache_blob_available_locked(blob, reader->wait_off, reader->is_by_piece) > 0;
}

void cache_reader_wake_locked(struct cache_blob *blob)
{
    for (struct cache_reader *reader = blob->waiters, *next; reader != NULL; reader = next) {
        next = reader->next;
        if (!is_worth_waking(reader))
            continue;
        waiter_unlink(reader);
        if (!reader->is_posted) {
            reader->is_posted = true;
            dt_loop_post(reader->loop, waiter_called, reader);
        }
    }
}

void cache_reader_wait(struct cache_reader *reader, uint64_t off, struct dt_loop *loop,
                       dt_loop_f fn, void *arg)
{
    DT_ASSERT(reader->magic == READER_MAGIC && fn != NULL && loop != NULL);
    pthread_mutex_lock(&reader->cache->lock);
    DT_ASSERT(!reader->is_posted || reader->loop == loop); /* a reader belongs to one loop */
    if (reader->is_waiting)
        waiter_unlink(reader);
    reader->wait_off = off;
    reader->loop = loop;
    reader->fn = fn;
    reader->arg = arg;
    if (!reader->is_posted) {
        if (is_worth_waking(reader)) {
            reader->is_posted = true;
            dt_loop_post(loop, waiter_called, reader);
        } else {
            waiter_link(reader);
        }
    }
    pthread_mutex_unlock(&reader->cache->lock);
}

void cache_reader_close(struct cache_reader **reader_in)
{
    struct cache_reader *reader = *reader_in;
    *reader_in = NULL;
    if (reader == NULL)
        return;
    DT_ASSERT(reader->magic == READER_MAGIC);
    struct cache *cache = reader->cache;
    pthread_mutex_lock(&cache->lock);
    if (reader->is_waiting)
        waiter_unlink(reader);
    struct cache_blob *blob = reader->blob;
    reader->blob = NULL;
    reader->is_closed = true;
    bool is_posted = reader->is_posted;
    pthread_mutex_unlock(&cache->lock);
    if (!is_posted) {
        reader->magic = 0;
        free(reader);
    }
    cache_blob_unref(cache, &blob);
}
