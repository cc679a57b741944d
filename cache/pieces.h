/*
 * cache/pieces.h - which bytes of a blob are here. A value type; pure.
 *
 * A blob is cut into pieces of one size (the last may be shorter). Each piece is filled from its
 * start without gaps, by one source at a time, so one number per piece says it all. Bytes become
 * readable as they land, not only when their piece is complete; a piece is trusted after a crash
 * only when it was complete and its checksum was committed (cache/index).
 */
#ifndef DARTER_CACHE_PIECES_H
#define DARTER_CACHE_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define CACHE_PIECE_SIZE_MIN (256 * 1024u)
#define CACHE_PIECE_SIZE_MAX (16 * 1024 * 1024u)
#define CACHE_BLOB_SIZE_MAX  (1ULL << 40) /* 1 TiB: far above any layer, far below overflow */

struct cache_pieces {
    uint64_t size;       /* of the blob, bytes */
    uint32_t piece_size; /* bytes */
    uint32_t n;          /* pieces; 0 only for an empty blob */
    uint32_t n_complete;
    uint64_t filled_bytes; /* sum of filled[] */
    uint32_t *filled;      /* owned; bytes here, per piece, from its start */
};

/* The piece size that gives 64 to 256 pieces, within MIN..MAX. */
uint32_t cache_pieces_choose_size(uint64_t blob_size);
void cache_pieces_init(struct cache_pieces *out, uint64_t blob_size, uint32_t piece_size);
void cache_pieces_fini(struct cache_pieces *);

uint64_t cache_pieces_start(const struct cache_pieces *, uint32_t piece);
uint32_t cache_pieces_len(const struct cache_pieces *, uint32_t piece); /* the last may be short */
uint32_t cache_pieces_at(const struct cache_pieces *, uint64_t off);    /* piece that holds off */
bool cache_pieces_is_complete(const struct cache_pieces *, uint32_t piece);
bool cache_pieces_is_full(const struct cache_pieces *);
/* How many bytes can be read from `off` without a gap; 0 = none (also at and beyond the end). */
uint64_t cache_pieces_available(const struct cache_pieces *, uint64_t off);
/* Records bytes [off, off+len), which must continue every piece they touch where it ends (asserted:
 * see cache_pieces_can_add()). Returns the number of pieces that became complete. */
uint32_t cache_pieces_add(struct cache_pieces *, uint64_t off, uint64_t len);
bool cache_pieces_can_add(const struct cache_pieces *, uint64_t off, uint64_t len);
/* Forgets a piece (bad checksum, lost after a crash). */
void cache_pieces_reset(struct cache_pieces *, uint32_t piece);
/* First missing byte at or after `off`, and the end of that gap (where filled bytes begin again, or
 * size). false = nothing missing from off on. Gap starts are where a fetch may begin to write. */
bool cache_pieces_next_gap(const struct cache_pieces *, uint64_t off, uint64_t *gap_start,
                           uint64_t *gap_end);

#endif
