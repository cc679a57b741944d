/*
 * tests/unit/cache_kit.h - what the tests of cache/ share: a cache in a fresh directory, loops, a
 * pool, and blobs written and read the way a task does it. Everything waits for conditions.
 */
#ifndef DARTER_TESTS_CACHE_KIT_H
#define DARTER_TESTS_CACHE_KIT_H

#include "cache/cache.h"
#include "cache/reader.h"
#include "cache/writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/text.h"

#define KIT_USED       __attribute__((unused)) static
#define KIT_DEADLINE_S 60

struct kit {
    char *dir;
    struct dt_pool *pool;
    struct dt_loops *loops;
    struct cache *cache;
    struct cache_opts opts;
};

/* ---- waiting ---- */

struct kit_latch {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool is_open;
    struct dt_err err;
};

KIT_USED void kit_latch_init(struct kit_latch *latch)
{
    *latch = (struct kit_latch){0};
    pthread_mutex_init(&latch->lock, NULL);
    pthread_cond_init(&latch->cond, NULL);
}

KIT_USED void kit_latch_open(struct kit_latch *latch)
{
    pthread_mutex_lock(&latch->lock);
    latch->is_open = true;
    pthread_cond_broadcast(&latch->cond);
    pthread_mutex_unlock(&latch->lock);
}

KIT_USED void kit_latch_done(void *arg, const struct dt_err *err)
{
    struct kit_latch *latch = arg;
    latch->err = *err;
    kit_latch_open(latch);
}

KIT_USED int kit_latch_wait(struct kit_latch *latch)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += KIT_DEADLINE_S;
    pthread_mutex_lock(&latch->lock);
    int rc = 0;
    while (!latch->is_open && rc == 0)
        rc = pthread_cond_timedwait(&latch->cond, &latch->lock, &until);
    pthread_mutex_unlock(&latch->lock);
    if (rc != 0)
        dt_assert_failed("condition within its deadline", __FILE__, __LINE__, __func__);
    pthread_cond_destroy(&latch->cond);
    pthread_mutex_destroy(&latch->lock);
    return latch->err.code;
}

/* Asks again every millisecond until it is so. */
#define KIT_UNTIL(cond)                                                                            \
    do {                                                                                           \
        for (uint64_t kit_start_us = dt_mono_us(); !(cond);) {                                     \
            if (dt_mono_us() - kit_start_us > KIT_DEADLINE_S * 1000000ULL)                         \
                fail_msg("not within %d s: %s", KIT_DEADLINE_S, #cond);                            \
            usleep(1000);                                                                          \
        }                                                                                          \
    } while (0)

struct kit_call {
    void (*fn)(void *);
    void *arg;
    struct kit_latch latch;
};

KIT_USED void kit_call_run(void *arg)
{
    struct kit_call *call = arg;
    call->fn(call->arg);
    kit_latch_open(&call->latch);
}

/* Runs fn(arg) on a loop and waits for it. */
KIT_USED void kit_on_loop(struct dt_loop *loop, void (*fn)(void *), void *arg)
{
    struct kit_call call = {.fn = fn, .arg = arg};
    kit_latch_init(&call.latch);
    dt_loop_post(loop, kit_call_run, &call);
    (void)kit_latch_wait(&call.latch);
}

KIT_USED struct cache_completion kit_completion(struct kit *kit, struct kit_latch *latch)
{
    kit_latch_init(latch);
    return (struct cache_completion){kit_latch_done, latch, dt_loops_at(kit->loops, 0)};
}

/* ---- life ---- */

KIT_USED int kit_remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat, (void)kind, (void)ftw;
    return remove(path);
}

KIT_USED void kit_remove_tree(const char *dir)
{
    (void)nftw(dir, kit_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

KIT_USED void kit_open(struct kit *kit)
{
    struct dt_err err = {0};
    kit->opts.dir = kit->dir;
    kit->opts.pool = kit->pool;
    if (cache_open(&kit->cache, &kit->opts, &err) < 0)
        fail_msg("cache_open: %s", err.msg);
}

KIT_USED void kit_threads(struct kit *kit, unsigned n_loops)
{
    struct dt_err err = {0};
    assert_int_equal(dt_pool_new(&kit->pool, 2, &err), 0);
    assert_int_equal(dt_loops_new(&kit->loops, n_loops, &err), 0);
    assert_int_equal(dt_loops_start(kit->loops, &err), 0);
}

/* A cache of max_bytes in a directory of its own. */
KIT_USED void kit_init(struct kit *kit, uint64_t max_bytes, unsigned n_loops)
{
    const char *tmp = getenv("TMPDIR");
    *kit = (struct kit){.opts.max_bytes = max_bytes};
    kit->dir = dt_asprintf("%s/darter-cache-XXXXXX", tmp != NULL ? tmp : "/tmp");
    assert_non_null(mkdtemp(kit->dir));
    kit_threads(kit, n_loops);
    kit_open(kit);
}

KIT_USED void kit_reopen(struct kit *kit)
{
    cache_close(&kit->cache);
    kit_open(kit);
}

/* Everything posted to every loop so far has run. */
KIT_USED void kit_nothing(void *arg)
{
    (void)arg;
}

KIT_USED void kit_settle_loops(struct kit *kit)
{
    for (int round = 0; round < 3; round++) /* a message may post a message */
        for (unsigned i = 0; i < dt_loops_count(kit->loops); i++)
            kit_on_loop(dt_loops_at(kit->loops, i), kit_nothing, NULL);
}

KIT_USED void kit_fini(struct kit *kit)
{
    cache_close(&kit->cache);
    kit_settle_loops(kit);
    dt_loops_stop(kit->loops);
    dt_pool_free(&kit->pool);
    dt_loops_free(&kit->loops);
    kit_remove_tree(kit->dir);
    dt_free(&kit->dir);
}

/* ---- blobs ---- */

struct kit_blob {
    struct dt_digest digest;
    uint8_t *bytes;
    size_t size;
};

/* Bytes that depend on the seed and are not the same in any two places. */
KIT_USED struct kit_blob kit_blob_make(uint64_t seed, size_t size)
{
    struct kit_blob blob = {.bytes = dt_calloc(size + 8, 1), .size = size};
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
    for (size_t i = 0; i < size; i += 8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(blob.bytes + i, &state, 8);
    }
    dt_digest_of(&blob.digest, DT_SHA256, blob.bytes, size);
    return blob;
}

KIT_USED void kit_blob_free(struct kit_blob *blob)
{
    dt_free(&blob->bytes);
}

KIT_USED char *kit_path(const struct kit *kit, const struct dt_digest *digest, bool is_part)
{
    char text[DT_DIGEST_TEXT_MAX];
    const char *hex = strchr(dt_digest_format(text, digest), ':') + 1;
    return dt_asprintf("%s/blobs/sha256/%.2s/%s%s", kit->dir, hex, hex, is_part ? ".part" : "");
}

KIT_USED bool kit_has_file(const struct kit *kit, const struct dt_digest *digest, bool is_part)
{
    char *path = kit_path(kit, digest, is_part);
    bool is_there = access(path, F_OK) == 0;
    free(path);
    return is_there;
}

/* One fill, on one loop, chunk by chunk under the high-water mark. */
struct kit_fill {
    struct kit *kit;
    struct dt_loop *loop;
    const struct kit_blob *blob;
    size_t chunk;        /* bytes per write; never across pieces when out of order */
    bool is_backwards;   /* pieces from the last to the first */
    uint64_t stop_after; /* bytes; then what `stop` says */
    enum { KIT_STOP_NOT, KIT_STOP_ABORT, KIT_STOP_STAY } stop;
    struct cache_writer *writer;
    uint64_t given, in_flight;
    int open_code;       /* what open said */
    struct dt_err error; /* from on_error or finish */
    struct kit_latch ended;
    bool is_over;
    bool is_settled; /* STAY: all that was given is in the file */
};

KIT_USED bool kit_fill_next(struct kit_fill *fill, uint64_t *off, uint64_t *len)
{
    const struct cache_pieces *pieces = cache_writer_pieces(fill->writer);
    uint64_t gap_end = 0;
    if (!fill->is_backwards) {
        if (!cache_pieces_next_gap(pieces, 0, off, &gap_end))
            return false;
    } else {
        uint32_t piece = pieces->n;
        while (piece > 0 && cache_pieces_is_complete(pieces, piece - 1))
            piece--;
        if (piece == 0)
            return false;
        *off = cache_pieces_start(pieces, piece - 1) + pieces->filled[piece - 1];
        gap_end = cache_pieces_start(pieces, piece - 1) + cache_pieces_len(pieces, piece - 1);
    }
    *len = gap_end - *off < fill->chunk ? gap_end - *off : fill->chunk;
    return true;
}

KIT_USED void kit_fill_over(void *arg, const struct dt_err *err)
{
    struct kit_fill *fill = arg;
    fill->error = *err;
    fill->is_over = true;
    kit_latch_open(&fill->ended);
}

KIT_USED void kit_fill_step(struct kit_fill *fill)
{
    uint64_t off = 0, len = 0;
    struct dt_err stopped = {.code = DT_ECANCELLED, .msg = "test stops here"};
    if (fill->is_over || fill->writer == NULL)
        return;
    while (fill->given < fill->stop_after && kit_fill_next(fill, &off, &len)) {
        if (fill->in_flight >= CACHE_WRITER_HIGH_WATER)
            return;
        void *copy = dt_calloc(1, len);
        memcpy(copy, fill->blob->bytes + off, len);
        cache_writer_write(fill->writer, off, &copy, len);
        fill->given += len;
        fill->in_flight += len;
    }
    if (fill->stop == KIT_STOP_NOT) {
        if (cache_pieces_is_full(cache_writer_pieces(fill->writer)))
            cache_writer_finish(&fill->writer, kit_fill_over, fill);
        return;
    }
    if (fill->in_flight > 0)
        return;
    if (fill->stop == KIT_STOP_STAY) {
        bool was_settled = fill->is_settled;
        fill->is_settled = true; /* first: the test may go on at once */
        if (!was_settled)
            kit_latch_open(&fill->ended);
        return;
    }
    cache_writer_abort(&fill->writer, &stopped);
    kit_fill_over(fill, &stopped);
}

KIT_USED void kit_fill_written(void *arg, uint64_t in_flight)
{
    struct kit_fill *fill = arg;
    fill->in_flight = in_flight;
    kit_fill_step(fill);
}

KIT_USED void kit_fill_error(void *arg, const struct dt_err *err)
{
    struct kit_fill *fill = arg;
    struct dt_err copy = *err;
    cache_writer_abort(&fill->writer, &copy);
    kit_fill_over(fill, &copy);
}

static const struct cache_writer_ops kit_fill_ops = {kit_fill_written, kit_fill_error};

KIT_USED void kit_fill_begin(void *arg)
{
    struct kit_fill *fill = arg;
    struct dt_err err = {0};
    int rc = cache_writer_open(&fill->writer, fill->kit->cache, &fill->blob->digest,
                               fill->blob->size, fill->loop, &kit_fill_ops, fill, &err);
    fill->open_code = -rc;
    if (rc < 0)
        kit_fill_over(fill, &err);
    else
        kit_fill_step(fill);
}

KIT_USED void kit_fill_start(struct kit_fill *fill, struct kit *kit, const struct kit_blob *blob)
{
    fill->kit = kit;
    fill->blob = blob;
    if (fill->loop == NULL)
        fill->loop = dt_loops_at(kit->loops, 0);
    if (fill->chunk == 0)
        fill->chunk = 128 * 1024;
    if (fill->stop_after == 0)
        fill->stop_after = UINT64_MAX;
    kit_latch_init(&fill->ended);
    dt_loop_post(fill->loop, kit_fill_begin, fill);
}

/* Code of the first thing that went wrong; 0 = sealed (or settled). */
KIT_USED int kit_fill_wait(struct kit_fill *fill)
{
    (void)kit_latch_wait(&fill->ended);
    return fill->error.code;
}

KIT_USED int kit_put(struct kit *kit, const struct kit_blob *blob)
{
    struct kit_fill fill = {0};
    kit_fill_start(&fill, kit, blob);
    return kit_fill_wait(&fill);
}

/* All changes queued so far are in the index, and their traces in memory gone. */
KIT_USED void kit_settle_index(struct kit *kit)
{
    struct kit_latch done;
    struct dt_digest nobody;
    dt_digest_of(&nobody, DT_SHA512, "nobody", 6);
    cache_remove(kit->cache, &nobody, kit_completion(kit, &done));
    assert_int_equal(kit_latch_wait(&done), DT_ENOTFOUND);
}

/* Durable and known to the index, not only verified. */
KIT_USED void kit_seal(struct kit *kit, const struct kit_blob *blob)
{
    struct cache_usage before, after;
    cache_usage(&before, kit->cache);
    assert_int_equal(kit_put(kit, blob), 0);
    KIT_UNTIL((cache_usage(&after, kit->cache), after.n_sealed > before.n_sealed) ||
              after.evictions > before.evictions);
    kit_settle_index(kit);
}

KIT_USED void kit_finish_now(void *arg)
{
    struct kit_fill *fill = arg;
    if (fill->writer != NULL)
        cache_writer_finish(&fill->writer, kit_fill_over, fill);
}

KIT_USED void kit_abort_now(void *arg)
{
    struct kit_fill *fill = arg;
    cache_writer_abort(&fill->writer, NULL);
}

/* Copies up to `len` bytes that are readable at `off`; returns how many, or what available() says.
 */
KIT_USED int64_t kit_read(struct cache_reader *reader, void *out, size_t len, uint64_t off,
                          struct dt_err *err)
{
    int64_t available = cache_reader_available(reader, off, err);
    if (available <= 0)
        return available;
    if ((uint64_t)available < len)
        len = (size_t)available;
    ssize_t n = pread(cache_reader_fd(reader), out, len, (off_t)off);
    assert_true(n > 0);
    return n;
}

/* Reads the whole blob back: 0 = all of it, and right; else the code. */
KIT_USED int kit_check(struct kit *kit, const struct kit_blob *blob)
{
    struct cache_reader *reader = NULL;
    struct dt_err err = {0};
    int rc = cache_reader_open(&reader, kit->cache, &blob->digest, &err);
    if (rc < 0)
        return -rc;
    uint8_t *copy = dt_calloc(1, blob->size + 1);
    uint64_t off = 0;
    int64_t n = 1;
    while (off < blob->size && n > 0) {
        n = kit_read(reader, copy + off, blob->size - off, off, &err);
        off += n > 0 ? (uint64_t)n : 0;
    }
    assert_int_equal(cache_reader_size(reader), blob->size);
    int code = n < 0 ? (int)-n : off == blob->size ? 0 : DT_EBUSY;
    if (code == 0)
        assert_memory_equal(copy, blob->bytes, blob->size);
    free(copy);
    cache_reader_close(&reader);
    return code;
}

KIT_USED enum cache_state kit_state(struct kit *kit, const struct dt_digest *digest)
{
    struct cache_entry entry;
    return cache_stat(&entry, kit->cache, digest, NULL) < 0 ? CACHE_ABSENT : entry.state;
}

KIT_USED uint64_t kit_used(struct kit *kit)
{
    struct cache_usage usage;
    cache_usage(&usage, kit->cache);
    return usage.used_bytes;
}

#endif
