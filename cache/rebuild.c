/*
 * cache/rebuild.c - a fresh index from the files that are there, when the old one is unreadable.
 *
 * A sealed file's name is its digest and its length its size: that is enough to list it, and not to
 * trust it. Every entry is marked "needs verify" and served only after the janitor re-hashed it,
 * those somebody asks for first. Part files go (their checksums are lost), and so do tags, links,
 * pins and objects: they come back from upstream.
 */
#include "cache/cache_priv.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/mem.h"
#define LOG_COMPONENT "cache"
#include "base/log.h"

#define REBUILD_BATCH 1024

struct rebuild {
    struct cache *cache;
    struct index_view view;
    size_t n_in_batch;
    uint64_t n_blobs, bytes;
    struct dt_err err;
};

static bool commit_batch(struct rebuild *rebuild, bool is_last)
{
    if (index_write_commit(&rebuild->view, &rebuild->err) < 0)
        return false;
    rebuild->n_in_batch = 0;
    return is_last || index_write_begin(&rebuild->view, rebuild->cache->index, &rebuild->err) == 0;
}

static bool rebuild_file(void *arg, const struct dt_digest *digest, bool is_part)
{
    struct rebuild *rebuild = arg;
    struct cache *cache = rebuild->cache;
    char path[CACHE_PATH_MAX];
    struct stat stat;
    cache_layout_path(path, digest, is_part);
    if (is_part || fstatat(cache->dir_fd, path, &stat, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(stat.st_mode) || (uint64_t)stat.st_size > CACHE_BLOB_SIZE_MAX) {
        cache_layout_unlink(cache, digest, is_part);
        return true;
    }
    uint64_t size = (uint64_t)stat.st_size;
    uint64_t written_ms = (uint64_t)stat.st_mtim.tv_sec * 1000;
    uint32_t piece_size = cache_pieces_choose_size(size);
    uint32_t n_pieces = (uint32_t)((size + piece_size - 1) / piece_size);
    struct index_entry entry = {
        .pub = {.digest = *digest,
                .state = CACHE_SEALED,
                .size = size,
                .present_bytes = size,
                .piece_size = piece_size,
                .n_pieces = n_pieces,
                .n_present_pieces = n_pieces,
                .created_ms = written_ms,
                .used_ms = written_ms},
        .needs_verify = true,
    };
    if (index_entry_put(&rebuild->view, &entry, &rebuild->err) < 0) {
        index_write_abort(&rebuild->view);
        return false;
    }
    rebuild->n_blobs++;
    rebuild->bytes += size;
    return ++rebuild->n_in_batch < REBUILD_BATCH || commit_batch(rebuild, false);
}

int cache_rebuild(struct cache *cache, const char *why, struct dt_err *err)
{
    struct rebuild rebuild = {.cache = cache};
    int rc = index_write_begin(&rebuild.view, cache->index, err);
    if (rc < 0)
        return rc;
    cache_layout_each(cache, rebuild_file, &rebuild);
    if (rebuild.err.code == 0)
        (void)commit_batch(&rebuild, true);
    if (rebuild.err.code != 0) {
        *err = rebuild.err;
        return -rebuild.err.code;
    }
    dt_log_warn("index_rebuilt", "blobs=%llu bytes=%llu reason=%s kept=%s",
                (unsigned long long)rebuild.n_blobs, (unsigned long long)rebuild.bytes,
                DT_LOG_Q(why), DT_LOG_Q("index.bad"));
    return 0;
}
