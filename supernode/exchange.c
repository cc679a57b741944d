/*
 * supernode/exchange.c - one exchange at its task: facts in, then held until there is news.
 *
 *   arrived -> (joined) -> heard -> HELD -> answered with assignments, or empty after a while
 *
 * A newer exchange of the same session releases the older one. Of one that comes late (two travel
 * at once) the reports still count. A session that was replaced does not come back: so a join that
 * somebody recorded and sends again moves nothing.
 */
#define LOG_COMPONENT "exchange"
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "registry-client/endpoint.h"
#include "supernode/seed.h"
#include "supernode/task_priv.h"

static void listen(struct supernode_task *task, struct task_peer *peer, bool is_listening)
{
    if (task->swarm != NULL)
        supernode_swarm_listen(task->swarm, peer->handle, is_listening);
}

struct supernode_request *supernode_exchange_unhold(struct supernode_task *task,
                                                    struct task_peer *peer)
{
    struct supernode_request *request = peer->held;
    if (request == NULL)
        return NULL;
    peer->held = NULL;
    atomic_fetch_sub(&task->supernode->tasks->n_held, 1);
    listen(task, peer, false);
    return request;
}

static void release_older(struct supernode_task *task, struct task_peer *peer)
{
    struct supernode_request *older = supernode_exchange_unhold(task, peer);
    if (older != NULL)
        supernode_answer_empty(task, peer, older);
}

static void hold(struct supernode_task *task, struct task_peer *peer,
                 struct supernode_request *request)
{
    release_older(task, peer);
    peer->seq = request->exchange.seq;
    peer->held = request;
    peer->held_since_ms = peer->heard_ms;
    atomic_fetch_add(&task->supernode->tasks->n_held, 1);
    listen(task, peer, true);
    if (peer->is_gone_due)
        supernode_peer_answer(task, peer);
}

/* Takes the facts; what happens to the request is decided here. */
static void take(struct supernode_task *task, struct task_peer *peer,
                 struct supernode_request *request)
{
    const struct wire_exchange *exchange = &request->exchange;
    bool is_newest = exchange->seq > peer->seq;
    peer->heard_ms = dt_loop_now_ms(task->loop);
    if (is_newest)
        peer->broken_ms = 0;
    supernode_peer_hear(task, peer, exchange);
    if (exchange->is_leave && is_newest) {
        bool keeps = exchange->keeps;
        release_older(task, peer);
        supernode_answer_empty(task, peer, request);
        if (keeps)
            supernode_peer_becomes_holder(task, peer);
        else
            supernode_peer_remove(task, peer);
    } else if (!is_newest) {
        supernode_answer_empty(task, peer, request);
    } else {
        hold(task, peer, request);
    }
    supernode_task_plan_soon(task);
}

/* ---- join ---- */

static bool is_of_the_past(const struct task_peer *peer, uint64_t session)
{
    for (unsigned i = 0; i < TASK_SESSIONS_KEPT && i < peer->n_earlier; i++)
        if (peer->earlier[i] == session)
            return true;
    return false;
}

static void offer_way(struct supernode_task *task, struct task_peer *peer,
                      struct supernode_request *request)
{
    struct wire_join *join = peer->join;
    struct supernode *supernode = task->supernode;
    char *repository = join->repository; /* the seed may remove the peer */
    join->repository = NULL;
    struct seed_way way = {
        .upstream = reg_upstream_find(supernode->upstreams, supernode->n_upstreams, join->upstream),
        .repository = repository,
        .authorization = request->authorization,
        .size = join->size,
        .want_off = peer->want_off,
    };
    DT_ASSERT(way.upstream != NULL); /* the join was checked */
    dt_free(&join->upstream);        /* a node that waits is cheap: long texts are not kept */
    dt_free(&join->sealed_authorization);
    if (task->state == SUPERNODE_TASK_GONE)
        task->state = task->swarm != NULL ? SUPERNODE_TASK_OPEN : SUPERNODE_TASK_WAITING;
    supernode_seed_offer(task->seed, &way);
    free(repository);
    dt_free_secret(&request->authorization);
}

static void refuse(struct supernode_request *request, const struct dt_err *err)
{
    char name[13];
    atomic_fetch_add(&request->supernode->tasks->n_refused, 1);
    dt_log_info("join_refused", "blob=%s id=%s code=%s reason=%s",
                dt_digest_short(name, &request->exchange.digest), request->exchange.node,
                dt_code_name(err->code), DT_LOG_Q(err->msg));
    supernode_answer_state(request, WIRE_GONE, err);
}

static void join(struct supernode_task *task, struct supernode_request *request)
{
    struct task_peer *peer = supernode_peer_find(task, request->exchange.node);
    struct dt_err err = {0};
    char name[13];
    uint64_t session = request->exchange.session;
    if (peer != NULL && !peer->is_holder && peer->session == session) {
        take(task, peer, request); /* told twice */
        return;
    }
    if (peer != NULL && is_of_the_past(peer, session)) {
        supernode_answer_state(request, WIRE_UNKNOWN, NULL);
        return;
    }
    bool is_takeover = request->exchange.join->is_takeover;
    if (supernode_peer_join(&peer, task, request, &err) < 0) {
        refuse(request, &err);
        return;
    }
    atomic_fetch_add(&task->supernode->tasks->n_joins, 1);
    dt_log_info("joined", "blob=%s node=%s id=%s address=%s takeover=%d",
                dt_digest_short(name, &task->digest), DT_LOG_Q(peer->name), peer->id, peer->address,
                is_takeover);
    /* The join's texts are used before take() may remove the peer; a failure of the fill is told
     * in a later turn. */
    offer_way(task, peer, request);
    if ((peer = supernode_peer_find(task, request->exchange.node)) != NULL)
        take(task, peer, request);
    else if (task->state == SUPERNODE_TASK_GONE)
        refuse(request, &task->err);
    else
        supernode_answer_state(request, WIRE_UNKNOWN, NULL); /* begun anew: with another size */
}

/* ---- joins that wait until it is known who holds the blob ---- */

static void wait_for_holders(struct supernode_task *task, struct supernode_request *request)
{
    request->next = task->waiting;
    task->waiting = request;
}

static void stop_waiting(struct supernode_task *task, struct supernode_request *request)
{
    struct supernode_request **link = &task->waiting;
    while (*link != NULL && *link != request)
        link = &(*link)->next;
    DT_ASSERT(*link == request);
    *link = request->next;
}

static struct supernode_request *take_waiting(struct supernode_task *task)
{
    struct supernode_request *list = NULL; /* the first to come is the first one now */
    while (task->waiting != NULL) {
        struct supernode_request *request = task->waiting;
        task->waiting = request->next;
        request->next = list;
        list = request;
    }
    return list;
}

void supernode_exchanges_released(struct supernode_task *task)
{
    task->is_asking_holders = false;
    for (struct supernode_request *r = take_waiting(task), *next; r != NULL; r = next) {
        next = r->next;
        join(task, r);
    }
}

void supernode_exchanges_refuse(struct supernode_task *task)
{
    for (struct supernode_request *r = take_waiting(task), *next; r != NULL; r = next) {
        next = r->next;
        supernode_request_refuse(r);
    }
}

/* ---- arrival ---- */

void supernode_exchange_arrived(struct supernode_request *request)
{
    struct supernode *supernode = request->supernode;
    const struct wire_exchange *exchange = &request->exchange;
    struct supernode_task *task = supernode_task_find(supernode, &exchange->digest);
    bool is_join = exchange->join != NULL;
    atomic_fetch_add(&supernode->tasks->n_exchanges, 1);
    bool is_closed = atomic_load(&supernode->is_draining) && task == NULL && is_join;
    if (is_closed || atomic_load(&supernode->is_stopping)) {
        supernode_request_refuse(request);
        return;
    }
    if (task == NULL && is_join)
        task = supernode_task_make(supernode, &exchange->digest);
    if (task == NULL && is_join) {
        struct dt_err err = {0};
        (void)dt_err_set(&err, DT_EBUSY, "no more than %u tasks at once", SUPERNODE_TASKS_MAX);
        refuse(request, &err);
        return;
    }
    if (is_join && task->is_asking_holders) {
        wait_for_holders(task, request);
        return;
    }
    if (is_join) {
        join(task, request);
        return;
    }
    struct task_peer *peer = task != NULL ? supernode_peer_find(task, exchange->node) : NULL;
    if (peer == NULL || peer->is_holder || peer->session != exchange->session)
        supernode_answer_state(request, WIRE_UNKNOWN, NULL);
    else
        take(task, peer, request);
}

void supernode_exchange_broke(struct supernode_request *request)
{
    const struct wire_exchange *exchange = &request->exchange;
    struct supernode_task *task = supernode_task_find(request->supernode, &exchange->digest);
    struct task_peer *peer = task != NULL ? supernode_peer_find(task, exchange->node) : NULL;
    bool is_its_last = peer != NULL && !peer->is_holder && peer->session == exchange->session &&
                       peer->seq == exchange->seq;
    if (is_its_last)
        peer->broken_ms = dt_loop_now_ms(task->loop);
    if (request->is_answered)
        return;
    DT_ASSERT(task != NULL);
    /* All that is not answered is held by its peer, or waits. */
    if (peer != NULL && peer->held == request)
        (void)supernode_exchange_unhold(task, peer); /* it is refused below */
    else
        stop_waiting(task, request);
    supernode_request_refuse(request);
}
