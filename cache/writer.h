/*
 * cache/writer.h - the one writer of one blob.
 *
 *   OPEN -> WRITING -> VERIFYING -> SEALED      any -> ABORTED (kept to resume) | DROPPED
 *
 * A writer belongs to one loop, the home of its task; all calls and callbacks are there. Bytes are
 * written and hashed on the pool, one strand per writer, and become visible to readers when they
 * are in the file. Hashing follows the contiguous front of the blob, so sources may fill pieces in
 * any order. fdatasync and index commits happen behind the readers' backs.
 */
#ifndef DARTER_CACHE_WRITER_H
#define DARTER_CACHE_WRITER_H

#include "cache/cache.h"
#include "cache/pieces.h"

struct cache_writer;

struct cache_writer_ops {
    /* Bytes given to cache_writer_write() are in the file; `in_flight` = bytes still queued. Sources
     * that were paused may go on. */
    void (*on_written)(void *arg, uint64_t in_flight);
    /* The file system or quota failed under us: DT_ENOSPACE or DT_EIO, once. Readers have been
     * failed. The owner aborts or drops. */
    void (*on_error)(void *arg, const struct dt_err *err);
};

/* Above this many queued bytes a source should pause (back-pressure, not an error). */
#define CACHE_WRITER_HIGH_WATER (8 * 1024 * 1024u)

/* Makes room, creates or resumes the part file. Committed pieces of an earlier run are re-hashed
 * lazily by the strand. Errors: DT_ECONFLICT (has a writer, or is sealed), DT_ENOSPACE (evicting all
 * that may go would not make room), DT_ETOOBIG, DT_EIO, DT_EUNAVAILABLE (cache is not usable). */
int cache_writer_open(struct cache_writer **out, struct cache *, const struct dt_digest *,
                      uint64_t size, struct dt_loop *loop, const struct cache_writer_ops *,
                      void *arg, struct dt_err *);

/* What is here, including bytes already queued to be written: what a planner needs. Borrowed. */
const struct cache_pieces *cache_writer_pieces(const struct cache_writer *);
uint64_t cache_writer_in_flight(const struct cache_writer *);

/* Queues bytes [off, off+len), which must satisfy cache_pieces_can_add(). `*bytes` is malloc'ed and
 * consumed (set to NULL). */
void cache_writer_write(struct cache_writer *, uint64_t off, void **bytes, size_t len);

/* When every byte was given: waits for the strand, compares the digest.
 * err->code 0: readers may complete; the blob is sealed and being made durable; the writer is freed.
 * DT_EMISMATCH: readers failed, file and pieces dropped, writer freed. DT_EIO, DT_ENOSPACE: same. */
void cache_writer_finish(struct cache_writer **, cache_done_f done, void *arg);

/* Stops writing, keeps committed pieces for a later resume; readers fail with `reason`. */
void cache_writer_abort(struct cache_writer **, const struct dt_err *reason);
/* As abort, and throws the bytes away. */
void cache_writer_drop(struct cache_writer **, const struct dt_err *reason);

#endif
