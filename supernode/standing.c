/*
 * supernode/standing.c - in which sets a peer stands: who may serve, who may ask. Pure.
 *
 * The plan never looks at peers one by one; it asks sets. So everything that changes a peer ends
 * with one of these calls, and the sets are always true. What follows from measured speed is here
 * too: a slow peer serves one at a time and is asked last.
 */
#include "supernode/swarm_priv.h"

#define STANDING_SLOW 3.0f /* a peer is slow when the average upload is this much faster */
/* A receiver takes no more at once than its link brings in so many ms ... */
#define STANDING_DOWN_MS  500.0f
#define STANDING_DOWN_MIN 2u /* ... but so many, or the link would idle between two pieces */

uint32_t swarm_up_slots(const struct swarm_peer *peer)
{
    return peer->is_slow && !peer->is_seed ? 1 : peer->up_slots;
}

/* On a slow link many transfers at once starve each other, and those that are given up were for
 * nothing. */
uint32_t swarm_down_slots(const struct supernode_swarm *swarm, const struct swarm_peer *peer)
{
    uint32_t most = peer->down_slots;
    if (most <= STANDING_DOWN_MIN || !supernode_rate_is_known(&peer->down))
        return most;
    float n = peer->down.bytes_per_ms * STANDING_DOWN_MS / (float)swarm->options.piece_size;
    if (n >= (float)most)
        return most;
    return n > (float)STANDING_DOWN_MIN ? (uint32_t)n : STANDING_DOWN_MIN;
}

static bool is_slow(const struct supernode_swarm *swarm, const struct swarm_peer *peer)
{
    return supernode_rate_is_known(&peer->up) && supernode_rate_is_known(&swarm->rate) &&
           peer->up.bytes_per_ms * STANDING_SLOW < swarm->rate.bytes_per_ms;
}

static uint32_t level_of(const struct swarm_peer *peer)
{
    if (!peer->is_used || peer->is_seed || peer->is_quarantined || peer->n_have == 0 ||
        peer->n_up >= swarm_up_slots(peer))
        return SWARM_LEVELS;
    if (peer->is_slow)
        return SWARM_SLOW;
    return peer->n_up < SWARM_SLOW - 1 ? peer->n_up : SWARM_SLOW - 1;
}

void swarm_stand_as_source(struct supernode_swarm *swarm, uint32_t slot)
{
    struct swarm_peer *peer = &swarm->peers[slot];
    peer->is_slow = is_slow(swarm, peer);
    uint32_t level = level_of(peer);
    if (level == peer->level)
        return;
    if (peer->level < SWARM_LEVELS) {
        supernode_bits_clear(&swarm->levels[peer->level], slot);
    } else {
        const uint64_t *have = swarm_row(swarm, slot);
        for (uint32_t w = 0; w < swarm->row_words; w++)
            swarm->available[w] |= have[w];
    }
    if (level < SWARM_LEVELS)
        supernode_bits_set(&swarm->levels[level], slot);
    peer->level = (uint8_t)level;
}

/* The first copy of a piece may use one transfer more than the slots: a seed never waits for a
 * receiver, or everybody would wait for the seed. */
static uint8_t hunger_of(const struct supernode_swarm *swarm, const struct swarm_peer *peer)
{
    uint32_t slots = swarm_down_slots(swarm, peer);
    if (!peer->is_used || peer->is_seed || !peer->is_listening || peer->rest_until_ms > 0 ||
        peer->n_down >= slots + SWARM_EXTRA ||
        peer->n_have + peer->n_pieces_down >= swarm->n_pieces || peer->n_pieces_down > slots)
        return SWARM_HUNGERS;
    if (peer->n_pieces_down == slots)
        return 2;
    return peer->n_pieces_down > 0;
}

void swarm_stand_as_receiver(struct supernode_swarm *swarm, uint32_t slot)
{
    struct swarm_peer *peer = &swarm->peers[slot];
    uint8_t hunger = hunger_of(swarm, peer);
    if (hunger == peer->hunger)
        return;
    if (peer->hunger < SWARM_HUNGERS)
        supernode_bits_clear(&swarm->hungry[peer->hunger], slot);
    if (hunger < SWARM_HUNGERS)
        supernode_bits_set(&swarm->hungry[hunger], slot);
    peer->hunger = hunger;
}

void swarm_copy_more(struct supernode_swarm *swarm, uint32_t piece)
{
    supernode_order_more(&swarm->order, piece);
    supernode_row_clear(swarm->zero, piece);
}

void swarm_copy_less(struct supernode_swarm *swarm, uint32_t piece)
{
    supernode_order_less(&swarm->order, piece);
    if (swarm->order.count[piece] == 0)
        supernode_row_set(swarm->zero, piece);
}
