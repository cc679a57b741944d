/*
 * supernode/task_plan.c - a turn of the planner, and the answers that come out of it.
 *
 * Assignments are gathered per peer over a turn and sent as the answer to its held exchange; from
 * then on it does not listen until it asks again. An assignment carries the piece's sum when it is
 * known, and the first answer (and one now and then) a ticket for the blob.
 */
#include <string.h>

#include "base/mem.h"
#include "supernode/seed.h"
#include "supernode/task_priv.h"
#include "transfer/piece_server.h"

#define PLAN_BATCH 256

/* ---- limits ---- */

uint64_t supernode_task_limit(const struct supernode_task *task)
{
    return task->limit != UINT64_MAX ? task->limit
                                     : atomic_load(&task->supernode->limits.task_down);
}

/* Of those who still take: equal parts. */
uint64_t supernode_task_share(const struct supernode_task *task)
{
    uint64_t limit = supernode_task_limit(task), n_done = 0;
    if (limit == 0)
        return 0;
    if (task->swarm != NULL)
        n_done = supernode_swarm_look(task->swarm).n_complete;
    n_done = n_done > task->n_holders ? n_done - task->n_holders : 0;
    uint64_t n_taking = task->n_present > n_done ? task->n_present - n_done : 1;
    uint64_t share = limit / n_taking;
    return share > SUPERNODE_LIMIT_FLOOR ? share : SUPERNODE_LIMIT_FLOOR;
}

/* ---- answers ---- */

static void send(struct supernode_request *request, struct wire_exchange_reply *reply)
{
    reply->seq = request->exchange.seq;
    supernode_request_answer(request, wire_exchange_reply_encode(reply));
}

void supernode_answer_state(struct supernode_request *request, enum wire_state state,
                            const struct dt_err *err)
{
    struct wire_exchange_reply reply = {.state = state};
    if (err != NULL)
        reply.err = *err;
    /* A reason may quote a registry: what is not printable would not be understood. */
    for (char *c = reply.err.msg; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    send(request, &reply);
}

/* One that waits outside the swarm hears of none. */
static struct wire_exchange_reply reply_of(const struct supernode_task *task,
                                           const struct task_peer *peer)
{
    struct wire_exchange_reply reply = {.state = WIRE_WAITING};
    if (task->swarm != NULL && peer->handle != SUPERNODE_NONE) {
        reply.state = WIRE_OPEN;
        reply.size = task->size;
        reply.piece_size = task->piece_size;
    }
    reply.down_limit = supernode_task_share(task);
    return reply;
}

void supernode_answer_empty(struct supernode_task *task, const struct task_peer *peer,
                            struct supernode_request *request)
{
    struct wire_exchange_reply reply = reply_of(task, peer);
    send(request, &reply);
}

static void add_ticket(struct wire_exchange_reply *reply, const struct supernode_task *task,
                       struct task_peer *peer)
{
    struct supernode *supernode = task->supernode;
    uint64_t now_ms = dt_wall_ms();
    if (reply->state != WIRE_OPEN || peer->ticket_until_ms > now_ms + WIRE_TICKET_LIFE_MS / 2)
        return;
    peer->ticket_until_ms = now_ms + WIRE_TICKET_LIFE_MS;
    wire_ticket_make(reply->ticket, supernode->keys, &task->digest, supernode->site,
                     peer->ticket_until_ms);
}

static void fill_assignment(struct wire_assignment *out, const struct supernode_task *task,
                            const struct supernode_assignment *planned)
{
    out->piece = planned->piece;
    uint8_t sum_state = task->sum_states[planned->piece];
    out->has_sum = sum_state == TASK_SUM_OURS || sum_state == TASK_SUM_TOLD;
    if (out->has_sum)
        out->sum = task->sums[planned->piece];
    if (planned->from == task->seed_handle) {
        out->is_seed = true;
        memcpy(out->from, task->supernode->id, sizeof(out->from));
        return;
    }
    const struct task_peer *source = supernode_peer_at(task, planned->from);
    DT_ASSERT(source != NULL); /* planned in this turn: nobody has left since */
    memcpy(out->from, source->id, sizeof(out->from));
    memcpy(out->address, source->address, sizeof(out->address));
}

/* A small blob that the seed was to send is sent now, without being asked for. Once in a session:
 * who could not use it fetches it. */
static void add_inline(struct wire_exchange_reply *reply, const struct supernode_task *task,
                       struct task_peer *peer)
{
    bool is_ours = reply->n_assignments == 1 && peer->pending[0].from == task->seed_handle;
    uint8_t *bytes = is_ours && peer->takes_inline ? supernode_seed_bytes(task->seed) : NULL;
    if (bytes == NULL || !piece_server_count_inline(task->supernode->pieces, task->size))
        return;
    peer->takes_inline = false;
    reply->bytes = bytes; /* the seed's: this reply is not for fini() */
}

void supernode_peer_answer(struct supernode_task *task, struct task_peer *peer)
{
    struct supernode_request *request = supernode_exchange_unhold(task, peer);
    struct wire_assignment assignments[TASK_PENDING_MAX] = {0};
    DT_ASSERT(request != NULL);
    peer->heard_ms = dt_loop_now_ms(task->loop); /* its silence begins now */
    if (peer->is_gone_due) {
        supernode_answer_state(request, WIRE_GONE, &task->err);
        supernode_peer_remove(task, peer);
        return;
    }
    struct wire_exchange_reply reply = reply_of(task, peer);
    add_ticket(&reply, task, peer);
    for (unsigned i = 0; i < peer->n_pending; i++)
        fill_assignment(&assignments[i], task, &peer->pending[i]);
    reply.assignments = assignments;
    reply.n_assignments = peer->n_pending;
    add_inline(&reply, task, peer);
    peer->n_pending = 0;
    peer->told_limit = reply.down_limit;
    send(request, &reply);
}

/* ---- a turn ---- */

/* Gathers; returns the head of the list of peers that have something pending. */
static struct task_peer *gather(struct supernode_task *task, struct task_peer *list,
                                const struct supernode_assignment *planned)
{
    struct task_peer *peer = supernode_peer_at(task, planned->to);
    DT_ASSERT(peer != NULL && peer->held != NULL); /* only who listens is given something */
    DT_ASSERT(peer->n_pending < TASK_PENDING_MAX);
    peer->pending[peer->n_pending++] = *planned;
    if (peer->n_pending > 1)
        return list;
    peer->next_pending = list;
    return peer;
}

void supernode_task_turn(struct supernode_task *task)
{
    struct supernode_assignment planned[PLAN_BATCH];
    struct task_peer *list = NULL;
    size_t n;
    if (task->swarm == NULL)
        return;
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    do {
        n = supernode_plan(task->swarm, now_ms, planned, PLAN_BATCH);
        for (size_t i = 0; i < n; i++)
            list = gather(task, list, &planned[i]);
    } while (n == PLAN_BATCH);
    while (list != NULL) {
        struct task_peer *peer = list;
        list = peer->next_pending;
        supernode_peer_answer(task, peer);
    }
}
