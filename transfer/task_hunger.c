/*
 * transfer/task_hunger.c - clients for whom the swarm is too slow: who waits, for which byte, and
 * for how long.
 *
 *   attached: waits for its first byte -> fed: waits for the next one     (both: hungry, when long)
 *
 * A director keeps registries closed for as long as it likes, and a swarm may be alive and still
 * bring nothing in the time a client waits: a small share of a limit under large pieces, nodes with
 * slow links. A pull never fails because of P2P, so the piece that such a client waits for is asked
 * of a registry as well, and nothing but this piece: for the rest, origin is asked once per site.
 * The swarm goes on meanwhile, and whichever brings the piece first has brought it.
 */
#define LOG_COMPONENT "task"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "transfer/task_priv.h"

/* Of head-deadline: a third is the swarm's, the rest is for a registry that has to be reached. A
 * client that has its head waits longer for what follows: 90 s and more (all of them), and only
 * where nothing came for minutes some give up. */
#define HUNGER_HEAD_PARTS 3u
#define HUNGER_BODY_TIMES 3u

static DT_DEFINE_COUNTER(metric_slow, "darter_swarm_slow_total", NULL,
                         "Pieces asked of registries because the swarm was too slow for a client.");

void task_hunger_register_metrics(void)
{
    dt_metric_register(&metric_slow);
}

/* The first byte from `off` on that is not here; UINT64_MAX = all are. */
static uint64_t front_of(const struct task *task, uint64_t off)
{
    uint64_t start = off, end;
    if (task->writer == NULL)
        return off;
    return cache_pieces_next_gap(cache_writer_pieces(task->writer), off, &start, &end) ? start
                                                                                       : UINT64_MAX;
}

void task_hunger_begin(const struct task *task, struct task_ticket *ticket)
{
    ticket->front = ticket->off;
    ticket->waits_since_ms = dt_loop_now_ms(task->loop);
}

static bool is_hungry(const struct task *task, struct task_ticket *ticket)
{
    uint64_t now_ms = dt_loop_now_ms(task->loop), front = front_of(task, ticket->off);
    uint64_t deadline_ms = task->transfer->options->head_deadline_ms;
    if (front != ticket->front) {
        ticket->front = front;
        ticket->waits_since_ms = now_ms;
    }
    uint64_t patience_ms =
        front == ticket->off ? deadline_ms / HUNGER_HEAD_PARTS : deadline_ms * HUNGER_BODY_TIMES;
    return front != UINT64_MAX && now_ms - ticket->waits_since_ms >= patience_ms;
}

bool task_hunger_is_any(struct task *task)
{
    bool is_any = false;
    for (struct task_ticket *t = task->tickets; t != NULL; t = t->next)
        is_any |= is_hungry(task, t);
    return is_any;
}

bool *task_hunger_list_elsewhere(struct task *task)
{
    const struct cache_pieces *pieces = cache_writer_pieces(task->writer);
    if (!task_hunger_is_any(task))
        return NULL;
    bool *elsewhere = dt_new_array(bool, pieces->n);
    for (uint32_t i = 0; i < pieces->n; i++)
        elsewhere[i] = true;
    for (struct task_ticket *t = task->tickets; t != NULL; t = t->next)
        if (is_hungry(task, t) && t->front < pieces->size)
            elsewhere[cache_pieces_at(pieces, t->front)] = false;
    return elsewhere;
}

void task_hunger_note(const struct task *task, const struct task_stream *stream)
{
    char name[13];
    dt_metric_add(&metric_slow, 1);
    dt_log_info("swarm_slow", "blob=%s off=%llu source=%s fetches=%u",
                dt_digest_short(name, &task->digest), (unsigned long long)stream->start,
                stream->source->name, task->n_fetches);
}
