/*
 * supernode/flight.c - transfers on the way: begin, find, end. Pure.
 *
 * A flight takes a slot at both ends. The copy it will make is counted from the start (or everybody
 * would be sent the same rare piece), once per receiver and piece, however many hedges there are,
 * and not at all for a quarantined receiver: nobody will be able to take it from there.
 */
#include "supernode/swarm_priv.h"

#define FLIGHT_UNKNOWN_MS 4000 /* how long a transfer takes before anything was measured */
#define FLIGHT_EXTRA_MS   20   /* asking, and telling */
#define FLIGHT_OVERDUE    2u   /* times what it should take, and ... */
#define FLIGHT_OVERDUE_MS 1000u

uint32_t swarm_flight_find(const struct swarm_peer *peer, uint32_t piece, uint32_t from)
{
    for (uint32_t i = 0; i < SWARM_FLIGHTS; i++)
        if (peer->flights[i].from == from && peer->flights[i].piece == piece)
            return i;
    return SUPERNODE_NONE;
}

uint32_t swarm_flight_find_piece(const struct swarm_peer *peer, uint32_t piece)
{
    for (uint32_t i = 0; i < SWARM_FLIGHTS; i++)
        if (peer->flights[i].from != SUPERNODE_NONE && peer->flights[i].piece == piece)
            return i;
    return SUPERNODE_NONE;
}

/* The slower end decides, with all its slots in use. */
static uint32_t expect_ms(const struct supernode_swarm *swarm, const struct swarm_peer *to,
                          const struct swarm_peer *from, uint32_t piece)
{
    bool knows_up = supernode_rate_is_known(&from->up);
    const struct supernode_rate *up = knows_up ? &from->up : &swarm->rate;
    if (!supernode_rate_is_known(up))
        return FLIGHT_UNKNOWN_MS;
    float rate = up->bytes_per_ms / (float)swarm_up_slots(from);
    if (supernode_rate_is_known(&to->down)) {
        float down = to->down.bytes_per_ms / (float)swarm_down_slots(swarm, to);
        rate = down < rate ? down : rate;
    }
    float ms = (float)supernode_swarm_piece_len(swarm, piece) / (rate > 0.001f ? rate : 0.001f);
    return ms > 3600000.0f ? 3600000 : (uint32_t)ms + FLIGHT_EXTRA_MS;
}

struct swarm_flight *swarm_flight_begin(struct supernode_swarm *swarm, uint32_t to, uint32_t piece,
                                        uint32_t from, uint64_t now_ms)
{
    struct swarm_peer *receiver = &swarm->peers[to], *source = &swarm->peers[from];
    bool is_hedge = swarm_flight_find_piece(receiver, piece) != SUPERNODE_NONE;
    uint32_t place = 0;
    while (place < SWARM_FLIGHTS && receiver->flights[place].from != SUPERNODE_NONE)
        place++;
    DT_ASSERT(place < SWARM_FLIGHTS);
    uint32_t id = to * SWARM_FLIGHTS + place;
    struct swarm_flight *flight = &receiver->flights[place];
    *flight = (struct swarm_flight){
        .from = from,
        .piece = piece,
        .up_next = source->up_first,
        .up_prev = SUPERNODE_NONE,
        .started_ms = now_ms,
        .expect_ms = expect_ms(swarm, receiver, source, piece),
        .is_hedge = is_hedge,
    };
    if (source->up_first != SUPERNODE_NONE)
        swarm_flight(swarm, source->up_first)->up_prev = id;
    source->up_first = id;
    source->n_up++;
    receiver->n_down++;
    swarm->n_flights++;
    if (!is_hedge) {
        receiver->n_pieces_down++;
        supernode_row_set(swarm_known(swarm, to), piece);
        if (!receiver->is_quarantined)
            swarm_copy_more(swarm, piece);
    }
    swarm_stand_as_source(swarm, from);
    swarm_stand_as_receiver(swarm, to);
    return flight;
}

void swarm_flight_end(struct supernode_swarm *swarm, uint32_t to, uint32_t place)
{
    struct swarm_peer *receiver = &swarm->peers[to];
    struct swarm_flight *flight = &receiver->flights[place];
    uint32_t piece = flight->piece, from = flight->from;
    DT_ASSERT(from != SUPERNODE_NONE);
    if (flight->up_prev != SUPERNODE_NONE)
        swarm_flight(swarm, flight->up_prev)->up_next = flight->up_next;
    else
        swarm->peers[from].up_first = flight->up_next;
    if (flight->up_next != SUPERNODE_NONE)
        swarm_flight(swarm, flight->up_next)->up_prev = flight->up_prev;
    receiver->n_wanted_down -= flight->is_wanted;
    flight->from = SUPERNODE_NONE;
    swarm->peers[from].n_up--;
    receiver->n_down--;
    swarm->n_flights--;
    uint32_t other = swarm_flight_find_piece(receiver, piece);
    if (other != SUPERNODE_NONE) {
        receiver->flights[other].is_hedge = false; /* it is the transfer now, and may be hedged */
        receiver->flights[other].is_hedged = false;
    } else {
        receiver->n_pieces_down--;
        supernode_row_clear(swarm_known(swarm, to), piece);
        if (!receiver->is_quarantined)
            swarm_copy_less(swarm, piece);
    }
    swarm_stand_as_source(swarm, from);
    swarm_stand_as_receiver(swarm, to);
}

size_t supernode_swarm_overdue(uint32_t *out_from, size_t max, const struct supernode_swarm *swarm,
                               uint32_t to, uint64_t now_ms)
{
    uint32_t slot = swarm_slot(swarm, to);
    size_t n = 0;
    if (slot == SUPERNODE_NONE)
        return 0;
    for (uint32_t i = 0; i < SWARM_FLIGHTS && n < max; i++) {
        const struct swarm_flight *flight = &swarm->peers[slot].flights[i];
        if (flight->from == SUPERNODE_NONE || swarm->peers[flight->from].is_seed)
            continue;
        uint64_t patience_ms = (uint64_t)flight->expect_ms * FLIGHT_OVERDUE + FLIGHT_OVERDUE_MS;
        if (now_ms >= flight->started_ms + patience_ms)
            out_from[n++] = swarm_handle(swarm, flight->from);
    }
    return n;
}
