/*
 * supernode/task_view.c - tasks as people see them, and the one thing an operator sets.
 *
 * The list: one message visits loop after loop and copies; at most SUPERNODE_VIEWS_MAX are shown.
 * One task: a message to its home, everything copied there, shown on the loop that asked.
 */
#include <string.h>

#include "base/mem.h"
#include "supernode/seed.h"
#include "supernode/task_priv.h"

static void copy_task(struct supernode_task_view *view, const struct supernode_task *task)
{
    struct supernode_swarm_view swarm = {0};
    if (task->swarm != NULL)
        swarm = supernode_swarm_look(task->swarm);
    *view = (struct supernode_task_view){
        .digest = task->digest,
        .state = task->state,
        .err = task->err,
        .size = task->size,
        .piece_size = task->piece_size,
        .n_pieces = task->n_pieces,
        .is_filling = supernode_seed_is_filling(task->seed),
        .n_peers = task->n_present,
        .n_complete = swarm.n_complete > task->n_holders ? swarm.n_complete - task->n_holders : 0,
        .n_holders = task->n_holders,
        .n_flights = swarm.n_flights,
        .n_assigned = swarm.n_assigned,
        .n_hedged = swarm.n_hedged,
        .n_finished = swarm.n_finished,
        .n_failed = task->n_failed,
        .seed_bytes = task->seed_bytes,
        .peer_bytes = task->peer_bytes,
        .rate_bytes_s = task->rate_bytes_s,
        .limit_bytes_s = supernode_task_limit(task),
        .has_own_limit = task->limit != UINT64_MAX,
        .started_ms = task->started_wall_ms,
    };
    if (task->swarm != NULL)
        view->n_seeded = supernode_swarm_look_at(task->swarm, task->seed_handle).n_have;
    for (const struct task_peer *peer = task->peers; peer != NULL; peer = peer->hh.next)
        view->n_held += peer->held != NULL;
}

/* ---- all tasks ---- */

struct view_round {
    struct supernode *supernode;
    struct dt_loop *asker;
    unsigned next_loop;
    struct supernode_task_view *views; /* owned */
    size_t n, capacity;
    supernode_task_views_f done;
    void *arg;
};

static void hand_over(void *arg)
{
    struct view_round *round = arg;
    round->done(round->arg, round->views, round->n);
    free(round->views);
    free(round);
}

static void add_view(struct view_round *round, const struct supernode_task *task)
{
    if (round->n == SUPERNODE_VIEWS_MAX)
        return;
    if (round->n == round->capacity) {
        round->capacity = round->capacity > 0 ? 2 * round->capacity : 16;
        round->views = dt_realloc(round->views, round->capacity * sizeof(*round->views));
    }
    copy_task(&round->views[round->n++], task);
}

static void visit_loop(void *arg)
{
    struct view_round *round = arg;
    struct supernode_task *task, *next;
    struct dt_loops *loops = round->supernode->transfer.loops;
    HASH_ITER (hh, supernode_table(round->supernode)->tasks, task, next)
        add_view(round, task);
    round->next_loop++;
    if (round->next_loop < dt_loops_count(loops))
        dt_loop_post(dt_loops_at(loops, round->next_loop), visit_loop, round);
    else
        dt_loop_post(round->asker, hand_over, round);
}

void supernode_tasks_view(struct supernode *supernode, supernode_task_views_f done, void *arg)
{
    struct view_round *round = dt_new(struct view_round);
    *round = (struct view_round){
        .supernode = supernode, .asker = dt_loop_current(), .done = done, .arg = arg};
    dt_loop_post(dt_loops_at(supernode->transfer.loops, 0), visit_loop, round);
}

/* ---- one task ---- */

struct look {
    struct supernode *supernode;
    struct dt_loop *asker;
    struct dt_digest digest;
    bool is_found;
    struct supernode_task_detail detail;
    struct supernode_peer_row *rows; /* owned */
    uint32_t *copies;                /* owned */
    char *maps;                      /* owned; a row of n_pieces + 1 characters per peer */
    supernode_task_detail_f done;
    void *arg;
};

static void show(void *arg)
{
    struct look *look = arg;
    look->done(look->arg, look->is_found ? &look->detail : NULL);
    free(look->rows);
    free(look->copies);
    free(look->maps);
    free(look);
}

static void copy_place(struct supernode_peer_row *row, const struct supernode_task *task,
                       uint32_t handle, char *map)
{
    if (task->swarm == NULL)
        return;
    struct supernode_peer_view view = supernode_swarm_look_at(task->swarm, handle);
    row->is_complete = view.is_complete;
    row->is_slow = view.is_slow;
    row->is_quarantined = view.is_quarantined;
    row->n_have = view.n_have;
    row->n_up = view.n_up;
    row->n_down = view.n_down;
    row->up_bytes_s = (uint64_t)(view.up_bytes_per_ms * 1000);
    row->down_bytes_s = (uint64_t)(view.down_bytes_per_ms * 1000);
    for (uint32_t piece = 0; map != NULL && piece < task->n_pieces; piece++)
        map[piece] = supernode_swarm_has(task->swarm, handle, piece) ? '1' : '0';
    row->have = map;
}

static void copy_seed(struct supernode_peer_row *row, const struct supernode_task *task, char *map)
{
    const struct supernode *supernode = task->supernode;
    memcpy(row->id, supernode->id, sizeof(row->id));
    memcpy(row->name, supernode->name, sizeof(row->name));
    row->is_seed = true;
    row->want_off = UINT64_MAX;
    copy_place(row, task, task->seed_handle, map);
}

static void copy_peer(struct supernode_peer_row *row, const struct supernode_task *task,
                      const struct task_peer *peer, char *map)
{
    memcpy(row->id, peer->id, sizeof(row->id));
    memcpy(row->name, peer->name, sizeof(row->name));
    memcpy(row->rack, peer->rack, sizeof(row->rack));
    memcpy(row->address, peer->address, sizeof(row->address));
    row->is_holder = peer->is_holder;
    row->is_listening = peer->held != NULL;
    row->want_off = peer->want_off;
    if (!row->is_listening && !peer->is_holder)
        row->silent_ms = dt_loop_now_ms(task->loop) - peer->heard_ms;
    copy_place(row, task, peer->handle, map);
}

static char *map_at(const struct look *look, size_t row, uint32_t n_pieces)
{
    return look->maps != NULL ? look->maps + row * ((size_t)n_pieces + 1) : NULL;
}

static void copy_detail(struct look *look, const struct supernode_task *task)
{
    size_t n_rows = (size_t)HASH_COUNT(task->peers) + 1, row = 0;
    copy_task(&look->detail.task, task);
    look->rows = dt_new_array(struct supernode_peer_row, n_rows);
    if (task->n_pieces > 0 && n_rows * task->n_pieces <= SUPERNODE_VIEW_CELLS_MAX)
        look->maps = dt_calloc(n_rows, (size_t)task->n_pieces + 1);
    copy_seed(&look->rows[row], task, map_at(look, row, task->n_pieces));
    row++;
    for (const struct task_peer *peer = task->peers; peer != NULL; peer = peer->hh.next) {
        copy_peer(&look->rows[row], task, peer, map_at(look, row, task->n_pieces));
        row++;
    }
    look->copies = dt_new_array(uint32_t, (size_t)task->n_pieces + 1);
    for (uint32_t piece = 0; piece < task->n_pieces; piece++)
        look->copies[piece] = supernode_swarm_copies(task->swarm, piece);
    look->detail.peers = look->rows;
    look->detail.n_peers = n_rows;
    look->detail.copies = look->copies;
    look->is_found = true;
}

static void look_there(void *arg)
{
    struct look *look = arg;
    const struct supernode_task *task = supernode_task_find(look->supernode, &look->digest);
    if (task != NULL)
        copy_detail(look, task);
    dt_loop_post(look->asker, show, look);
}

void supernode_task_look(struct supernode *supernode, const struct dt_digest *digest,
                         supernode_task_detail_f done, void *arg)
{
    struct look *look = dt_new(struct look);
    look->supernode = supernode;
    look->asker = dt_loop_current();
    look->digest = *digest;
    look->done = done;
    look->arg = arg;
    dt_loop_post(dt_loops_home(supernode->transfer.loops, dt_digest_hash(digest)), look_there,
                 look);
}

/* ---- its limit ---- */

struct limit_call {
    struct supernode *supernode;
    struct dt_loop *asker;
    struct dt_digest digest;
    uint64_t bytes_s;
    struct dt_err err;
    supernode_done_f done;
    void *arg;
};

static void call_back(void *arg)
{
    struct limit_call *call = arg;
    call->done(call->arg, &call->err);
    free(call);
}

static void set_there(void *arg)
{
    struct limit_call *call = arg;
    struct supernode_task *task = supernode_task_find(call->supernode, &call->digest);
    if (task != NULL)
        task->limit = call->bytes_s; /* leased with the next replies; upkeep hurries a cut */
    else
        (void)dt_err_set(&call->err, DT_ENOTFOUND, "no node is fetching this blob now");
    dt_loop_post(call->asker, call_back, call);
}

void supernode_task_set_limit(struct supernode *supernode, const struct dt_digest *digest,
                              uint64_t bytes_s, supernode_done_f done, void *arg)
{
    struct limit_call *call = dt_new(struct limit_call);
    *call = (struct limit_call){.supernode = supernode,
                                .asker = dt_loop_current(),
                                .digest = *digest,
                                .bytes_s = bytes_s,
                                .done = done,
                                .arg = arg};
    dt_loop_post(dt_loops_home(supernode->transfer.loops, dt_digest_hash(digest)), set_there, call);
}
