/*
 * cache/cache.h - blobs and manifests on disk, addressed by digest.
 *
 *   blob:   ABSENT -> PARTIAL (one writer, many readers) -> SEALED (verified) -> ABSENT
 *   object: ABSENT -> SEALED                (manifests and small things, inline in the index)
 *
 * The LMDB index is the truth; piece bytes lie in files beside it, named by digest. Order of writes
 * (docs/internals/cache.md): bytes and fdatasync first, then the index says so. After kill -9 or
 * power loss a blob is either verified or fetched again; partial blobs resume from committed
 * pieces.
 *
 * Threads: every function may be called on any thread unless it says otherwise. Look-ups copy out
 * and never wait for the disk's writer. Changes to the index are queued to one index writer that
 * commits in groups; a completion callback comes on the loop named in the call.
 *
 * Room: usage counts the files' full sizes (reserved when a writer opens) and the inline objects,
 * byte for byte, from before the disk hears of them until their blocks are free again; so the disk
 * never holds more than the quota. Opening a writer evicts the least recently used blobs that are
 * neither pinned nor open until both the quota and the file system's free-space floor hold, else
 * DT_ENOSPACE. The index's own pages are not counted (about 300 bytes for a blob).
 *
 * Health: a cache that cannot be used (unwritable, full disk, made by a newer version) still opens,
 * with `is_usable` false in cache_usage() and the reason: callers stream through and say so.
 * Look-ups are then DT_ENOTFOUND, changes DT_EUNAVAILABLE. A disk that fills up while running fails
 * the writers it concerns; reads go on, and writers are let in again as soon as there is space.
 */
#ifndef DARTER_CACHE_CACHE_H
#define DARTER_CACHE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/pool.h"

struct cache;

struct cache_opts {
    const char *dir;            /* copied; created (0700) when missing */
    uint64_t max_bytes;         /* quota of our own files; 0 = DT_EINVAL */
    uint64_t min_free_bytes;    /* keep that much of the file system free for others */
    struct dt_pool *pool;       /* borrowed; for fsync, hashing, unlink */
    uint64_t flush_interval_ms; /* how long finished pieces may wait for their commit; 0 = 250 */
    uint64_t flush_bytes;       /* ... or how many bytes; 0 = 64 MiB */
};

/* Opens or creates; never scans the files (1 million blobs: well below a second): what a crash left
 * behind is swept by a background job. A second process on the same directory: DT_ECONFLICT.
 * An unusable directory is not an error: see `is_usable`. */
int cache_open(struct cache **out, const struct cache_opts *, struct dt_err *err);
/* The first half of closing, while pool and loops still run: ends the background work and waits
 * until writers that were given up have let go of their files. What lives on loops may still ask
 * for small things until cache_close(). Blocks; from main only. */
void cache_quiesce(struct cache *);
/* Every reader and writer must be closed. Commits what is queued. Blocks; from main only, while the
 * pool still runs; the loops too, unless cache_quiesce() came before they stopped. */
void cache_close(struct cache **);
/* Live change of the bounds (SIGHUP); evicts in the background when they shrink. */
void cache_set_bounds(struct cache *, uint64_t max_bytes, uint64_t min_free_bytes);

/* ---- blobs: look-up and management (reading: cache/reader.h, filling: cache/writer.h) ---- */

enum cache_state { CACHE_ABSENT, CACHE_PARTIAL, CACHE_SEALED };

struct cache_entry {
    struct dt_digest digest;
    enum cache_state state;
    bool is_object; /* inline manifest or small object */
    bool is_pinned;
    uint64_t size;          /* bytes of the whole */
    uint64_t present_bytes; /* committed; == size when SEALED */
    uint32_t piece_size, n_pieces, n_present_pieces;
    uint64_t created_ms, used_ms, verified_ms; /* wall clock */
    uint64_t hits;                             /* times it was opened for reading, or got */
    char media_type[128];                      /* objects; "" else */
};
/* 0, or DT_ENOTFOUND. */
int cache_stat(struct cache_entry *out, struct cache *, const struct dt_digest *, struct dt_err *);

/* One page of entries in digest order, after `after` (NULL = from the start). `filter` is a
 * registry-side question answered from the index. *out is the caller's: free(). */
struct cache_filter {
    int state;            /* enum cache_state, or -1 = any */
    int pinned;           /* 1, 0, or -1 */
    const char *upstream; /* linked to this upstream / repository; NULL = any */
    const char *repository;
};
#define CACHE_LIST_MAX 10000 /* entries of one page; more is cut to that */
int cache_list(struct cache_entry **out, size_t *n, struct cache *, const struct cache_filter *,
               const struct dt_digest *after, size_t limit, struct dt_err *);
/* Present pieces of one blob as a bitmap, for people: '1'/'0' per piece; caller frees. */
int cache_piece_map(char **out, struct cache *, const struct dt_digest *, struct dt_err *);

/* Asynchronous changes. done(arg, err) once on `loop`; NULL done = nobody waits. */
typedef void (*cache_done_f)(void *arg, const struct dt_err *err);
struct cache_completion {
    cache_done_f done;
    void *arg;
    struct dt_loop *loop;
};
void cache_pin(struct cache *, const struct dt_digest *, bool pinned, struct cache_completion);
/* A blob that is open is removed from the index at once; its bytes go when the last reader does.
 * Pinned: DT_ECONFLICT. A blob being written: DT_ECONFLICT. Not there: DT_ENOTFOUND. */
void cache_remove(struct cache *, const struct dt_digest *, struct cache_completion);

/* ---- objects: manifests and other small documents, kept inline ---- */

#define CACHE_OBJECT_MAX (4 * 1024 * 1024u) /* containerd refuses larger manifests as well */
struct cache_object {
    struct dt_digest digest;
    char media_type[128];
    size_t len;
    char bytes[]; /* NUL-terminated for convenience, NUL not counted */
};
/* A verified copy (the digest is recomputed); free(). DT_ENOTFOUND, DT_EMISMATCH (and it is
 * dropped). Counts as a use. */
int cache_object_get(struct cache_object **out, struct cache *, const struct dt_digest *,
                     struct dt_err *);
/* Verifies, then queues. Bytes that do not hash to the digest: DT_EMISMATCH at once, nothing is
 * stored. Visible to cache_object_get() when done() comes; done() comes only when 0 was returned.
 * A digest that is here as a blob: DT_ECONFLICT in done(). */
int cache_object_put(struct cache *, const struct dt_digest *, const char *media_type,
                     const void *bytes, size_t len, struct cache_completion, struct dt_err *);

/* ---- tags: what a reference meant when upstream was last asked ---- */

struct cache_tag {
    struct dt_digest digest;
    uint64_t size; /* of the manifest */
    char media_type[128];
    uint64_t checked_ms; /* wall clock of upstream's last answer */
};
int cache_tag_get(struct cache_tag *out, struct cache *, const char *upstream,
                  const char *repository, const char *tag, struct dt_err *);
void cache_tag_put(struct cache *, const char *upstream, const char *repository, const char *tag,
                   const struct cache_tag *, struct cache_completion);
void cache_tag_drop(struct cache *, const char *upstream, const char *repository, const char *tag);

/* ---- links: "this digest belongs to that repository" (permission is per repository) ---- */

struct cache_link {
    uint64_t size;      /* from the manifest's descriptor; UINT64_MAX = unknown */
    uint64_t proved_ms; /* when upstream or a manifest of that repository said so */
};
int cache_link_get(struct cache_link *out, struct cache *, const struct dt_digest *,
                   const char *upstream, const char *repository, struct dt_err *);
/* Several at once: the layers of one manifest. Copied; visible soon after (see completion). */
struct cache_link_put {
    struct dt_digest digest;
    struct cache_link link;
};
void cache_link_put(struct cache *, const char *upstream, const char *repository,
                    const struct cache_link_put *links, size_t n, struct cache_completion);
/* Repositories of one digest as "upstream/repository" strings; caller frees array and strings. */
int cache_link_list(char ***out, size_t *n, struct cache *, const struct dt_digest *,
                    struct dt_err *);

/* ---- notes: small facts that must survive a restart (an upstream's last challenge) ---- */

#define CACHE_NOTE_MAX 4096
int cache_note_get(char **out, struct cache *, const char *key, struct dt_err *); /* free() */
void cache_note_put(struct cache *, const char *key, const char *value);

/* ---- the whole ---- */

struct cache_usage {
    bool is_usable;
    bool is_full;     /* the disk refused bytes a moment ago: reads go on, writers are refused
                         until the next try some seconds later */
    char reason[160]; /* when not usable, or full: what is wrong and what to do */
    uint64_t max_bytes, min_free_bytes;
    uint64_t used_bytes; /* byte-exact: reserved files + objects */
    uint64_t pinned_bytes;
    uint64_t free_bytes; /* of the file system */
    uint64_t n_sealed, n_partial, n_objects, n_tags, n_links;
    uint64_t hits, misses, evictions, evicted_bytes; /* since start */
    uint64_t scrub_checked, scrub_bad;               /* since start */
    uint64_t scrub_started_ms, scrub_finished_ms;    /* 0 = never */
    bool is_scrubbing;
};
void cache_usage(struct cache_usage *out, struct cache *);
/* For the hit statistics: an answer to a client came from here, or from upstream. Only who answers
 * knows: he who waits for a fill reads from here as well. */
void cache_count_hit(struct cache *);
void cache_count_miss(struct cache *);

/* Re-reads and re-hashes every sealed blob in the background, at `rate_bytes` per second (0 = no
 * limit); a bad one is removed and logged. DT_ECONFLICT when one is running. */
int cache_scrub_start(struct cache *, uint64_t rate_bytes, struct dt_err *);
void cache_scrub_stop(struct cache *);

#endif
