/*
 * supernode/plan.c - who takes which piece from whom, now. Pure.
 *
 * supply = pieces that can be had at all at this moment, candidates = those of them that one
 * receiver lacks; the rarest of these is looked up in the order, its source in the sets. A piece
 * for which no source was found leaves `available` until a holder gets a free slot again, so a
 * busy swarm is not searched twice for the same nothing.
 *
 * Once in SWEEP_MS all flights are looked at: that is what finds the overdue, and keeps the plan
 * free of timers.
 */
#include "supernode/plan.h"

#include "supernode/swarm_priv.h"

#define PLAN_LATE_FACTOR    3u /* a transfer is overdue after this many times the expected time */
#define PLAN_LATE_MS        200u
#define PLAN_END_FACTOR     2u /* ... and after this many when its receiver has nothing left to ask */
#define PLAN_END_MS         50u
#define PLAN_SEED_REPEATS   2u  /* transfers of a seed beside which it repeats pieces */
#define PLAN_HEDGES_FREE    4u  /* hedges a swarm may always make */
#define PLAN_HEDGES_SHARE   32u /* and one more for this many finished pieces: 3 % of waste */
#define PLAN_WANTED_WINDOW  4u  /* pieces from the one readers wait for that count as waited for */
#define PLAN_SWEEP_MS       10u
#define PLAN_SWEEP_PER_PEER 100u /* one ms more for this many peers: the sweep stays under 1 % */

struct plan {
    struct supernode_swarm *swarm;
    uint64_t now_ms;
    struct supernode_assignment *out;
    size_t n, max;
    uint32_t word; /* of the set that is being served */
};

static uint32_t next_random(struct supernode_swarm *swarm)
{
    swarm->random ^= swarm->random << 13;
    swarm->random ^= swarm->random >> 7;
    swarm->random ^= swarm->random << 17;
    return (uint32_t)(swarm->random >> 32);
}

/* ---- the sweep ---------------------------------------------------------------------------------
 */

static void look_for_late(struct supernode_swarm *swarm, uint32_t slot, uint64_t now_ms)
{
    struct swarm_peer *peer = &swarm->peers[slot];
    bool is_end = peer->n_have + peer->n_pieces_down == swarm->n_pieces;
    for (uint32_t i = 0; i < SWARM_FLIGHTS && peer->n_down > 0; i++) {
        struct swarm_flight *flight = &peer->flights[i];
        if (flight->from == SUPERNODE_NONE || flight->is_hedge || flight->is_hedged)
            continue;
        uint64_t late_ms = is_end ? flight->expect_ms * PLAN_END_FACTOR + PLAN_END_MS
                                  : flight->expect_ms * PLAN_LATE_FACTOR + PLAN_LATE_MS;
        flight->is_late = now_ms >= flight->started_ms + late_ms;
        if (flight->is_late)
            supernode_bits_set(&swarm->late, slot);
    }
}

static void sweep(struct supernode_swarm *swarm, uint64_t now_ms)
{
    if (now_ms < swarm->sweep_at_ms)
        return;
    swarm->sweep_at_ms = now_ms + PLAN_SWEEP_MS + swarm->n_used / PLAN_SWEEP_PER_PEER;
    swarm->n_spreaders = 0;
    for (uint32_t slot = 0; slot < swarm->capacity; slot++) {
        struct swarm_peer *peer = &swarm->peers[slot];
        if (!peer->is_used || peer->is_seed)
            continue;
        swarm->n_spreaders += peer->n_have < swarm->n_pieces && !peer->is_slow &&
                              !peer->is_quarantined && peer->rest_until_ms == 0;
        if (peer->rest_until_ms > 0 && now_ms >= peer->rest_until_ms) {
            peer->rest_until_ms = 0;
            swarm_stand_as_receiver(swarm, slot);
        }
        look_for_late(swarm, slot, now_ms);
    }
    if (now_ms >= swarm->rest_until_ms)
        swarm->rest_until_ms = 0;
}

/* ---- what can be had ---------------------------------------------------------------------------
 */

/* Only when every piece of the blob has left a seed: until then a second copy would take the link
 * from a first one, now or when the next piece comes from upstream, and the whole swarm waits for
 * first copies. Peers have links enough for second ones. */
static bool seeds_may_repeat(const struct supernode_swarm *swarm)
{
    uint64_t unsent = 0;
    for (uint32_t w = 0; w < swarm->row_words; w++)
        unsent |= swarm->zero[w];
    return unsent == 0;
}

static bool seed_is_free(const struct swarm_peer *seed)
{
    return !seed->is_quarantined && seed->n_up < seed->up_slots;
}

/* Left is not arrived: second copies beside the last first ones would share the link with them, at
 * the moment when everybody waits for those. */
static bool seed_is_idle(const struct swarm_peer *seed)
{
    return seed_is_free(seed) && seed->n_up < PLAN_SEED_REPEATS;
}

/* Fills `supply`; false = nothing can be had from anybody. */
static bool stock(struct supernode_swarm *swarm)
{
    uint64_t any = 0, repeats = seeds_may_repeat(swarm) ? ~0ULL : 0;
    memcpy(swarm->supply, swarm->available, swarm->row_words * sizeof(uint64_t));
    for (uint32_t i = 0; i < swarm->n_seeds; i++) {
        uint32_t slot = swarm->seeds[i];
        if (!seed_is_free(&swarm->peers[slot]))
            continue;
        const uint64_t *have = swarm_row(swarm, slot);
        uint64_t others = seed_is_idle(&swarm->peers[slot]) ? repeats : 0;
        for (uint32_t w = 0; w < swarm->row_words; w++)
            swarm->supply[w] |= have[w] & (swarm->zero[w] | others);
    }
    for (uint32_t w = 0; w < swarm->row_words; w++)
        any |= swarm->supply[w];
    return any != 0;
}

static bool is_avoided(const struct supernode_swarm *swarm, const struct swarm_peer *to,
                       uint32_t from, uint64_t now_ms)
{
    uint32_t handle = swarm_handle(swarm, from);
    for (uint32_t i = 0; i < SWARM_AVOIDS; i++)
        if (to->avoids[i].until_ms > now_ms && to->avoids[i].peer == handle)
            return true;
    return false;
}

static bool avoids_anybody(const struct supernode_swarm *swarm, const struct swarm_peer *to,
                           uint64_t now_ms)
{
    if (now_ms >= swarm->trouble_until_ms)
        return false;
    uint64_t latest = 0;
    for (uint32_t i = 0; i < SWARM_AVOIDS; i++)
        latest = to->avoids[i].until_ms > latest ? to->avoids[i].until_ms : latest;
    return latest > now_ms;
}

static void add_seeds(struct supernode_swarm *swarm)
{
    for (uint32_t i = 0; i < swarm->n_seeds; i++) {
        const uint64_t *have = swarm_row(swarm, swarm->seeds[i]);
        bool is_free = seed_is_free(&swarm->peers[swarm->seeds[i]]);
        for (uint32_t w = 0; w < swarm->row_words && is_free; w++)
            swarm->candidates[w] |= have[w];
    }
}

/* Fills `candidates`; false = nothing of the supply is of use to this receiver. */
static bool choose_candidates(const struct plan *plan, uint32_t to)
{
    struct supernode_swarm *swarm = plan->swarm;
    const struct swarm_peer *peer = &swarm->peers[to];
    const uint64_t *known = swarm_known(swarm, to);
    /* First copies go to those who will spread them well, as long as there are any. */
    bool spreads = (!peer->is_slow && !peer->is_quarantined) || swarm->n_spreaders == 0;
    uint64_t any = 0, firsts = spreads ? ~0ULL : 0, others = peer->hunger < 2 ? ~0ULL : 0;
    memcpy(swarm->candidates, swarm->supply, swarm->row_words * sizeof(uint64_t));
    if (avoids_anybody(swarm, peer, plan->now_ms))
        add_seeds(swarm);
    for (uint32_t w = 0; w < swarm->row_words; w++) {
        uint64_t zero = swarm->zero[w];
        swarm->candidates[w] &= ~known[w] & ((zero & firsts) | (~zero & others));
    }
    for (uint32_t w = 0; w < swarm->row_words; w++)
        any |= swarm->candidates[w];
    return any != 0;
}

/* ---- from whom ---------------------------------------------------------------------------------
 */

typedef bool (*seed_is_fit_f)(const struct swarm_peer *seed);

static uint32_t find_seed(const struct plan *plan, uint32_t to, uint32_t piece,
                          seed_is_fit_f is_fit)
{
    const struct supernode_swarm *swarm = plan->swarm;
    uint32_t best = SUPERNODE_NONE;
    for (uint32_t i = 0; i < swarm->n_seeds; i++) {
        uint32_t slot = swarm->seeds[i];
        if (!is_fit(&swarm->peers[slot]) || !supernode_row_test(swarm_row(swarm, slot), piece) ||
            is_avoided(swarm, &swarm->peers[to], slot, plan->now_ms) ||
            swarm_flight_find(&swarm->peers[to], piece, slot) != SUPERNODE_NONE)
            continue;
        if (best == SUPERNODE_NONE || swarm->peers[slot].n_up < swarm->peers[best].n_up)
            best = slot;
    }
    return best;
}

static uint32_t find_peer(struct supernode_swarm *swarm, uint32_t to, uint32_t piece)
{
    const struct supernode_bits *holders = &swarm->holders[piece];
    uint32_t rack = swarm->n_racks > 1 ? swarm->peers[to].rack : SUPERNODE_NONE;
    uint32_t from = (uint32_t)((uint64_t)next_random(swarm) * swarm->capacity >> 32);
    for (uint32_t level = 0; level < SWARM_LEVELS; level++) {
        const struct supernode_bits *free_now = &swarm->levels[level];
        uint32_t slot = SUPERNODE_NONE;
        if (rack != SUPERNODE_NONE)
            slot = supernode_bits_match(free_now, holders, &swarm->racks[rack].peers, from);
        if (slot == SUPERNODE_NONE)
            slot = supernode_bits_match(free_now, holders, holders, from);
        if (slot != SUPERNODE_NONE)
            return slot;
    }
    return SUPERNODE_NONE;
}

/* As find_peer() without those this receiver had trouble with, or takes the piece from already:
 * they leave the sets for the time of one search. */
static uint32_t find_other_peer(const struct plan *plan, uint32_t to, uint32_t piece)
{
    struct supernode_swarm *swarm = plan->swarm;
    const struct swarm_peer *peer = &swarm->peers[to];
    uint32_t hidden[SWARM_AVOIDS + SWARM_FLIGHTS], n = 0;
    for (uint32_t i = 0; i < SWARM_AVOIDS; i++)
        if (peer->avoids[i].until_ms > plan->now_ms)
            hidden[n++] = swarm_slot(swarm, peer->avoids[i].peer);
    for (uint32_t i = 0; i < SWARM_FLIGHTS; i++)
        if (peer->flights[i].from != SUPERNODE_NONE && peer->flights[i].piece == piece)
            hidden[n++] = peer->flights[i].from;
    for (uint32_t i = 0; i < n; i++)
        if (hidden[i] != SUPERNODE_NONE && swarm->peers[hidden[i]].level < SWARM_LEVELS)
            supernode_bits_clear(&swarm->levels[swarm->peers[hidden[i]].level], hidden[i]);
    uint32_t found = find_peer(swarm, to, piece);
    for (uint32_t i = 0; i < n; i++)
        if (hidden[i] != SUPERNODE_NONE && swarm->peers[hidden[i]].level < SWARM_LEVELS)
            supernode_bits_set(&swarm->levels[swarm->peers[hidden[i]].level], hidden[i]);
    return found;
}

static uint32_t find_source(const struct plan *plan, uint32_t to, uint32_t piece)
{
    struct supernode_swarm *swarm = plan->swarm;
    uint32_t from = SUPERNODE_NONE;
    bool is_first = supernode_row_test(swarm->zero, piece);
    bool is_in_trouble = avoids_anybody(swarm, &swarm->peers[to], plan->now_ms);
    if (is_first)
        return find_seed(plan, to, piece, seed_is_free);
    if (is_in_trouble) {
        from = find_other_peer(plan, to, piece);
    } else if (supernode_row_test(swarm->available, piece)) {
        from = find_peer(swarm, to, piece);
        if (from == SUPERNODE_NONE)
            supernode_row_clear(swarm->available, piece);
    }
    /* Who had trouble with the holders of a piece is not made to wait for them. */
    if (from == SUPERNODE_NONE && is_in_trouble)
        from = find_seed(plan, to, piece, seed_is_free);
    else if (from == SUPERNODE_NONE && seeds_may_repeat(swarm))
        from = find_seed(plan, to, piece, seed_is_idle);
    return from;
}

/* ---- the assignments ---------------------------------------------------------------------------
 */

static struct swarm_flight *emit(struct plan *plan, uint32_t to, uint32_t piece, uint32_t from)
{
    struct supernode_swarm *swarm = plan->swarm;
    struct swarm_flight *flight = swarm_flight_begin(swarm, to, piece, from, plan->now_ms);
    plan->out[plan->n++] = (struct supernode_assignment){
        .to = swarm_handle(swarm, to),
        .piece = piece,
        .from = swarm_handle(swarm, from),
        .is_hedge = flight->is_hedge,
        .overdue_at_ms = plan->now_ms + flight->expect_ms * PLAN_LATE_FACTOR + PLAN_LATE_MS,
    };
    swarm->n_assigned++;
    return flight;
}

/* The next piece readers wait for, unless one such is on the way already: all readers of a swarm
 * wait for the same pieces, and rarest first is what keeps the others busy. */
static uint32_t pick_wanted(const struct supernode_swarm *swarm, const struct swarm_peer *peer)
{
    if (peer->wanted == SUPERNODE_NONE || peer->n_wanted_down > 0)
        return SUPERNODE_NONE;
    for (uint32_t i = 0; i < PLAN_WANTED_WINDOW && peer->wanted + i < swarm->n_pieces; i++)
        if (supernode_row_test(swarm->candidates, peer->wanted + i))
            return peer->wanted + i;
    return SUPERNODE_NONE;
}

/* One piece for one receiver; false = there is none for it now. */
static bool serve(struct plan *plan, uint32_t to)
{
    struct supernode_swarm *swarm = plan->swarm;
    if (!choose_candidates(plan, to))
        return false;
    for (;;) {
        uint32_t wanted = pick_wanted(swarm, &swarm->peers[to]);
        uint32_t piece = wanted;
        if (piece == SUPERNODE_NONE)
            piece = supernode_order_pick(&swarm->order, swarm->candidates, next_random(swarm));
        if (piece == SUPERNODE_NONE)
            return false;
        uint32_t from = find_source(plan, to, piece);
        if (from == SUPERNODE_NONE) {
            supernode_row_clear(swarm->candidates, piece);
            continue;
        }
        if (wanted != SUPERNODE_NONE) {
            emit(plan, to, piece, from)->is_wanted = true;
            swarm->peers[to].n_wanted_down++;
        } else {
            emit(plan, to, piece, from);
        }
        return true;
    }
}

/* A look at two rows only: in a busy swarm most of those who ask cannot be helped, and a peer's own
 * memory is cold. Who had trouble may be helped with more than the supply. */
static bool is_of_use(const struct plan *plan, uint32_t to)
{
    const struct supernode_swarm *swarm = plan->swarm;
    const uint64_t *known = swarm_known(swarm, to);
    uint64_t any = plan->now_ms < swarm->trouble_until_ms;
    for (uint32_t w = 0; w < swarm->row_words; w++)
        any |= swarm->supply[w] & ~known[w];
    return any != 0;
}

/* Pieces nobody has that a seed can send now. */
static bool has_firsts(const struct supernode_swarm *swarm)
{
    uint64_t any = 0;
    for (uint32_t w = 0; w < swarm->row_words; w++)
        any |= swarm->supply[w] & swarm->zero[w];
    return any != 0;
}

/* The given members of plan->word; false = stop: no supply or no room. */
static bool serve_word(struct plan *plan, uint64_t bits)
{
    struct supernode_swarm *swarm = plan->swarm;
    uint32_t w = plan->word;
    for (; bits != 0; bits &= bits - 1) {
        uint32_t to = w * 64 + (uint32_t)__builtin_ctzll(bits);
        if (plan->n == plan->max)
            return false;
        if (!is_of_use(plan, to) || !serve(plan, to))
            continue;
        swarm->cursor = to;
        if (!stock(swarm))
            return false;
    }
    return true;
}

/* One turn for everybody of a set, beginning after the one who was served last: first copies must
 * not all go to the same few, or the swarm would hang on their links. */
static size_t serve_all(struct plan *plan, const struct supernode_bits *set)
{
    size_t before = plan->n;
    uint32_t n = set->n_words, next = plan->swarm->cursor + 1;
    uint32_t first = n > 0 ? next / 64 % n : 0;
    uint64_t later = ~0ULL << (next % 64);
    if (!stock(plan->swarm))
        return 0;
    for (uint32_t i = 0; n > 0 && i <= n; i++) {
        plan->word = (first + i) % n;
        uint64_t mask = i == 0 ? later : i == n ? ~later : ~0ULL;
        if (!serve_word(plan, set->words[plan->word] & mask))
            break;
    }
    return plan->n - before;
}

static uint32_t find_other_source(const struct plan *plan, uint32_t to, uint32_t piece)
{
    uint32_t from = find_other_peer(plan, to, piece);
    return from != SUPERNODE_NONE ? from : find_seed(plan, to, piece, seed_is_free);
}

static bool may_hedge(const struct supernode_swarm *swarm)
{
    return swarm->n_hedged < PLAN_HEDGES_FREE + swarm->n_finished / PLAN_HEDGES_SHARE;
}

/* true = none of this receiver's late flights is without a hedge any more. */
static bool hedge(struct plan *plan, uint32_t to)
{
    struct supernode_swarm *swarm = plan->swarm;
    struct swarm_peer *peer = &swarm->peers[to];
    bool is_done = true;
    for (uint32_t i = 0; i < SWARM_FLIGHTS; i++) {
        struct swarm_flight *flight = &peer->flights[i];
        if (flight->from == SUPERNODE_NONE || !flight->is_late || flight->is_hedged)
            continue;
        uint32_t from = SUPERNODE_NONE;
        if (plan->n < plan->max && may_hedge(swarm) && peer->is_listening &&
            peer->n_down < swarm_down_slots(swarm, peer) + SWARM_EXTRA)
            from = find_other_source(plan, to, flight->piece);
        if (from == SUPERNODE_NONE) {
            is_done = false;
            continue;
        }
        flight->is_hedged = true;
        emit(plan, to, flight->piece, from);
        swarm->n_hedged++;
    }
    return is_done;
}

static void hedge_all(struct plan *plan)
{
    struct supernode_bits *late = &plan->swarm->late;
    for (uint32_t w = 0; w < late->n_words; w++)
        for (uint64_t bits = late->words[w]; bits != 0; bits &= bits - 1) {
            uint32_t to = w * 64 + (uint32_t)__builtin_ctzll(bits);
            if (hedge(plan, to))
                supernode_bits_clear(late, to);
        }
}

size_t supernode_plan(struct supernode_swarm *swarm, uint64_t now_ms,
                      struct supernode_assignment *out, size_t max)
{
    struct plan plan = {.swarm = swarm, .now_ms = now_ms, .out = out, .max = max};
    sweep(swarm, now_ms);
    hedge_all(&plan);
    serve_all(&plan, &swarm->hungry[0]);
    while (plan.n < max && serve_all(&plan, &swarm->hungry[1]) > 0)
        ;
    if (stock(swarm) && has_firsts(swarm))
        serve_all(&plan, &swarm->hungry[2]);
    return plan.n;
}
