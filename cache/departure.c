/*
 * cache/departure.c - files on their way out.
 *
 *   unlink (the name is free at once) -> START -> pool: close (the bytes are free) -> room
 *
 * An open descriptor is kept across the unlink, so that the slow part (freeing blocks and cached
 * pages, a second for some gigabytes) happens at its close, on the pool, and the index writer goes
 * on. Only then are the bytes given back: the quota holds on the disk and not only on paper.
 */
#include "cache/cache_priv.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/mem.h"

struct departure {
    struct dt_job job;
    struct cache *cache;
    int *fds; /* owned */
    size_t n_fds, capacity;
    uint64_t bytes;
};

struct departure *cache_departure_new(struct cache *cache)
{
    struct departure *departure = dt_new(struct departure);
    departure->cache = cache;
    return departure;
}

void cache_departure_add_bytes(struct departure *departure, uint64_t bytes)
{
    departure->bytes += bytes;
}

void cache_departure_unlink(struct departure *departure, const struct dt_digest *digest,
                            bool is_part, uint64_t bytes)
{
    departure->bytes += bytes;
    int fd = cache_layout_open_file(departure->cache, digest, is_part, O_RDONLY);
    cache_layout_unlink(departure->cache, digest, is_part);
    if (fd < 0)
        return; /* was not there, or no descriptor is left: then the unlink did it all */
    if (departure->n_fds == departure->capacity) {
        departure->capacity = departure->capacity * 2 + 4;
        departure->fds = dt_realloc(departure->fds, departure->capacity * sizeof(int));
    }
    departure->fds[departure->n_fds++] = fd;
}

static void departure_run(struct dt_job *job)
{
    struct departure *departure = dt_container_of(job, struct departure, job);
    struct cache *cache = departure->cache;
    for (size_t i = 0; i < departure->n_fds; i++)
        dt_close(&departure->fds[i]);
    uint64_t bytes = departure->bytes;
    free(departure->fds);
    free(departure);
    cache_room_left(cache, bytes);
    cache_background_end(cache);
}

void cache_departure_start(struct departure **departure_in)
{
    struct departure *departure = *departure_in;
    *departure_in = NULL;
    departure->job.run = departure_run;
    cache_background_begin(departure->cache);
    dt_pool_submit(departure->cache->pool, &departure->job);
}
