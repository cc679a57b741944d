/*
 * supernode/swarm.h - one blob on its way through one site: who is there, who holds which piece,
 * what is on the way. Pure: no I/O, no clock (time is an argument, milliseconds, never going back),
 * no threads (the owner's loop). Events come in here; plan.h says who takes what from whom.
 *
 *   peer:    join -> (listen, want, finished, failed, gained, lost)* -> leave
 *            HONEST -> QUARANTINED   only by a proof the supernode made itself (`is_proved`)
 *   flight:  planned -> finished | failed | returned (one end left, or another source was quicker)
 *
 * - The site is part of the swarm, not of the search: a peer of another site cannot join, so there
 *   is no list in which it could be found.
 * - A peer is known by a handle with a generation: a late word about somebody who left is ignored.
 * - Seeds are the site's supernodes: they get pieces from upstream (`gained`), hand out each once
 *   before any twice, and take nothing from peers.
 * - What a receiver merely claims about a source is remembered for that pair alone, in a table of
 *   the receiver's; it cannot hurt the source's standing with others.
 *
 * Memory: 3 bits per piece and peer (what it has, what it has or awaits, who holds it), about 500
 * bytes per peer, 44 per piece. Joins are refused above the limits below.
 */
#ifndef DARTER_SUPERNODE_SWARM_H
#define DARTER_SUPERNODE_SWARM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "supernode/bits.h" /* SUPERNODE_NONE */

#define SUPERNODE_PIECES_MAX     65536u
#define SUPERNODE_PEERS_MAX      32768u
#define SUPERNODE_CELLS_MAX      (1ULL << 30) /* pieces x peers: 384 MiB for all three maps */
#define SUPERNODE_SEEDS_MAX      8u
#define SUPERNODE_RACKS_MAX      1024u /* peers of further racks have no preference */
#define SUPERNODE_DOWN_SLOTS_MAX 8u
#define SUPERNODE_UP_SLOTS_MAX   64u

/* Why a transfer failed, as the receiver says it; for how long this pair is not tried again. */
#define SUPERNODE_WHYS(X)                                                                          \
    X(BUSY, 100, "the source had no free upload slot")                                             \
    X(UNREACHABLE, 10000, "no connection, or it broke")                                            \
    X(STALLED, 10000, "no bytes for too long")                                                     \
    X(REFUSED, 10000, "the source refused: ticket, site or piece")                                 \
    X(BAD_SUM, 60000, "the bytes do not have the piece's checksum")

enum supernode_why {
#define X(name, avoid_ms, text) SUPERNODE_WHY_##name,
    SUPERNODE_WHYS(X)
#undef X
        SUPERNODE_WHY_END
};

struct supernode_swarm;

struct supernode_swarm_options {
    uint64_t size;       /* of the blob, bytes; > 0 */
    uint32_t piece_size; /* bytes; the last piece may be shorter */
    uint32_t site;
    uint64_t key; /* secret and different per swarm: nobody can foresee who is sent where */
};

struct supernode_peer {
    uint32_t site;
    uint32_t rack;       /* 0 = unknown */
    uint32_t up_slots;   /* transfers it serves at once; cut to the limits above */
    uint32_t down_slots; /* transfers it makes at once */
    bool is_seed;
    const uint64_t *have; /* a row of bits, one per piece; NULL = nothing yet; copied */
};

/* Errors: DT_EINVAL for a size of 0 and DT_ETOOBIG for more than SUPERNODE_PIECES_MAX pieces. */
int supernode_swarm_new(struct supernode_swarm **out, const struct supernode_swarm_options *,
                        struct dt_err *err);
void supernode_swarm_free(struct supernode_swarm **);

/* Errors: DT_EDENIED for another site, DT_EBUSY above a limit (the node then asks its mirrors). */
int supernode_swarm_join(uint32_t *out_peer, struct supernode_swarm *,
                         const struct supernode_peer *, struct dt_err *err);
/* Its transfers return to the plan, in both directions. */
void supernode_swarm_leave(struct supernode_swarm *, uint32_t peer);

/* The place of a peer in tables of one's own: small, and nobody else's until it leaves. */
static inline uint32_t supernode_peer_slot(uint32_t peer)
{
    return peer & 0xffff;
}

/* Only while a peer listens (its exchange is held open) can it be given something. */
void supernode_swarm_listen(struct supernode_swarm *, uint32_t peer, bool is_listening);
/* Local readers wait for the byte at `offset`; beyond the end = nobody waits. */
void supernode_swarm_want(struct supernode_swarm *, uint32_t peer, uint64_t offset);

/* All of these return false when the word came too late to matter: an unknown peer or piece, or a
 * transfer that is not on the way. */
bool supernode_swarm_finished(struct supernode_swarm *, uint32_t to, uint32_t piece, uint32_t from,
                              uint64_t took_ms);
/* `is_proved`: the supernode itself has seen that `from` serves bytes that do not match, whoever
 * said so first. Then `from` is quarantined, also if the transfer is long forgotten. */
struct supernode_failure {
    uint32_t to, piece, from;
    enum supernode_why why;
    bool is_proved;
    uint64_t now_ms;
};
bool supernode_swarm_failed(struct supernode_swarm *, const struct supernode_failure *);
/* A piece came from elsewhere (upstream, a mirror), or was evicted. */
bool supernode_swarm_gained(struct supernode_swarm *, uint32_t peer, uint32_t piece);
bool supernode_swarm_lost(struct supernode_swarm *, uint32_t peer, uint32_t piece);

/* Peers that are sending to this one for far longer than it should take; seeds are not meant. At
 * most `max` are listed; returns how many. */
size_t supernode_swarm_overdue(uint32_t *out_from, size_t max, const struct supernode_swarm *,
                               uint32_t to, uint64_t now_ms);

/* What there is to see; unknown peers give 0 and false. */
struct supernode_swarm_view {
    uint32_t n_pieces, n_peers, n_seeds, n_complete; /* complete: peers that hold all; no seeds */
    uint32_t n_flights;
    uint64_t n_assigned, n_hedged, n_finished;
    bool is_resting; /* somebody is: time alone may change the plan */
};
struct supernode_peer_view {
    bool is_known, is_seed, is_quarantined, is_slow, is_complete;
    uint32_t n_have, n_up, n_down, up_slots, down_slots; /* slots: as measured speed allows now */
    float up_bytes_per_ms, down_bytes_per_ms;
};
struct supernode_swarm_view supernode_swarm_look(const struct supernode_swarm *);
struct supernode_peer_view supernode_swarm_look_at(const struct supernode_swarm *, uint32_t peer);
bool supernode_swarm_has(const struct supernode_swarm *, uint32_t peer, uint32_t piece);
/* Copies of a piece in hands and on the way, without seeds and quarantined peers. */
uint32_t supernode_swarm_copies(const struct supernode_swarm *, uint32_t piece);
uint32_t supernode_swarm_piece_len(const struct supernode_swarm *, uint32_t piece);

#endif
