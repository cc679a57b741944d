/*
 * transfer/task.c - life of a task, and the clients that hold on to it.
 *
 *   attach (client's loop) --message--> home: find or make the task --event--> client's loop
 *   detach (client's loop) --message--> home: unlink --message--> client's loop: free the ticket
 *
 * Messages between two loops keep their order, so a ticket is freed on its client's loop after
 * every event that could name it. The table of tasks is per loop; nothing here is locked.
 */
#define LOG_COMPONENT "task"
#include "transfer/task_priv.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "cache/reader.h"

#define TICKET_MAGIC 0x7469636bu

static DT_DEFINE_COUNTER(metric_tasks, "darter_tasks_total", NULL, "Fills begun.");
static DT_DEFINE_COUNTER(metric_failed, "darter_tasks_failed_total", NULL, "Fills that failed.");
static DT_DEFINE_COUNTER(metric_through, "darter_stream_through_total", NULL,
                         "Fills that the cache could not take: streamed to each client instead.");
static DT_DEFINE_GAUGE(metric_running, "darter_tasks_running", NULL, "Fills running now.");

struct transfer_tasks {
    struct task **tables; /* per loop: uthash heads */
};

const char *task_state_word(enum task_state state)
{
    static const char *const WORDS[] = {
#define X(name, word) [name] = word,
        TASK_STATES(X)
#undef X
    };
    DT_ASSERT(state < TASK_STATE_END);
    return WORDS[state];
}

void transfer_tasks_new(struct transfer *transfer)
{
    dt_metric_register(&metric_tasks);
    task_streams_register_metrics();
    task_hunger_register_metrics();
    dt_metric_register(&metric_failed);
    dt_metric_register(&metric_through);
    dt_metric_register(&metric_running);
    transfer->tasks = dt_new(struct transfer_tasks);
    transfer->tasks->tables = dt_new_array(struct task *, dt_loops_count(transfer->loops));
}

void transfer_tasks_free(struct transfer *transfer)
{
    if (transfer->tasks == NULL)
        return;
    for (unsigned i = 0; i < dt_loops_count(transfer->loops); i++)
        DT_ASSERT(transfer->tasks->tables[i] == NULL); /* transfer_tasks_abort() came first */
    free(transfer->tasks->tables);
    dt_free(&transfer->tasks);
}

struct task *task_table_first(struct transfer_tasks *tasks, unsigned loop_index)
{
    return tasks->tables[loop_index];
}

/* ---- events to clients ---- */

struct event_message {
    struct task_ticket *ticket;
    struct task_event event;
};

static void deliver_event(void *arg)
{
    struct event_message *message = arg;
    struct task_ticket *ticket = message->ticket;
    DT_ASSERT(ticket->magic == TICKET_MAGIC);
    if (!ticket->is_detached)
        ticket->event(ticket->arg, &message->event);
    free(message);
}

static void tell(struct task_ticket *ticket, const struct task_event *event)
{
    if (ticket->has_event)
        return;
    ticket->has_event = true;
    struct event_message *message = dt_new(struct event_message);
    message->ticket = ticket;
    message->event = *event;
    dt_loop_post(ticket->loop, deliver_event, message);
}

static void tell_all(struct task *task, const struct task_event *event)
{
    for (struct task_ticket *t = task->tickets; t != NULL; t = t->next)
        tell(t, event);
}

/* Who gave most so far; -1 = nobody anything. */
static int main_source(const struct task *task)
{
    size_t most = SOURCE_ORIGIN;
    for (size_t i = 0; i < SOURCE_KIND_END; i++)
        if (task->kind_bytes[i] > task->kind_bytes[most])
            most = i;
    return task->kind_bytes[most] > 0 ? (int)most : -1;
}

/* What is said until there are bytes: who is asked. */
static int current_source(const struct task *task)
{
    if (main_source(task) >= 0)
        return main_source(task);
    for (size_t i = 0; i < TASK_SLOTS; i++)
        if (task->streams[i].source != NULL)
            return (int)task->streams[i].source->kind;
    return task->n_sources > 0 ? (int)task->sources[0]->kind : (int)SOURCE_ORIGIN;
}

void task_tell_readable(struct task *task)
{
    struct task_event event = {
        .news = TASK_READABLE, .size = task->size, .source = current_source(task)};
    tell_all(task, &event);
}

/* ---- the end ---- */

static void unlink_ticket(struct task_ticket *ticket)
{
    struct task *task = ticket->task;
    if (task == NULL)
        return;
    if (ticket->prev != NULL)
        ticket->prev->next = ticket->next;
    else
        task->tickets = ticket->next;
    if (ticket->next != NULL)
        ticket->next->prev = ticket->prev;
    ticket->task = NULL;
    task->n_tickets--;
}

static void free_task(void *arg)
{
    struct task *task = arg;
    DT_ASSERT(task->writer == NULL && task->n_streams + task->n_fetches == 0);
    DT_ASSERT(task->tickets == NULL && task->director == NULL);
    for (size_t i = 0; i < task->n_sources; i++)
        task->sources[i]->ops->free(&task->sources[i]);
    task->magic = 0;
    free(task);
}

/* Takes the task out of the table and frees it after the current callback. */
static void end_task(struct task *task, enum task_state how, const struct dt_err *err)
{
    DT_ASSERT(!task->is_ending);
    task->is_ending = true;
    task_streams_stop(task);
    task_director_end(task, how, err);
    dt_timer_clear(&task->tick);
    while (task->tickets != NULL)
        unlink_ticket(task->tickets);
    HASH_DELETE(hh, task->transfer->tasks->tables[dt_loop_index(task->loop)], task);
    dt_metric_add(&metric_running, -1);
    dt_loop_defer(free_task, task);
}

void task_fail(struct task *task, const struct dt_err *err)
{
    char name[13];
    task->state = TASK_FAILED;
    task->err = *err;
    dt_metric_add(&metric_failed, 1);
    dt_log_warn("task_failed", "blob=%s present=%llu size=%lld code=%s reason=%s",
                dt_digest_short(name, &task->digest),
                task->writer != NULL
                    ? (unsigned long long)cache_writer_pieces(task->writer)->filled_bytes
                    : 0ull,
                task->size == UINT64_MAX ? -1ll : (long long)task->size, dt_code_name(err->code),
                DT_LOG_Q(err->msg));
    task_streams_stop(task);
    if (task->writer != NULL)
        cache_writer_abort(&task->writer, err); /* what is committed stays, to be resumed */
    task_streams_settle(task, 0);
    tell_all(task, &(struct task_event){.news = TASK_GONE, .err = *err});
    end_task(task, TASK_FAILED, &task->err);
}

void task_stream_through(struct task *task)
{
    dt_metric_add(&metric_through, 1);
    task_streams_stop(task);
    tell_all(task, &(struct task_event){.news = TASK_STREAM_THROUGH,
                                        .size = task->size,
                                        .source = current_source(task),
                                        .err = task->err});
    end_task(task, TASK_NEW, &task->err);
}

void task_done(struct task *task)
{
    char name[13];
    task->state = TASK_DONE;
    uint64_t took_ms = dt_wall_ms() - task->started_wall_ms;
    dt_log_info("task_done",
                "blob=%s size=%llu resumed=%llu peer=%llu seed=%llu mirror=%llu origin=%llu "
                "took_ms=%llu",
                dt_digest_short(name, &task->digest), (unsigned long long)task->size,
                (unsigned long long)task->resumed_bytes,
                (unsigned long long)task->kind_bytes[SOURCE_PEER],
                (unsigned long long)task->kind_bytes[SOURCE_SEED],
                (unsigned long long)task->kind_bytes[SOURCE_MIRROR],
                (unsigned long long)task->kind_bytes[SOURCE_ORIGIN], (unsigned long long)took_ms);
    for (size_t i = 0; i < task->n_sources; i++)
        if (task->sources[i]->bytes > 0)
            dt_log_info("task_source", "blob=%s source=%s kind=%s bytes=%llu",
                        dt_digest_short(name, &task->digest), task->sources[i]->name,
                        source_kind_word(task->sources[i]->kind),
                        (unsigned long long)task->sources[i]->bytes);
    task_tell_readable(task);
    end_task(task, TASK_DONE, &(struct dt_err){0});
}

/* ---- attach ---- */

static void step_later(void *arg)
{
    struct task *task = arg;
    DT_ASSERT(task->magic == TASK_MAGIC);
    task->is_step_scheduled = false;
    if (!task->is_ending)
        task_fill_step(task);
}

void task_step_soon(struct task *task)
{
    if (task->is_step_scheduled || task->is_ending)
        return;
    task->is_step_scheduled = true;
    dt_loop_defer(step_later, task);
}

static void on_tick(void *arg)
{
    struct task *task = arg;
    DT_ASSERT(task->magic == TASK_MAGIC);
    dt_timer_set(&task->tick, TASK_TICK_MS);
    task_fill_tick(task);
}

static struct task *make_task(struct transfer *transfer, const struct task_ticket *ticket)
{
    struct task *task = dt_new(struct task);
    task->magic = TASK_MAGIC;
    task->transfer = transfer;
    task->loop = ticket->home;
    task->digest = ticket->digest;
    task->state = TASK_NEW;
    task->size = task->told_size = UINT64_MAX;
    task->size_hint = ticket->size;
    task->n_streams_wanted = 1;
    task->started_wall_ms = dt_wall_ms();
    task->progress_ms = task->rate_began_ms = dt_loop_now_ms(task->loop);
    dt_timer_init(&task->tick, task->loop, on_tick, task);
    dt_timer_set(&task->tick, TASK_TICK_MS);
    struct task **table = &transfer->tasks->tables[dt_loop_index(task->loop)];
    HASH_ADD(hh, *table, digest, sizeof(task->digest), task);
    dt_metric_add(&metric_tasks, 1);
    dt_metric_add(&metric_running, 1);
    return task;
}

static void link_ticket(struct task *task, struct task_ticket *ticket)
{
    ticket->task = task;
    ticket->next = task->tickets;
    if (task->tickets != NULL)
        task->tickets->prev = ticket;
    task->tickets = ticket;
    task->n_tickets++;
    atomic_store(&ticket->source, main_source(task));
    task_hunger_begin(task, ticket);
}

void task_tell_source(struct task *task, enum source_kind kind)
{
    for (struct task_ticket *t = task->tickets; t != NULL; t = t->next) {
        int none = -1;
        (void)atomic_compare_exchange_strong(&t->source, &none, (int)kind);
    }
}

int transfer_task_source(struct task_ticket *ticket)
{
    return ticket != NULL ? atomic_load(&ticket->source) : -1;
}

/* The blob was sealed between the client's look-up and this message. */
static bool is_sealed_now(struct transfer *transfer, const struct task_ticket *ticket)
{
    struct cache_entry entry;
    struct dt_err ignored;
    return cache_stat(&entry, transfer->cache, &ticket->digest, &ignored) == 0 &&
           entry.state == CACHE_SEALED;
}

static void on_attach(void *arg)
{
    struct task_ticket *ticket = arg;
    struct transfer *transfer = ticket->transfer;
    struct task *task = NULL;
    DT_ASSERT(ticket->magic == TICKET_MAGIC);
    HASH_FIND(hh, transfer->tasks->tables[dt_loop_index(ticket->home)], &ticket->digest,
              sizeof(ticket->digest), task);
    if (task == NULL && is_sealed_now(transfer, ticket)) {
        tell(ticket, &(struct task_event){.news = TASK_READABLE, .source = SOURCE_DISK});
        return;
    }
    bool is_new = task == NULL;
    if (is_new)
        task = make_task(transfer, ticket);
    link_ticket(task, ticket);
    bool has_new_way = task_sources_add(task, ticket);
    if (!is_new)
        task_director_wish(task, ticket);
    if (is_new)
        task_fill_begin(task, ticket);
    else if (task->writer != NULL)
        /* While verifying, the answer waits: soon it is sealed, or begins again. */
        tell(ticket, &(struct task_event){.news = TASK_READABLE,
                                          .size = task->size,
                                          .source = current_source(task)});
    if (has_new_way || !is_new)
        task_step_soon(task);
}

struct task_ticket *transfer_task_attach(struct transfer *transfer, const struct dt_digest *digest,
                                         const struct task_wish *wish, task_event_f event,
                                         void *arg)
{
    struct task_ticket *ticket = dt_new(struct task_ticket);
    ticket->magic = TICKET_MAGIC;
    ticket->transfer = transfer;
    ticket->loop = dt_loop_current();
    ticket->event = event;
    ticket->arg = arg;
    ticket->home = dt_loops_home(transfer->loops, dt_digest_hash(digest));
    ticket->digest = *digest;
    ticket->upstream = wish->upstream;
    ticket->repository = dt_strdup(wish->repository);
    ticket->authorization = dt_strdup(wish->authorization);
    ticket->size = wish->size;
    ticket->off = wish->off;
    atomic_init(&ticket->source, -1);
    dt_loop_post(ticket->home, on_attach, ticket);
    return ticket;
}

/* ---- detach ---- */

static void free_ticket(void *arg)
{
    struct task_ticket *ticket = arg;
    DT_ASSERT(ticket->magic == TICKET_MAGIC && ticket->task == NULL);
    ticket->magic = 0;
    dt_free_secret(&ticket->authorization);
    free(ticket->repository);
    free(ticket);
}

static void on_detach(void *arg)
{
    struct task_ticket *ticket = arg;
    unlink_ticket(ticket); /* the fill goes on: the cache still wants it */
    dt_loop_post(ticket->loop, free_ticket, ticket);
}

void transfer_task_detach(struct task_ticket **ticket_ptr)
{
    struct task_ticket *ticket = *ticket_ptr;
    *ticket_ptr = NULL;
    if (ticket == NULL)
        return;
    DT_ASSERT(ticket->magic == TICKET_MAGIC && !ticket->is_detached);
    dt_loop_assert_mine(ticket->loop);
    ticket->is_detached = true;
    dt_loop_post(ticket->home, on_detach, ticket);
}

/* ---- shutdown ---- */

struct abort_round {
    struct transfer *transfer;
    unsigned loop;
    bool is_over; /* no task is left there */
};

static void abort_one_loop(void *arg)
{
    struct abort_round *round = arg;
    struct task *task, *next;
    struct dt_err err = {0};
    dt_err_set(&err, DT_ECANCELLED, "shutting down");
    HASH_ITER (hh, round->transfer->tasks->tables[round->loop], task, next)
        if (task->state != TASK_VERIFYING) /* its result is on the way */
            task_fail(task, &err);
    round->is_over = round->transfer->tasks->tables[round->loop] == NULL;
}

void transfer_tasks_abort(struct transfer *transfer)
{
    struct abort_round round = {.transfer = transfer};
    if (transfer->tasks == NULL)
        return;
    for (; round.loop < dt_loops_count(transfer->loops); round.loop += round.is_over)
        dt_loop_call(dt_loops_at(transfer->loops, round.loop), abort_one_loop, &round);
}
