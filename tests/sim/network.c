/*
 * tests/sim/network.c - max-min fair sharing, kept up to date flow by flow.
 *
 * Each side of a link has a level: the rate a flow gets here if nothing else holds it back. A flow
 * runs at the lower of its two levels. When a flow comes or goes, the levels of its two sides are
 * computed anew, then those of the sides their flows lead to, as far as a level moves by more than
 * TOLERANCE: the well-known distributed form of max-min fairness. Flows wait for their end in a
 * heap.
 */
#include "tests/sim/network.h"

#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"

#define TOLERANCE 0.005
#define ROUNDS_MAX                                                                                 \
    2000 /* sides recomputed for one instant and changed side; far above what is seen */
#define NOT_IN_HEAP UINT32_MAX

struct flow {
    uint32_t side[2];  /* sender's way up, receiver's way down */
    uint32_t place[2]; /* in the flows of that side */
    uint32_t heap_place;
    double remaining, rate, since, ends_at;
    uint64_t owner;
    uint32_t next_free;
};

struct side {
    double capacity, level, sent;
    uint32_t *flows; /* owned */
    uint32_t n, room;
    bool is_dirty;
};

struct sim_network {
    struct side *sides; /* owned; node i: 2i up, 2i+1 down */
    uint32_t n_sides;
    struct flow *flows; /* owned */
    uint32_t n_flows, free_flow;
    uint32_t *heap; /* owned */
    uint32_t n_heap;
    uint32_t *dirty; /* owned; a ring */
    uint32_t n_dirty, first_dirty;
};

struct sim_network *sim_network_new(uint32_t n_nodes)
{
    struct sim_network *net = dt_new(struct sim_network);
    net->n_sides = n_nodes * 2;
    net->sides = dt_new_array(struct side, net->n_sides);
    net->dirty = dt_new_array(uint32_t, net->n_sides);
    net->free_flow = SIM_NO_FLOW;
    return net;
}

void sim_network_free(struct sim_network **net_ptr)
{
    struct sim_network *net = *net_ptr;
    for (uint32_t i = 0; i < net->n_sides; i++)
        free(net->sides[i].flows);
    free(net->sides);
    free(net->flows);
    free(net->heap);
    free(net->dirty);
    dt_free(net_ptr);
}

void sim_network_set_link(struct sim_network *net, uint32_t node, double up, double down)
{
    net->sides[2 * node].capacity = net->sides[2 * node].level = up;
    net->sides[2 * node + 1].capacity = net->sides[2 * node + 1].level = down;
}

double sim_network_sent(const struct sim_network *net, uint32_t node)
{
    return net->sides[2 * node].sent;
}

/* ---- heap --------------------------------------------------------------------------------------
 */

static void heap_put(struct sim_network *net, uint32_t place, uint32_t flow)
{
    net->heap[place] = flow;
    net->flows[flow].heap_place = place;
}

static void heap_fix(struct sim_network *net, uint32_t place)
{
    uint32_t flow = net->heap[place];
    double ends_at = net->flows[flow].ends_at;
    while (place > 0 && net->flows[net->heap[(place - 1) / 2]].ends_at > ends_at) {
        heap_put(net, place, net->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (uint32_t child; (child = 2 * place + 1) < net->n_heap; place = child) {
        if (child + 1 < net->n_heap &&
            net->flows[net->heap[child + 1]].ends_at < net->flows[net->heap[child]].ends_at)
            child++;
        if (net->flows[net->heap[child]].ends_at >= ends_at)
            break;
        heap_put(net, place, net->heap[child]);
    }
    heap_put(net, place, flow);
}

static void heap_remove(struct sim_network *net, uint32_t flow)
{
    uint32_t place = net->flows[flow].heap_place;
    uint32_t last = net->heap[--net->n_heap];
    if (last == flow)
        return;
    heap_put(net, place, last);
    heap_fix(net, place);
}

/* ---- sharing -----------------------------------------------------------------------------------
 */

static void mark(struct sim_network *net, uint32_t side)
{
    if (net->sides[side].is_dirty)
        return;
    net->sides[side].is_dirty = true;
    net->dirty[(net->first_dirty + net->n_dirty++) % net->n_sides] = side;
}

static double demand(const struct sim_network *net, uint32_t side, uint32_t flow)
{
    const struct flow *f = &net->flows[flow];
    return net->sides[f->side[f->side[0] == side]].level;
}

static double fair_level(const struct sim_network *net, uint32_t side)
{
    const struct side *s = &net->sides[side];
    double level = s->capacity / (s->n > 0 ? s->n : 1);
    for (uint32_t round = 0; round <= s->n; round++) {
        double rest = s->capacity, highest = 0;
        uint32_t n_open = 0;
        for (uint32_t i = 0; i < s->n; i++) {
            double wish = demand(net, side, s->flows[i]);
            if (wish <= level)
                rest -= wish;
            else
                n_open++;
            if (wish > highest)
                highest = wish;
        }
        if (n_open == 0)
            return highest + rest;
        if (rest / n_open <= level * 1.000001)
            return level;
        level = rest / n_open;
    }
    return level;
}

static void account(struct sim_network *net, struct flow *flow, double now)
{
    double bytes = flow->rate * (now - flow->since);
    if (bytes > flow->remaining)
        bytes = flow->remaining;
    flow->remaining -= bytes;
    net->sides[flow->side[0]].sent += bytes;
    flow->since = now;
}

static void set_rate(struct sim_network *net, uint32_t id, double now)
{
    struct flow *flow = &net->flows[id];
    double up = net->sides[flow->side[0]].level, down = net->sides[flow->side[1]].level;
    double rate = up < down ? up : down;
    if (fabs(rate - flow->rate) <= flow->rate * 0.001)
        return;
    account(net, flow, now);
    flow->rate = rate;
    flow->ends_at = now + flow->remaining / rate;
    heap_fix(net, flow->heap_place);
}

static void relevel(struct sim_network *net, uint32_t side, double now)
{
    struct side *s = &net->sides[side];
    double old = s->level, level = fair_level(net, side);
    if (fabs(level - old) <= old * TOLERANCE) {
        for (uint32_t i = 0; i < s->n; i++)
            set_rate(net, s->flows[i], now);
        return;
    }
    s->level = level;
    double lower = old < level ? old : level;
    for (uint32_t i = 0; i < s->n; i++) {
        struct flow *flow = &net->flows[s->flows[i]];
        uint32_t other = flow->side[flow->side[0] == side];
        set_rate(net, s->flows[i], now);
        if (lower < net->sides[other].level) /* what the other side sees of us has changed */
            mark(net, other);
    }
}

static void settle(struct sim_network *net, double now)
{
    for (uint32_t round = 0; net->n_dirty > 0; round++) {
        uint32_t side = net->dirty[net->first_dirty];
        net->first_dirty = (net->first_dirty + 1) % net->n_sides;
        net->n_dirty--;
        net->sides[side].is_dirty = false;
        if (round < ROUNDS_MAX + net->n_sides)
            relevel(net, side, now);
    }
}

/* ---- flows -------------------------------------------------------------------------------------
 */

static uint32_t new_flow(struct sim_network *net)
{
    if (net->free_flow == SIM_NO_FLOW) {
        uint32_t n = net->n_flows > 0 ? net->n_flows * 2 : 64;
        net->flows = dt_realloc(net->flows, n * sizeof(*net->flows));
        net->heap = dt_realloc(net->heap, n * sizeof(*net->heap));
        for (uint32_t i = n; i-- > net->n_flows;) {
            net->flows[i].next_free = net->free_flow;
            net->free_flow = i;
        }
        net->n_flows = n;
    }
    uint32_t id = net->free_flow;
    net->free_flow = net->flows[id].next_free;
    return id;
}

uint32_t sim_network_start(struct sim_network *net, double now, uint32_t from, uint32_t to,
                           double bytes, uint64_t owner)
{
    uint32_t id = new_flow(net);
    struct flow *flow = &net->flows[id];
    *flow = (struct flow){
        .side = {2 * from, 2 * to + 1}, .remaining = bytes, .since = now, .ends_at = HUGE_VAL};
    flow->owner = owner;
    for (int end = 0; end < 2; end++) {
        struct side *side = &net->sides[flow->side[end]];
        if (side->n == side->room) {
            side->room = side->room > 0 ? side->room * 2 : 8;
            side->flows = dt_realloc(side->flows, side->room * sizeof(*side->flows));
        }
        flow->place[end] = side->n;
        side->flows[side->n++] = id;
        mark(net, flow->side[end]);
    }
    heap_put(net, net->n_heap++, id);
    return id;
}

double sim_network_stop(struct sim_network *net, double now, uint32_t id)
{
    struct flow *flow = &net->flows[id];
    account(net, flow, now);
    for (int end = 0; end < 2; end++) {
        struct side *side = &net->sides[flow->side[end]];
        uint32_t moved = side->flows[--side->n];
        side->flows[flow->place[end]] = moved;
        net->flows[moved].place[net->flows[moved].side[1] == flow->side[end]] = flow->place[end];
        mark(net, flow->side[end]);
    }
    heap_remove(net, id);
    double remaining = flow->remaining;
    flow->next_free = net->free_flow;
    net->free_flow = id;
    return remaining;
}

double sim_network_next(struct sim_network *net, double now)
{
    settle(net, now);
    return net->n_heap > 0 ? net->flows[net->heap[0]].ends_at : HUGE_VAL;
}

bool sim_network_take(struct sim_network *net, double now, uint64_t *owner)
{
    DT_ASSERT(net->n_heap > 0);
    uint32_t id = net->heap[0];
    struct flow *flow = &net->flows[id];
    account(net, flow, now);
    if (flow->remaining > 0.5) {
        flow->ends_at = now + flow->remaining / flow->rate;
        heap_fix(net, 0);
        return false;
    }
    *owner = flow->owner;
    (void)sim_network_stop(net, now, id); /* all has arrived */
    return true;
}
