/*
 * supernode/order.c - the pieces of a blob, rarest first. Pure.
 *
 * pieces[]:  | count 0 | count 1 | ... |      bucket_start[c] = first place with a count >= c
 */
#include "supernode/order.h"

#include "base/err.h"
#include "base/mem.h"
#include "supernode/bits.h"

void supernode_order_init(struct supernode_order *out, uint32_t n_pieces)
{
    *out = (struct supernode_order){
        .n = n_pieces,
        .pieces = dt_new_array(uint32_t, n_pieces),
        .position = dt_new_array(uint32_t, n_pieces),
        .count = dt_new_array(uint32_t, n_pieces),
        .bucket_start = dt_new_array(uint32_t, 2),
        .n_buckets = 2,
    };
    for (uint32_t piece = 0; piece < n_pieces; piece++)
        out->pieces[piece] = out->position[piece] = piece;
    out->bucket_start[1] = n_pieces;
}

void supernode_order_fini(struct supernode_order *order)
{
    dt_free(&order->pieces);
    dt_free(&order->position);
    dt_free(&order->count);
    dt_free(&order->bucket_start);
}

static void move_to(struct supernode_order *order, uint32_t piece, uint32_t place)
{
    uint32_t other = order->pieces[place], old = order->position[piece];
    order->pieces[place] = piece;
    order->position[piece] = place;
    order->pieces[old] = other;
    order->position[other] = old;
}

void supernode_order_more(struct supernode_order *order, uint32_t piece)
{
    uint32_t count = order->count[piece];
    if (count + 2 >= order->n_buckets) {
        uint32_t n = order->n_buckets * 2;
        order->bucket_start = dt_realloc(order->bucket_start, n * sizeof(uint32_t));
        for (uint32_t c = order->n_buckets; c < n; c++)
            order->bucket_start[c] = order->n;
        order->n_buckets = n;
    }
    move_to(order, piece, --order->bucket_start[count + 1]);
    order->count[piece]++;
}

void supernode_order_less(struct supernode_order *order, uint32_t piece)
{
    uint32_t count = order->count[piece];
    DT_ASSERT(count > 0);
    move_to(order, piece, order->bucket_start[count]++);
    order->count[piece]--;
}

/* Fewer candidates than this are compared with each other; more, and the walk from the rarest on
 * meets one soon. */
#define ORDER_FEW 16u

static uint32_t pick_of_few(const struct supernode_order *order, const uint64_t *candidates,
                            uint32_t hash)
{
    uint64_t best = UINT64_MAX;
    uint32_t picked = SUPERNODE_NONE;
    for (uint32_t w = 0; w < supernode_bits_words(order->n); w++)
        for (uint64_t bits = candidates[w]; bits != 0; bits &= bits - 1) {
            uint32_t piece = w * 64 + (uint32_t)__builtin_ctzll(bits);
            uint64_t key = (uint64_t)order->count[piece] << 32 | (piece * 2654435761u ^ hash);
            if (key < best) {
                best = key;
                picked = piece;
            }
        }
    return picked;
}

uint32_t supernode_order_pick(const struct supernode_order *order, const uint64_t *candidates,
                              uint32_t hash)
{
    uint32_t n = 0;
    for (uint32_t w = 0; w < supernode_bits_words(order->n); w++)
        n += (uint32_t)__builtin_popcountll(candidates[w]);
    if (n <= ORDER_FEW)
        return pick_of_few(order, candidates, hash);
    for (uint32_t first = 0; first < order->n;) {
        uint32_t end = order->bucket_start[order->count[order->pieces[first]] + 1];
        uint32_t middle = first + (uint32_t)((uint64_t)hash * (end - first) >> 32);
        for (uint32_t i = middle; i < end; i++)
            if (supernode_row_test(candidates, order->pieces[i]))
                return order->pieces[i];
        for (uint32_t i = first; i < middle; i++)
            if (supernode_row_test(candidates, order->pieces[i]))
                return order->pieces[i];
        first = end;
    }
    return SUPERNODE_NONE;
}
