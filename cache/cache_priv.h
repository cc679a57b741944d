/*
 * cache/cache_priv.h - what the files of the cache share: the cache, the table of open blobs, room.
 *
 * One lock, `cache->lock`, guards the table, the blobs in it, their waiters and the room counters.
 * It is held for a few instructions, never across a system call, an index look-up or a callback
 * (docs/decisions/0010-one-lock-around-open-blobs.md). Functions ending in _locked want it held.
 */
#ifndef DARTER_CACHE_CACHE_PRIV_H
#define DARTER_CACHE_CACHE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/cache.h"
#include "cache/hash_priv.h"
#include "cache/index_priv.h"
#include "cache/pieces.h"
#include "base/text.h"

#define CACHE_MAGIC  0xdac4e001u
#define BLOB_MAGIC   0xdac4e002u
#define READER_MAGIC 0xdac4e003u
#define WRITER_MAGIC 0xdac4e004u

struct cache_reader;

/* ---- open blobs (blob.c) ---- */

/* What a blob in the table is doing, and what others hear who want to read or write it. */
#define BLOB_STATES(X)                                                                             \
    X(WRITING, "a writer fills it; readers follow")                                                \
    X(CLOSING, "its writer left; the file is being put away")                                      \
    X(SEALING, "verified; on its way to the disk and into the index")                              \
    X(SEALED, "being read")                                                                        \
    X(LEAVING, "being removed or evicted; the name is not free yet")

enum blob_state {
#define X(name, text) BLOB_##name,
    BLOB_STATES(X)
#undef X
};

struct cache_blob {
    unsigned magic;
    struct dt_digest digest; /* key */
    uint64_t size;
    _Atomic int fd;           /* -1 until the file is open; closed with the last reference */
    _Atomic bool is_verified; /* every byte may be read */
    _Atomic bool is_unproved; /* some bytes stand under no proof but the digest */
    _Atomic bool is_flushing; /* pieces are on their way to the disk and into the index */
    _Atomic int sync_errno;   /* fdatasync failed: what was written may be lost */
    bool has_record;          /* index writer's thread, or before it knows the blob */
    enum blob_state state;    /* all below: cache->lock */
    unsigned n_refs;          /* readers, the writer, background jobs */
    bool is_in_table;
    bool is_pinned;
    bool is_held;               /* counted in room.held_bytes */
    bool is_gone;               /* name and record are gone: give its room back at the end */
    uint64_t counted_bytes;     /* in room.used_bytes on its behalf */
    struct dt_err err;          /* code != 0: readers get nothing more */
    struct cache_pieces landed; /* in the file; unused when opened sealed */
    struct cache_reader *waiters;
    UT_hash_handle hh;
};

struct cache_blob *cache_blob_find_locked(struct cache *, const struct dt_digest *);
/* Inserts a blob with one reference. */
struct cache_blob *cache_blob_add_locked(struct cache *, const struct dt_digest *, uint64_t size,
                                         enum blob_state);
void cache_blob_ref_locked(struct cache_blob *);
/* Harmless on NULL. Takes the lock itself; the last one closes the file and returns the room. */
void cache_blob_unref(struct cache *, struct cache_blob **);
/* Nobody finds it any more; those who have it keep it. */
void cache_blob_detach_locked(struct cache *, struct cache_blob *);
/* Changes readers wait for; each wakes those it concerns. */
void cache_blob_landed(struct cache *, struct cache_blob *, uint64_t off, uint64_t len);
void cache_blob_verified(struct cache *, struct cache_blob *);
void cache_blob_fail(struct cache *, struct cache_blob *, const struct dt_err *);
/* Bytes readable from `off`: never the last one before the digest was verified. */
/* `by_piece`: the last byte as well, although the whole is not verified (cache_reader_by_piece()).
 */
uint64_t cache_blob_available_locked(const struct cache_blob *, uint64_t off, bool by_piece);

/* reader.c: hooks of the waiters' list */
void cache_reader_wake_locked(struct cache_blob *);

/* ---- room (room.c) ---- */

struct room_request {
    uint64_t bytes;
    bool is_file; /* its bytes are taken from the file system later, by fallocate */
    /* Any thread; err->code 0 = the bytes are counted as used from now on. */
    void (*decided)(struct room_request *, const struct dt_err *err);
    struct room_request *next;
};

struct room {
    uint64_t max_bytes, min_free_bytes;
    uint64_t used_bytes;        /* files at full size, objects; until really gone from the disk */
    uint64_t held_bytes;        /* part of used: open, cannot be evicted */
    uint64_t pinned_held_bytes; /* part of held */
    uint64_t leaving_bytes;     /* part of used: victims whose unlink is under way */
    uint64_t unallocated_bytes; /* part of used: the file system does not know of them yet */
    uint64_t waiting_bytes;     /* not in used: asked for, waiting for the victims to go */
    struct room_request *first, **last;
    bool is_evicting;  /* a change that evicts is queued or running */
    bool is_exhausted; /* the last one found nothing more to evict */
};

/* 0 = counted now; 1 = decided() will come; DT_ENOSPACE = all that may go would not suffice. */
int cache_room_reserve(struct cache *, struct room_request *, struct dt_err *err);
void cache_room_release(struct cache *, uint64_t bytes);
/* The file system has given what was reserved (or never will). */
void cache_room_allocated(struct cache *, uint64_t bytes);
/* Victims that are really gone. */
void cache_room_left(struct cache *, uint64_t bytes);
void cache_room_hold_locked(struct cache *, struct cache_blob *);
void cache_room_unhold_locked(struct cache *, struct cache_blob *);
/* Bytes to evict for the quota, the floor and everybody who waits. */
uint64_t cache_room_shortfall_locked(const struct cache *, uint64_t fs_free_bytes);
/* Grants what fits; asks for eviction when it must. */
void cache_room_pump(struct cache *);
uint64_t cache_fs_free(const struct cache *);

void cache_evict_submit(struct cache *); /* evict.c; room.is_evicting was set by the caller */

/* Unlinked files whose last close may take the kernel long: closed by the pool. */
struct departure;
struct departure *cache_departure_new(struct cache *);
/* Unlinks by name; the bytes count as used until the file is closed. */
void cache_departure_unlink(struct departure *, const struct dt_digest *, bool is_part,
                            uint64_t bytes);
void cache_departure_add_bytes(struct departure *, uint64_t bytes);
void cache_departure_start(struct departure **);

/* ---- names in the directory (layout.c) ---- */

int cache_layout_open(struct cache *, const char *dir, struct dt_err *err);
/* is_clean: everything was put away; no sweep at the next start. */
void cache_layout_close(struct cache *, bool is_clean);
#define CACHE_PATH_MAX 192
/* "blobs/sha256/ab/abcd...[.part]", relative to cache->dir_fd. */
void cache_layout_path(char out[CACHE_PATH_MAX], const struct dt_digest *, bool is_part);
/* openat(2) in the directory; with O_CREAT makes the shard. Returns fd or -1 with errno. */
int cache_layout_open_file(struct cache *, const struct dt_digest *, bool is_part, int flags);
/* fsync of the shard directory: the name is durable. 0 or -1 with errno. */
int cache_layout_sync_dir(struct cache *, const struct dt_digest *);
/* Part file -> final name, durable. 0 or -1 with errno. */
int cache_layout_seal(struct cache *, const struct dt_digest *);
void cache_layout_unlink(struct cache *, const struct dt_digest *, bool is_part);
/* Calls fn for every blob file; false from fn stops. */
typedef bool (*cache_layout_f)(void *arg, const struct dt_digest *, bool is_part);
void cache_layout_each(struct cache *, cache_layout_f fn, void *arg);

/* ---- the cache ---- */

struct cache {
    unsigned magic;
    char *dir; /* owned */
    int dir_fd, lock_fd;
    bool must_sweep; /* the last process did not close it, or not sweep to the end; the janitor's */
    struct dt_pool *pool;
    struct dt_pool *sync_pool; /* owned; one thread: fdatasync one at a time, off the shared pool */
    uint64_t flush_interval_ms, flush_bytes;
    struct index *index; /* owned; NULL = not usable */
    bool is_usable;      /* set once at open */
    char reason[160];
    struct cache_janitor *janitor; /* owned; sweep, ageing, scrub */

    pthread_mutex_t lock; /* the table and room */
    pthread_cond_t is_idle;
    struct cache_blob *blobs;
    struct room room;
    unsigned n_background;

    _Atomic uint64_t hits, misses, evictions, evicted_bytes;
    _Atomic uint64_t full_until_us; /* the disk refused bytes: no new writer before that */
};

/* DT_EUNAVAILABLE with the reason when the cache cannot be used. */
int cache_check_usable(const struct cache *, struct dt_err *err);
/* The disk said no (ENOSPC): remember for a while, so that not every request asks it again. */
void cache_note_full(struct cache *);
bool cache_is_full(struct cache *);
/* cache_close() waits for these. */
void cache_background_begin(struct cache *);
void cache_background_end(struct cache *);
/* Posts a completion, exactly once; err may be NULL. */
void cache_complete(struct cache_completion, const struct dt_err *err);
/* err of a failed system call: DT_ENOSPACE (also noted) or DT_EIO. */
int cache_errno(struct cache *, struct dt_err *err, int saved_errno, const char *what,
                const struct dt_digest *);

/* Takes a blob that proved bad (file gone, wrong size, wrong bytes) out of index and directory. */
void cache_remove_bad(struct cache *, const struct dt_digest *, const char *why);
/* Takes out the record of a partial blob whose file is missing. DT_ENOTFOUND or DT_ECONFLICT when
 * it was completed, or somebody has it in hand, by the time its turn comes. */
void cache_remove_lost(struct cache *, const struct dt_digest *, struct cache_completion);
/* Forgets an unsealed blob, record and file, then lets go of the reference and completes with
 * `result` (NULL = fine). */
void cache_discard(struct cache *, struct cache_blob **, struct cache_completion,
                   const struct dt_err *result);

/* facts.c: one small record of TAGS, LINKS or NOTES. `value` is consumed. */
struct cache_fact {
    enum index_db db;
    struct index_key key;
    struct dt_text value; /* empty = drop it */
};
/* `facts` is consumed. */
void cache_facts_put(struct cache *, struct cache_fact **facts, size_t n, struct cache_completion);

/* link.c: is this record of LINKS one of that upstream? */
bool cache_link_has_upstream(struct index_slice value, const char *upstream);

/* entry.c: found by a rebuild, not yet checked (shown to others as PARTIAL). */
bool cache_needs_verify(struct cache *, const struct dt_digest *);

/* janitor.c */
struct cache_janitor *cache_janitor_new(struct cache *);
void cache_janitor_start(struct cache_janitor *);
void cache_janitor_stop(struct cache_janitor **);
/* Somebody wants a blob that a rebuild found and nobody has checked: do that one next. */
void cache_janitor_verify_soon(struct cache_janitor *, const struct dt_digest *);
struct cache_scrub_stats {
    uint64_t n_checked, n_bad, started_ms, finished_ms;
    bool is_running;
};
void cache_janitor_stats(struct cache_scrub_stats *out, struct cache_janitor *);
bool cache_janitor_is_stopping(struct cache_janitor *);
/* A scrub ahead of its rate sleeps; false = stop. */
bool cache_janitor_pause(struct cache_janitor *, uint64_t pause_us);
/* sweep.c, scrub.c: work of the janitor's thread */
void cache_sweep(struct cache *);
void cache_age_out(struct cache *, uint64_t now_ms);
/* True = verified and readable. */
bool cache_scrub_one(struct cache *, const struct dt_digest *, uint64_t rate_bytes);
/* rebuild.c: a fresh index from the files that are there. */
int cache_rebuild(struct cache *, const char *why, struct dt_err *err);

#endif
