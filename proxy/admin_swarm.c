/*
 * proxy/admin_swarm.c - what the admin API and /metrics show of this node's half of the swarm.
 *
 * Reads copies that supernodes and director make under their locks; nothing here waits.
 */
#include "proxy/admin_swarm.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "proxy/swarm.h"

static json_t *text_or_null(const char *text)
{
    return text != NULL && text[0] != '\0' ? dt_admin_json_string(text) : json_null();
}

/* ---- supernodes ---- */

static json_t *json_of_supernode(const struct supernode_view *view)
{
    json_t *json =
        json_pack("{s:s, s:o, s:s, s:b, s:b, s:b, s:b, s:i, s:o}", "url", view->url, "name",
                  text_or_null(view->name), "state", supernode_state_word(view->state), "usable",
                  (int)supernode_is_usable(view), "banned", (int)view->is_banned, "draining",
                  (int)view->is_draining, "other_site", (int)view->is_other_site, "failures_in_row",
                  (int)view->failures, "last_error", text_or_null(view->last_err.msg));
    dt_admin_json_time(json, "last_ok", view->last_ok_ms);
    dt_admin_json_time(json, "last_failed", view->last_fail_ms);
    return json;
}

static json_t *json_of_node(const struct proxy *proxy)
{
    const struct proxy_options *options = proxy->options;
    const struct supernodes *supernodes = proxy_swarm_supernodes(proxy->swarm);
    return json_pack("{s:s, s:s, s:o, s:o, s:s}", "name", options->node_name, "site", options->site,
                     "rack", text_or_null(options->rack), "id",
                     text_or_null(supernodes != NULL ? supernodes_node_id(supernodes) : NULL),
                     "peer_listen", proxy_swarm_address(proxy->swarm));
}

static json_t *json_of_pieces(const struct proxy *proxy)
{
    struct piece_server_counts counts = {0};
    if (proxy_swarm_pieces(proxy->swarm) != NULL)
        piece_server_count(&counts, proxy_swarm_pieces(proxy->swarm));
    return json_pack("{s:I, s:I, s:I, s:I, s:i}", "served", (json_int_t)counts.served, "refused",
                     (json_int_t)counts.refused, "busy", (json_int_t)counts.busy, "bytes",
                     (json_int_t)counts.bytes, "uploads", (int)counts.uploads);
}

void proxy_admin_get_supernodes(struct dt_admin_call *call)
{
    struct proxy *proxy = transfer_admin_daemon(call);
    struct supernodes *supernodes = proxy_swarm_supernodes(proxy->swarm);
    json_t *list = json_array();
    for (size_t i = 0; supernodes != NULL && i < supernodes_count(supernodes); i++) {
        struct supernode_view view;
        supernodes_view(&view, supernodes, i);
        (void)json_array_append_new(list, json_of_supernode(&view));
    }
    dt_admin_answer_json(call, 200,
                         json_pack("{s:o, s:o, s:o}", "node", json_of_node(proxy), "pieces",
                                   json_of_pieces(proxy), "supernodes", list));
    dt_admin_call_finish(call);
}

/* ---- tasks ---- */

void proxy_admin_describe_task(void *daemon, json_t *task, const struct dt_digest *digest)
{
    const struct proxy *proxy = daemon;
    struct proxy_director *director = proxy_swarm_director(proxy->swarm);
    struct director_view view;
    json_t *json = json_null();
    if (director != NULL && proxy_director_view(&view, director, digest)) {
        json = json_pack("{s:s, s:o, s:o, s:i, s:I, s:I, s:i}", "mode", view.mode, "supernode",
                         text_or_null(view.supernode), "why", text_or_null(view.why), "losses",
                         (int)view.losses, "peer_bytes", (json_int_t)view.peer_bytes, "seed_bytes",
                         (json_int_t)view.seed_bytes, "piece_failures", (int)view.failures);
        dt_admin_json_time(json, "since", view.since_ms);
    }
    (void)json_object_set_new(task, "director", json);
}

/* ---- metrics ---- */

/* One per supernode, in the order of the options; set once before the listener opens. */
static struct dt_metric *supernode_up;

void proxy_admin_register_swarm(const struct proxy *proxy)
{
    const struct dt_strings *urls = &proxy->options->supernodes;
    if (supernode_up != NULL || urls->n == 0)
        return;
    supernode_up = dt_new_array(struct dt_metric, urls->n);
    for (size_t i = 0; i < urls->n; i++) {
        supernode_up[i].name = "darter_supernode_up";
        supernode_up[i].help = "1 = the supernode answered the last hello.";
        supernode_up[i].kind = DT_GAUGE;
        supernode_up[i].labels = dt_asprintf("supernode=\"%s\"", urls->items[i]); /* clean: a URL */
        dt_metric_register(&supernode_up[i]);
    }
}

void proxy_admin_refresh_swarm(void *daemon)
{
    const struct proxy *proxy = daemon;
    struct supernodes *supernodes = proxy_swarm_supernodes(proxy->swarm);
    for (size_t i = 0; supernodes != NULL && i < supernodes_count(supernodes); i++) {
        struct supernode_view view;
        supernodes_view(&view, supernodes, i);
        dt_metric_set(&supernode_up[i], view.state == SUPERNODE_UP);
    }
}
