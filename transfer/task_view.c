/*
 * transfer/task_view.c - a snapshot of all tasks, for people.
 *
 * One message visits loop after loop and copies what it sees there; the last stop is the loop that
 * asked. At most TASK_VIEWS_MAX tasks are shown.
 */
#include "transfer/task_priv.h"

#include <string.h>

#include "base/mem.h"

#define TASK_VIEWS_MAX 4096

struct view_round {
    struct transfer *transfer;
    struct dt_loop *asker;
    unsigned next_loop;
    struct task_view *views; /* owned */
    size_t n, capacity;
    task_views_f done;
    void *arg;
};

static void copy_sources(struct task_view *view, const struct task *task)
{
    for (size_t i = 0; i < task->n_sources && view->n_sources < TASK_SOURCES_SHOWN; i++) {
        const struct source *source = task->sources[i];
        view->sources[view->n_sources].kind = (int)source->kind;
        view->sources[view->n_sources].bytes = source->bytes;
        view->sources[view->n_sources].is_excluded = source->is_excluded;
        memcpy(view->sources[view->n_sources].name, source->name, sizeof(source->name));
        view->n_sources++;
    }
}

static void add_view(struct view_round *round, const struct task *task)
{
    if (round->n == TASK_VIEWS_MAX)
        return;
    if (round->n == round->capacity) {
        round->capacity = round->capacity > 0 ? 2 * round->capacity : 16;
        round->views = dt_realloc(round->views, round->capacity * sizeof(*round->views));
    }
    struct task_view *view = &round->views[round->n++];
    *view = (struct task_view){
        .digest = task->digest,
        .state = task->state,
        .size = task->size,
        .present_bytes = task->writer != NULL ? cache_writer_pieces(task->writer)->filled_bytes
                         : task->state == TASK_VERIFYING ? task->size
                                                         : 0,
        .started_ms = task->started_wall_ms,
        .rate_bytes_s = task->rate_bytes_s,
        .n_clients = task->n_tickets,
        .n_streams = task->n_streams + task->n_fetches,
    };
    memcpy(view->kind_bytes, task->kind_bytes, sizeof(view->kind_bytes));
    view->kind_bytes[SOURCE_DISK] = task->resumed_bytes;
    copy_sources(view, task);
}

static void hand_over(void *arg)
{
    struct view_round *round = arg;
    round->done(round->arg, round->views, round->n);
    free(round->views);
    free(round);
}

static void visit_loop(void *arg)
{
    struct view_round *round = arg;
    struct task *task, *next;
    HASH_ITER (hh, task_table_first(round->transfer->tasks, round->next_loop), task, next)
        add_view(round, task);
    round->next_loop++;
    if (round->next_loop < dt_loops_count(round->transfer->loops))
        dt_loop_post(dt_loops_at(round->transfer->loops, round->next_loop), visit_loop, round);
    else
        dt_loop_post(round->asker, hand_over, round);
}

void transfer_tasks_view(struct transfer *transfer, task_views_f done, void *arg)
{
    struct view_round *round = dt_new(struct view_round);
    *round = (struct view_round){
        .transfer = transfer, .asker = dt_loop_current(), .done = done, .arg = arg};
    dt_loop_post(dt_loops_at(transfer->loops, 0), visit_loop, round);
}
