/*
 * cache/reader.h - one reader of one blob, sealed or still being written.
 *
 *   OPEN -> (WAITING <-> READABLE) -> CLOSED
 *
 * A reader keeps its blob from being evicted. It belongs to one loop (or one thread); the blob's
 * writer may live elsewhere. The last byte of a blob is never readable before the whole digest was
 * verified here: so nobody can complete a blob that is not what it says. The exception is a reader
 * of pieces (cache_reader_by_piece()), who has other proofs.
 */
#ifndef DARTER_CACHE_READER_H
#define DARTER_CACHE_READER_H

#include "cache/cache.h"

struct cache_reader;

/* Opens a SEALED blob, or one that a writer in this process is filling. Does not touch the disk
 * when the blob is already open; else one open(2). A PARTIAL blob without a writer: DT_ENOTFOUND.
 * A sealed blob whose file is gone or has the wrong size: removed from the index, DT_ENOTFOUND. So
 * is one that a rebuilt index found and nobody re-hashed yet (it is checked next). */
int cache_reader_open(struct cache_reader **out, struct cache *, const struct dt_digest *,
                      struct dt_err *);
void cache_reader_close(struct cache_reader **);

uint64_t cache_reader_size(const struct cache_reader *);
bool cache_reader_is_sealed(const struct cache_reader *);
/* Is nobody's word behind some of its bytes, before the digest is computed? (Once it is: no.) */
bool cache_reader_is_unproved(const struct cache_reader *);
/* From now on this reader sees every byte that is in the file, the last one too although the whole
 * is not verified yet: for those who read single pieces, check each by a sum of its own and never
 * complete a blob with them. Before the first wait. */
void cache_reader_by_piece(struct cache_reader *);
/* Borrowed; stays valid until close. -1 while nothing is readable yet. */
int cache_reader_fd(const struct cache_reader *);

/* Bytes readable from `off` now: > 0; 0 = not yet; negative: the writer gave up or the blob proved
 * wrong (DT_EMISMATCH, DT_EUNAVAILABLE, ...): nothing more will come, err says why. At and beyond
 * the end: 0. An empty blob is complete when cache_reader_is_sealed(). */
int64_t cache_reader_available(struct cache_reader *, uint64_t off, struct dt_err *);

/* Bytes from `off` on that are in the file of a blob being written, also after its writer failed:
 * cache_reader_fd() still gives them. When it was the disk that failed (DT_EIO, DT_ENOSPACE),
 * nobody changes that file any more, so a reader can prove what it gave to others. */
uint64_t cache_reader_landed(struct cache_reader *, uint64_t off);

/* Asks for one call of fn(arg) on `loop` when cache_reader_available(off) may no longer be 0. Never
 * from inside this call. One wait at a time; waiting again replaces the old. The call may come
 * although nothing changed: ask again. A wait at or beyond the end is for the verdict (sealed, or
 * failed). Close cancels; no call comes after close when both run on `loop`. */
void cache_reader_wait(struct cache_reader *, uint64_t off, struct dt_loop *loop, dt_loop_f fn,
                       void *arg);

#endif
