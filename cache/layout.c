/*
 * cache/layout.c - names in the cache's directory.
 *
 *   DIR/lock                         held (flock) by the process that uses the cache
 *   DIR/version                      "1\n"; a larger number was written by a newer program
 *   DIR/running                      while a process has the cache open; left: sweep at start
 *   DIR/index/                       LMDB
 *   DIR/blobs/sha256/ab/<hex>        sealed: complete, verified, durable
 *   DIR/blobs/sha256/ab/<hex>.part   being filled, or waiting to be resumed
 *
 * Threads: any; two that touch the same name have agreed on it in the table of open blobs.
 * A new kind of file: a row here, and the sweep (sweep.c) must know it.
 */
#include "cache/cache_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

#define LAYOUT_VERSION 1

static const char *const algo_names[] = {"sha256", "sha512"};

void cache_layout_path(char out[CACHE_PATH_MAX], const struct dt_digest *digest, bool is_part)
{
    char text[DT_DIGEST_TEXT_MAX];
    dt_digest_format(text, digest);
    const char *hex = strchr(text, ':') + 1;
    bool is_whole = dt_text_print(out, CACHE_PATH_MAX, "blobs/%.*s/%.2s/%s%s",
                                  (int)(hex - 1 - text), text, hex, hex, is_part ? ".part" : "");
    DT_ASSERT(is_whole);
}

/* "blobs/sha256/ab" of a path. */
static void parent_of(char out[CACHE_PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');
    bool is_whole = dt_text_print(out, CACHE_PATH_MAX, "%.*s", (int)(slash - path), path);
    DT_ASSERT(is_whole);
}

static int sync_path(struct cache *cache, const char *path)
{
    int fd = openat(cache->dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    int saved = errno;
    dt_close(&fd);
    errno = saved;
    return rc;
}

static int make_shard(struct cache *cache, const char *path)
{
    char shard[CACHE_PATH_MAX], algo[CACHE_PATH_MAX];
    parent_of(shard, path);
    parent_of(algo, shard);
    if (mkdirat(cache->dir_fd, algo, 0700) < 0 && errno != EEXIST)
        return -1;
    if (mkdirat(cache->dir_fd, shard, 0700) < 0 && errno != EEXIST)
        return -1;
    return sync_path(cache, algo);
}

int cache_layout_open_file(struct cache *cache, const struct dt_digest *digest, bool is_part,
                           int flags)
{
    char path[CACHE_PATH_MAX];
    cache_layout_path(path, digest, is_part);
    int fd = openat(cache->dir_fd, path, flags | O_CLOEXEC, 0600);
    if (fd >= 0 || errno != ENOENT || !(flags & O_CREAT))
        return fd;
    if (make_shard(cache, path) < 0)
        return -1;
    return openat(cache->dir_fd, path, flags | O_CLOEXEC, 0600);
}

int cache_layout_sync_dir(struct cache *cache, const struct dt_digest *digest)
{
    char path[CACHE_PATH_MAX], shard[CACHE_PATH_MAX];
    cache_layout_path(path, digest, false);
    parent_of(shard, path);
    return sync_path(cache, shard);
}

int cache_layout_seal(struct cache *cache, const struct dt_digest *digest)
{
    char part[CACHE_PATH_MAX], path[CACHE_PATH_MAX];
    cache_layout_path(part, digest, true);
    cache_layout_path(path, digest, false);
    if (renameat(cache->dir_fd, part, cache->dir_fd, path) < 0)
        return -1;
    return cache_layout_sync_dir(cache, digest);
}

void cache_layout_unlink(struct cache *cache, const struct dt_digest *digest, bool is_part)
{
    char path[CACHE_PATH_MAX];
    cache_layout_path(path, digest, is_part);
    (void)unlinkat(cache->dir_fd, path, 0); /* not there: as wanted; else the sweep tries again */
}

/* A file name of a shard directory back to what it stands for. */
static bool parse_name(struct dt_digest *out, bool *is_part, const char *algo, const char *name)
{
    char text[DT_DIGEST_TEXT_MAX];
    *is_part = dt_text_has_suffix(name, ".part");
    size_t len = strlen(name) - (*is_part ? strlen(".part") : 0);
    if (!dt_text_print(text, sizeof(text), "%s:%.*s", algo, (int)len, name))
        return false;
    return dt_digest_parse(out, text, strlen(text), NULL) == 0;
}

static bool each_in_shard(struct cache *cache, const char *algo, const char *path,
                          cache_layout_f fn, void *arg)
{
    int fd = openat(cache->dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        dt_close(&fd);
        return true;
    }
    bool go_on = true;
    for (struct dirent *item; go_on && (item = readdir(dir)) != NULL;) {
        struct dt_digest digest;
        bool is_part = false;
        if (parse_name(&digest, &is_part, algo, item->d_name))
            go_on = fn(arg, &digest, is_part);
    }
    closedir(dir);
    return go_on;
}

void cache_layout_each(struct cache *cache, cache_layout_f fn, void *arg)
{
    char path[CACHE_PATH_MAX];
    for (size_t i = 0; i < sizeof(algo_names) / sizeof(algo_names[0]); i++)
        for (unsigned shard = 0; shard < 256; shard++) {
            bool is_whole =
                dt_text_print(path, sizeof(path), "blobs/%s/%02x", algo_names[i], shard);
            DT_ASSERT(is_whole);
            if (!each_in_shard(cache, algo_names[i], path, fn, arg))
                return;
        }
}

/* ---- opening ---- */

static int make_parents(const char *dir)
{
    char *path = dt_strdup(dir);
    int rc = 0;
    for (char *at = path + 1; rc == 0 && *at != '\0'; at++)
        if (*at == '/') {
            *at = '\0';
            if (mkdir(path, 0755) < 0 && errno != EEXIST)
                rc = -1;
            *at = '/';
        }
    if (rc == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
        rc = -1;
    free(path);
    return rc;
}

static int fail(struct dt_err *err, const char *dir, const char *what)
{
    int saved = errno;
    return dt_err_errno(err, saved == ENOSPC || saved == EDQUOT ? DT_ENOSPACE : DT_EIO, saved,
                        "cache directory %.120s: cannot %s", dir, what);
}

static int take_lock(struct cache *cache, const char *dir, struct dt_err *err)
{
    cache->lock_fd = openat(cache->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (cache->lock_fd < 0)
        return fail(err, dir, "create the lock file");
    if (flock(cache->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return dt_err_set(err, DT_ECONFLICT, "cache directory %.120s is in use by another process",
                          dir);
    return fail(err, dir, "lock it");
}

static int write_version(struct cache *cache, const char *dir, struct dt_err *err)
{
    char text[16];
    bool is_whole = dt_text_print(text, sizeof(text), "%d\n", LAYOUT_VERSION);
    DT_ASSERT(is_whole);
    int fd = openat(cache->dir_fd, "version.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(err, dir, "write the version");
    bool is_written = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    int rc = is_written ? 0 : fail(err, dir, "write the version");
    dt_close(&fd);
    if (rc == 0 && (renameat(cache->dir_fd, "version.new", cache->dir_fd, "version") < 0 ||
                    fsync(cache->dir_fd) < 0))
        rc = fail(err, dir, "write the version");
    return rc;
}

static int check_version(struct cache *cache, const char *dir, struct dt_err *err)
{
    char text[17] = "";
    unsigned long long version = 0;
    int fd = openat(cache->dir_fd, "version", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return write_version(cache, dir, err);
    if (fd < 0)
        return fail(err, dir, "read the version");
    ssize_t n = read(fd, text, sizeof(text) - 1);
    dt_close(&fd);
    if (n < 1 || text[n - 1] != '\n' || !dt_text_parse_u64(&version, text, (size_t)n - 1) ||
        version == 0)
        return dt_err_set(err, DT_EIO,
                          "cache directory %.120s: the version file is damaged; remove "
                          "the directory to start afresh",
                          dir);
    if (version > LAYOUT_VERSION)
        return dt_err_set(err, DT_EIO,
                          "cache directory %.120s has format %llu and this program "
                          "knows up to %d: upgrade, or use another directory",
                          dir, version, LAYOUT_VERSION);
    return 0;
}

static int mark_running(struct cache *cache, const char *dir, struct dt_err *err)
{
    cache->must_sweep = faccessat(cache->dir_fd, "running", F_OK, 0) == 0;
    int fd = openat(cache->dir_fd, "running", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(err, dir, "write");
    dt_close(&fd);
    if (!cache->must_sweep && fsync(cache->dir_fd) < 0)
        return fail(err, dir, "fsync");
    return 0;
}

int cache_layout_open(struct cache *cache, const char *dir, struct dt_err *err)
{
    if (make_parents(dir) < 0)
        return fail(err, dir, "create it");
    cache->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cache->dir_fd < 0)
        return fail(err, dir, "open it");
    int rc = take_lock(cache, dir, err);
    if (rc == 0)
        rc = check_version(cache, dir, err);
    if (rc == 0 && mkdirat(cache->dir_fd, "index", 0700) < 0 && errno != EEXIST)
        rc = fail(err, dir, "create the index");
    if (rc == 0 && mkdirat(cache->dir_fd, "blobs", 0700) < 0 && errno != EEXIST)
        rc = fail(err, dir, "create the blob directory");
    if (rc == 0)
        rc = mark_running(cache, dir, err);
    return rc;
}

void cache_layout_close(struct cache *cache, bool is_clean)
{
    if (is_clean)
        (void)unlinkat(cache->dir_fd, "running", 0); /* if it stays, a sweep too many is run */
    dt_close(&cache->lock_fd);
    dt_close(&cache->dir_fd);
}
