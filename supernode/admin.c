/*
 * supernode/admin.c - the supernode's own rows of the admin API.
 *
 * A new route of the supernode alone: a row here, its handler in supernode/admin_<noun>.c, a
 * section in docs/api.md (tests/lint/generated looks). Rows of both daemons are in
 * transfer/admin.c.
 */
#include "supernode/admin.h"

#include <string.h>

#include "base/http.h"
#include "base/units.h"
#include "supernode/admin_priv.h"
#include "transfer/option_checks.h"

/* clang-format off */
static const struct dt_admin_route routes[] = {
    {DT_GET, "/v1/tasks", DT_ADMIN_ON_LOOP, false, supernode_admin_get_tasks,
     "Blobs on their way through the site: nodes, pieces, transfers, rate."},
    {DT_GET, "/v1/tasks/{digest}", DT_ADMIN_ON_LOOP, false, supernode_admin_get_task,
     "One of them: who is in it, who holds what, copies of each piece."},
    {DT_PUT, "/v1/tasks/{digest}/limit", DT_ADMIN_ON_LOOP, false, supernode_admin_put_task_limit,
     "Limits this blob over all nodes together: ?rate=10MiB."},
    {DT_DELETE, "/v1/tasks/{digest}/limit", DT_ADMIN_ON_LOOP, false,
     supernode_admin_delete_task_limit,
     "Back to the limit of all tasks."},
    {DT_GET, "/v1/fills", DT_ADMIN_ON_LOOP, false, transfer_admin_get_tasks,
     "What this supernode itself fetches from registries now."},
    {DT_GET, "/v1/nodes", DT_ADMIN_ON_LOOP, false, supernode_admin_get_nodes,
     "Nodes of the site: address, holdings, rates, strikes, bans."},
    {DT_POST, "/v1/nodes/{name}/ban", DT_ADMIN_ON_LOOP, false, supernode_admin_post_ban,
     "Gives this node nothing more and sends nobody to it: ?reason=TEXT."},
    {DT_DELETE, "/v1/nodes/{name}/ban", DT_ADMIN_ON_LOOP, false, supernode_admin_delete_ban,
     "Takes it in again."},
    {DT_PUT, "/v1/nodes/{name}/limits", DT_ADMIN_ON_LOOP, false, supernode_admin_put_node_limits,
     "Limits of this node alone: ?up=10MiB&down=50MiB."},
    {DT_DELETE, "/v1/nodes/{name}/limits", DT_ADMIN_ON_LOOP, false,
     supernode_admin_delete_node_limits,
     "Back to the limits of all nodes."},
    {DT_GET, "/v1/peers", DT_ADMIN_ON_LOOP, false, supernode_admin_get_peers,
     "The other supernodes of the site, and whether they answer."},
    {DT_GET, "/v1/limits", DT_ADMIN_ON_LOOP, false, supernode_admin_get_limits,
     "Limits in force, bytes per second."},
    {DT_PUT, "/v1/limits", DT_ADMIN_ON_LOOP, false, supernode_admin_put_limits,
     "Changes them until the next start or SIGHUP: ?up=&down=&task=&node-up=&node-down=."},
    {DT_POST, "/v1/drain", DT_ADMIN_ON_LOOP, false, supernode_admin_post_drain,
     "No new tasks here: nodes ask the next supernode."},
    {DT_DELETE, "/v1/drain", DT_ADMIN_ON_LOOP, false, supernode_admin_delete_drain,
     "New tasks again."},
    {.pattern = NULL},
};
/* clang-format on */

const struct dt_admin_route *const supernode_admin_tables[] = {transfer_admin_routes, routes, NULL};

/* ---- what the handlers share ---- */

struct supernode *supernode_of(const struct dt_admin_call *call)
{
    return transfer_admin_daemon(call);
}

int supernode_admin_rate(uint64_t *out, const struct dt_admin_call *call, const char *key,
                         bool may_be_default, struct dt_err *err)
{
    char text[32];
    struct dt_err why = {0};
    int found = dt_query_get(text, sizeof text, call->query, key, &why);
    int rc = found;
    if (found > 0 && may_be_default && strcmp(text, "default") == 0)
        *out = UINT64_MAX;
    else if (found > 0)
        rc = dt_size_parse(out, text, &why);
    if (rc < 0)
        return dt_err_set(err, DT_EINVAL, "%s: %.200s", key, why.msg);
    if (found > 0 && *out != UINT64_MAX)
        rc = transfer_check_limit(key, *out, err);
    return rc < 0 ? rc : found;
}

json_t *supernode_admin_json_rate(uint64_t bytes_s)
{
    return bytes_s == 0 ? json_null() : json_integer((json_int_t)bytes_s);
}

/* ---- life ---- */

static struct transfer_admin_config config_of(const struct supernode_options *options)
{
    return (struct transfer_admin_config){
        .options = options,
        .spec = &supernode_config_spec,
        .process = &options->process,
    };
}

void supernode_admin_show_options(struct transfer_admin *admin,
                                  const struct supernode_options *options)
{
    struct transfer_admin_config config = config_of(options);
    transfer_admin_show_config(admin, &config);
}

int supernode_admin_start(struct transfer_admin **out, struct supernode *supernode,
                          struct dt_err *err)
{
    const struct supernode_options *options = supernode->options;
    struct transfer_admin_config config = config_of(options);
    struct transfer_admin_opts opts = {
        .program = supernode_config_spec.program,
        .transfer = &supernode->transfer,
        .upstreams = &options->process.upstreams,
        .started_ms = supernode->started_ms,
        .is_draining = &supernode->is_draining,
        .tables = supernode_admin_tables,
        .daemon = supernode,
        .refresh_metrics = supernode_admin_metrics_refresh,
    };
    supernode_admin_metrics_register();
    return transfer_admin_start(out, &opts, &config, err);
}
