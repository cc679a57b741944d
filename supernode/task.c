/*
 * supernode/task.c - life of the supernode's tasks: made, opened, gone, forgotten. See task.h.
 *
 * One table per loop, touched on its thread alone. The counters are the only thing other threads
 * read.
 */
#define LOG_COMPONENT "task"
#include "supernode/task.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/pieces.h"
#include "supernode/node.h"
#include "supernode/node_priv.h"
#include "supernode/seed.h"
#include "supernode/sums.h"
#include "supernode/task_priv.h"

const char *supernode_task_state_word(enum supernode_task_state state)
{
    static const char *const WORDS[] = {
#define X(name, word) [name] = word,
        SUPERNODE_TASK_STATES(X)
#undef X
    };
    DT_ASSERT(state < SUPERNODE_TASK_STATE_END);
    return WORDS[state];
}

/* ---- the tables ---- */

void supernode_tasks_new(struct supernode *supernode)
{
    supernode->tasks = dt_new(struct supernode_tasks);
    supernode->tasks->tables =
        dt_new_array(struct task_table, dt_loops_count(supernode->transfer.loops));
    (void)pthread_mutex_init(&supernode->tasks->lock, NULL); /* cannot fail with no attributes */
    (void)pthread_cond_init(&supernode->tasks->jobs_ended, NULL);
}

static void free_table(struct task_table *table)
{
    struct task_banned *banned, *next_banned;
    struct task_struck *struck, *next_struck;
    DT_ASSERT(table->tasks == NULL); /* supernode_tasks_stop_loop() came first */
    HASH_ITER (hh, table->banned, banned, next_banned) {
        HASH_DELETE(hh, table->banned, banned);
        free(banned);
    }
    HASH_ITER (hh, table->struck, struck, next_struck) {
        HASH_DELETE(hh, table->struck, struck);
        free(struck);
    }
    supernode_sums_free(&table->sums);
}

void supernode_tasks_free(struct supernode *supernode)
{
    if (supernode->tasks == NULL)
        return;
    for (unsigned i = 0; i < dt_loops_count(supernode->transfer.loops); i++)
        free_table(&supernode->tasks->tables[i]);
    free(supernode->tasks->tables);
    (void)pthread_mutex_destroy(&supernode->tasks->lock);
    (void)pthread_cond_destroy(&supernode->tasks->jobs_ended);
    dt_free(&supernode->tasks);
}

void supernode_tasks_job_begins(struct supernode *supernode)
{
    pthread_mutex_lock(&supernode->tasks->lock);
    supernode->tasks->n_jobs++;
    pthread_mutex_unlock(&supernode->tasks->lock);
}

void supernode_tasks_job_ended(struct supernode *supernode)
{
    pthread_mutex_lock(&supernode->tasks->lock);
    if (--supernode->tasks->n_jobs == 0)
        pthread_cond_signal(&supernode->tasks->jobs_ended);
    pthread_mutex_unlock(&supernode->tasks->lock);
}

void supernode_tasks_wait_for_jobs(struct supernode *supernode)
{
    pthread_mutex_lock(&supernode->tasks->lock);
    while (supernode->tasks->n_jobs > 0)
        pthread_cond_wait(&supernode->tasks->jobs_ended, &supernode->tasks->lock);
    pthread_mutex_unlock(&supernode->tasks->lock);
}

struct task_table *supernode_table(struct supernode *supernode)
{
    struct dt_loop *loop = dt_loop_current();
    DT_ASSERT(loop != NULL);
    return &supernode->tasks->tables[dt_loop_index(loop)];
}

struct supernode_task *supernode_task_find(struct supernode *supernode,
                                           const struct dt_digest *digest)
{
    struct supernode_task *task = NULL;
    HASH_FIND(hh, supernode_table(supernode)->tasks, digest, sizeof(*digest), task);
    return task;
}

/* ---- the end ---- */

static void free_task(void *arg)
{
    struct supernode_task *task = arg;
    DT_ASSERT(task->peers == NULL && task->seed == NULL);
    supernode_swarm_free(&task->swarm);
    task->magic = 0;
    free(task->sums);
    free(task->sum_states);
    free(task->troubled);
    free(task->by_slot);
    free(task);
}

/* Both: how many of the pieces that large blobs share. */
static uint64_t shared_pieces(uint64_t n_pieces)
{
    return n_pieces > SUPERNODE_SMALL_PIECES ? n_pieces : 0;
}

static void give_back_pieces(struct supernode_task *task)
{
    if (task->swarm != NULL)
        atomic_fetch_sub(&task->supernode->tasks->n_pieces, shared_pieces(task->n_pieces));
}

static int take_pieces(struct supernode_task *task, uint64_t n_pieces, struct dt_err *err)
{
    _Atomic uint64_t *n_all = &task->supernode->tasks->n_pieces;
    uint64_t n = shared_pieces(n_pieces);
    if (atomic_fetch_add(n_all, n) + n <= SUPERNODE_ALL_PIECES_MAX || n == 0)
        return 0;
    atomic_fetch_sub(n_all, n);
    return dt_err_set(err, DT_EBUSY, "too many large blobs at once");
}

/* Takes it out of the table; freed after the current callback. */
static void end_task(struct supernode_task *task)
{
    struct task_peer *peer, *next;
    task->is_ending = true;
    supernode_exchanges_refuse(task);
    HASH_ITER (hh, task->peers, peer, next)
        supernode_peer_remove(task, peer);
    supernode_seed_leave(&task->seed);
    dt_timer_clear(&task->tick);
    dt_timer_clear(&task->upkeep);
    give_back_pieces(task);
    HASH_DELETE(hh, supernode_table(task->supernode)->tasks, task);
    atomic_fetch_sub(&task->supernode->tasks->n_tasks, 1);
    dt_loop_defer(free_task, task);
}

static bool has_all_sums(const struct supernode_task *task)
{
    for (uint32_t piece = 0; piece < task->n_pieces; piece++)
        if (task->sum_states[piece] != TASK_SUM_OURS)
            return false;
    return task->n_pieces > 0;
}

static void forget(struct supernode_task *task)
{
    char name[13];
    if (has_all_sums(task) && supernode_seed_is_whole(task->seed))
        supernode_sums_keep(&supernode_table(task->supernode)->sums, &task->digest,
                            task->piece_size, task->sums, task->n_pieces);
    dt_log_info(
        "task_forgotten",
        "blob=%s size=%" PRId64 " seed_bytes=%" PRIu64 " peer_bytes=%" PRIu64 " failed=%" PRIu64,
        dt_digest_short(name, &task->digest), task->size == UINT64_MAX ? -1 : (int64_t)task->size,
        task->seed_bytes, task->peer_bytes, task->n_failed);
    end_task(task);
}

void supernode_tasks_stop_loop(void *arg)
{
    struct supernode *supernode = arg;
    struct supernode_task *task, *next;
    HASH_ITER (hh, supernode_table(supernode)->tasks, task, next)
        end_task(task);
}

/* ---- upkeep ---- */

static void measure(struct supernode_task *task, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - task->rate_began_ms;
    if (passed_ms < TASK_RATE_WINDOW_MS)
        return;
    uint64_t bytes = task->seed_bytes + task->peer_bytes;
    task->rate_bytes_s = (bytes - task->rate_bytes) * 1000 / passed_ms;
    task->rate_bytes = bytes;
    task->rate_began_ms = now_ms;
}

static void on_upkeep(void *arg)
{
    struct supernode_task *task = arg;
    DT_ASSERT(task->magic == SUPERNODE_TASK_MAGIC);
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    dt_timer_set(&task->upkeep, SUPERNODE_UPKEEP_MS);
    measure(task, now_ms);
    supernode_peers_upkeep(task, now_ms);
    if (task->n_present > 0 || task->is_asking_holders)
        task->empty_since_ms = now_ms;
    else if (now_ms - task->empty_since_ms >= SUPERNODE_TASK_FORGET_MS ||
             task->state == SUPERNODE_TASK_GONE)
        forget(task); /* one that went wrong at once: what is wrong about it may be what we know */
}

/* ---- turns of the planner: one per turn of the loop, and ticks while time changes the plan ----
 */

static bool is_time_in_play(const struct supernode_task *task)
{
    if (task->swarm == NULL)
        return false;
    struct supernode_swarm_view view = supernode_swarm_look(task->swarm);
    return view.n_flights > 0 || view.is_resting;
}

static void take_turn(struct supernode_task *task)
{
    supernode_task_turn(task);
    if (is_time_in_play(task))
        dt_timer_set(&task->tick, SUPERNODE_TICK_MS);
    else
        dt_timer_clear(&task->tick);
}

static void on_tick(void *arg)
{
    struct supernode_task *task = arg;
    DT_ASSERT(task->magic == SUPERNODE_TASK_MAGIC);
    take_turn(task);
}

static void plan_now(void *arg)
{
    struct supernode_task *task = arg;
    DT_ASSERT(task->magic == SUPERNODE_TASK_MAGIC);
    task->is_plan_due = false;
    if (!task->is_ending)
        take_turn(task);
}

void supernode_task_plan_soon(struct supernode_task *task)
{
    if (task->is_plan_due || task->is_ending)
        return;
    task->is_plan_due = true;
    dt_loop_defer(plan_now, task); /* before free_task(), should it end in this turn */
}

/* ---- the beginning ---- */

struct supernode_task *supernode_task_make(struct supernode *supernode,
                                           const struct dt_digest *digest)
{
    struct task_table *table = supernode_table(supernode);
    char name[13];
    if (HASH_COUNT(table->tasks) >= SUPERNODE_TASKS_MAX)
        return NULL;
    struct supernode_task *task = dt_new(struct supernode_task);
    task->magic = SUPERNODE_TASK_MAGIC;
    task->supernode = supernode;
    task->loop = dt_loop_current();
    task->digest = *digest;
    task->state = SUPERNODE_TASK_WAITING;
    task->size = UINT64_MAX;
    task->seed_handle = SUPERNODE_NONE;
    task->limit = UINT64_MAX;
    task->started_wall_ms = dt_wall_ms();
    task->empty_since_ms = task->rate_began_ms = dt_loop_now_ms(task->loop);
    task->seed = supernode_seed_new(task);
    dt_timer_init(&task->tick, task->loop, on_tick, task);
    dt_timer_init(&task->upkeep, task->loop, on_upkeep, task);
    dt_timer_set(&task->upkeep, SUPERNODE_UPKEEP_MS);
    HASH_ADD(hh, table->tasks, digest, sizeof(task->digest), task);
    atomic_fetch_add(&supernode->tasks->n_tasks, 1);
    dt_log_debug("task_made", "blob=%s", dt_digest_short(name, digest));
    task->is_asking_holders = true;
    supernode_nodes_ask_holders(supernode, digest);
    return task;
}

/* ---- the size is known ---- */

uint32_t supernode_hash_name(const char *name)
{
    uint32_t hash = (uint32_t)dt_hash_bytes(name, strlen(name));
    return name[0] == '\0' ? 0 : hash != 0 ? hash : 1;
}

static void join_seed(struct supernode_task *task)
{
    struct supernode_peer seed = {
        .site = supernode_hash_name(task->supernode->site),
        .up_slots = SUPERNODE_SEED_SLOTS,
        .down_slots = 1,
        .is_seed = true,
    };
    int rc = supernode_swarm_join(&task->seed_handle, task->swarm, &seed, NULL);
    DT_ASSERT(rc == 0); /* the first one of a new swarm */
}

void supernode_task_let_in(struct supernode_task *task)
{
    struct task_peer *peer, *next;
    struct dt_err err = {0};
    HASH_ITER (hh, task->peers, peer, next) {
        if (peer->handle != SUPERNODE_NONE || supernode_size_makes_wait(task, peer) ||
            supernode_peer_enter_swarm(task, peer, &err) == 0)
            continue;
        struct supernode_request *held = supernode_exchange_unhold(task, peer);
        if (held != NULL)
            supernode_answer_state(held, WIRE_GONE, &err);
        supernode_peer_remove(task, peer);
    }
    supernode_task_plan_soon(task);
}

int supernode_task_open(struct supernode_task *task, uint64_t size, struct dt_err *err)
{
    if (task->swarm != NULL && task->size == size)
        return 0;
    if (task->swarm != NULL)
        return dt_err_set(err, DT_ECONFLICT, "the blob has %" PRIu64 " bytes, not %" PRIu64,
                          task->size, size);
    struct supernode_swarm_options options = {
        .size = size,
        .piece_size = cache_pieces_choose_size(size),
        .site = supernode_hash_name(task->supernode->site),
    };
    dt_random_bytes(&options.key, sizeof(options.key));
    uint64_t n_pieces = (size + options.piece_size - 1) / options.piece_size;
    int rc = take_pieces(task, n_pieces, err);
    if (rc < 0)
        return rc;
    if ((rc = supernode_swarm_new(&task->swarm, &options, err)) < 0) {
        atomic_fetch_sub(&task->supernode->tasks->n_pieces, shared_pieces(n_pieces));
        return rc;
    }
    task->size = size;
    task->piece_size = options.piece_size;
    task->n_pieces = (uint32_t)n_pieces;
    task->sums = dt_new_array(struct wire_sum, task->n_pieces);
    task->sum_states = dt_new_array(uint8_t, task->n_pieces);
    task->troubled = dt_new_array(uint64_t, supernode_bits_words(task->n_pieces));
    if (supernode_sums_recall(task->sums, task->n_pieces, supernode_table(task->supernode)->sums,
                              &task->digest, task->piece_size))
        memset(task->sum_states, TASK_SUM_OURS, task->n_pieces);
    task->are_sums_sure = task->n_pieces > 0 && task->sum_states[0] == TASK_SUM_OURS;
    task->state = SUPERNODE_TASK_OPEN;
    join_seed(task);
    supernode_task_let_in(task);
    supernode_seed_opened(task->seed);
    return 0;
}

/* ---- the size was wrong ---- */

static void close_swarm(struct supernode_task *task)
{
    give_back_pieces(task);
    supernode_swarm_free(&task->swarm);
    dt_free(&task->sums);
    dt_free(&task->sum_states);
    dt_free(&task->troubled);
    dt_free(&task->by_slot);
    task->n_by_slot = task->n_pieces = task->piece_size = 0;
    task->seed_handle = SUPERNODE_NONE;
    task->size = UINT64_MAX;
}

/* Who waits outside is not in the way of the right size. */
void supernode_task_anew(struct supernode_task *task)
{
    struct task_peer *peer, *next;
    char name[13];
    dt_log_warn("size_was_wrong", "blob=%s told=%" PRIu64 " peers=%u",
                dt_digest_short(name, &task->digest), task->size, task->n_present);
    task->distrusts_nodes = true;
    HASH_ITER (hh, task->peers, peer, next)
        if (peer->handle != SUPERNODE_NONE)
            supernode_peer_remove(task, peer);
    supernode_seed_anew(task->seed);
    close_swarm(task);
    task->size_word = TASK_SIZE_UNKNOWN;
    task->state = SUPERNODE_TASK_WAITING;
}

bool supernode_task_needs_registry(const struct supernode_task *task)
{
    if (task->swarm == NULL || task->size_word == TASK_SIZE_DOUBTED)
        return true;
    for (uint32_t piece = 0; piece < task->n_pieces; piece++)
        if (!supernode_swarm_has(task->swarm, task->seed_handle, piece) &&
            (supernode_swarm_copies(task->swarm, piece) == 0 ||
             supernode_row_test(task->troubled, piece)))
            return true;
    return false;
}

/* ---- no way ---- */

static bool has_all(const struct supernode_task *task, const struct task_peer *peer)
{
    return task->swarm != NULL && supernode_swarm_look_at(task->swarm, peer->handle).is_complete;
}

void supernode_task_gone(struct supernode_task *task, const struct dt_err *err)
{
    struct task_peer *peer, *next;
    char name[13];
    /* That there is no room was said once, by the cache. */
    enum dt_log_level level = err->code == DT_ENOSPACE ? DT_LOG_INFO : DT_LOG_WARN;
    dt_log_line(level, LOG_COMPONENT, "task_gone", "blob=%s peers=%u code=%s reason=%s",
                dt_digest_short(name, &task->digest), task->n_present, dt_code_name(err->code),
                DT_LOG_Q(err->msg));
    task->state = SUPERNODE_TASK_GONE;
    task->err = *err;
    HASH_ITER (hh, task->peers, peer, next) {
        if (peer->is_holder || has_all(task, peer))
            continue;
        peer->is_gone_due = true;
        if (peer->held != NULL)
            supernode_peer_answer(task, peer); /* and is removed */
    }
}

/* ---- counts ---- */

void supernode_tasks_count(struct supernode_task_counts *out, struct supernode *supernode)
{
    struct supernode_tasks *tasks = supernode->tasks;
    *out = (struct supernode_task_counts){
        .n_tasks = atomic_load(&tasks->n_tasks),
        .n_peers = atomic_load(&tasks->n_peers),
        .n_held = atomic_load(&tasks->n_held),
        .n_exchanges = atomic_load(&tasks->n_exchanges),
        .n_joins = atomic_load(&tasks->n_joins),
        .n_refused = atomic_load(&tasks->n_refused),
        .seed_bytes = atomic_load(&tasks->seed_bytes),
        .peer_bytes = atomic_load(&tasks->peer_bytes),
        .n_failed = atomic_load(&tasks->n_failed),
    };
}
