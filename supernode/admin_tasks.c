/*
 * supernode/admin_tasks.c - blobs on their way through the site, on the admin API.
 *
 * Tasks live on all loops: their snapshots are gathered and answered later.
 */
#define LOG_COMPONENT "admin"
#include "supernode/admin_priv.h"

#include "base/log.h"
#include "supernode/task.h"

/* What nobody has told yet is null, not 2^64-1. */
static json_t *json_of_known(uint64_t value)
{
    return value == UINT64_MAX ? json_null() : json_integer((json_int_t)value);
}

static json_t *json_of_task(const struct supernode_task_view *task)
{
    json_t *json = json_pack(
        "{s:o, s:s, s:o, s:I, s:I, s:I, s:b}", "digest", dt_admin_json_digest(&task->digest),
        "state", supernode_task_state_word(task->state), "size", json_of_known(task->size),
        "piece_size", (json_int_t)task->piece_size, "pieces", (json_int_t)task->n_pieces, "seeded",
        (json_int_t)task->n_seeded, "filling", task->is_filling);
    json_t *numbers = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "nodes",
        (json_int_t)task->n_peers, "complete", (json_int_t)task->n_complete, "holders",
        (json_int_t)task->n_holders, "held", (json_int_t)task->n_held, "flights",
        (json_int_t)task->n_flights, "assigned", (json_int_t)task->n_assigned, "hedged",
        (json_int_t)task->n_hedged, "finished", (json_int_t)task->n_finished, "failed",
        (json_int_t)task->n_failed, "seed_bytes", (json_int_t)task->seed_bytes, "peer_bytes",
        (json_int_t)task->peer_bytes, "rate_bytes_s", (json_int_t)task->rate_bytes_s);
    (void)json_object_update(json, numbers);
    json_decref(numbers);
    (void)json_object_set_new(json, "limit", supernode_admin_json_rate(task->limit_bytes_s));
    (void)json_object_set_new(json, "own_limit", json_boolean(task->has_own_limit));
    (void)json_object_set_new(
        json, "error", task->err.code != 0 ? dt_admin_json_string(task->err.msg) : json_null());
    dt_admin_json_time(json, "started", task->started_ms);
    return json;
}

static void on_views(void *arg, const struct supernode_task_view *views, size_t n)
{
    struct dt_admin_call *call = arg;
    json_t *tasks = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(tasks, json_of_task(&views[i]));
    dt_admin_answer_json(call, 200, json_pack("{s:o}", "tasks", tasks));
    dt_admin_call_finish(call);
}

void supernode_admin_get_tasks(struct dt_admin_call *call)
{
    supernode_tasks_view(supernode_of(call), on_views, call);
}

/* ---- one task ---- */

static json_t *json_of_peer(const struct supernode_peer_row *peer)
{
    const char *role = peer->is_seed ? "seed" : peer->is_holder ? "holder" : "node";
    json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", peer->name, "id", peer->id,
                             "role", role, "rack", peer->rack, "address", peer->address);
    json_t *more = json_pack(
        "{s:b, s:b, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:I}", "listening", peer->is_listening,
        "complete", peer->is_complete, "slow", peer->is_slow, "quarantined", peer->is_quarantined,
        "present", (json_int_t)peer->n_have, "uploads", (json_int_t)peer->n_up, "downloads",
        (json_int_t)peer->n_down, "up_bytes_s", (json_int_t)peer->up_bytes_s, "down_bytes_s",
        (json_int_t)peer->down_bytes_s, "want_off", json_of_known(peer->want_off), "silent_ms",
        (json_int_t)peer->silent_ms);
    (void)json_object_update(json, more);
    json_decref(more);
    (void)json_object_set_new(json, "map",
                              peer->have != NULL ? json_string(peer->have) : json_null());
    return json;
}

static void on_detail(void *arg, const struct supernode_task_detail *detail)
{
    struct dt_admin_call *call = arg;
    if (detail == NULL) {
        dt_admin_answer_problem(call, 404, "ENOTFOUND", "this blob is not on its way now");
        dt_admin_call_finish(call);
        return;
    }
    json_t *json = json_of_task(&detail->task), *peers = json_array(), *copies = json_array();
    for (size_t i = 0; i < detail->n_peers; i++)
        (void)json_array_append_new(peers, json_of_peer(&detail->peers[i]));
    for (uint32_t piece = 0; piece < detail->task.n_pieces; piece++)
        (void)json_array_append_new(copies, json_integer((json_int_t)detail->copies[piece]));
    (void)json_object_set_new(json, "peers", peers);
    (void)json_object_set_new(json, "copies", copies);
    dt_admin_answer_json(call, 200, json);
    dt_admin_call_finish(call);
}

void supernode_admin_get_task(struct dt_admin_call *call)
{
    supernode_task_look(supernode_of(call), &call->match.digest, on_detail, call);
}

/* ---- its limit ---- */

static void set_limit(struct dt_admin_call *call, uint64_t bytes_s)
{
    char digest[13];
    dt_log_info("task_limit_asked", "digest=%s peer=%s",
                dt_digest_short(digest, &call->match.digest), DT_LOG_Q(dt_http_peer(call->http)));
    supernode_task_set_limit(supernode_of(call), &call->match.digest, bytes_s,
                             transfer_admin_changed, call);
}

void supernode_admin_put_task_limit(struct dt_admin_call *call)
{
    uint64_t rate = 0;
    struct dt_err err = {0};
    int found = supernode_admin_rate(&rate, call, "rate", true, &err);
    if (found == 0)
        (void)dt_err_set(&err, DT_EINVAL, "rate: needs a value, as in ?rate=10MiB");
    if (found > 0) {
        set_limit(call, rate);
        return;
    }
    dt_admin_answer_err(call, &err);
    dt_admin_call_finish(call);
}

void supernode_admin_delete_task_limit(struct dt_admin_call *call)
{
    set_limit(call, UINT64_MAX);
}
