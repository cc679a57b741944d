/*
 * cache/store.c - a writer's bytes: to the file, and into the index.
 *
 *   write: pwrite, readers see it, CRC; the digester takes the buffer when it is next in line
 *   flush: complete pieces -> fdatasync (sync pool) -> index: these pieces, with their CRC-32C
 *   seal:  digest right -> readers may complete -> fdatasync -> rename -> fsync dir -> index
 *   keep:  flush what is complete, then let go; nothing complete, or the disk failed while others
 *          read: discard
 *
 * The order is the promise: the index never names bytes that a power cut could take away
 * (docs/internals/cache.md has the table of crash points).
 */
#include "cache/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#define LOG_COMPONENT "cache"
#include "base/log.h"

#define STORE_CHUNK (1024 * 1024u) /* read back at once */

void store_init(struct store *store, struct cache *cache, struct cache_blob *blob,
                uint32_t piece_size)
{
    *store = (struct store){.cache = cache, .blob = blob, .piece_size = piece_size, .fd = -1};
    store->n_pieces = blob->landed.n;
    store->crc = dt_new_array(uint32_t, store->n_pieces + 1); /* + 1: an empty blob has none */
    store->is_committed = dt_new_array(bool, store->n_pieces + 1);
}

void store_fini(struct store *store)
{
    dt_free(&store->crc);
    dt_free(&store->is_committed);
    dt_free(&store->scratch);
    index_pieces_fini(&store->resume);
}

void store_fail(struct store *store, const struct dt_err *err)
{
    if (store->err.code != 0)
        return;
    store->err = *err;
    cache_blob_fail(store->cache, store->blob, err);
}

static void fail_errno(struct store *store, int saved_errno, const char *what)
{
    struct dt_err err;
    (void)cache_errno(store->cache, &err, saved_errno, what, &store->blob->digest);
    store_fail(store, &err);
}

static bool store_is_dead(struct store *store)
{
    int sync_errno = atomic_load(&store->blob->sync_errno);
    if (sync_errno != 0)
        fail_errno(store, sync_errno, "sync");
    return store->err.code != 0 || atomic_load(&store->is_cancelled);
}

/* ---- start ---- */

static int allocate(int fd, uint64_t size)
{
    if (size == 0)
        return 0;
    int rc;
    do
        rc = fallocate(fd, 0, 0, (off_t)size);
    while (rc < 0 && errno == EINTR);
    if (rc < 0 && errno == EOPNOTSUPP) /* a file system without: the size at least */
        rc = ftruncate(fd, (off_t)size);
    return rc;
}

void store_start(struct store *store)
{
    struct cache_blob *blob = store->blob;
    if (!store_is_dead(store)) {
        int flags = O_RDWR | O_CREAT | (store->is_resumed ? 0 : O_TRUNC);
        store->fd = cache_layout_open_file(store->cache, &blob->digest, true, flags);
        if (store->fd < 0)
            fail_errno(store, errno, "create");
        else if (allocate(store->fd, blob->size) < 0)
            fail_errno(store, errno, "allocate");
        atomic_store(&blob->fd, store->fd); /* from here on the blob closes it */
    }
    if (store->is_reserved)
        cache_room_allocated(store->cache, blob->size);
}

/* ---- write ---- */

static int write_all(int fd, const uint8_t *bytes, size_t len, uint64_t off)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, bytes, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes += n;
        off += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static void add_crc(struct store *store, uint64_t off, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        uint32_t piece = (uint32_t)(off / store->piece_size);
        uint64_t here = (uint64_t)(piece + 1) * store->piece_size - off;
        if (here > len)
            here = len;
        store->crc[piece] = dt_crc32c(store->crc[piece], bytes, here);
        bytes += here;
        off += here;
        len -= here;
    }
}

void store_write(struct store *store, uint64_t off, const void *bytes, size_t len)
{
    if (store_is_dead(store))
        return;
    if (write_all(store->fd, bytes, len, off) < 0) {
        fail_errno(store, errno, "write");
        return;
    }
    /* Readers first: they are waiting, and the last byte is withheld until the digest is known. */
    cache_blob_landed(store->cache, store->blob, off, len);
    add_crc(store, off, bytes, len);
    store->dirty_bytes += len;
    if (store->dirty_bytes >= store->cache->flush_bytes)
        store_flush(store);
}

/* ---- promises of an earlier run ---- */

static ssize_t read_back(struct store *store, size_t len, uint64_t off)
{
    ssize_t n;
    if (store->scratch == NULL)
        store->scratch = dt_calloc(1, STORE_CHUNK);
    do
        n = pread(store->fd, store->scratch, len < STORE_CHUNK ? len : STORE_CHUNK, (off_t)off);
    while (n < 0 && errno == EINTR);
    if (n == 0)
        errno = EIO; /* the file was cut under us */
    if (n <= 0)
        fail_errno(store, errno, "read back");
    return n;
}

static bool has_promises(const struct store *store)
{
    return store->resume.n_present > 0;
}

/* Checks the next promised piece; readers see it only when it is what the index says it is. */
static int64_t check_promise(struct store *store)
{
    const struct cache_pieces *landed = &store->blob->landed;
    while (!store->resume.is_present[store->resume_at])
        store->resume_at++;
    uint32_t piece = store->resume_at++, crc = 0;
    store->resume.n_present--;
    uint64_t start = cache_pieces_start(landed, piece), len = cache_pieces_len(landed, piece);
    for (uint64_t done = 0; done < len;) {
        uint64_t left = len - done;
        ssize_t n = read_back(store, left < STORE_CHUNK ? (size_t)left : STORE_CHUNK, start + done);
        if (n <= 0)
            return -1;
        crc = dt_crc32c(crc, store->scratch, (size_t)n);
        done += (uint64_t)n;
    }
    if (crc != store->resume.crc[piece]) {
        char name[13];
        dt_log_warn("piece_bad", "blob=%s piece=%u what=%s",
                    dt_digest_short(name, &store->blob->digest), piece,
                    DT_LOG_Q("committed piece does not match its checksum; fetched again"));
        return piece;
    }
    store->crc[piece] = crc;
    store->is_committed[piece] = true;
    cache_blob_landed(store->cache, store->blob, start, len);
    return -1;
}

bool store_has_work(const struct store *store)
{
    return store->err.code == 0 && store->fd >= 0 && has_promises(store);
}

int64_t store_work(struct store *store)
{
    return store_is_dead(store) || !has_promises(store) ? -1 : check_promise(store);
}

void store_settle(struct store *store)
{
    while (has_promises(store) && !store_is_dead(store))
        (void)check_promise(store); /* a bad one leaves a gap, which the digester will notice */
}

/* Only the strand changes `landed`, so it may look without the lock. */
uint64_t store_advance(struct store *store)
{
    store->front_bytes += cache_pieces_available(&store->blob->landed, store->front_bytes);
    return store->front_bytes;
}

/* ---- flush: complete pieces become durable, then known ---- */

struct flush {
    struct dt_job job;          /* sync pool: fdatasync */
    struct index_change change; /* then: the index */
    struct cache *cache;
    struct cache_blob *blob;    /* a reference; when is_last, the writer's own */
    struct index_pieces pieces; /* owned; is_present = to be added */
    bool is_first;              /* of a writer that did not resume: forget older promises */
    bool is_last;               /* the writer left: let go of the blob afterwards */
    bool must_discard;          /* ... and of its file */
};

static void flush_merge(struct index_pieces *into, const struct index_pieces *add)
{
    for (uint32_t piece = 0; piece < add->n; piece++)
        if (add->is_present[piece]) {
            into->n_present += !into->is_present[piece];
            into->is_present[piece] = true;
            into->crc[piece] = add->crc[piece];
        }
}

static void entry_describe(struct index_entry *entry, const struct cache_blob *blob,
                           const struct index_pieces *pieces)
{
    struct cache_entry *pub = &entry->pub;
    struct cache_pieces shape = {
        .size = blob->size, .piece_size = pieces->piece_size, .n = pieces->n};
    pub->state = CACHE_PARTIAL;
    pub->piece_size = pieces->piece_size;
    pub->n_pieces = pieces->n;
    pub->n_present_pieces = pieces->n_present;
    pub->present_bytes = 0;
    for (uint32_t piece = 0; piece < pieces->n; piece++)
        if (pieces->is_present[piece])
            pub->present_bytes += cache_pieces_len(&shape, piece);
    pub->used_ms = dt_wall_ms();
}

static int entry_get_or_new(struct index_entry *out, struct index_view *view,
                            const struct cache_blob *blob, struct dt_err *err)
{
    int rc = index_entry_get(out, view, &blob->digest, err);
    if (rc != -DT_ENOTFOUND)
        return rc;
    *out = (struct index_entry){
        .pub.digest = blob->digest, .pub.size = blob->size, .pub.created_ms = dt_wall_ms()};
    return 0;
}

static int flush_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct flush *flush = dt_container_of(change, struct flush, change);
    struct cache_blob *blob = flush->blob;
    struct index_entry entry;
    struct index_pieces pieces = {0};
    if (flush->pieces.n_present == 0)
        return 0;
    int rc = entry_get_or_new(&entry, view, blob, err);
    if (rc < 0)
        return rc;
    if (flush->is_first || index_pieces_get(&pieces, view, &blob->digest, NULL) < 0 ||
        pieces.n != flush->pieces.n) {
        index_pieces_fini(&pieces);
        index_pieces_init(&pieces, flush->pieces.piece_size, flush->pieces.n);
    }
    flush_merge(&pieces, &flush->pieces);
    entry_describe(&entry, blob, &pieces);
    rc = index_pieces_put(view, &blob->digest, &pieces, err);
    if (rc == 0)
        rc = index_entry_put(view, &entry, err);
    index_pieces_fini(&pieces);
    return rc;
}

static void flush_after(struct index_change *change, const struct dt_err *err)
{
    struct flush *flush = dt_container_of(change, struct flush, change);
    struct cache *cache = flush->cache;
    struct cache_blob *blob = flush->blob;
    if (err->code == DT_ENOSPACE)
        cache_note_full(cache);
    if (err->code == 0 && flush->pieces.n_present > 0)
        blob->has_record = true;
    atomic_store(&blob->is_flushing, false);
    if (flush->is_last && (!blob->has_record || flush->must_discard)) {
        cache_discard(cache, &blob, (struct cache_completion){0}, NULL);
    } else if (flush->is_last) {
        pthread_mutex_lock(&cache->lock);
        cache_blob_detach_locked(cache, blob);
        pthread_mutex_unlock(&cache->lock);
    }
    cache_blob_unref(cache, &blob);
    index_pieces_fini(&flush->pieces);
    free(flush);
    cache_background_end(cache);
}

static void flush_run(struct dt_job *job)
{
    struct flush *flush = dt_container_of(job, struct flush, job);
    int fd = atomic_load(&flush->blob->fd);
    if (flush->pieces.n_present > 0 &&
        (fdatasync(fd) < 0 || cache_layout_sync_dir(flush->cache, &flush->blob->digest) < 0)) {
        atomic_store(&flush->blob->sync_errno, errno);
        flush->pieces.n_present = 0; /* nothing of it may be promised */
    }
    index_submit(flush->cache->index, &flush->change);
}

/* Complete pieces that the index has not heard of. */
static struct flush *flush_new(struct store *store)
{
    struct flush *flush = dt_new(struct flush);
    const struct cache_pieces *landed = &store->blob->landed;
    flush->job.run = flush_run;
    flush->change.apply = flush_apply;
    flush->change.after = flush_after;
    flush->cache = store->cache;
    flush->is_first = !store->is_resumed && !store->is_flushed;
    index_pieces_init(&flush->pieces, store->piece_size, store->n_pieces);
    for (uint32_t piece = 0; piece < store->n_pieces; piece++) {
        if (store->is_committed[piece] || !cache_pieces_is_complete(landed, piece))
            continue;
        store->is_committed[piece] = true;
        flush->pieces.is_present[piece] = true;
        flush->pieces.crc[piece] = store->crc[piece];
        flush->pieces.n_present++;
    }
    store->dirty_bytes = 0;
    if (flush->pieces.n_present > 0)
        store->is_flushed = true;
    return flush;
}

static void flush_submit(struct flush **flush, struct cache_blob *blob)
{
    (*flush)->blob = blob;
    cache_background_begin((*flush)->cache);
    dt_pool_submit((*flush)->cache->sync_pool, &(*flush)->job);
    *flush = NULL;
}

void store_flush(struct store *store)
{
    struct cache_blob *blob = store->blob;
    if (store_is_dead(store) || store->fd < 0 || atomic_load(&blob->is_flushing))
        return;
    struct flush *flush = flush_new(store);
    if (flush->pieces.n_present == 0) {
        index_pieces_fini(&flush->pieces);
        free(flush);
        return;
    }
    atomic_store(&blob->is_flushing, true);
    pthread_mutex_lock(&store->cache->lock);
    cache_blob_ref_locked(blob);
    pthread_mutex_unlock(&store->cache->lock);
    flush_submit(&flush, blob);
}

static bool failed_under_readers(const struct store *store)
{
    struct cache_blob *blob = store->blob;
    pthread_mutex_lock(&store->cache->lock);
    bool is_disk = blob->err.code == DT_EIO || blob->err.code == DT_ENOSPACE;
    bool is_shared = blob->n_refs > 1u + atomic_load(&blob->is_flushing);
    pthread_mutex_unlock(&store->cache->lock);
    return is_disk && is_shared;
}

/* Where the disk failed under readers, the part is not kept: they may have to prove what they gave
 * away by reading it again (cache_reader_landed()), and whoever resumed it would write into it. */
void store_keep(struct store *store, struct cache_blob **blob)
{
    struct flush *flush = flush_new(store);
    flush->is_last = true;
    flush->must_discard = failed_under_readers(store);
    if (flush->must_discard)
        flush->pieces.n_present = 0; /* nothing more is promised */
    flush_submit(&flush, *blob);
    *blob = NULL;
}

/* ---- seal ---- */

struct seal {
    struct dt_job job;          /* sync pool: fdatasync, rename, fsync of the directory */
    struct index_change change; /* then: the index */
    struct cache *cache;
    struct cache_blob *blob; /* the writer's reference */
    uint32_t piece_size, n_pieces;
};

static int seal_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct seal *seal = dt_container_of(change, struct seal, change);
    struct index_entry entry;
    struct index_key key;
    int rc = entry_get_or_new(&entry, view, seal->blob, err);
    if (rc < 0)
        return rc;
    entry.pub.state = CACHE_SEALED;
    entry.pub.piece_size = seal->piece_size;
    entry.pub.n_pieces = entry.pub.n_present_pieces = seal->n_pieces;
    entry.pub.present_bytes = entry.pub.size;
    entry.pub.used_ms = entry.pub.verified_ms = dt_wall_ms();
    index_key_digest(&key, &seal->blob->digest);
    rc = index_del(view, INDEX_PIECES, index_key_slice(&key), err);
    return rc < 0 && rc != -DT_ENOTFOUND ? rc : index_entry_put(view, &entry, err);
}

/* Readers have the right bytes either way; only the copy for later is lost. */
static void seal_failed(struct seal *seal, const char *why)
{
    char name[13];
    dt_log_warn("seal_failed", "blob=%s reason=%s", dt_digest_short(name, &seal->blob->digest),
                DT_LOG_Q(why));
    cache_discard(seal->cache, &seal->blob, (struct cache_completion){0}, NULL);
}

static void seal_end(struct seal *seal)
{
    struct cache *cache = seal->cache;
    cache_blob_unref(cache, &seal->blob);
    free(seal);
    cache_background_end(cache);
}

static void seal_after(struct index_change *change, const struct dt_err *err)
{
    struct seal *seal = dt_container_of(change, struct seal, change);
    if (err->code == DT_ENOSPACE)
        cache_note_full(seal->cache);
    if (err->code != 0) {
        seal_failed(seal, err->msg);
    } else {
        pthread_mutex_lock(&seal->cache->lock);
        seal->blob->state = BLOB_SEALED;
        pthread_mutex_unlock(&seal->cache->lock);
    }
    seal_end(seal);
}

static void seal_run(struct dt_job *job)
{
    struct seal *seal = dt_container_of(job, struct seal, job);
    struct cache_blob *blob = seal->blob;
    int failed = atomic_load(&blob->sync_errno);
    if (failed == 0 && fdatasync(atomic_load(&blob->fd)) < 0)
        failed = errno;
    if (failed == 0 && cache_layout_seal(seal->cache, &blob->digest) < 0)
        failed = errno;
    if (failed == 0) {
        index_submit(seal->cache->index, &seal->change);
        return;
    }
    seal_failed(seal, strerrordesc_np(failed));
    seal_end(seal);
}

void store_seal(struct store *store, struct cache_blob **blob)
{
    struct seal *seal = dt_new(struct seal);
    seal->job.run = seal_run;
    seal->change.apply = seal_apply;
    seal->change.after = seal_after;
    seal->cache = store->cache;
    seal->blob = *blob;
    seal->piece_size = store->piece_size;
    seal->n_pieces = store->n_pieces;
    *blob = NULL;
    cache_blob_verified(store->cache, seal->blob);
    cache_background_begin(store->cache);
    dt_pool_submit(store->cache->sync_pool, &seal->job);
}
