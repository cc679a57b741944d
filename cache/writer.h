/*
 * cache/writer.h - the one writer of one blob.
 *
 *   OPEN (waiting for room) -> WRITING -> VERIFYING -> SEALED
 *                any -> ABORTED (complete pieces are kept, to be resumed)
 *
 * A writer belongs to one loop, the home of its task; all calls and callbacks are there. Bytes are
 * written on the pool, on a strand of the writer, and become visible to readers when they are in
 * the file; a second strand hashes behind it. Hashing follows the contiguous front of the blob, so
 * sources may fill pieces in any order. fdatasync and index commits happen behind the readers'
 * backs.
 */
#ifndef DARTER_CACHE_WRITER_H
#define DARTER_CACHE_WRITER_H

#include "cache/cache.h"
#include "cache/pieces.h"

struct cache_writer;

struct cache_writer_ops {
    /* Bytes given to cache_writer_write() are in the file, and hashed as far as their turn has
     * come; `in_flight` = bytes still held. Sources that were paused may go on. */
    void (*on_written)(void *arg, uint64_t in_flight);
    /* The file system or quota failed under us: DT_ENOSPACE or DT_EIO, once. Readers have been
     * failed. The owner aborts. */
    void (*on_error)(void *arg, const struct dt_err *err);
};

/* Above this many queued bytes a source should pause (back-pressure, not an error). */
#define CACHE_WRITER_HIGH_WATER (8 * 1024 * 1024u)

/* Decides at once, without waiting for the disk. When others have to be evicted first, bytes given
 * meanwhile wait in memory (in_flight) until the victims are really gone: the disk never holds more
 * than the quota. Should the victims be opened or pinned in that moment, on_error(DT_ENOSPACE).
 *
 * Committed pieces of an earlier run are taken as here; the strand checks them against their
 * checksums before readers see them. One that proves bad is missing again in cache_writer_pieces(),
 * and on_written() comes to say so.
 *
 * Errors: DT_ECONFLICT (has a writer, or is here already), DT_EBUSY (the same blob is being put
 * away or removed right now: try again in some milliseconds), DT_ENOSPACE (evicting all that may go
 * would not make room, or the disk was full a moment ago), DT_ETOOBIG, DT_EIO, DT_EUNAVAILABLE
 * (cache is not usable). On `loop` only. */
int cache_writer_open(struct cache_writer **out, struct cache *, const struct dt_digest *,
                      uint64_t size, struct dt_loop *loop, const struct cache_writer_ops *,
                      void *arg, struct dt_err *);

/* What is here, including bytes already queued to be written: what a planner needs. Borrowed. */
const struct cache_pieces *cache_writer_pieces(const struct cache_writer *);

/* From now on bytes may come that nothing vouches for before the digest does: readers can ask. */
void cache_writer_note_unproved(struct cache_writer *);

/* Queues bytes [off, off+len), which must satisfy cache_pieces_can_add(). `*bytes` is malloc'ed and
 * consumed (set to NULL). */
void cache_writer_write(struct cache_writer *, uint64_t off, void **bytes, size_t len);

/* When every byte was given: waits for the strand, compares the digest. done() comes once, on the
 * writer's loop; no other callback comes after this call.
 * err->code 0: readers may complete; the blob is sealed and being made durable.
 * DT_EMISMATCH (also: bytes are missing), DT_EIO, DT_ENOSPACE: readers failed, file and pieces are
 * gone; a new writer may be opened at once. */
void cache_writer_finish(struct cache_writer **, cache_done_f done, void *arg);

/* Stops writing at once (queued bytes are thrown away), keeps complete pieces for a later resume;
 * readers fail with `reason` (NULL = DT_ECANCELLED). Where that is a disk's failure (DT_EIO,
 * DT_ENOSPACE) and somebody reads, nothing is kept (cache_reader_landed()). No callback follows.
 * Harmless on NULL. Legal inside the writer's callbacks. */
void cache_writer_abort(struct cache_writer **, const struct dt_err *reason);

#endif
