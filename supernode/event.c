/*
 * supernode/event.c - what peers tell about pieces. Pure.
 *
 * Every word may be late, doubled or a lie. A finished piece is believed (a peer that boasts only
 * makes others fail on it, once each). A failure is believed for this pair of peers only, and a
 * receiver that only ever reports failures is given rests that grow, so that it cannot keep others'
 * slots busy. Only `is_proved`, which is the supernode's own finding, shuts a source out.
 */
#include "supernode/swarm_priv.h"

#define EVENT_REST_AFTER 3u  /* failures in a row before a receiver must rest */
#define EVENT_REST_MS    50u /* the first rest; each further one is twice as long */
#define EVENT_REST_STEPS 7u  /* ... up to 6.4 s */

/* Makes a piece the peer's own; its flights of that piece have ended. */
static void take(struct supernode_swarm *swarm, uint32_t slot, uint32_t piece)
{
    struct swarm_peer *peer = &swarm->peers[slot];
    supernode_row_set(swarm_row(swarm, slot), piece);
    supernode_row_set(swarm_known(swarm, slot), piece);
    peer->n_have++;
    if (peer->is_seed)
        return;
    swarm->n_complete += peer->n_have == swarm->n_pieces;
    if (!peer->is_quarantined) {
        supernode_bits_set(&swarm->holders[piece], slot);
        swarm_copy_more(swarm, piece);
    }
    swarm_stand_as_source(swarm, slot);
    if (peer->level < SWARM_LEVELS)
        supernode_row_set(swarm->available, piece);
    swarm_stand_as_receiver(swarm, slot);
}

/* All transfers of a piece to this receiver: the quickest has won, or the piece came elsewhere. */
static void end_all(struct supernode_swarm *swarm, uint32_t to, uint32_t piece)
{
    uint32_t place;
    while ((place = swarm_flight_find_piece(&swarm->peers[to], piece)) != SUPERNODE_NONE)
        swarm_flight_end(swarm, to, place);
}

static void measure(struct supernode_swarm *swarm, uint32_t to, const struct swarm_flight *flight,
                    uint64_t took_ms)
{
    struct swarm_peer *receiver = &swarm->peers[to], *source = &swarm->peers[flight->from];
    uint32_t len = supernode_swarm_piece_len(swarm, flight->piece);
    supernode_rate_add(&source->up, len, took_ms, source->n_up);
    supernode_rate_add(&receiver->down, len, took_ms, receiver->n_down);
    if (!source->is_seed) /* a seed may have another network card: it is no yardstick */
        supernode_rate_add(&swarm->rate, len, took_ms, source->n_up);
}

bool supernode_swarm_finished(struct supernode_swarm *swarm, uint32_t to_handle, uint32_t piece,
                              uint32_t from_handle, uint64_t took_ms)
{
    uint32_t to = swarm_slot(swarm, to_handle), from = swarm_slot(swarm, from_handle);
    if (to == SUPERNODE_NONE || piece >= swarm->n_pieces || swarm->peers[to].is_seed)
        return false;
    struct swarm_peer *receiver = &swarm->peers[to];
    uint32_t place = from == SUPERNODE_NONE ? from : swarm_flight_find(receiver, piece, from);
    /* The source may have left, or the transfer been given up: the piece is there all the same. */
    if (place == SUPERNODE_NONE)
        return supernode_swarm_gained(swarm, to_handle, piece);
    measure(swarm, to, &receiver->flights[place], took_ms);
    receiver->n_failed_in_a_row = 0;
    swarm->n_finished++;
    end_all(swarm, to, piece);
    take(swarm, to, piece);
    return true;
}

bool supernode_swarm_gained(struct supernode_swarm *swarm, uint32_t handle, uint32_t piece)
{
    uint32_t slot = swarm_slot(swarm, handle);
    if (slot == SUPERNODE_NONE || piece >= swarm->n_pieces ||
        supernode_row_test(swarm_row(swarm, slot), piece))
        return false;
    end_all(swarm, slot, piece);
    take(swarm, slot, piece);
    return true;
}

bool supernode_swarm_lost(struct supernode_swarm *swarm, uint32_t handle, uint32_t piece)
{
    uint32_t slot = swarm_slot(swarm, handle);
    if (!supernode_swarm_has(swarm, handle, piece))
        return false;
    struct swarm_peer *peer = &swarm->peers[slot];
    supernode_row_clear(swarm_row(swarm, slot), piece);
    supernode_row_clear(swarm_known(swarm, slot), piece);
    if (!peer->is_seed) {
        swarm->n_complete -= peer->n_have == swarm->n_pieces;
        if (!peer->is_quarantined) {
            supernode_bits_clear(&swarm->holders[piece], slot);
            swarm_copy_less(swarm, piece);
        }
    }
    peer->n_have--;
    swarm_stand_as_source(swarm, slot);
    swarm_stand_as_receiver(swarm, slot);
    return true;
}

/* Nobody is sent to it any more, who is on the way there is called back, and its copies do not
 * count. It may still take: a pull never fails because of a bad disk. */
static void quarantine(struct supernode_swarm *swarm, uint32_t slot)
{
    struct swarm_peer *peer = &swarm->peers[slot];
    if (peer->is_quarantined)
        return;
    while (peer->up_first != SUPERNODE_NONE)
        swarm_flight_end(swarm, peer->up_first / SWARM_FLIGHTS, peer->up_first % SWARM_FLIGHTS);
    for (uint32_t piece = 0; !peer->is_seed && piece < swarm->n_pieces; piece++) {
        bool is_held = supernode_row_test(swarm_row(swarm, slot), piece);
        if (is_held)
            supernode_bits_clear(&swarm->holders[piece], slot);
        if (is_held || swarm_flight_find_piece(peer, piece) != SUPERNODE_NONE)
            swarm_copy_less(swarm, piece);
    }
    peer->is_quarantined = true;
    swarm_stand_as_source(swarm, slot);
}

static void avoid(struct supernode_swarm *swarm, struct swarm_peer *receiver, uint32_t from,
                  const struct supernode_failure *failure)
{
    static const uint32_t avoid_ms[SUPERNODE_WHY_END] = {
#define X(name, ms, text) [SUPERNODE_WHY_##name] = (ms),
        SUPERNODE_WHYS(X)
#undef X
    };
    uint64_t until_ms = failure->now_ms + avoid_ms[failure->why];
    receiver->avoids[receiver->next_avoid++ % SWARM_AVOIDS] = (struct swarm_avoid){
        .peer = swarm_handle(swarm, from),
        .until_ms = until_ms,
    };
    if (swarm->trouble_until_ms < until_ms)
        swarm->trouble_until_ms = until_ms;
    /* All transfers from a source that is not there fail at once: they are one reason to rest. */
    if (failure->why == SUPERNODE_WHY_BUSY || failure->now_ms < receiver->rest_until_ms ||
        ++receiver->n_failed_in_a_row < EVENT_REST_AFTER)
        return;
    uint32_t step = receiver->n_failed_in_a_row - EVENT_REST_AFTER;
    if (step > EVENT_REST_STEPS)
        step = EVENT_REST_STEPS;
    receiver->rest_until_ms = failure->now_ms + (EVENT_REST_MS << step);
    if (swarm->rest_until_ms < receiver->rest_until_ms)
        swarm->rest_until_ms = receiver->rest_until_ms;
}

bool supernode_swarm_failed(struct supernode_swarm *swarm, const struct supernode_failure *failure)
{
    uint32_t to = swarm_slot(swarm, failure->to), from = swarm_slot(swarm, failure->from);
    DT_ASSERT(failure->why < SUPERNODE_WHY_END);
    if (from == SUPERNODE_NONE)
        return false;
    uint32_t place = SUPERNODE_NONE;
    if (to != SUPERNODE_NONE)
        place = swarm_flight_find(&swarm->peers[to], failure->piece, from);
    if (place != SUPERNODE_NONE) {
        avoid(swarm, &swarm->peers[to], from, failure);
        swarm_flight_end(swarm, to, place);
        swarm_stand_as_receiver(swarm, to);
    }
    if (failure->is_proved)
        quarantine(swarm, from);
    return place != SUPERNODE_NONE || failure->is_proved;
}
