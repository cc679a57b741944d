/*
 * proxy/admin_state.c - the process itself on the admin API: index, health, readiness,
 * configuration.
 *
 * Handlers run on the call's loop and answer at once.
 */
#include "proxy/admin_priv.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "base/version.h"

static const char *route_method(const struct admin_route *route)
{
    switch (route->method) {
    case DT_POST:
        return "POST";
    case DT_PUT:
        return "PUT";
    case DT_DELETE:
        return "DELETE";
    default:
        return "GET";
    }
}

void admin_get_index(struct admin_call *call)
{
    json_t *routes = json_array();
    for (const struct admin_route *route = admin_routes; route->pattern != NULL; route++)
        (void)json_array_append_new(routes,
                                    json_pack("{s:s, s:s, s:s}", "method", route_method(route),
                                              "path", route->pattern, "about", route->doc));
    json_t *index = json_pack("{s:s, s:s, s:o}", "program", "darter-proxy", "version",
                              DARTER_VERSION, "routes", routes);
    admin_json_time(index, "started", call->proxy->started_ms);
    admin_answer_json(call, 200, index);
    admin_call_finish(call);
}

void admin_get_health(struct admin_call *call)
{
    admin_answer_json(call, 200, json_pack("{s:s}", "status", "ok"));
    admin_call_finish(call);
}

/* A cache that cannot be used does not make us useless: pulls stream through. */
void admin_get_ready(struct admin_call *call)
{
    struct cache_usage usage;
    cache_usage(&usage, call->proxy->transfer.cache);
    bool is_draining = atomic_load(&call->proxy->is_draining);
    const char *status = is_draining ? "draining" : usage.is_usable ? "ready" : "degraded";
    json_t *cache = json_pack("{s:b}", "usable", usage.is_usable);
    if (!usage.is_usable)
        (void)json_object_set_new(cache, "reason", json_string(usage.reason));
    admin_answer_json(
        call, is_draining ? 503 : 200,
        json_pack("{s:s, s:b, s:o}", "status", status, "draining", is_draining, "cache", cache));
    admin_call_finish(call);
}

/* ---- configuration ---- */

static void emit_option(void *arg, const char *name, const char *value)
{
    json_t *text = json_string(value);
    (void)json_object_set_new(arg, name, text != NULL ? text : json_null());
}

static json_t *json_of_endpoint(const struct reg_endpoint *endpoint)
{
    json_t *json = json_pack("{s:s, s:b, s:b}", "url", endpoint->url, "insecure",
                             endpoint->insecure_tls, "has_account", endpoint->has_credentials);
    if (endpoint->ca_file != NULL)
        (void)json_object_set_new(json, "ca_file", json_string(endpoint->ca_file));
    return json;
}

json_t *admin_json_config(const struct proxy_options *options)
{
    json_t *values = json_object(), *reloadable = json_array(), *upstreams = json_array();
    dt_config_each(options, &proxy_config_spec, emit_option, values);
    for (const struct dt_option *row = proxy_config_spec.options; row->name != NULL; row++)
        if (row->is_reloadable)
            (void)json_array_append_new(reloadable, json_string(row->name));
    for (size_t i = 0; i < options->upstreams.n; i++) {
        const struct reg_upstream *upstream = &options->upstreams.list[i];
        json_t *endpoints = json_array();
        for (size_t e = 0; e < upstream->n_endpoints; e++)
            (void)json_array_append_new(endpoints, json_of_endpoint(&upstream->endpoints[e]));
        (void)json_array_append_new(
            upstreams, json_pack("{s:s, s:b, s:I, s:I, s:o}", "name", upstream->name,
                                 "own_credentials", upstream->own_credentials, "revalidate_ms",
                                 (json_int_t)upstream->revalidate_ms, "touch_ms",
                                 (json_int_t)upstream->touch_ms, "endpoints", endpoints));
    }
    return json_pack("{s:o, s:o, s:o}", "options", values, "reloadable", reloadable, "upstreams",
                     upstreams);
}

void admin_get_config(struct admin_call *call)
{
    admin_answer_text(call, 200, "application/json", admin_config_text(call->admin));
    admin_call_finish(call);
}
