/*
 * cache/cache.c - opening, closing, and small things all files of the cache share.
 *
 *   OPEN -> USABLE | UNUSABLE (reason)  -> CLOSED
 *
 * A cache that cannot be used opens all the same: the proxy streams through and says why. Nothing
 * at open depends on how much is cached: the index carries its own totals, and what a crash left
 * behind is swept by the janitor's thread afterwards.
 */
#include "cache/cache_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#define LOG_COMPONENT "cache"
#include "base/log.h"

#define FLUSH_INTERVAL_MS 250
#define FLUSH_BYTES       (64 * MIB)
#define FULL_PAUSE_US     5000000 /* after ENOSPC; then the disk is asked again */

int cache_check_usable(const struct cache *cache, struct dt_err *err)
{
    DT_ASSERT(cache->magic == CACHE_MAGIC);
    if (cache->is_usable)
        return 0;
    return dt_err_set(err, DT_EUNAVAILABLE, "%s", cache->reason);
}

void cache_note_full(struct cache *cache)
{
    uint64_t was = atomic_exchange(&cache->full_until_us, dt_mono_us() + FULL_PAUSE_US);
    if (was == 0)
        dt_log_warn("disk_full", "dir=%s what=%s", DT_LOG_Q(cache->dir),
                    DT_LOG_Q("no new blobs until there is space; reads go on"));
}

bool cache_is_full(struct cache *cache)
{
    uint64_t until = atomic_load(&cache->full_until_us);
    if (until == 0)
        return false;
    if (dt_mono_us() < until)
        return true;
    if (atomic_compare_exchange_strong(&cache->full_until_us, &until, 0))
        dt_log_info("disk_retry", "dir=%s", DT_LOG_Q(cache->dir));
    return false;
}

int cache_errno(struct cache *cache, struct dt_err *err, int saved_errno, const char *what,
                const struct dt_digest *digest)
{
    char name[13];
    bool is_full = saved_errno == ENOSPC || saved_errno == EDQUOT;
    if (is_full)
        cache_note_full(cache);
    return dt_err_errno(err, is_full ? DT_ENOSPACE : DT_EIO, saved_errno, "cannot %s blob %s in %s",
                        what, dt_digest_short(name, digest), cache->dir);
}

void cache_background_begin(struct cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    cache->n_background++;
    pthread_mutex_unlock(&cache->lock);
}

void cache_background_end(struct cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    DT_ASSERT(cache->n_background > 0);
    if (--cache->n_background == 0)
        pthread_cond_broadcast(&cache->is_idle);
    pthread_mutex_unlock(&cache->lock);
}

struct completion_message {
    struct cache_completion completion;
    struct dt_err err;
};

static void completion_deliver(void *arg)
{
    struct completion_message *message = arg;
    message->completion.done(message->completion.arg, &message->err);
    free(message);
}

void cache_complete(struct cache_completion completion, const struct dt_err *err)
{
    if (completion.done == NULL)
        return;
    struct completion_message *message = dt_new(struct completion_message);
    message->completion = completion;
    if (err != NULL)
        message->err = *err;
    dt_loop_post(completion.loop, completion_deliver, message);
}

/* ---- opening ---- */

/* "index.bad" is kept for whoever wants to know; only the last one. */
static int set_index_aside(struct cache *cache, struct dt_err *err)
{
    if (renameat(cache->dir_fd, "index", cache->dir_fd, "index.bad") < 0) {
        (void)unlinkat(cache->dir_fd, "index.bad/data.mdb", 0);
        (void)unlinkat(cache->dir_fd, "index.bad/lock.mdb", 0);
        (void)unlinkat(cache->dir_fd, "index.bad", AT_REMOVEDIR);
        if (renameat(cache->dir_fd, "index", cache->dir_fd, "index.bad") < 0)
            return dt_err_errno(err, DT_EIO, errno, "cannot set the damaged index aside");
    }
    if (mkdirat(cache->dir_fd, "index", 0700) < 0)
        return dt_err_errno(err, DT_EIO, errno, "cannot create a new index");
    return 0;
}

static int open_index(struct cache *cache, struct dt_err *err)
{
    struct dt_err why = {0};
    char *path = dt_asprintf("%s/index", cache->dir);
    bool was_broken = faccessat(cache->dir_fd, "index/broken", F_OK, 0) == 0;
    int rc = was_broken ? dt_err_set(&why, DT_EIO, "index was found damaged while in use")
                        : index_check(path, &why);
    if (rc == 0)
        rc = index_open(&cache->index, path, &why);
    if (rc == -DT_EIO) {
        (void)unlinkat(cache->dir_fd, "index/broken", 0); /* it would be set aside as well */
        rc = set_index_aside(cache, err);
        if (rc == 0)
            rc = index_open(&cache->index, path, err);
        if (rc == 0)
            rc = cache_rebuild(cache, why.msg, err);
    } else if (rc < 0) {
        *err = why;
    }
    free(path);
    return rc;
}

static void become_unusable(struct cache *cache, const struct dt_err *err)
{
    (void)dt_text_print(cache->reason, sizeof(cache->reason), "%s", err->msg); /* cut is fine */
    index_close(&cache->index);
    dt_log_error("unusable", "dir=%s reason=%s", DT_LOG_Q(cache->dir), DT_LOG_Q(err->msg));
}

static void cache_free(struct cache *cache)
{
    bool is_broken = cache->index != NULL && index_is_broken(cache->index);
    if (is_broken) {
        int fd = openat(cache->dir_fd, "index/broken", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        dt_close(&fd);
    }
    bool is_clean = cache->index != NULL && !is_broken && !cache->must_sweep;
    index_close(&cache->index);
    cache_layout_close(cache, is_clean);
    dt_pool_free(&cache->sync_pool);
    pthread_cond_destroy(&cache->is_idle);
    pthread_mutex_destroy(&cache->lock);
    cache->magic = 0;
    free(cache->dir);
    free(cache);
}

int cache_open(struct cache **out, const struct cache_opts *opts, struct dt_err *err)
{
    *out = NULL;
    if (opts->dir == NULL || opts->dir[0] == '\0')
        return dt_err_set(err, DT_EINVAL, "cache directory is not set");
    if (opts->max_bytes == 0)
        return dt_err_set(err, DT_EINVAL, "cache quota is 0: give it some bytes");
    struct cache *cache = dt_new(struct cache);
    cache->magic = CACHE_MAGIC;
    cache->dir = dt_strdup(opts->dir);
    cache->dir_fd = cache->lock_fd = -1;
    cache->pool = opts->pool;
    cache->flush_interval_ms =
        opts->flush_interval_ms ? opts->flush_interval_ms : FLUSH_INTERVAL_MS;
    cache->flush_bytes = opts->flush_bytes ? opts->flush_bytes : FLUSH_BYTES;
    cache->room.max_bytes = opts->max_bytes;
    cache->room.min_free_bytes = opts->min_free_bytes;
    cache->room.last = &cache->room.first;
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->is_idle, NULL);
    struct dt_err why = {0};
    int rc = dt_pool_new(&cache->sync_pool, 1, &why);
    if (rc == 0)
        rc = cache_layout_open(cache, opts->dir, &why);
    if (rc == -DT_ECONFLICT) {
        if (err != NULL)
            *err = why;
        cache_free(cache);
        return rc;
    }
    if (rc == 0)
        rc = open_index(cache, &why);
    if (rc < 0) {
        become_unusable(cache, &why);
    } else {
        struct index_totals totals;
        index_totals_now(&totals, cache->index);
        cache->room.used_bytes = totals.used_bytes;
        cache->is_usable = true;
        cache->janitor = cache_janitor_new(cache);
        cache_janitor_start(cache->janitor);
        cache_room_pump(cache); /* the quota may have been made smaller */
    }
    *out = cache;
    return 0;
}

void cache_quiesce(struct cache *cache)
{
    DT_ASSERT(cache->magic == CACHE_MAGIC);
    cache_janitor_stop(&cache->janitor);
    pthread_mutex_lock(&cache->lock);
    while (cache->n_background > 0)
        pthread_cond_wait(&cache->is_idle, &cache->lock);
    pthread_mutex_unlock(&cache->lock);
}

void cache_close(struct cache **cache_in)
{
    struct cache *cache = *cache_in;
    *cache_in = NULL;
    if (cache == NULL)
        return;
    cache_quiesce(cache);
    pthread_mutex_lock(&cache->lock);
    DT_ASSERT(cache->blobs == NULL); /* a reader or writer is still open */
    pthread_mutex_unlock(&cache->lock);
    cache_free(cache);
}
