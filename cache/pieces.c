/*
 * cache/pieces.c - which bytes of a blob are here. Pure; the owner's thread or lock.
 *
 * One number per piece: bytes filled from its start. Nothing else is stored, so that "is it
 * complete", "how far can be read" and "where is the next gap" can never disagree.
 */
#include "cache/pieces.h"

#include "base/mem.h"

#define PIECES_TARGET_MAX 256 /* more pieces cost control traffic, fewer cost the swarm's tail */

uint32_t cache_pieces_choose_size(uint64_t blob_size)
{
    uint64_t size = CACHE_PIECE_SIZE_MIN;
    while (size < CACHE_PIECE_SIZE_MAX && blob_size > size * PIECES_TARGET_MAX)
        size *= 2;
    return (uint32_t)size;
}

void cache_pieces_init(struct cache_pieces *out, uint64_t blob_size, uint32_t piece_size)
{
    DT_ASSERT(blob_size <= CACHE_BLOB_SIZE_MAX);
    DT_ASSERT(piece_size >= CACHE_PIECE_SIZE_MIN && piece_size <= CACHE_PIECE_SIZE_MAX);
    *out = (struct cache_pieces){
        .size = blob_size,
        .piece_size = piece_size,
        .n = (uint32_t)((blob_size + piece_size - 1) / piece_size),
    };
    if (out->n > 0)
        out->filled = dt_new_array(uint32_t, out->n);
}

void cache_pieces_fini(struct cache_pieces *pieces)
{
    dt_free(&pieces->filled);
    *pieces = (struct cache_pieces){0};
}

uint64_t cache_pieces_start(const struct cache_pieces *pieces, uint32_t piece)
{
    DT_ASSERT(piece < pieces->n);
    return (uint64_t)piece * pieces->piece_size;
}

uint32_t cache_pieces_len(const struct cache_pieces *pieces, uint32_t piece)
{
    uint64_t left = pieces->size - cache_pieces_start(pieces, piece);
    return left < pieces->piece_size ? (uint32_t)left : pieces->piece_size;
}

uint32_t cache_pieces_at(const struct cache_pieces *pieces, uint64_t off)
{
    DT_ASSERT(off < pieces->size);
    return (uint32_t)(off / pieces->piece_size);
}

bool cache_pieces_is_complete(const struct cache_pieces *pieces, uint32_t piece)
{
    return pieces->filled[piece] == cache_pieces_len(pieces, piece);
}

bool cache_pieces_is_full(const struct cache_pieces *pieces)
{
    return pieces->n_complete == pieces->n;
}

uint64_t cache_pieces_available(const struct cache_pieces *pieces, uint64_t off)
{
    if (off >= pieces->size)
        return 0;
    if (cache_pieces_is_full(pieces))
        return pieces->size - off;
    uint32_t piece = cache_pieces_at(pieces, off);
    uint64_t end = cache_pieces_start(pieces, piece) + pieces->filled[piece];
    while (cache_pieces_is_complete(pieces, piece) && ++piece < pieces->n)
        end = cache_pieces_start(pieces, piece) + pieces->filled[piece];
    return end > off ? end - off : 0;
}

bool cache_pieces_can_add(const struct cache_pieces *pieces, uint64_t off, uint64_t len)
{
    if (len == 0 || off >= pieces->size || len > pieces->size - off)
        return false;
    uint32_t first = cache_pieces_at(pieces, off), last = cache_pieces_at(pieces, off + len - 1);
    if (off != cache_pieces_start(pieces, first) + pieces->filled[first])
        return false;
    for (uint32_t piece = first + 1; piece <= last; piece++)
        if (pieces->filled[piece] != 0)
            return false;
    return true;
}

uint32_t cache_pieces_add(struct cache_pieces *pieces, uint64_t off, uint64_t len)
{
    DT_ASSERT(cache_pieces_can_add(pieces, off, len));
    uint32_t n_new = 0;
    uint64_t end = off + len;
    for (uint32_t piece = cache_pieces_at(pieces, off); off < end; piece++) {
        uint64_t piece_end = cache_pieces_start(pieces, piece) + cache_pieces_len(pieces, piece);
        uint64_t here = (end < piece_end ? end : piece_end) - off;
        pieces->filled[piece] += (uint32_t)here;
        pieces->filled_bytes += here;
        off += here;
        if (cache_pieces_is_complete(pieces, piece))
            n_new++;
    }
    pieces->n_complete += n_new;
    return n_new;
}

void cache_pieces_reset(struct cache_pieces *pieces, uint32_t piece)
{
    DT_ASSERT(piece < pieces->n);
    if (cache_pieces_is_complete(pieces, piece))
        pieces->n_complete--;
    pieces->filled_bytes -= pieces->filled[piece];
    pieces->filled[piece] = 0;
}

bool cache_pieces_next_gap(const struct cache_pieces *pieces, uint64_t off, uint64_t *gap_start,
                           uint64_t *gap_end)
{
    if (off >= pieces->size)
        return false;
    uint32_t piece = cache_pieces_at(pieces, off);
    while (piece < pieces->n && cache_pieces_is_complete(pieces, piece))
        piece++;
    if (piece == pieces->n)
        return false;
    *gap_start = cache_pieces_start(pieces, piece) + pieces->filled[piece];
    /* A piece is filled from its start: the gap ends where a later piece has begun. */
    for (piece++; piece < pieces->n && pieces->filled[piece] == 0; piece++)
        continue;
    *gap_end = piece < pieces->n ? cache_pieces_start(pieces, piece) : pieces->size;
    return true;
}
