/*
 * supernode/swarm_priv.h - the state of a swarm, shared by swarm.c (peers and events), event.c
 * (what peers say), flight.c (transfers), standing.c (who may serve, who may ask) and plan.c (the
 * choice).
 *
 * Inside, a peer is its slot (place in peers[]); a flight is a number too: receiver's slot times
 * SWARM_FLIGHTS plus its place there. So a receiver's flights lie together, and those of a source
 * form a list.
 */
#ifndef DARTER_SUPERNODE_SWARM_PRIV_H
#define DARTER_SUPERNODE_SWARM_PRIV_H

#include "supernode/order.h"
#include "supernode/rate.h"
#include "supernode/swarm.h"

#define SWARM_EXTRA   3u /* transfers beyond a receiver's slots: a first copy, two hedges */
#define SWARM_FLIGHTS (SUPERNODE_DOWN_SLOTS_MAX + SWARM_EXTRA) /* per receiver */
#define SWARM_AVOIDS  4u
#define SWARM_LEVELS  4u /* of sources: idle, one upload, more, slow */
#define SWARM_HUNGERS 3u /* of receivers: nothing on the way, something, only first copies fit */
#define SWARM_SLOW    (SWARM_LEVELS - 1)

struct swarm_flight {
    uint32_t from; /* slot; SUPERNODE_NONE = no flight here */
    uint32_t piece;
    uint32_t up_next, up_prev; /* flights of the same source */
    uint64_t started_ms;
    uint32_t expect_ms;
    bool is_hedge, is_hedged, is_late, is_wanted;
};

struct swarm_avoid {
    uint32_t peer; /* handle */
    uint64_t until_ms;
};

struct swarm_peer {
    bool is_used, is_seed, is_quarantined, is_listening, is_slow;
    uint16_t generation;
    uint8_t level;  /* of supply; SWARM_LEVELS = serves nobody now */
    uint8_t hunger; /* of asking; SWARM_HUNGERS = asks for nothing now */
    uint32_t rack;  /* index into racks[]; SUPERNODE_NONE */
    uint32_t up_slots, down_slots;
    uint32_t n_up, n_down, n_pieces_down, n_wanted_down; /* hedges count in n_up and n_down only */
    uint32_t n_have;
    uint32_t wanted;   /* piece, or SUPERNODE_NONE */
    uint32_t up_first; /* flight, or SUPERNODE_NONE */
    uint32_t n_failed_in_a_row;
    uint64_t rest_until_ms; /* after failures without a success between them; 0 = no rest */
    struct supernode_rate up, down;
    struct swarm_avoid avoids[SWARM_AVOIDS];
    uint32_t next_avoid;
    struct swarm_flight flights[SWARM_FLIGHTS];
};

struct swarm_rack {
    uint32_t id;
    uint32_t n_peers;
    struct supernode_bits peers;
};

struct supernode_swarm {
    unsigned magic;
    struct supernode_swarm_options options;
    uint32_t n_pieces, row_words;
    uint32_t capacity, n_used;
    struct swarm_peer *peers; /* owned */
    uint32_t *vacant;         /* owned; free slots, a stack */
    uint32_t n_vacant;
    uint64_t *have;                 /* owned; a row per peer */
    uint64_t *known;                /* owned; a row per peer: what it has or is on the way to it */
    struct supernode_bits *holders; /* owned; a set of peers per piece, without seeds */
    struct supernode_order order;   /* by usable copies in hands and on the way, without seeds */
    uint64_t *zero;                 /* owned; row: pieces with no such copy */
    uint64_t *available; /* owned; row: pieces some peer may serve; may say yes too often */
    uint64_t *supply, *candidates; /* owned; rows: plan.c's scratch */
    struct supernode_bits levels[SWARM_LEVELS];
    struct supernode_bits hungry[SWARM_HUNGERS];
    struct supernode_bits late; /* receivers with an overdue flight that has no hedge */
    struct swarm_rack *racks;   /* owned */
    uint32_t n_racks;
    uint32_t seeds[SUPERNODE_SEEDS_MAX];
    uint32_t n_seeds;
    uint32_t n_complete, n_flights;
    uint32_t n_spreaders; /* unfinished, neither slow nor quarantined; counted by the sweep */
    uint32_t cursor;      /* whose turn it is */
    uint64_t random;
    uint64_t sweep_at_ms;
    uint64_t trouble_until_ms;  /* nobody avoids anybody after this */
    uint64_t rest_until_ms;     /* nobody rests after this; 0 = nobody does */
    struct supernode_rate rate; /* of all uploads */
    uint64_t n_assigned, n_hedged, n_finished;
};

static inline uint64_t *swarm_row(const struct supernode_swarm *swarm, uint32_t slot)
{
    return swarm->have + (size_t)slot * swarm->row_words;
}

static inline uint64_t *swarm_known(const struct supernode_swarm *swarm, uint32_t slot)
{
    return swarm->known + (size_t)slot * swarm->row_words;
}

static inline uint32_t swarm_handle(const struct supernode_swarm *swarm, uint32_t slot)
{
    return slot | (uint32_t)swarm->peers[slot].generation << 16;
}

/* Handle -> slot; SUPERNODE_NONE for one who is not here any more. */
static inline uint32_t swarm_slot(const struct supernode_swarm *swarm, uint32_t handle)
{
    uint32_t slot = supernode_peer_slot(handle);
    if (slot >= swarm->capacity || !swarm->peers[slot].is_used ||
        swarm->peers[slot].generation != handle >> 16)
        return SUPERNODE_NONE;
    return slot;
}

static inline struct swarm_flight *swarm_flight(struct supernode_swarm *swarm, uint32_t flight)
{
    return &swarm->peers[flight / SWARM_FLIGHTS].flights[flight % SWARM_FLIGHTS];
}

/* standing.c: after anything changed about a peer as source or as receiver. */
void swarm_stand_as_source(struct supernode_swarm *, uint32_t slot);
void swarm_stand_as_receiver(struct supernode_swarm *, uint32_t slot);
uint32_t swarm_up_slots(const struct swarm_peer *);
uint32_t swarm_down_slots(const struct supernode_swarm *, const struct swarm_peer *);
void swarm_copy_more(struct supernode_swarm *, uint32_t piece);
void swarm_copy_less(struct supernode_swarm *, uint32_t piece);

/* flight.c */
struct swarm_flight *swarm_flight_begin(struct supernode_swarm *, uint32_t to, uint32_t piece,
                                        uint32_t from, uint64_t now_ms);
/* Ends one flight; the copy on the way is not counted any more when it was the last of its piece.
 */
void swarm_flight_end(struct supernode_swarm *, uint32_t to, uint32_t place);
/* Places in flights[]; SUPERNODE_NONE = no such flight. */
uint32_t swarm_flight_find(const struct swarm_peer *, uint32_t piece, uint32_t from);
uint32_t swarm_flight_find_piece(const struct swarm_peer *, uint32_t piece);

#endif
