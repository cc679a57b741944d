/*
 * tests/bench/cache_open.c - how long does opening take with a million blobs in the index?
 *
 * Builds such an index through the index's own functions (no files: opening must not look at them),
 * then opens the cache on it, asks it random questions and prints one line per figure.
 *
 *   cache_open [number of blobs]
 */
#include "cache/cache_priv.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

#define BATCH   10000
#define LOOKUPS 1000000

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)stat, (void)kind, (void)ftw;
    return remove(path);
}

static void die(const char *what, const struct dt_err *err)
{
    fprintf(stderr, "cache_open: %s: %s\n", what, err->msg);
    exit(1);
}

static void nth_digest(struct dt_digest *out, uint64_t n)
{
    dt_digest_of(out, DT_SHA256, &n, sizeof(n));
}

static void build(const char *dir, uint64_t n_blobs)
{
    struct dt_err err = {0};
    struct index *index = NULL;
    struct index_view view;
    char *path = dt_asprintf("%s/index", dir);
    if (mkdir(path, 0700) < 0 || index_open(&index, path, &err) < 0)
        die("index", &err);
    for (uint64_t n = 0; n < n_blobs;) {
        if (index_write_begin(&view, index, &err) < 0)
            die("begin", &err);
        for (uint64_t in_batch = 0; in_batch < BATCH && n < n_blobs; in_batch++, n++) {
            struct index_entry entry = {.pub = {.state = CACHE_SEALED,
                                                .size = 10000,
                                                .present_bytes = 10000,
                                                .used_ms = n + 1,
                                                .created_ms = 1,
                                                .verified_ms = 1}};
            nth_digest(&entry.pub.digest, n);
            if (index_entry_put(&view, &entry, &err) < 0)
                die("put", &err);
        }
        if (index_write_commit(&view, &err) < 0)
            die("commit", &err);
    }
    index_close(&index);
    free(path);
}

static unsigned long resident_kib(void)
{
    unsigned long pages = 0, resident = 0, shared = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%lu %lu %lu", &pages, &resident, &shared) != 3)
        resident = shared = 0;
    if (file != NULL)
        (void)fclose(file);
    return (resident - shared) * (unsigned long)sysconf(_SC_PAGESIZE) / 1024;
}

int main(int argc, char **argv)
{
    unsigned long long n_blobs = 1000000;
    char dir[] = "/tmp/darter-bench-XXXXXX";
    struct dt_err err = {0};
    struct dt_pool *pool = NULL;
    struct cache *cache = NULL;
    struct cache_usage usage;
    if (argc > 1 && !dt_text_parse_u64(&n_blobs, argv[1], strlen(argv[1])))
        n_blobs = 1000000;
    if (mkdtemp(dir) == NULL || dt_pool_new(&pool, 2, &err) < 0)
        die("start", &err);
    build(dir, n_blobs);
    struct cache_opts opts = {.dir = dir, .max_bytes = UINT64_MAX / 2, .pool = pool};
    uint64_t start_us = dt_mono_us();
    if (cache_open(&cache, &opts, &err) < 0)
        die("open", &err);
    uint64_t open_us = dt_mono_us() - start_us;
    cache_usage(&usage, cache);
    DT_ASSERT(usage.is_usable && usage.n_sealed == n_blobs);
    struct stat index_file = {0};
    (void)fstatat(cache->dir_fd, "index/data.mdb", &index_file, 0);
    start_us = dt_mono_us();
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        struct cache_entry entry;
        struct dt_digest digest;
        nth_digest(&digest, i * 2654435761u % n_blobs);
        DT_ASSERT(cache_stat(&entry, cache, &digest, &err) == 0);
    }
    uint64_t lookup_us = dt_mono_us() - start_us;
    printf(
        "cache_open blobs=%llu open_ms=%.1f index_mib=%.0f lookups_per_s=%.0f private_mib=%.1f\n",
        n_blobs, (double)open_us / 1000, (double)index_file.st_size / (double)MIB,
        (double)LOOKUPS * 1e6 / (double)lookup_us, (double)resident_kib() / 1024);
    cache_close(&cache);
    dt_pool_free(&pool);
    (void)nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
