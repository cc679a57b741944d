/*
 * cache/index_priv.h - the index on disk; the one door to LMDB (cache/index*.c).
 *
 *   read:   index_view_begin -> index_get | cursor ... copy out -> index_view_end
 *   write:  a change record is queued by anybody; one writer thread applies what has gathered in
 *           one transaction, commits (fsync), and then calls every change's after().
 *
 * Everything above this file speaks of databases, keys and slices; nothing of it knows LMDB. A view
 * is never held across a callback: a long read transaction would make the file grow without bound.
 *
 * Totals (bytes and counts) are part of every commit, so opening never has to scan.
 */
#ifndef DARTER_CACHE_INDEX_PRIV_H
#define DARTER_CACHE_INDEX_PRIV_H

#include "cache/cache.h"

/* A new database: a row here; its key and value go to docs/internals/cache.md. */
#define INDEX_DBS(X)                                                                               \
    X(ENTRIES, "entries") /* digest -> what it is (index_entry.c) */                               \
    X(ORDER, "order")     /* last use (big-endian ms), digest -> nothing; unpinned entries only */ \
    X(PIECES, "pieces")   /* digest -> committed pieces of a PARTIAL blob, with CRC-32C */         \
    X(BODIES, "bodies")   /* digest -> bytes of an object */                                       \
    X(TAGS, "tags")       /* sha256(upstream, repository, tag) -> names, digest */                 \
    X(LINKS, "links")     /* digest, sha256(upstream, repository) -> names, size, proof */         \
    X(NOTES, "notes")     /* sha256(key) -> key, value */                                          \
    X(META, "meta")       /* "totals", "format" */

enum index_db {
#define X(name, text) INDEX_##name,
    INDEX_DBS(X)
#undef X
        INDEX_DB_COUNT
};

struct index_slice {
    const void *data;
    size_t len;
};

struct index_totals {
    uint64_t used_bytes, pinned_bytes;
    uint64_t n_sealed, n_partial, n_objects, n_tags, n_links;
};

struct index;

/* A consistent look at everything (read), or the group being committed (write thread). */
struct index_view {
    struct index *index;
    void *txn;
    bool is_write;
    struct index_totals totals; /* write: changed along, committed with the rest */
};

/* `dir` exists. Errors: DT_EIO (unreadable: see index_check()), DT_ENOSPACE. */
int index_open(struct index **out, const char *dir, struct dt_err *err);
/* Applies what is queued, then closes. */
void index_close(struct index **);
/* Opens the index in a child process and samples it: a corrupt map may kill the child and not us.
 * 0 = healthy or not there yet; DT_EIO = unreadable. */
int index_check(const char *dir, struct dt_err *err);
/* LMDB reported damage while running: the next start rebuilds. */
bool index_is_broken(struct index *);
void index_totals_now(struct index_totals *out, struct index *);

int index_view_begin(struct index_view *out, struct index *, struct dt_err *err);
void index_view_end(struct index_view *);

/* 0, -DT_ENOTFOUND (err untouched: the caller knows what was missing), -DT_EIO, -DT_ENOSPACE.
 * Slices read are valid until the view ends or writes. */
int index_get(struct index_view *, enum index_db, struct index_slice key, struct index_slice *value,
              struct dt_err *err);
int index_put(struct index_view *, enum index_db, struct index_slice key, struct index_slice value,
              struct dt_err *err);
int index_del(struct index_view *, enum index_db, struct index_slice key, struct dt_err *err);

struct index_cursor {
    struct index_view *view;
    void *cursor;
};
int index_cursor_open(struct index_cursor *out, struct index_view *, enum index_db,
                      struct dt_err *err);
/* First key >= `key`. */
int index_cursor_seek(struct index_cursor *, struct index_slice at, struct index_slice *key,
                      struct index_slice *value, struct dt_err *err);
int index_cursor_next(struct index_cursor *, struct index_slice *key, struct index_slice *value,
                      struct dt_err *err);
void index_cursor_close(struct index_cursor *);

/* ---- changes ---- */

/* Embedded in its owner's struct. Both functions run on the index writer's thread.
 * apply() changes the index; on a failure of its own it must not have written anything. When the
 * group's commit fails, apply() is called again, alone: marks it made in memory must bear that.
 * after() is called exactly once, after the commit or the failure, and frees the change. */
struct index_change {
    int (*apply)(struct index_view *, struct index_change *, struct dt_err *err);
    void (*after)(struct index_change *, const struct dt_err *err);
    bool wants_touches; /* apply() needs the order of use to be exact: flush touches first */
    struct index_change *next;
    struct dt_err err;
};
void index_submit(struct index *, struct index_change *);

/* Notes a use of an entry; written later, in bulk. Any thread. */
void index_touch(struct index *, const struct dt_digest *);
/* Uses noted and not yet written. */
uint64_t index_touches_pending(struct index *, const struct dt_digest *);

/* ---- keys ---- */

#define INDEX_DIGEST_KEY_MAX (1 + DT_DIGEST_RAW_MAX)
struct index_key {
    uint8_t bytes[8 + INDEX_DIGEST_KEY_MAX + 32];
    size_t len;
};
struct index_slice index_key_slice(const struct index_key *);
void index_key_digest(struct index_key *out, const struct dt_digest *);
bool index_key_to_digest(struct dt_digest *out, struct index_slice key);
void index_key_order(struct index_key *out, uint64_t used_ms, const struct dt_digest *);
/* Names of any length become one hash; values repeat the names, so that a collision is noticed. */
void index_key_names(struct index_key *out, const char *const *names, size_t n);
void index_key_link(struct index_key *out, const struct dt_digest *, const char *upstream,
                    const char *repository);

/* ---- entries (index_entry.c); keep ENTRIES, ORDER, PIECES, BODIES and the totals in step ---- */

struct index_entry {
    struct cache_entry pub;
    bool needs_verify; /* found by a rebuild: all bytes are here, none was checked */
};
/* 0, -DT_ENOTFOUND (err is filled here), -DT_EIO. */
int index_entry_get(struct index_entry *out, struct index_view *, const struct dt_digest *,
                    struct dt_err *err);
bool index_entry_decode(struct index_entry *out, const struct dt_digest *, struct index_slice);
int index_entry_put(struct index_view *, const struct index_entry *, struct dt_err *err);
int index_entry_remove(struct index_view *, const struct index_entry *, struct dt_err *err);

/* Committed pieces of a PARTIAL blob. */
struct index_pieces {
    uint32_t piece_size, n, n_present;
    bool *is_present; /* owned */
    uint32_t *crc;    /* owned */
};
void index_pieces_init(struct index_pieces *out, uint32_t piece_size, uint32_t n);
void index_pieces_fini(struct index_pieces *);
int index_pieces_get(struct index_pieces *out, struct index_view *, const struct dt_digest *,
                     struct dt_err *err);
int index_pieces_put(struct index_view *, const struct dt_digest *, const struct index_pieces *,
                     struct dt_err *err);

/* ---- inside the door ---- */

/* index.c to index_writer.c */
struct index_writer;
struct index_writer *index_writer_start(struct index *);
void index_writer_stop(struct index_writer **);
int index_write_begin(struct index_view *out, struct index *, struct dt_err *err);
int index_write_commit(struct index_view *, struct dt_err *err);
void index_write_abort(struct index_view *);
struct index_writer *index_writer_of(struct index *);

#endif
