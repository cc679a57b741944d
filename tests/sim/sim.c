/*
 * tests/sim/sim.c - nodes, seeds and the supernode in virtual time.
 *
 *   node:  JOIN -> (REPORT -> ARRIVE at the supernode -> PLAN -> ANSWER at the node)* -> complete
 *   transfer at a node: BEGIN after a round trip -> flow -> through | STALL
 * A new behaviour: an event kind, its handler, an option, a row in SCENARIOS.
 */
#include "tests/sim/sim.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "cache/pieces.h"
#include "supernode/plan.h"
#include "tests/sim/agenda.h"
#include "tests/sim/network.h"

#define DOWNLOADS   16u
#define PLAN_BATCH  16384u
#define STALL_S     1.0   /* without a byte, then a receiver gives a transfer up */
#define GONE_S      2.0   /* until the supernode notices that a node is gone without a word */
#define PROOF_S     0.2   /* until the supernode has seen for itself that a node lies */
#define PATIENCE    100.0 /* in S/B */
#define SLOW_FACTOR 0.1

enum kind { JOIN, REPORT, ARRIVE, PLAN, ANSWER, BEGIN, STALL, KILL, GONE, PROOF, ORIGIN };

struct download {
    bool is_used, is_begun, is_running; /* begun: asked for, the first byte is on its way */
    uint8_t turn;                       /* tells a late event from one for this use of the place */
    uint32_t piece, from;
    uint32_t flow;
    double started;
    uint64_t order;
};

struct word {
    uint32_t piece, from; /* handle */
    int why;              /* -1 = finished */
    uint32_t took_ms;
};

struct report {
    uint32_t n;
    struct word words[];
};

struct answer {
    uint32_t n;
    struct supernode_assignment assignments[];
};

struct node {
    bool is_here, is_seed, is_slow, is_liar, is_accuser, is_dead, has_report_planned;
    uint32_t handle, rack;
    uint32_t n_have, first_missing;
    uint64_t *have; /* owned */
    double joined, finished, first_piece, last_report, down;
    struct download downloads[DOWNLOADS];
    struct word *words; /* owned; not yet reported */
    uint32_t n_words, words_room;
    struct supernode_assignment *given; /* owned; by the plan that is being sent */
    uint32_t n_given, given_room;
};

struct sim {
    struct sim_options o;
    double now, unit; /* unit: S/B in seconds */
    uint32_t n_pieces, n_total, n_open;
    struct supernode_swarm *swarm;
    struct sim_network *net;
    struct sim_agenda agenda;
    struct node *nodes;
    uint32_t node_of[65536]; /* low half of a handle -> node */
    uint64_t random;
    double wasted, moved, planner_s;
    uint64_t n_same_rack, n_transfers, n_exchanges, n_orders;
    struct supernode_assignment plan[PLAN_BATCH];
};

static double chance(struct sim *sim)
{
    sim->random ^= sim->random << 13;
    sim->random ^= sim->random >> 7;
    sim->random ^= sim->random << 17;
    return (double)(sim->random >> 11) / (double)(1ULL << 53);
}

static double real_time(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail with this clock */
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static uint64_t now_ms(const struct sim *sim)
{
    return (uint64_t)(sim->now * 1000);
}

static void later(struct sim *sim, double delay, int kind, uint32_t node, uint32_t number)
{
    sim_agenda_add(&sim->agenda, (struct sim_event){
                                     .at = sim->now + delay,
                                     .kind = kind,
                                     .node = node,
                                     .number = number,
                                 });
}

static void send_load(struct sim *sim, int kind, uint32_t node, void *load)
{
    sim_agenda_add(&sim->agenda, (struct sim_event){
                                     .at = sim->now + sim->o.latency_ms / 1000,
                                     .kind = kind,
                                     .node = node,
                                     .load = load,
                                 });
}

static bool has(const struct node *node, uint32_t piece)
{
    return node->have[piece / 64] >> (piece % 64) & 1;
}

/* ---- what a node tells -------------------------------------------------------------------------
 */

static void plan_report(struct sim *sim, uint32_t id)
{
    struct node *node = &sim->nodes[id];
    if (node->has_report_planned)
        return;
    node->has_report_planned = true;
    double wait = node->last_report + sim->o.batch_ms / 1000 - sim->now;
    later(sim, wait > 0 ? wait : 0, REPORT, id, 0);
}

static void tell(struct sim *sim, uint32_t id, const struct download *download, int why)
{
    struct node *node = &sim->nodes[id];
    if (node->n_words == node->words_room) {
        node->words_room = node->words_room > 0 ? node->words_room * 2 : 8;
        node->words = dt_realloc(node->words, node->words_room * sizeof(*node->words));
    }
    node->words[node->n_words++] = (struct word){
        .piece = download->piece,
        .from = sim->nodes[download->from].handle,
        .why = why,
        .took_ms = (uint32_t)((sim->now - download->started) * 1000),
    };
    plan_report(sim, id);
}

static void send_report(struct sim *sim, uint32_t id)
{
    struct node *node = &sim->nodes[id];
    size_t size = node->n_words * sizeof(struct word);
    struct report *report = dt_calloc(1, sizeof(*report) + size);
    report->n = node->n_words;
    if (size > 0)
        memcpy(report->words, node->words, size);
    node->n_words = 0;
    node->has_report_planned = false;
    node->last_report = sim->now;
    sim->n_exchanges++;
    send_load(sim, ARRIVE, id, report);
}

/* ---- the supernode -----------------------------------------------------------------------------
 */

static void on_join(struct sim *sim, uint32_t id)
{
    struct node *node = &sim->nodes[id];
    struct supernode_peer about = {
        .rack = node->rack,
        .is_seed = node->is_seed,
        .up_slots = node->is_seed ? sim->o.seed_slots : sim->o.up_slots,
        .down_slots = sim->o.down_slots,
    };
    int rc = supernode_swarm_join(&node->handle, sim->swarm, &about, NULL);
    DT_ASSERT(rc == 0);
    sim->node_of[node->handle & 0xffff] = id;
    node->is_here = true;
    if (sim->o.has_readers)
        supernode_swarm_want(sim->swarm, node->handle, 0);
    supernode_swarm_listen(sim->swarm, node->handle, true);
}

static void hear(struct sim *sim, struct node *node, const struct word *word)
{
    if (word->why < 0) {
        (void)supernode_swarm_finished(sim->swarm, node->handle, word->piece, word->from,
                                       word->took_ms);
        return;
    }
    struct supernode_failure failure = {
        .to = node->handle,
        .piece = word->piece,
        .from = word->from,
        .why = (enum supernode_why)word->why,
        .now_ms = now_ms(sim),
    };
    (void)supernode_swarm_failed(sim->swarm, &failure);
    if (word->why == SUPERNODE_WHY_BAD_SUM)
        later(sim, PROOF_S, PROOF, sim->node_of[word->from & 0xffff], 0);
}

static void on_arrive(struct sim *sim, uint32_t id, const struct report *report)
{
    struct node *node = &sim->nodes[id];
    double began = real_time();
    for (uint32_t i = 0; i < report->n; i++)
        hear(sim, node, &report->words[i]);
    if (sim->o.has_readers)
        supernode_swarm_want(sim->swarm, node->handle, node->first_missing * sim->o.piece_size);
    supernode_swarm_listen(sim->swarm, node->handle, true);
    sim->planner_s += real_time() - began;
}

static void on_proof(struct sim *sim, uint32_t id)
{
    if (!sim->nodes[id].is_liar)
        return; /* the supernode looked, and all was well */
    struct supernode_failure failure = {
        .to = SUPERNODE_NONE,
        .from = sim->nodes[id].handle,
        .why = SUPERNODE_WHY_BAD_SUM,
        .is_proved = true,
        .now_ms = now_ms(sim),
    };
    (void)supernode_swarm_failed(sim->swarm, &failure);
}

static void give(struct sim *sim, const struct supernode_assignment *assignment)
{
    struct node *node = &sim->nodes[sim->node_of[assignment->to & 0xffff]];
    if (node->n_given == node->given_room) {
        node->given_room = node->given_room > 0 ? node->given_room * 2 : 8;
        node->given = dt_realloc(node->given, node->given_room * sizeof(*node->given));
    }
    node->given[node->n_given++] = *assignment;
}

static void send_answer(struct sim *sim, uint32_t id)
{
    struct node *node = &sim->nodes[id];
    if (node->n_given == 0)
        return; /* sent already: it stands in the plan more than once */
    size_t size = node->n_given * sizeof(*node->given);
    struct answer *answer = dt_calloc(1, sizeof(*answer) + size);
    answer->n = node->n_given;
    memcpy(answer->assignments, node->given, size);
    node->n_given = 0;
    supernode_swarm_listen(sim->swarm, node->handle, false);
    send_load(sim, ANSWER, id, answer);
}

static void on_plan(struct sim *sim)
{
    size_t n;
    do {
        double began = real_time();
        n = supernode_plan(sim->swarm, now_ms(sim), sim->plan, PLAN_BATCH);
        sim->planner_s += real_time() - began;
        for (size_t i = 0; i < n; i++)
            give(sim, &sim->plan[i]);
        for (size_t i = 0; i < n; i++)
            send_answer(sim, sim->node_of[sim->plan[i].to & 0xffff]);
    } while (n == PLAN_BATCH);
    later(sim, sim->o.plan_ms / 1000, PLAN, 0, 0);
}

/* ---- a node's transfers ------------------------------------------------------------------------
 */

static void begin_one(struct sim *sim, uint32_t id, uint32_t place)
{
    struct download *download = &sim->nodes[id].downloads[place];
    download->is_begun = true;
    download->started = sim->now;
    later(sim, 2 * sim->o.latency_ms / 1000, BEGIN, id, place << 8 | download->turn);
}

/* Assignments beyond the active ones wait here, so that a link is never idle for want of news. What
 * comes from a seed does not wait: others wait for its copy. */
static void begin_some(struct sim *sim, uint32_t id)
{
    struct node *node = &sim->nodes[id];
    uint32_t n_active = 0;
    for (uint32_t i = 0; i < DOWNLOADS; i++) {
        struct download *download = &node->downloads[i];
        if (download->is_used && !download->is_begun && sim->nodes[download->from].is_seed)
            begin_one(sim, id, i);
        n_active += download->is_used && download->is_begun;
    }
    while (n_active < sim->o.active) {
        uint32_t oldest = DOWNLOADS;
        for (uint32_t i = 0; i < DOWNLOADS; i++)
            if (node->downloads[i].is_used && !node->downloads[i].is_begun &&
                (oldest == DOWNLOADS || node->downloads[i].order < node->downloads[oldest].order))
                oldest = i;
        if (oldest == DOWNLOADS)
            return;
        begin_one(sim, id, oldest);
        n_active++;
    }
}

static void on_answer(struct sim *sim, uint32_t id, const struct answer *answer)
{
    struct node *node = &sim->nodes[id];
    for (uint32_t i = 0; i < answer->n; i++) {
        const struct supernode_assignment *assignment = &answer->assignments[i];
        uint32_t place = 0;
        if (has(node, assignment->piece))
            continue; /* a hedge that came too late */
        while (place < DOWNLOADS && node->downloads[place].is_used)
            place++;
        DT_ASSERT(place < DOWNLOADS);
        struct download *download = &node->downloads[place];
        uint8_t turn = download->turn;
        *download = (struct download){
            .is_used = true,
            .turn = (uint8_t)(turn + 1),
            .piece = assignment->piece,
            .from = sim->node_of[assignment->from & 0xffff],
            .flow = SIM_NO_FLOW,
            .order = sim->n_orders++,
        };
    }
    begin_some(sim, id);
    send_report(sim, id); /* opens the next exchange */
}

static struct download *download_of(struct sim *sim, const struct sim_event *event)
{
    struct download *download = &sim->nodes[event->node].downloads[event->number >> 8];
    return download->is_used && download->turn == (event->number & 0xff) ? download : NULL;
}

static void on_begin(struct sim *sim, const struct sim_event *event)
{
    struct download *download = download_of(sim, event);
    if (download == NULL)
        return;
    if (sim->nodes[download->from].is_dead) {
        later(sim, STALL_S, STALL, event->node, event->number);
        return;
    }
    uint64_t start = (uint64_t)download->piece * sim->o.piece_size;
    uint64_t rest = sim->o.size - start;
    double bytes = (double)(rest < sim->o.piece_size ? rest : sim->o.piece_size);
    download->is_running = true;
    download->flow =
        sim_network_start(sim->net, sim->now, download->from, event->node, bytes * sim->o.overhead,
                          (uint64_t)event->node << 8 | event->number >> 8);
}

/* Throws away what has arrived. */
static void drop(struct sim *sim, struct download *download)
{
    if (download->is_running) {
        double rest = sim_network_stop(sim->net, sim->now, download->flow) / sim->o.overhead;
        uint32_t len = supernode_swarm_piece_len(sim->swarm, download->piece);
        sim->wasted += (double)len - rest;
    }
    download->is_used = download->is_begun = download->is_running = false;
}

static void on_stall(struct sim *sim, const struct sim_event *event)
{
    struct download *download = download_of(sim, event);
    if (download == NULL)
        return;
    drop(sim, download);
    tell(sim, event->node, download, SUPERNODE_WHY_STALLED);
    begin_some(sim, event->node);
}

static void got(struct sim *sim, uint32_t id, uint32_t piece)
{
    struct node *node = &sim->nodes[id];
    node->have[piece / 64] |= 1ULL << (piece % 64);
    if (piece == 0)
        node->first_piece = sim->now;
    while (node->first_missing < sim->n_pieces && has(node, node->first_missing))
        node->first_missing++;
    for (uint32_t i = 0; i < DOWNLOADS; i++)
        if (node->downloads[i].is_used && node->downloads[i].piece == piece)
            drop(sim, &node->downloads[i]);
    if (++node->n_have < sim->n_pieces)
        return;
    node->finished = sim->now;
    sim->n_open--;
}

static void on_through(struct sim *sim, uint64_t owner)
{
    uint32_t id = (uint32_t)(owner >> 8);
    struct node *node = &sim->nodes[id];
    struct download *download = &node->downloads[owner & 0xff];
    double len = supernode_swarm_piece_len(sim->swarm, download->piece);
    download->is_used = download->is_begun = download->is_running = false;
    sim->moved += len;
    sim->n_transfers++;
    sim->n_same_rack += sim->nodes[download->from].rack == node->rack;
    if (sim->nodes[download->from].is_liar || node->is_accuser) {
        sim->wasted += len;
        tell(sim, id, download,
             node->is_accuser ? SUPERNODE_WHY_UNREACHABLE : SUPERNODE_WHY_BAD_SUM);
    } else {
        tell(sim, id, download, -1);
        got(sim, id, download->piece);
    }
    begin_some(sim, id);
}

static void on_kill(struct sim *sim, uint32_t id)
{
    struct node *node = &sim->nodes[id];
    if (node->n_have < sim->n_pieces && !node->is_accuser)
        sim->n_open--;
    node->is_dead = true;
    for (uint32_t i = 0; i < DOWNLOADS; i++)
        drop(sim, &node->downloads[i]);
    for (uint32_t other = 0; other < sim->n_total; other++)
        for (uint32_t i = 0; i < DOWNLOADS; i++) {
            struct download *download = &sim->nodes[other].downloads[i];
            if (!download->is_running || download->from != id)
                continue;
            drop(sim, download);
            download->is_used = download->is_begun = true; /* the receiver does not know yet */
            later(sim, STALL_S, STALL, other, i << 8 | download->turn);
        }
    later(sim, GONE_S, GONE, id, 0);
}

/* ---- the run -----------------------------------------------------------------------------------
 */

static void handle(struct sim *sim, struct sim_event *event)
{
    bool is_lost = sim->nodes[event->node].is_dead && event->kind != GONE && event->kind != PROOF &&
                   event->kind != PLAN;
    switch (is_lost ? -1 : event->kind) {
    case JOIN:
        on_join(sim, event->node);
        break;
    case REPORT:
        send_report(sim, event->node);
        break;
    case ARRIVE:
        on_arrive(sim, event->node, event->load);
        break;
    case PLAN:
        on_plan(sim);
        break;
    case ANSWER:
        on_answer(sim, event->node, event->load);
        break;
    case BEGIN:
        on_begin(sim, event);
        break;
    case STALL:
        on_stall(sim, event);
        break;
    case KILL:
        on_kill(sim, event->node);
        break;
    case GONE:
        supernode_swarm_leave(sim->swarm, sim->nodes[event->node].handle);
        break;
    case PROOF:
        on_proof(sim, event->node);
        break;
    case ORIGIN:
        (void)supernode_swarm_gained(sim->swarm, sim->nodes[event->node].handle, event->number);
        break;
    default:
        break;
    }
    free(event->load);
}

static void init_node(struct sim *sim, uint32_t id)
{
    const struct sim_options *o = &sim->o;
    struct node *node = &sim->nodes[id];
    node->have = dt_new_array(uint64_t, supernode_bits_words(sim->n_pieces));
    node->is_seed = id >= o->n_nodes;
    node->last_report = -1;
    node->rack = o->n_racks > 0 && !node->is_seed ? 1 + id % o->n_racks : 0;
    if (node->is_seed) {
        sim_network_set_link(sim->net, id, o->seed_up, o->seed_up);
        later(sim, 0, JOIN, id, 0);
        return;
    }
    node->is_slow = chance(sim) < o->slow;
    node->is_liar = chance(sim) < o->liars;
    node->is_accuser = !node->is_liar && chance(sim) < o->accusers;
    node->down = o->down * (node->is_slow ? SLOW_FACTOR : 1);
    sim_network_set_link(sim->net, id, o->up * (node->is_slow ? SLOW_FACTOR : 1), node->down);
    node->joined = o->stagger * sim->unit * chance(sim);
    sim->n_open += !node->is_accuser;
    later(sim, node->joined + o->latency_ms / 1000, JOIN, id, 0);
    if (chance(sim) < o->killed) {
        double at = sim->unit * (0.3 + 0.5 * chance(sim));
        later(sim, at > node->joined ? at : node->joined + o->latency_ms / 500, KILL, id, 0);
    }
}

static struct sim *begin(const struct sim_options *options)
{
    struct sim *sim = dt_new(struct sim);
    sim->o = *options;
    if (sim->o.piece_size == 0)
        sim->o.piece_size = cache_pieces_choose_size(sim->o.size);
    sim->random = (options->random * 2 + 1) * 0x9e3779b97f4a7c15ULL;
    sim->unit = (double)options->size / options->down;
    sim->n_total = options->n_nodes + options->n_seeds;
    struct supernode_swarm_options swarm = {
        .size = options->size,
        .piece_size = (uint32_t)sim->o.piece_size,
        .key = sim->random ^ 0x5bd1e995,
    };
    int rc = supernode_swarm_new(&sim->swarm, &swarm, NULL);
    DT_ASSERT(rc == 0);
    sim->n_pieces = supernode_swarm_look(sim->swarm).n_pieces;
    sim->net = sim_network_new(sim->n_total);
    sim->nodes = dt_new_array(struct node, sim->n_total);
    for (uint32_t id = sim->n_total; id-- > 0;) /* seeds first */
        init_node(sim, id);
    double piece_s = (double)sim->o.piece_size * sim->o.overhead / options->origin;
    for (uint32_t piece = 0; piece < sim->n_pieces; piece++)
        later(sim, piece_s * (piece + 1), ORIGIN, options->n_nodes + piece % options->n_seeds,
              piece);
    later(sim, 0, PLAN, 0, 0);
    return sim;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure_nodes(struct sim_result *out, const struct sim *sim)
{
    double *times = dt_new_array(double, sim->n_total);
    uint32_t n = 0, n_first = 0;
    for (uint32_t id = 0; id < sim->o.n_nodes; id++) {
        const struct node *node = &sim->nodes[id];
        struct supernode_peer_view view = supernode_swarm_look_at(sim->swarm, node->handle);
        out->n_quarantined += view.is_quarantined && node->is_liar;
        out->n_wronged += view.is_quarantined && !node->is_liar;
        if (node->is_dead || node->is_accuser || node->n_have < sim->n_pieces)
            continue;
        double took = (node->finished - node->joined) / ((double)sim->o.size / node->down);
        out->first_piece += (node->first_piece - node->joined) / sim->unit;
        n_first++;
        if (node->is_slow)
            out->slow_last = fmax(out->slow_last, took);
        else
            times[n++] = took;
    }
    qsort(times, n, sizeof(*times), compare);
    if (n > 0) {
        out->p50 = times[n / 2];
        out->p90 = times[(uint32_t)(n * 0.9)];
        out->p99 = times[(uint32_t)(n * 0.99)];
        out->last = times[n - 1];
        out->first_piece /= n_first;
    }
    free(times);
}

static void finish(struct sim_result *out, struct sim *sim)
{
    struct supernode_swarm_view view = supernode_swarm_look(sim->swarm);
    double size = (double)sim->o.size;
    *out = (struct sim_result){
        .is_complete = sim->n_open == 0,
        .seconds = sim->now,
        .origin_x = 1, /* pieces come from upstream to one seed each, whatever the nodes do */
        .wasted = sim->moved > 0 ? sim->wasted / sim->moved : 0,
        .same_rack = sim->n_transfers > 0 ? (double)sim->n_same_rack / (double)sim->n_transfers : 0,
        .n_assigned = view.n_assigned,
        .n_hedged = view.n_hedged,
        .n_exchanges = sim->n_exchanges,
        .planner_seconds = sim->planner_s,
    };
    for (uint32_t id = sim->o.n_nodes; id < sim->n_total; id++)
        out->seed_x += sim_network_sent(sim->net, id) / sim->o.overhead / size;
    measure_nodes(out, sim);
    for (uint32_t id = 0; id < sim->n_total; id++) {
        free(sim->nodes[id].have);
        free(sim->nodes[id].words);
        free(sim->nodes[id].given);
    }
    free(sim->nodes);
    sim_agenda_fini(&sim->agenda);
    sim_network_free(&sim->net);
    supernode_swarm_free(&sim->swarm);
    free(sim);
}

void sim_run(struct sim_result *out, const struct sim_options *options)
{
    struct sim *sim = begin(options);
    while (sim->n_open > 0 && sim->now < sim->unit * PATIENCE) {
        double flow_at = sim_network_next(sim->net, sim->now);
        double event_at = sim_agenda_next(&sim->agenda);
        uint64_t owner;
        if (flow_at < event_at) {
            sim->now = flow_at;
            if (sim_network_take(sim->net, sim->now, &owner))
                on_through(sim, owner);
            continue;
        }
        struct sim_event event = sim_agenda_take(&sim->agenda);
        sim->now = event.at;
        handle(sim, &event);
    }
    finish(out, sim);
}
