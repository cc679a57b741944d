/*
 * supernode/swarm.c - a swarm and its peers: come, go, be looked at. Pure.
 *
 * Slots of peers are used again; the handle's generation tells the old one from the new. All sets
 * of peers have one capacity, which doubles when needed: join is the only place that allocates.
 */
#include "supernode/swarm.h"

#include "base/mem.h"
#include "supernode/swarm_priv.h"

#define SWARM_MAGIC        0x5a4d5501u
#define SWARM_CAPACITY_MIN 64u
#define SWARM_NOBODY_WAITS SUPERNODE_NONE

int supernode_swarm_new(struct supernode_swarm **out, const struct supernode_swarm_options *options,
                        struct dt_err *err)
{
    if (options->size == 0 || options->piece_size == 0)
        return dt_err_set(err, DT_EINVAL, "a swarm needs a blob of at least one byte");
    uint64_t n_pieces = (options->size - 1) / options->piece_size + 1;
    if (n_pieces > SUPERNODE_PIECES_MAX)
        return dt_err_set(err, DT_ETOOBIG, "%llu pieces, a swarm has at most %u",
                          (unsigned long long)n_pieces, SUPERNODE_PIECES_MAX);
    struct supernode_swarm *swarm = dt_new(struct supernode_swarm);
    swarm->magic = SWARM_MAGIC;
    swarm->options = *options;
    swarm->n_pieces = (uint32_t)n_pieces;
    swarm->row_words = supernode_bits_words(swarm->n_pieces);
    swarm->holders = dt_new_array(struct supernode_bits, swarm->n_pieces);
    swarm->zero = dt_new_array(uint64_t, swarm->row_words);
    swarm->available = dt_new_array(uint64_t, swarm->row_words);
    swarm->supply = dt_new_array(uint64_t, swarm->row_words);
    swarm->candidates = dt_new_array(uint64_t, swarm->row_words);
    swarm->random = options->key != 0 ? options->key : 1; /* xorshift must not begin at 0 */
    supernode_order_init(&swarm->order, swarm->n_pieces);
    for (uint32_t piece = 0; piece < swarm->n_pieces; piece++)
        supernode_row_set(swarm->zero, piece);
    *out = swarm;
    return 0;
}

void supernode_swarm_free(struct supernode_swarm **swarm_ptr)
{
    struct supernode_swarm *swarm = *swarm_ptr;
    if (swarm == NULL)
        return;
    DT_ASSERT(swarm->magic == SWARM_MAGIC);
    for (uint32_t piece = 0; piece < swarm->n_pieces; piece++)
        supernode_bits_fini(&swarm->holders[piece]);
    for (uint32_t level = 0; level < SWARM_LEVELS; level++)
        supernode_bits_fini(&swarm->levels[level]);
    for (uint32_t hunger = 0; hunger < SWARM_HUNGERS; hunger++)
        supernode_bits_fini(&swarm->hungry[hunger]);
    supernode_bits_fini(&swarm->late);
    for (uint32_t rack = 0; rack < swarm->n_racks; rack++)
        supernode_bits_fini(&swarm->racks[rack].peers);
    supernode_order_fini(&swarm->order);
    dt_free(&swarm->racks);
    dt_free(&swarm->holders);
    dt_free(&swarm->peers);
    dt_free(&swarm->vacant);
    dt_free(&swarm->have);
    dt_free(&swarm->known);
    dt_free(&swarm->zero);
    dt_free(&swarm->available);
    dt_free(&swarm->supply);
    dt_free(&swarm->candidates);
    swarm->magic = 0;
    dt_free(swarm_ptr);
}

static void grow_sets(struct supernode_swarm *swarm, uint32_t capacity)
{
    for (uint32_t piece = 0; piece < swarm->n_pieces; piece++)
        supernode_bits_grow(&swarm->holders[piece], capacity);
    for (uint32_t level = 0; level < SWARM_LEVELS; level++)
        supernode_bits_grow(&swarm->levels[level], capacity);
    for (uint32_t hunger = 0; hunger < SWARM_HUNGERS; hunger++)
        supernode_bits_grow(&swarm->hungry[hunger], capacity);
    supernode_bits_grow(&swarm->late, capacity);
    for (uint32_t rack = 0; rack < swarm->n_racks; rack++)
        supernode_bits_grow(&swarm->racks[rack].peers, capacity);
}

static int make_room(struct supernode_swarm *swarm, struct dt_err *err)
{
    if (swarm->n_vacant > 0)
        return 0;
    uint32_t old = swarm->capacity, capacity = old > 0 ? old * 2 : SWARM_CAPACITY_MIN;
    if (capacity > SUPERNODE_PEERS_MAX ||
        (uint64_t)capacity * swarm->row_words * 64 > SUPERNODE_CELLS_MAX)
        return dt_err_set(err, DT_EBUSY, "a swarm of %u pieces takes no more than %u peers",
                          swarm->n_pieces, old);
    grow_sets(swarm, capacity);
    swarm->peers = dt_realloc(swarm->peers, capacity * sizeof(*swarm->peers));
    memset(swarm->peers + old, 0, (capacity - old) * sizeof(*swarm->peers));
    swarm->vacant = dt_realloc(swarm->vacant, capacity * sizeof(*swarm->vacant));
    size_t row_size = swarm->row_words * sizeof(uint64_t);
    swarm->have = dt_realloc(swarm->have, capacity * row_size); /* join clears its rows */
    swarm->known = dt_realloc(swarm->known, capacity * row_size);
    for (uint32_t slot = capacity; slot-- > old;)
        swarm->vacant[swarm->n_vacant++] = slot;
    swarm->capacity = capacity;
    return 0;
}

static uint32_t rack_enter(struct supernode_swarm *swarm, uint32_t id, uint32_t slot)
{
    if (id == 0)
        return SUPERNODE_NONE;
    uint32_t rack = 0;
    while (rack < swarm->n_racks && swarm->racks[rack].id != id)
        rack++;
    for (uint32_t i = 0; rack == swarm->n_racks && i < swarm->n_racks; i++)
        if (swarm->racks[i].n_peers == 0)
            rack = i;
    if (rack == SUPERNODE_RACKS_MAX)
        return SUPERNODE_NONE;
    if (rack == swarm->n_racks) {
        swarm->racks = dt_realloc(swarm->racks, (rack + 1) * sizeof(*swarm->racks));
        swarm->racks[rack] = (struct swarm_rack){0};
        supernode_bits_grow(&swarm->racks[rack].peers, swarm->capacity);
        swarm->n_racks++;
    }
    swarm->racks[rack].id = id;
    swarm->racks[rack].n_peers++;
    supernode_bits_set(&swarm->racks[rack].peers, slot);
    return rack;
}

static uint32_t between(uint32_t low, uint32_t value, uint32_t high)
{
    return value < low ? low : value > high ? high : value;
}

static void init_peer(struct supernode_swarm *swarm, uint32_t slot,
                      const struct supernode_peer *about)
{
    struct swarm_peer *peer = &swarm->peers[slot];
    *peer = (struct swarm_peer){
        .is_used = true,
        .is_seed = about->is_seed,
        .generation = peer->generation,
        .level = SWARM_LEVELS,
        .hunger = SWARM_HUNGERS,
        .rack = rack_enter(swarm, about->rack, slot),
        .up_slots = between(1, about->up_slots, SUPERNODE_UP_SLOTS_MAX),
        .down_slots = between(1, about->down_slots, SUPERNODE_DOWN_SLOTS_MAX),
        .wanted = SWARM_NOBODY_WAITS,
        .up_first = SUPERNODE_NONE,
    };
    for (uint32_t i = 0; i < SWARM_FLIGHTS; i++)
        peer->flights[i].from = SUPERNODE_NONE;
    memset(swarm_row(swarm, slot), 0, swarm->row_words * sizeof(uint64_t));
    memset(swarm_known(swarm, slot), 0, swarm->row_words * sizeof(uint64_t));
}

int supernode_swarm_join(uint32_t *out_peer, struct supernode_swarm *swarm,
                         const struct supernode_peer *about, struct dt_err *err)
{
    if (about->site != swarm->options.site)
        return dt_err_set(err, DT_EDENIED, "this swarm is of site %u, the peer of site %u",
                          swarm->options.site, about->site);
    if (about->is_seed && swarm->n_seeds == SUPERNODE_SEEDS_MAX)
        return dt_err_set(err, DT_EBUSY, "a swarm takes no more than %u seeds",
                          SUPERNODE_SEEDS_MAX);
    int rc = make_room(swarm, err);
    if (rc < 0)
        return rc;
    uint32_t slot = swarm->vacant[--swarm->n_vacant];
    init_peer(swarm, slot, about);
    swarm->n_used++;
    if (about->is_seed)
        swarm->seeds[swarm->n_seeds++] = slot;
    else
        swarm->n_spreaders++; /* until the sweep knows better */
    *out_peer = swarm_handle(swarm, slot);
    for (uint32_t piece = 0; about->have != NULL && piece < swarm->n_pieces; piece++)
        if (supernode_row_test(about->have, piece))
            (void)supernode_swarm_gained(swarm, *out_peer, piece); /* it is new here: always true */
    swarm_stand_as_receiver(swarm, slot);
    return 0;
}

static void forget_seed(struct supernode_swarm *swarm, uint32_t slot)
{
    for (uint32_t i = 0; i < swarm->n_seeds; i++)
        if (swarm->seeds[i] == slot) {
            swarm->seeds[i] = swarm->seeds[--swarm->n_seeds];
            return;
        }
}

void supernode_swarm_leave(struct supernode_swarm *swarm, uint32_t handle)
{
    uint32_t slot = swarm_slot(swarm, handle);
    if (slot == SUPERNODE_NONE)
        return;
    struct swarm_peer *peer = &swarm->peers[slot];
    supernode_swarm_listen(swarm, handle, false);
    for (uint32_t i = 0; i < SWARM_FLIGHTS; i++)
        if (peer->flights[i].from != SUPERNODE_NONE)
            swarm_flight_end(swarm, slot, i);
    while (peer->up_first != SUPERNODE_NONE)
        swarm_flight_end(swarm, peer->up_first / SWARM_FLIGHTS, peer->up_first % SWARM_FLIGHTS);
    for (uint32_t piece = 0; piece < swarm->n_pieces; piece++)
        if (supernode_row_test(swarm_row(swarm, slot), piece))
            (void)supernode_swarm_lost(swarm, handle, piece); /* it has it: always true */
    if (peer->is_seed)
        forget_seed(swarm, slot);
    if (peer->rack != SUPERNODE_NONE) {
        supernode_bits_clear(&swarm->racks[peer->rack].peers, slot);
        swarm->racks[peer->rack].n_peers--;
    }
    peer->is_used = false;
    peer->generation++;
    swarm_stand_as_source(swarm, slot);
    supernode_bits_clear(&swarm->late, slot);
    swarm->vacant[swarm->n_vacant++] = slot;
    swarm->n_used--;
}

void supernode_swarm_listen(struct supernode_swarm *swarm, uint32_t handle, bool is_listening)
{
    uint32_t slot = swarm_slot(swarm, handle);
    if (slot == SUPERNODE_NONE)
        return;
    swarm->peers[slot].is_listening = is_listening;
    swarm_stand_as_receiver(swarm, slot);
}

void supernode_swarm_want(struct supernode_swarm *swarm, uint32_t handle, uint64_t offset)
{
    uint32_t slot = swarm_slot(swarm, handle);
    if (slot == SUPERNODE_NONE)
        return;
    uint64_t piece = offset / swarm->options.piece_size;
    swarm->peers[slot].wanted = offset < swarm->options.size ? (uint32_t)piece : SWARM_NOBODY_WAITS;
}

struct supernode_swarm_view supernode_swarm_look(const struct supernode_swarm *swarm)
{
    return (struct supernode_swarm_view){
        .n_pieces = swarm->n_pieces,
        .n_peers = swarm->n_used - swarm->n_seeds,
        .n_seeds = swarm->n_seeds,
        .n_complete = swarm->n_complete,
        .n_flights = swarm->n_flights,
        .n_assigned = swarm->n_assigned,
        .n_hedged = swarm->n_hedged,
        .n_finished = swarm->n_finished,
        .is_resting = swarm->rest_until_ms > 0,
    };
}

struct supernode_peer_view supernode_swarm_look_at(const struct supernode_swarm *swarm,
                                                   uint32_t handle)
{
    uint32_t slot = swarm_slot(swarm, handle);
    if (slot == SUPERNODE_NONE)
        return (struct supernode_peer_view){0};
    const struct swarm_peer *peer = &swarm->peers[slot];
    return (struct supernode_peer_view){
        .is_known = true,
        .is_seed = peer->is_seed,
        .is_quarantined = peer->is_quarantined,
        .is_slow = peer->is_slow,
        .is_complete = peer->n_have == swarm->n_pieces,
        .n_have = peer->n_have,
        .n_up = peer->n_up,
        .n_down = peer->n_down,
        .up_slots = swarm_up_slots(peer),
        .down_slots = swarm_down_slots(swarm, peer),
        .up_bytes_per_ms = peer->up.bytes_per_ms,
        .down_bytes_per_ms = peer->down.bytes_per_ms,
    };
}

bool supernode_swarm_has(const struct supernode_swarm *swarm, uint32_t handle, uint32_t piece)
{
    uint32_t slot = swarm_slot(swarm, handle);
    return slot != SUPERNODE_NONE && piece < swarm->n_pieces &&
           supernode_row_test(swarm_row(swarm, slot), piece);
}

uint32_t supernode_swarm_copies(const struct supernode_swarm *swarm, uint32_t piece)
{
    return piece < swarm->n_pieces ? swarm->order.count[piece] : 0;
}

uint32_t supernode_swarm_piece_len(const struct supernode_swarm *swarm, uint32_t piece)
{
    uint64_t start = (uint64_t)piece * swarm->options.piece_size;
    uint64_t rest = swarm->options.size - start;
    return rest < swarm->options.piece_size ? (uint32_t)rest : swarm->options.piece_size;
}
