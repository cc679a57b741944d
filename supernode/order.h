/*
 * supernode/order.h - the pieces of a blob, rarest first. Pure.
 *
 * Every piece has a count of copies (in hands and on the way). The pieces stand in one array sorted
 * by that count; equal counts form a bucket. A count changes by one at a time, so a piece moves by
 * one swap at a bucket's edge: O(1), whatever the size of the swarm.
 *
 * Memory: 12 bytes per piece and 4 bytes per peer.
 */
#ifndef DARTER_SUPERNODE_ORDER_H
#define DARTER_SUPERNODE_ORDER_H

#include <stdint.h>

struct supernode_order {
    uint32_t n;             /* pieces */
    uint32_t *pieces;       /* owned; sorted by count */
    uint32_t *position;     /* owned; piece -> its place in pieces[] */
    uint32_t *count;        /* owned; piece -> copies */
    uint32_t *bucket_start; /* owned; count -> first place of its bucket; buckets beyond all: n */
    uint32_t n_buckets;
};

void supernode_order_init(struct supernode_order *out, uint32_t n_pieces);
void supernode_order_fini(struct supernode_order *);
void supernode_order_more(struct supernode_order *, uint32_t piece);
void supernode_order_less(struct supernode_order *, uint32_t piece); /* count > 0 (asserted) */

/* The rarest piece of `candidates` (a row of bits). Among equals the place where the search begins
 * is taken from `hash`, so that peers with different hashes ask for different pieces.
 * SUPERNODE_NONE = no candidate. */
uint32_t supernode_order_pick(const struct supernode_order *, const uint64_t *candidates,
                              uint32_t hash);

#endif
