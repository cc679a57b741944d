/*
 * proxy/task_source.c - the sources of a task: who is there, who may be asked now, who failed.
 *
 *   added (with a client's way) -> usable -> waits for a retry -> usable      any -> excluded
 *
 * A source that fails waits a little longer each time; one that refuses us for good, or lies, is
 * excluded for the rest of the task. A new kind of source: make it in task_sources_add().
 */
#define LOG_COMPONENT "task"
#include "proxy/task_priv.h"

#include "base/log.h"
#include "base/metrics.h"

#include <string.h>

static DT_DEFINE_COUNTER(metric_repairs, "darter_repairs_total", NULL,
                         "Streams that broke and were continued from another place.");

static bool has_way(const struct proxy_task *task, const struct task_ticket *ticket)
{
    for (const struct task_ticket *t = task->tickets; t != NULL; t = t->next) {
        if (t == ticket || t->upstream != ticket->upstream ||
            strcmp(t->repository, ticket->repository) != 0)
            continue;
        bool both = t->authorization != NULL && ticket->authorization != NULL;
        if (t->authorization == ticket->authorization ||
            (both && strcmp(t->authorization, ticket->authorization) == 0))
            return true;
    }
    return false;
}

/* One client's way: every endpoint of his upstream, asked with his credentials. */
bool task_sources_add(struct proxy_task *task, const struct task_ticket *ticket)
{
    if (has_way(task, ticket))
        return false;
    size_t n_before = task->n_sources;
    struct reg_upstream *upstream = ticket->upstream;
    /* When all places are taken, the ways that are there must do. */
    for (size_t i = 0; i < upstream->n_endpoints && task->n_sources < TASK_SOURCES_MAX; i++)
        task->sources[task->n_sources++] =
            source_registry_new(task->proxy, upstream, &upstream->endpoints[i], ticket->repository,
                                &task->digest, ticket->authorization);
    return task->n_sources > n_before;
}

static bool is_usable(const struct proxy_task *task, const struct source *source, uint64_t now_ms)
{
    if (source->is_excluded || now_ms < source->retry_at_ms)
        return false;
    return task->alone == NULL || task->alone == source;
}

/* With every breaker open the first attempt is made all the same: a last resort is better than a
 * refusal. */
void task_sources_list(struct proxy_task *task, struct plan_source *out)
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

size_t task_sources_count_ready(struct proxy_task *task, const struct source *except)
{
    size_t n = 0;
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    for (size_t i = 0; i < task->n_sources; i++) {
        struct source *s = task->sources[i];
        n += s != except && is_usable(task, s, now_ms) && s->ops->is_ready(s, now_ms);
    }
    return n;
}

void task_source_note_failure(struct proxy_task *task, struct source *source,
                              const struct dt_err *err, uint64_t delivered)
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

void task_sources_forgive(struct proxy_task *task)
{
    for (size_t i = 0; i < task->n_sources; i++) {
        task->sources[i]->failures = 0;
        task->sources[i]->retry_at_ms = 0;
    }
}

/* A wrong digest: the only source that gave bytes is the liar. With several, or with bytes of an
 * earlier run, the next attempt asks one source alone, so that a liar stands out. */
void task_sources_blame(struct proxy_task *task)
{
    struct source *giver = NULL;
    size_t n_givers = 0;
    for (size_t i = 0; i < task->n_sources; i++)
        if (task->sources[i]->bytes > 0) {
            giver = task->sources[i];
            n_givers++;
        }
    task->alone = NULL;
    if (n_givers == 1 && task->resumed_bytes == 0) {
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
    task_sources_forgive(task);
}
