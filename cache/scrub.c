/*
 * cache/scrub.c - re-reading one blob's file and comparing its digest, on the janitor's thread.
 *
 *   good: verified_ms is renewed; an entry found by a rebuild may be served from now on
 *   bad:  logged, removed; readers that have it open finish what they began
 */
#include "cache/cache_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"
#define LOG_COMPONENT "cache"
#include "base/log.h"

#define SCRUB_CHUNK (1024 * 1024u)

struct verified {
    struct index_change change;
    struct cache *cache;
    struct dt_digest digest;
};

static int verified_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct verified *verified = dt_container_of(change, struct verified, change);
    struct index_entry entry;
    int rc = index_entry_get(&entry, view, &verified->digest, err);
    if (rc < 0)
        return rc;
    if (entry.pub.state != CACHE_SEALED)
        return 0; /* removed and begun anew meanwhile */
    entry.needs_verify = false;
    entry.pub.verified_ms = dt_wall_ms();
    return index_entry_put(view, &entry, err);
}

static void verified_after(struct index_change *change, const struct dt_err *err)
{
    struct verified *verified = dt_container_of(change, struct verified, change);
    struct cache *cache = verified->cache;
    (void)err; /* then it is checked once more next time */
    free(verified);
    cache_background_end(cache);
}

static void mark_verified(struct cache *cache, const struct dt_digest *digest)
{
    struct verified *verified = dt_new(struct verified);
    verified->change.apply = verified_apply;
    verified->change.after = verified_after;
    verified->cache = cache;
    verified->digest = *digest;
    cache_background_begin(cache);
    index_submit(cache->index, &verified->change);
}

enum scrub_result { SCRUB_GOOD, SCRUB_BAD, SCRUB_STOPPED };

/* Sleeps when we are ahead of the rate. False = stop. */
static bool keep_to_rate(struct cache *cache, uint64_t rate_bytes, uint64_t done,
                         uint64_t started_us)
{
    if (rate_bytes == 0)
        return !cache_janitor_is_stopping(cache->janitor);
    uint64_t due_us = started_us + done * 1000000 / rate_bytes, now_us = dt_mono_us();
    if (now_us >= due_us)
        return !cache_janitor_is_stopping(cache->janitor);
    return cache_janitor_pause(cache->janitor, due_us - now_us);
}

static enum scrub_result hash_file(struct cache *cache, int fd, const struct dt_digest *digest,
                                   uint64_t rate_bytes)
{
    struct dt_hasher *hasher = dt_hasher_new((enum dt_digest_algo)digest->algo);
    uint8_t *chunk = dt_calloc(1, SCRUB_CHUNK);
    uint64_t started_us = dt_mono_us(), done = 0;
    enum scrub_result result = SCRUB_GOOD;
    ssize_t n = 0;
    while (result == SCRUB_GOOD && (n = read(fd, chunk, SCRUB_CHUNK)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            result = SCRUB_BAD; /* the disk cannot read it back: as bad as wrong */
            break;
        }
        dt_hasher_update(hasher, chunk, (size_t)n);
        done += (uint64_t)n;
        if (!keep_to_rate(cache, rate_bytes, done, started_us))
            result = SCRUB_STOPPED;
    }
    struct dt_digest got;
    dt_hasher_final(hasher, &got);
    dt_hasher_free(&hasher);
    free(chunk);
    if (result == SCRUB_GOOD && !dt_digest_equal(&got, digest))
        result = SCRUB_BAD;
    return result;
}

bool cache_scrub_one(struct cache *cache, const struct dt_digest *digest, uint64_t rate_bytes)
{
    char name[13];
    int fd = cache_layout_open_file(cache, digest, false, O_RDONLY);
    if (fd < 0 && errno != ENOENT) {
        dt_log_warn("scrub_skipped", "blob=%s reason=%s", dt_digest_short(name, digest),
                    DT_LOG_Q(strerrordesc_np(errno)));
        return true; /* nothing was learned about its bytes */
    }
    enum scrub_result result = fd < 0 ? SCRUB_BAD : hash_file(cache, fd, digest, rate_bytes);
    dt_close(&fd);
    if (result == SCRUB_GOOD)
        mark_verified(cache, digest);
    else if (result == SCRUB_BAD)
        cache_remove_bad(cache, digest, "its file does not hash to its digest");
    return result != SCRUB_BAD;
}
