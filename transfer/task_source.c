/*
 * transfer/task_source.c - the sources of a task: who is there, who may be asked now, who failed.
 *
 *   added (with a client's way) -> usable -> waits for a retry -> usable      any -> excluded
 *
 * A source that fails waits a little longer each time; one that refuses us for good, or lies, is
 * excluded for the rest of the task. A new kind of source: make it in task_sources_add().
 */
#define LOG_COMPONENT "task"
#include "transfer/task_priv.h"

#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

static DT_DEFINE_COUNTER(metric_repairs, "darter_repairs_total", NULL,
                         "Streams that failed: the rest of their range was asked for again.");

uint64_t transfer_patience_ms(const struct transfer_options *options, bool has_other)
{
    return has_other ? options->head_deadline_ms / 5 : options->head_deadline_ms;
}

uint64_t transfer_again_ms(const struct transfer_options *options, bool has_other)
{
    return has_other ? 0 : options->head_deadline_ms / 4;
}

static uint64_t way_of(const struct task_ticket *ticket)
{
    const char *authorization = ticket->authorization != NULL ? ticket->authorization : "";
    uint64_t parts[] = {(uintptr_t)ticket->upstream,
                        dt_hash_bytes(ticket->repository, strlen(ticket->repository)),
                        dt_hash_bytes(authorization, strlen(authorization))};
    return dt_hash_bytes(parts, sizeof(parts));
}

/* Clients come and go; the ways they brought stay with the task. */
static bool has_way(const struct task *task, uint64_t way)
{
    for (size_t i = 0; i < task->n_sources; i++)
        if (task->sources[i]->way == way)
            return true;
    return false;
}

/* A place for one more: a new one, or that of one who will not be asked again (his token ended).
 * NULL: the ways that are there must do. */
static struct source **free_place(struct task *task)
{
    if (task->n_sources < TASK_SOURCES_MAX)
        return &task->sources[task->n_sources++];
    for (size_t i = 0; i < task->n_sources; i++) {
        struct source *source = task->sources[i];
        if (!source->is_excluded || source->n_active > 0 || source == task->alone)
            continue;
        task->resumed_bytes += source->bytes; /* whose they were is not known any more */
        source->ops->free(&task->sources[i]);
        return &task->sources[i];
    }
    return NULL;
}

/* One client's way: every endpoint of his upstream, asked with his credentials. */
bool task_sources_add(struct task *task, struct task_ticket *ticket)
{
    uint64_t way = way_of(ticket);
    ticket->is_way_known |= has_way(task, way);
    if (ticket->is_way_known)
        return false;
    struct reg_upstream *upstream = ticket->upstream;
    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        struct source **place = free_place(task);
        if (place == NULL)
            break;
        *place = source_registry_new(task->transfer, upstream, &upstream->endpoints[i],
                                     ticket->repository, &task->digest, ticket->authorization);
        (*place)->way = way;
        ticket->is_way_known = true;
    }
    return ticket->is_way_known;
}

/* Clients who came when every place was taken, and are still here: by now there may be one. */
bool task_sources_add_waiting(struct task *task)
{
    bool has_added = false;
    for (struct task_ticket *ticket = task->tickets; ticket != NULL; ticket = ticket->next)
        has_added |= task_sources_add(task, ticket);
    return has_added;
}

static bool is_usable(const struct task *task, const struct source *source, uint64_t now_ms)
{
    if (source->is_excluded || now_ms < source->retry_at_ms)
        return false;
    return task->alone == NULL || task->alone == source;
}

/* With every breaker open the first attempt is made all the same: a last resort is better than a
 * refusal. */
void task_sources_list(struct task *task, struct plan_source *out)
{
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    bool any_ready = false;
    for (size_t i = 0; i < task->n_sources; i++) {
        struct source *s = task->sources[i];
        out[i] = (struct plan_source){.is_usable =
                                          is_usable(task, s, now_ms) && s->ops->is_ready(s, now_ms),
                                      .can_range = !s->ignores_range,
                                      .order = s->order};
        any_ready |= out[i].is_usable;
    }
    if (any_ready || task->n_streams > 0)
        return;
    for (size_t i = 0; i < task->n_sources; i++)
        out[i].is_usable =
            task->sources[i]->failures == 0 && is_usable(task, task->sources[i], now_ms);
}

size_t task_sources_count_ready(struct task *task, const struct source *except)
{
    size_t n = 0;
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    for (size_t i = 0; i < task->n_sources; i++) {
        struct source *s = task->sources[i];
        n += s != except && is_usable(task, s, now_ms) && s->ops->is_ready(s, now_ms);
    }
    return n;
}

void task_source_note_failure(struct task *task, struct source *source, const struct dt_err *err,
                              uint64_t delivered)
{
    char name[13];
    if (delivered >= TASK_PROGRESS_BYTES)
        source->failures = 0;
    unsigned doublings =
        source->failures < TASK_RETRY_DOUBLINGS ? source->failures : TASK_RETRY_DOUBLINGS;
    source->failures++;
    source->retry_at_ms = dt_loop_now_ms(task->loop) + (TASK_RETRY_BASE_MS << doublings);
    source->is_excluded |= !dt_code_is_retryable(err->code);
    task->err = *err;
    dt_metric_add(&metric_repairs, 1);
    dt_log_warn("source_failed", "blob=%s source=%s delivered=%llu excluded=%d code=%s reason=%s",
                dt_digest_short(name, &task->digest), source->name, (unsigned long long)delivered,
                source->is_excluded, dt_code_name(err->code), DT_LOG_Q(err->msg));
}

void task_sources_forgive(struct task *task)
{
    for (size_t i = 0; i < task->n_sources; i++) {
        task->sources[i]->failures = 0;
        task->sources[i]->retry_at_ms = 0;
    }
}

/* A wrong digest: the only source that gave bytes is the liar. With several, or with bytes of nodes
 * or of an earlier run, the next attempt asks one source alone, so that a liar stands out. */
void task_sources_blame(struct task *task)
{
    struct source *giver = NULL;
    size_t n_givers = 0;
    for (size_t i = 0; i < task->n_sources; i++)
        if (task->sources[i]->bytes > 0) {
            giver = task->sources[i];
            n_givers++;
        }
    task->alone = NULL;
    if (n_givers == 1 && task->resumed_bytes == 0 && task_peer_bytes(task) == 0) {
        giver->ops->strike(giver);
        giver->is_excluded = true;
        dt_log_error("source_lied", "source=%s bytes=%llu action=excluded", giver->name,
                     (unsigned long long)giver->bytes);
    }
    for (size_t i = 0; i < task->n_sources; i++)
        if (!task->sources[i]->is_excluded && task->alone == NULL)
            task->alone = task->sources[i];
    for (size_t i = 0; i < task->n_sources; i++)
        task->sources[i]->bytes = 0;
    memset(task->kind_bytes, 0, sizeof(task->kind_bytes));
    task_sources_forgive(task);
}

bool task_sources_next_alone(struct task *task)
{
    for (size_t i = 0; i < task->n_sources; i++) {
        struct source *source = task->sources[i];
        if (source == task->alone || source->is_excluded || source->failures > 0)
            continue;
        task->alone = source;
        return true;
    }
    return false;
}
