/*
 * proxy/admin.c - the proxy's own rows of the admin API.
 *
 * A new route of the proxy alone: a row here, its handler in proxy/admin_<noun>.c, a section in
 * docs/api.md (tests/lint/generated looks). Rows of both daemons are in transfer/admin.c.
 */
#include "proxy/admin.h"

#include "proxy/admin_swarm.h"

/* clang-format off */
static const struct dt_admin_route routes[] = {
    {DT_GET, "/v1/tasks", DT_ADMIN_ON_LOOP, false, transfer_admin_get_tasks,
     "Downloads that run now: progress, rate, bytes by source, waiting clients, who directs."},
    {DT_GET, "/v1/supernodes", DT_ADMIN_ON_LOOP, false, proxy_admin_get_supernodes,
     "The supernodes of this site as this node sees them, and what it serves to other nodes."},
    {.pattern = NULL},
};
/* clang-format on */

const struct dt_admin_route *const proxy_admin_tables[] = {transfer_admin_routes, routes, NULL};

static struct transfer_admin_config config_of(const struct proxy_options *options)
{
    return (struct transfer_admin_config){
        .options = options,
        .spec = &proxy_config_spec,
        .process = &options->process,
    };
}

void proxy_admin_show_options(struct transfer_admin *admin, const struct proxy_options *options)
{
    struct transfer_admin_config config = config_of(options);
    transfer_admin_show_config(admin, &config);
}

int proxy_admin_start(struct transfer_admin **out, struct proxy *proxy, struct dt_err *err)
{
    const struct proxy_options *options = proxy->options;
    struct transfer_admin_config config = config_of(options);
    struct transfer_admin_opts opts = {
        .program = proxy_config_spec.program,
        .transfer = &proxy->transfer,
        .upstreams = &options->process.upstreams,
        .default_upstream = options->default_upstream,
        .started_ms = proxy->started_ms,
        .is_draining = &proxy->is_draining,
        .tables = proxy_admin_tables,
        .daemon = proxy,
        .refresh_metrics = proxy_admin_refresh_swarm,
        .describe_task = proxy_admin_describe_task,
    };
    proxy_admin_register_swarm(proxy);
    return transfer_admin_start(out, &opts, &config, err);
}
