/*
 * supernode/task_peer.c - who is in a task: those who take its blob, and those who only hold it.
 *
 *   join -> present -> (leave: gone, or holder) | silent, broken, gone node: removed
 *   holder (from the table of nodes, or one who is done) -> removed with its node
 *
 * A peer has a place in the table by its id, and one in the swarm once the size is known. What it
 * tells is believed as far as supernode/event.c says.
 */
#define LOG_COMPONENT "task"
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "registry-client/endpoint.h"
#include "registry-client/ref.h"
#include "supernode/proof.h"
#include "supernode/seed.h"
#include "supernode/task_priv.h"

static bool is_sum_set(const struct wire_sum *sum)
{
    static const struct wire_sum NONE;
    return !wire_sum_equal(sum, &NONE);
}

struct task_peer *supernode_peer_find(struct supernode_task *task, const char *id)
{
    struct task_peer *peer = NULL;
    HASH_FIND_STR(task->peers, id, peer);
    return peer;
}

struct task_peer *supernode_peer_at(const struct supernode_task *task, uint32_t handle)
{
    uint32_t slot = supernode_peer_slot(handle);
    struct task_peer *peer = slot < task->n_by_slot ? task->by_slot[slot] : NULL;
    return peer != NULL && peer->handle == handle ? peer : NULL;
}

/* ---- into the swarm ---- */

static void note_slot(struct supernode_task *task, struct task_peer *peer)
{
    uint32_t slot = supernode_peer_slot(peer->handle);
    if (slot >= task->n_by_slot) {
        uint32_t n = task->n_by_slot > 0 ? task->n_by_slot : 64;
        while (n <= slot)
            n *= 2;
        task->by_slot = dt_realloc(task->by_slot, n * sizeof(struct task_peer *));
        memset(task->by_slot + task->n_by_slot, 0,
               (n - task->n_by_slot) * sizeof(struct task_peer *));
        task->n_by_slot = n;
    }
    task->by_slot[slot] = peer;
}

/* Sums told by nodes count only while all who tell them agree, and prove nothing. */
static void hear_sums(struct supernode_task *task, const struct wire_join *join)
{
    bool has_any = join->sums != NULL && join->have != NULL;
    for (uint32_t piece = 0; has_any && piece < task->n_pieces; piece++) {
        const struct wire_sum *told = &join->sums[piece];
        uint8_t *state = &task->sum_states[piece];
        if (!supernode_row_test(join->have, piece) || !is_sum_set(told))
            continue;
        if (*state == TASK_SUM_NONE) {
            task->sums[piece] = *told;
            *state = TASK_SUM_TOLD;
        } else if (*state == TASK_SUM_TOLD && !wire_sum_equal(&task->sums[piece], told)) {
            *state = TASK_SUM_DISPUTED;
        }
    }
}

static int join_swarm(struct supernode_task *task, struct task_peer *peer,
                      const struct supernode_peer *about, struct dt_err *err)
{
    _Atomic uint64_t *n_cells = &task->supernode->tasks->n_cells;
    int rc = 0;
    if (atomic_fetch_add(n_cells, task->n_pieces) + task->n_pieces > SUPERNODE_ALL_CELLS_MAX)
        rc = dt_err_set(err, DT_EBUSY, "too many nodes in too many tasks");
    if (rc == 0)
        rc = supernode_swarm_join(&peer->handle, task->swarm, about, err);
    if (rc < 0) {
        atomic_fetch_sub(n_cells, task->n_pieces);
        peer->handle = SUPERNODE_NONE;
        return rc;
    }
    note_slot(task, peer);
    if (supernode_is_struck_here(task->supernode, peer->id, peer->address)) {
        struct supernode_failure proved = {.to = SUPERNODE_NONE,
                                           .from = peer->handle,
                                           .why = SUPERNODE_WHY_BAD_SUM,
                                           .is_proved = true};
        (void)supernode_swarm_failed(task->swarm, &proved); /* true: it is new here */
    }
    return 0;
}

static int enter_holder(struct supernode_task *task, struct task_peer *peer, struct dt_err *err)
{
    uint32_t n_words = supernode_bits_words(task->n_pieces);
    uint64_t *have = dt_new_array(uint64_t, n_words);
    memset(have, 0xff, n_words * sizeof(*have));
    struct supernode_peer about = {
        .site = supernode_hash_name(task->supernode->site),
        .rack = supernode_hash_name(peer->rack),
        .up_slots = 2, /* the planner's experience; it asks for no slots of its own here */
        .down_slots = 1,
        .have = have,
    };
    int rc = join_swarm(task, peer, &about, err);
    free(have);
    return rc;
}

int supernode_peer_enter_swarm(struct supernode_task *task, struct task_peer *peer,
                               struct dt_err *err)
{
    if (peer->is_holder)
        return enter_holder(task, peer, err);
    const struct wire_join *join = peer->join;
    DT_ASSERT(join != NULL && peer->handle == SUPERNODE_NONE);
    if (join->piece_size != 0 && join->size != task->size)
        return dt_err_set(err, DT_ECONFLICT, "%" PRIu64 " bytes here, %" PRIu64 " there",
                          task->size, join->size);
    if (join->piece_size != 0 &&
        (join->piece_size != task->piece_size || join->n_pieces != task->n_pieces))
        return dt_err_set(err, DT_ECONFLICT, "pieces of %u bytes here, of %u there",
                          task->piece_size, join->piece_size);
    struct supernode_peer about = {
        .site = supernode_hash_name(join->site),
        .rack = supernode_hash_name(peer->rack),
        .up_slots = join->up_slots,
        .down_slots = join->down_slots,
        .have = join->piece_size != 0 ? join->have : NULL,
    };
    int rc = join_swarm(task, peer, &about, err);
    if (rc < 0)
        return rc;
    if (about.have != NULL)
        hear_sums(task, join);
    dt_free(&peer->join->have); /* used, and too much to keep for every node: up to a megabyte */
    dt_free(&peer->join->sums);
    supernode_swarm_want(task->swarm, peer->handle, peer->want_off);
    supernode_swarm_listen(task->swarm, peer->handle, peer->held != NULL);
    return 0;
}

static void free_join(struct task_peer *peer)
{
    if (peer->join == NULL)
        return;
    struct wire_exchange holder = {.join = peer->join};
    wire_exchange_fini(&holder);
    peer->join = NULL;
}

/* ---- in and out ---- */

static void leave_swarm(struct supernode_task *task, struct task_peer *peer)
{
    if (peer->handle == SUPERNODE_NONE)
        return;
    task->by_slot[supernode_peer_slot(peer->handle)] = NULL;
    supernode_swarm_leave(task->swarm, peer->handle);
    atomic_fetch_sub(&task->supernode->tasks->n_cells, task->n_pieces);
    peer->handle = SUPERNODE_NONE;
}

static void count(struct supernode_task *task, const struct task_peer *peer, int step)
{
    uint32_t *n = peer->is_holder ? &task->n_holders : &task->n_present;
    *n += (uint32_t)step;
    if (!peer->is_holder)
        atomic_fetch_add(&task->supernode->tasks->n_peers, (uint64_t)(int64_t)step);
}

static void release_held(struct supernode_task *task, struct task_peer *peer)
{
    struct supernode_request *held = supernode_exchange_unhold(task, peer);
    if (held == NULL)
        return;
    if (atomic_load(&task->supernode->is_stopping))
        supernode_request_refuse(held);
    else
        supernode_answer_state(held, WIRE_UNKNOWN, NULL);
}

void supernode_peer_remove(struct supernode_task *task, struct task_peer *peer)
{
    release_held(task, peer);
    leave_swarm(task, peer);
    free_join(peer);
    count(task, peer, -1);
    HASH_DEL(task->peers, peer);
    free(peer);
    if (task->is_ending)
        return;
    supernode_seed_reconsider(task->seed);
    supernode_task_plan_soon(task);
}

void supernode_peer_becomes_holder(struct supernode_task *task, struct task_peer *peer)
{
    if (peer->handle == SUPERNODE_NONE) { /* of what we do not even know the size */
        supernode_peer_remove(task, peer);
        return;
    }
    /* Its last reports may travel beside this one, and come when it is no session any more. */
    for (uint32_t piece = 0; piece < task->n_pieces; piece++)
        (void)supernode_swarm_gained(task->swarm, peer->handle, piece); /* false: it told us */
    release_held(task, peer);
    free_join(peer);
    count(task, peer, -1);
    peer->is_holder = true;
    count(task, peer, 1);
}

void supernode_peer_add_holder(struct supernode_task *task, const struct task_holder *holder)
{
    struct dt_err err = {0};
    if (supernode_peer_find(task, holder->id) != NULL || task->n_holders >= SUPERNODE_HOLDERS_MAX ||
        supernode_is_banned_here(task->supernode, holder->name))
        return;
    if (supernode_size_told(task, holder->size, &err) < 0)
        return; /* another size is known: what it holds is something else */
    struct task_peer *peer = dt_new(struct task_peer);
    memcpy(peer->id, holder->id, sizeof(peer->id));
    memcpy(peer->name, holder->name, sizeof(peer->name));
    memcpy(peer->rack, holder->rack, sizeof(peer->rack));
    memcpy(peer->address, holder->address, sizeof(peer->address));
    peer->handle = SUPERNODE_NONE;
    peer->is_holder = true;
    peer->want_off = UINT64_MAX;
    HASH_ADD_STR(task->peers, id, peer);
    count(task, peer, 1);
    if (supernode_peer_enter_swarm(task, peer, &err) < 0)
        supernode_peer_remove(task, peer);
    supernode_task_plan_soon(task);
}

/* ---- join ---- */

static int check_join(const struct supernode_task *task, const struct wire_join *join,
                      struct dt_err *err)
{
    struct supernode *supernode = task->supernode;
    if (strcmp(join->site, supernode->site) != 0)
        return dt_err_set(err, DT_EDENIED, "this is a supernode of site %s, the node of site %s",
                          supernode->site, join->site);
    if (supernode_is_banned_here(supernode, join->name))
        return dt_err_set(err, DT_EDENIED, "the node %s is banned", join->name);
    if (reg_upstream_find(supernode->upstreams, supernode->n_upstreams, join->upstream) == NULL)
        return dt_err_set(err, DT_ENOTFOUND, "the supernode has no upstream %.100s",
                          join->upstream);
    /* It becomes part of a path that we ask a registry for, perhaps with our own credentials: a
     * "../" or a "?" in it would be another question than a pull. */
    if (!reg_name_is_valid(join->repository, strlen(join->repository)))
        return dt_err_set(err, DT_EINVAL, "%.100s is no name of a repository", join->repository);
    if (HASH_COUNT(task->peers) >= TASK_PEERS_MAX)
        return dt_err_set(err, DT_EBUSY, "a task takes no more than %u nodes", TASK_PEERS_MAX);
    return 0;
}

/* It comes again: what was known of its earlier session is over. */
static void begin_anew(struct supernode_task *task, struct task_peer *peer)
{
    if (!peer->is_holder)
        peer->earlier[peer->n_earlier++ % TASK_SESSIONS_KEPT] = peer->session;
    release_held(task, peer);
    leave_swarm(task, peer);
    free_join(peer);
    count(task, peer, -1);
    peer->is_holder = peer->is_gone_due = false;
    peer->ticket_until_ms = peer->broken_ms = peer->seq = 0;
}

/* Only a node that has begun to write knows the size for sure; the others' is a hint. */
static int learn_size(struct supernode_task *task, const struct wire_join *join, struct dt_err *out)
{
    struct dt_err err = {0};
    supernode_size_hinted(task, join->size);
    if (task->swarm != NULL || join->piece_size == 0 || join->size == UINT64_MAX)
        return 0;
    int rc = supernode_size_told(task, join->size, &err);
    if (rc == -DT_EBUSY) {
        *out = err;
        return rc;
    }
    if (rc < 0)
        dt_log_warn("size_refused", "node=%s size=%llu reason=%s", DT_LOG_Q(join->name),
                    (unsigned long long)join->size, DT_LOG_Q(err.msg));
    return 0;
}

int supernode_peer_join(struct task_peer **out, struct supernode_task *task,
                        struct supernode_request *request, struct dt_err *err)
{
    struct wire_exchange *exchange = &request->exchange;
    wire_address address;
    int rc = check_join(task, exchange->join, err);
    if (rc == 0)
        rc = supernode_request_address(address, request, exchange->join->address, err);
    if (rc == 0)
        rc = learn_size(task, exchange->join, err);
    if (rc < 0)
        return rc;
    struct task_peer *peer = supernode_peer_find(task, exchange->node);
    if (peer != NULL) {
        begin_anew(task, peer);
    } else {
        peer = dt_new(struct task_peer);
        memcpy(peer->id, exchange->node, sizeof(peer->id));
        peer->handle = SUPERNODE_NONE;
        HASH_ADD_STR(task->peers, id, peer);
    }
    peer->join = exchange->join;
    exchange->join = NULL;
    memcpy(peer->name, peer->join->name, sizeof(peer->name));
    memcpy(peer->rack, peer->join->rack, sizeof(peer->rack));
    memcpy(peer->address, address, sizeof(peer->address));
    peer->session = exchange->session;
    peer->heard_ms = dt_loop_now_ms(task->loop);
    peer->want_off = exchange->want_off;
    peer->takes_inline = peer->join->takes_inline;
    count(task, peer, 1);
    if (task->swarm != NULL && !supernode_size_makes_wait(task, peer) &&
        (rc = supernode_peer_enter_swarm(task, peer, err)) < 0) {
        supernode_peer_remove(task, peer);
        return rc;
    }
    *out = peer;
    return 0;
}

/* ---- what it tells ---- */

static uint32_t handle_of(struct supernode_task *task, const char *id)
{
    if (strcmp(id, task->supernode->id) == 0)
        return task->seed_handle;
    const struct task_peer *peer = supernode_peer_find(task, id);
    return peer != NULL ? peer->handle : SUPERNODE_NONE;
}

static void hear_finished(struct supernode_task *task, struct task_peer *peer,
                          const struct wire_finished *finished)
{
    uint32_t from = handle_of(task, finished->from);
    if (!supernode_swarm_finished(task->swarm, peer->handle, finished->piece, from,
                                  finished->took_ms))
        return;
    uint64_t len = supernode_swarm_piece_len(task->swarm, finished->piece);
    struct supernode_tasks *tasks = task->supernode->tasks;
    if (from == task->seed_handle) {
        task->seed_bytes += len;
        atomic_fetch_add(&tasks->seed_bytes, len);
    } else {
        peer->n_busy = 0;
        task->peer_bytes += len;
        atomic_fetch_add(&tasks->peer_bytes, len);
    }
}

static void accuse(struct supernode_task *task, const struct task_peer *source, uint32_t piece)
{
    if (task->sum_states[piece] == TASK_SUM_TOLD)
        task->sum_states[piece] = TASK_SUM_DISPUTED; /* the sum may be the lie */
    if (task->sum_states[piece] != TASK_SUM_OURS || source == NULL)
        return;
    struct supernode_accusation accusation = {
        .digest = task->digest,
        .piece = piece,
        .off = (uint64_t)piece * task->piece_size,
        .len = supernode_swarm_piece_len(task->swarm, piece),
        .sum = task->sums[piece],
    };
    memcpy(accusation.id, source->id, sizeof(accusation.id));
    memcpy(accusation.name, source->name, sizeof(accusation.name));
    memcpy(accusation.address, source->address, sizeof(accusation.address));
    supernode_proof_start(task->supernode, &accusation);
}

static bool hear_failed(struct supernode_task *task, struct task_peer *peer,
                        const struct wire_failed *failed, uint64_t now_ms)
{
    bool is_seed_refusal =
        failed->why == WIRE_WHY_REFUSED && handle_of(task, failed->from) == task->seed_handle;
    struct supernode_failure failure = {
        .to = peer->handle,
        .piece = failed->piece,
        .from = handle_of(task, failed->from),
        /* The two lists are one (wire/exchange.h). What the seed does not have is had from it as
         * soon as it was fetched again. */
        .why = is_seed_refusal ? SUPERNODE_WHY_BUSY : (enum supernode_why)failed->why,
        .now_ms = now_ms,
    };
    if (failed->piece >= task->n_pieces || !supernode_swarm_failed(task->swarm, &failure))
        return false; /* it is not, or no longer, on the way */
    char name[13];
    dt_log_debug("transfer_failed", "blob=%s piece=%u to=%s from=%s why=%d",
                 dt_digest_short(name, &task->digest), failed->piece, peer->id, failed->from,
                 (int)failed->why);
    task->n_failed++;
    atomic_fetch_add(&task->supernode->tasks->n_failed, 1);
    if (is_seed_refusal)
        supernode_seed_doubt(task->seed);
    if (failed->why == WIRE_WHY_BAD_SUM)
        accuse(task, supernode_peer_at(task, failure.from), failed->piece);
    return supernode_trouble_heard(task, peer, &failure);
}

void supernode_peer_hear(struct supernode_task *task, struct task_peer *peer,
                         const struct wire_exchange *exchange)
{
    _Static_assert((int)WIRE_WHY_END == (int)SUPERNODE_WHY_END, "one list, said twice");
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    bool has_trouble = false;
    /* Of one that was overtaken the reports are news, the wish is not. */
    if (exchange->seq > peer->seq)
        peer->want_off = exchange->want_off;
    if (task->swarm == NULL)
        return;
    for (size_t i = 0; i < exchange->n_finished; i++)
        hear_finished(task, peer, &exchange->finished[i]);
    for (size_t i = 0; i < exchange->n_failed; i++)
        has_trouble |= hear_failed(task, peer, &exchange->failed[i], now_ms);
    for (size_t i = 0; i < exchange->n_gained; i++)
        (void)supernode_swarm_gained(task->swarm, peer->handle,
                                     exchange->gained[i]); /* false: known, or none such */
    supernode_swarm_want(task->swarm, peer->handle, peer->want_off);
    if (has_trouble)
        supernode_seed_reconsider(task->seed);
}

/* ---- time ---- */

static bool is_to_be_answered(const struct supernode_task *task, const struct task_peer *peer,
                              uint64_t now_ms)
{
    uint64_t held_ms = now_ms - peer->held_since_ms;
    uint64_t share = supernode_task_share(task);
    bool is_limit_news =
        share != 0 && (peer->told_limit == 0 || peer->told_limit > share + share / 4);
    bool is_busy =
        task->swarm != NULL && supernode_swarm_look_at(task->swarm, peer->handle).n_down > 0;
    return is_limit_news || held_ms >= (is_busy ? SUPERNODE_HOLD_BUSY_MS : SUPERNODE_HOLD_IDLE_MS);
}

static bool is_lost(const struct task_peer *peer, uint64_t now_ms)
{
    if (peer->held != NULL || peer->is_holder)
        return false;
    return (peer->broken_ms != 0 && now_ms - peer->broken_ms >= SUPERNODE_BROKEN_MS) ||
           now_ms - peer->heard_ms >= SUPERNODE_SILENT_MS;
}

void supernode_peers_upkeep(struct supernode_task *task, uint64_t now_ms)
{
    struct task_peer *peer, *next;
    bool has_trouble = false;
    HASH_ITER (hh, task->peers, peer, next) {
        has_trouble |= supernode_trouble_looked_for(task, peer, now_ms);
        if (peer->held != NULL && is_to_be_answered(task, peer, now_ms)) {
            supernode_peer_answer(task, peer);
        } else if (is_lost(peer, now_ms)) {
            dt_log_info("peer_lost", "node=%s id=%s", DT_LOG_Q(peer->name), peer->id);
            supernode_peer_remove(task, peer);
        }
    }
    if (has_trouble)
        supernode_seed_reconsider(task->seed);
}
