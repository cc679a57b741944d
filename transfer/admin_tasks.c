/*
 * transfer/admin_tasks.c - downloads that run now on the admin API.
 *
 * Tasks live on all loops: their snapshots are gathered by transfer_tasks_view(), which answers
 * later.
 */
#include "transfer/admin_priv.h"

#include "transfer/source.h"
#include "transfer/task.h"

/* A size that nobody has told yet is null, not 2^64-1. */
static json_t *json_of_size(uint64_t size)
{
    return size == UINT64_MAX ? json_null() : json_integer((json_int_t)size);
}

static json_t *json_of_sources(const struct task_view *view)
{
    json_t *sources = json_array();
    for (size_t i = 0; i < view->n_sources && i < TASK_SOURCES_SHOWN; i++)
        (void)json_array_append_new(
            sources, json_pack("{s:s, s:s, s:I, s:b}", "name", view->sources[i].name, "kind",
                               source_kind_word((enum source_kind)view->sources[i].kind), "bytes",
                               (json_int_t)view->sources[i].bytes, "excluded",
                               view->sources[i].is_excluded));
    return sources;
}

static json_t *json_of_kinds(const struct task_view *view)
{
    json_t *kinds = json_object();
    for (int kind = 0; kind < SOURCE_KIND_END; kind++)
        (void)json_object_set_new(kinds, source_kind_word((enum source_kind)kind),
                                  json_integer((json_int_t)view->kind_bytes[kind]));
    return kinds;
}

static json_t *json_of_task(const struct task_view *view)
{
    json_t *json =
        json_pack("{s:o, s:s, s:o, s:I, s:I, s:i, s:i, s:o, s:o}", "digest",
                  dt_admin_json_digest(&view->digest), "state", task_state_word(view->state),
                  "size", json_of_size(view->size), "present_bytes",
                  (json_int_t)view->present_bytes, "rate_bytes_s", (json_int_t)view->rate_bytes_s,
                  "clients", (int)view->n_clients, "streams", (int)view->n_streams,
                  "bytes_by_source", json_of_kinds(view), "sources", json_of_sources(view));
    dt_admin_json_time(json, "started", view->started_ms);
    return json;
}

static void on_views(void *arg, const struct task_view *views, size_t n)
{
    struct dt_admin_call *call = arg;
    const struct transfer_admin_opts *opts = &transfer_admin_of(call)->opts;
    json_t *tasks = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *task = json_of_task(&views[i]);
        if (opts->describe_task != NULL)
            opts->describe_task(opts->daemon, task, &views[i].digest);
        (void)json_array_append_new(tasks, task);
    }
    dt_admin_answer_json(call, 200, json_pack("{s:o}", "tasks", tasks));
    dt_admin_call_finish(call);
}

void transfer_admin_get_tasks(struct dt_admin_call *call)
{
    transfer_tasks_view(transfer_admin_of(call)->opts.transfer, on_views, call);
}
