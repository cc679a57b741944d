/*
 * supernode/admin_limits.c - limits and drain on the admin API.
 *
 * What is set here is in force at once and until the next start; SIGHUP sets what the options say
 * again. Plain atomics: no handler waits.
 */
#define LOG_COMPONENT "admin"
#include "supernode/admin_priv.h"

#include <inttypes.h>

#include "base/log.h"

static json_t *json_of_limits(struct supernode *supernode)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "up",
                     supernode_admin_json_rate(atomic_load(&supernode->up.rate)), "down",
                     supernode_admin_json_rate(atomic_load(&supernode->transfer.down->rate)),
                     "task", supernode_admin_json_rate(atomic_load(&supernode->limits.task_down)),
                     "node_up", supernode_admin_json_rate(atomic_load(&supernode->limits.node_up)),
                     "node_down",
                     supernode_admin_json_rate(atomic_load(&supernode->limits.node_down)));
}

void supernode_admin_get_limits(struct dt_admin_call *call)
{
    dt_admin_answer_json(call, 200, json_of_limits(supernode_of(call)));
    dt_admin_call_finish(call);
}

/* All of the query is read before anything is changed. */
void supernode_admin_put_limits(struct dt_admin_call *call)
{
    struct supernode *supernode = supernode_of(call);
    const struct {
        const char *key;
        struct dt_bucket *bucket; /* or NULL */
        _Atomic uint64_t *field;
    } rows[] = {
        {"up", &supernode->up, NULL},
        {"down", supernode->transfer.down, NULL},
        {"task", NULL, &supernode->limits.task_down},
        {"node-up", NULL, &supernode->limits.node_up},
        {"node-down", NULL, &supernode->limits.node_down},
    };
    enum { N_ROWS = sizeof rows / sizeof rows[0] };
    uint64_t values[N_ROWS] = {0};
    int found[N_ROWS] = {0}, n_found = 0;
    struct dt_err err = {0};
    for (size_t i = 0; i < N_ROWS && err.code == 0; i++) {
        found[i] = supernode_admin_rate(&values[i], call, rows[i].key, false, &err);
        n_found += found[i] > 0;
    }
    if (err.code == 0 && n_found == 0)
        (void)dt_err_set(&err, DT_EINVAL, "give up, down, task, node-up or node-down");
    for (size_t i = 0; i < N_ROWS && err.code == 0; i++) {
        if (found[i] == 0)
            continue;
        if (rows[i].bucket != NULL)
            dt_bucket_set(rows[i].bucket, values[i], dt_mono_us());
        else
            atomic_store(rows[i].field, values[i]);
        dt_log_info("limit_set", "limit=%s bytes_s=%" PRIu64 " peer=%s", rows[i].key, values[i],
                    DT_LOG_Q(dt_http_peer(call->http)));
    }
    if (err.code != 0)
        dt_admin_answer_err(call, &err);
    else
        dt_admin_answer_json(call, 200, json_of_limits(supernode));
    dt_admin_call_finish(call);
}

/* ---- drain ---- */

static void set_drain(struct dt_admin_call *call, bool is_draining)
{
    struct supernode *supernode = supernode_of(call);
    /* The process ends: that is not taken back. */
    if (!is_draining && atomic_load(&supernode->is_stopping)) {
        dt_admin_answer_problem(call, 409, "ECONFLICT", "this supernode is stopping");
    } else {
        atomic_store(&supernode->is_draining, is_draining);
        dt_log_info(is_draining ? "drain_begun" : "drain_ended", "peer=%s",
                    DT_LOG_Q(dt_http_peer(call->http)));
        dt_admin_answer_empty(call, 204);
    }
    dt_admin_call_finish(call);
}

void supernode_admin_post_drain(struct dt_admin_call *call)
{
    set_drain(call, true);
}

void supernode_admin_delete_drain(struct dt_admin_call *call)
{
    set_drain(call, false);
}
