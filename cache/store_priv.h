/*
 * cache/store_priv.h - the part of a writer that touches the disk: on its strand.
 *
 *   start -> (write | work | flush)* -> settle -> seal | keep
 *
 * `work` is what the strand does besides writing: re-checking committed pieces of an earlier run,
 * one at a time between writes, so that neither holds up the other. The digest is computed on
 * another strand (digester_priv.h), which hears from here how far the blob is there without a gap.
 * After settle() nothing follows here: seal and keep come on the digester's strand, behind
 * everything it had to do. Everything in the struct belongs to the strand unless it says otherwise;
 * until the strand has its first job, the writer's loop may set what the strand will find.
 */
#ifndef DARTER_CACHE_STORE_PRIV_H
#define DARTER_CACHE_STORE_PRIV_H

#include "cache/cache_priv.h"

struct store {
    struct cache *cache;
    struct cache_blob *blob; /* borrowed from the writer */
    uint32_t piece_size, n_pieces;
    int fd; /* == blob->fd; closed with the blob */

    uint64_t front_bytes; /* the digester has been told of [0, front_bytes) */
    uint32_t *crc;        /* owned; running, per piece */
    bool *is_committed;   /* owned; given to the index */
    uint64_t dirty_bytes; /* in complete pieces not yet given to the index */
    bool is_resumed;      /* the index knew a part of it when the writer opened */
    bool is_flushed;      /* pieces of this run were given to the index */
    bool is_reserved;     /* room counts its bytes; the file system does not yet */

    struct index_pieces resume; /* owned; what the index promised; checked piece by piece */
    uint32_t resume_at;

    struct dt_err err;         /* code != 0: nothing more is written */
    _Atomic bool is_cancelled; /* set by the loop: skip what is queued */
    uint8_t *scratch;          /* owned; for checking pieces */
};

void store_init(struct store *, struct cache *, struct cache_blob *, uint32_t piece_size);
void store_fini(struct store *);

/* All below: on the strand. Failures are remembered in store->err; readers are failed at once. */
void store_start(struct store *);
void store_write(struct store *, uint64_t off, const void *bytes, size_t len);
bool store_has_work(const struct store *);
/* One slice. Returns a resumed piece that proved bad, or -1. */
int64_t store_work(struct store *);
/* Commits complete pieces when there is something to commit and nothing under way. */
void store_flush(struct store *);
/* Up to where the blob is there now; what lies between the last answer and this one is the
 * digester's to do. */
uint64_t store_advance(struct store *);
/* Checks the promises that are left. */
void store_settle(struct store *);
void store_fail(struct store *, const struct dt_err *err);
/* The digest is right: readers may complete, and the reference goes along to seal the blob in the
 * background. */
void store_seal(struct store *, struct cache_blob **);
/* Puts the part file away for a later resume. Lets go of the reference when that is done. */
void store_keep(struct store *, struct cache_blob **);

#endif
