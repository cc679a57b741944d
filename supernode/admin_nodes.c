/*
 * supernode/admin_nodes.c - the site's nodes on the admin API: look, ban, limit.
 *
 * The table of nodes lives on loop 0, which answers later. A node is named as it names itself; one
 * that was never seen may be banned or limited in advance.
 */
#define LOG_COMPONENT "admin"
#include "supernode/admin_priv.h"

#include "base/http.h"
#include "base/log.h"
#include "supernode/node.h"
#include "supernode/pair.h"

static json_t *json_or_null(const char *text)
{
    return text[0] != '\0' ? dt_admin_json_string(text) : json_null();
}

static const char *state_word(const struct supernode_node_view *node)
{
    return node->is_banned ? "banned" : node->is_here ? "here" : "gone";
}

static json_t *json_of_node(const struct supernode_node_view *node)
{
    json_t *json = json_pack("{s:s, s:s, s:o, s:o, s:o, s:b, s:I}", "name", node->name, "state",
                             state_word(node), "id", json_or_null(node->id), "address",
                             json_or_null(node->address), "rack", json_or_null(node->rack), "here",
                             node->is_here, "holdings", (json_int_t)node->n_holdings);
    json_t *numbers =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "up_bytes", (json_int_t)node->up_bytes,
                  "down_bytes", (json_int_t)node->down_bytes, "up_bytes_s",
                  (json_int_t)node->up_bytes_s, "down_bytes_s", (json_int_t)node->down_bytes_s,
                  "bad_pieces", (json_int_t)node->bad_pieces, "strikes", (json_int_t)node->strikes);
    (void)json_object_update(json, numbers);
    json_decref(numbers);
    (void)json_object_set_new(json, "up_limit", supernode_admin_json_rate(node->up_limit));
    (void)json_object_set_new(json, "down_limit", supernode_admin_json_rate(node->down_limit));
    (void)json_object_set_new(json, "own_limits", json_boolean(node->has_own_limits));
    (void)json_object_set_new(json, "ban_reason", json_or_null(node->ban_reason));
    dt_admin_json_time(json, "first_seen", node->first_seen_ms);
    dt_admin_json_time(json, "last_seen", node->last_seen_ms);
    return json;
}

static void on_views(void *arg, const struct supernode_node_view *views, size_t n)
{
    struct dt_admin_call *call = arg;
    json_t *nodes = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(nodes, json_of_node(&views[i]));
    dt_admin_answer_json(call, 200,
                         json_pack("{s:s, s:o}", "site", supernode_of(call)->site, "nodes", nodes));
    dt_admin_call_finish(call);
}

void supernode_admin_get_nodes(struct dt_admin_call *call)
{
    supernode_nodes_view(supernode_of(call), on_views, call);
}

/* ---- the other supernodes ---- */

void supernode_admin_get_peers(struct dt_admin_call *call)
{
    struct supernode_pair_view views[SUPERNODE_PAIR_MAX];
    size_t n = supernode_pair_look(views, supernode_of(call)->pair);
    json_t *peers = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *peer = json_pack("{s:s, s:b}", "url", views[i].url, "up", views[i].is_up);
        dt_admin_json_time(peer, "since", views[i].since_ms);
        (void)json_array_append_new(peers, peer);
    }
    dt_admin_answer_json(call, 200, json_pack("{s:o}", "peers", peers));
    dt_admin_call_finish(call);
}

/* ---- ban ---- */

static void log_change(const struct dt_admin_call *call, const char *what)
{
    dt_log_info(what, "node=%s peer=%s", DT_LOG_Q(call->match.name),
                DT_LOG_Q(dt_http_peer(call->http)));
}

/* The name was checked by nobody yet. */
static bool is_name(struct dt_admin_call *call)
{
    if (wire_name_is_valid(call->match.name))
        return true;
    dt_admin_answer_problem(call, 400, "EINVAL",
                            "a node's name has letters, digits, \".\", \"_\" and \"-\"");
    dt_admin_call_finish(call);
    return false;
}

void supernode_admin_post_ban(struct dt_admin_call *call)
{
    char reason[sizeof((struct supernode_node_view *)NULL)->ban_reason] = "";
    struct dt_err err = {0};
    if (!is_name(call))
        return;
    if (dt_query_get(reason, sizeof reason, call->query, "reason", &err) < 0) {
        dt_admin_answer_err(call, &err);
        dt_admin_call_finish(call);
        return;
    }
    log_change(call, "ban_asked");
    supernode_node_ban(supernode_of(call), call->match.name, reason, transfer_admin_changed, call);
}

void supernode_admin_delete_ban(struct dt_admin_call *call)
{
    if (!is_name(call))
        return;
    log_change(call, "unban_asked");
    supernode_node_unban(supernode_of(call), call->match.name, transfer_admin_changed, call);
}

/* ---- limits of one node ---- */

void supernode_admin_put_node_limits(struct dt_admin_call *call)
{
    uint64_t up = UINT64_MAX, down = UINT64_MAX;
    struct dt_err err = {0};
    if (!is_name(call))
        return;
    int has_up = supernode_admin_rate(&up, call, "up", true, &err);
    int has_down = has_up < 0 ? -1 : supernode_admin_rate(&down, call, "down", true, &err);
    if (has_down == 0 && has_up == 0)
        (void)dt_err_set(&err, DT_EINVAL, "give up, down or both");
    if (err.code != 0) {
        dt_admin_answer_err(call, &err);
        dt_admin_call_finish(call);
        return;
    }
    log_change(call, "node_limits_asked");
    supernode_node_set_limits(supernode_of(call), call->match.name, up, down,
                              transfer_admin_changed, call);
}

void supernode_admin_delete_node_limits(struct dt_admin_call *call)
{
    if (!is_name(call))
        return;
    log_change(call, "node_limits_asked");
    supernode_node_set_limits(supernode_of(call), call->match.name, UINT64_MAX, UINT64_MAX,
                              transfer_admin_changed, call);
}
