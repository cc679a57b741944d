/*
 * transfer/admin_state.c - the process itself on the admin API: index, health, readiness,
 * configuration.
 *
 * Handlers run on the call's loop and answer at once.
 */
#include "transfer/admin_priv.h"

#include <stdatomic.h>
#include <string.h>

#include "base/version.h"

void transfer_admin_get_index(struct dt_admin_call *call)
{
    const struct transfer_admin_opts *opts = &transfer_admin_of(call)->opts;
    json_t *index = json_pack("{s:s, s:s, s:o}", "program", opts->program, "version",
                              DARTER_VERSION, "routes", dt_admin_json_routes(call->tables));
    dt_admin_json_time(index, "started", opts->started_ms);
    dt_admin_answer_json(call, 200, index);
    dt_admin_call_finish(call);
}

void transfer_admin_get_health(struct dt_admin_call *call)
{
    dt_admin_answer_json(call, 200, json_pack("{s:s}", "status", "ok"));
    dt_admin_call_finish(call);
}

/* A cache that cannot be used does not make us useless: pulls stream through. */
void transfer_admin_get_ready(struct dt_admin_call *call)
{
    struct cache_usage usage;
    cache_usage(&usage, transfer_admin_cache(call));
    bool is_draining = atomic_load(transfer_admin_of(call)->opts.is_draining);
    const char *status = is_draining ? "draining" : usage.is_usable ? "ready" : "degraded";
    json_t *cache = json_pack("{s:b}", "usable", usage.is_usable);
    if (!usage.is_usable)
        (void)json_object_set_new(cache, "reason", json_string(usage.reason));
    dt_admin_answer_json(
        call, is_draining ? 503 : 200,
        json_pack("{s:s, s:b, s:o}", "status", status, "draining", is_draining, "cache", cache));
    dt_admin_call_finish(call);
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

json_t *transfer_admin_json_config(const struct transfer_admin_config *config)
{
    json_t *values = json_object(), *reloadable = json_array(), *upstreams = json_array();
    dt_config_each(config->options, config->spec, emit_option, values);
    for (const struct dt_option *row = config->spec->options; row->name != NULL; row++)
        if (row->is_reloadable)
            (void)json_array_append_new(reloadable, json_string(row->name));
    for (size_t i = 0; i < config->process->upstreams.n; i++) {
        const struct reg_upstream *upstream = &config->process->upstreams.list[i];
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

void transfer_admin_get_config(struct dt_admin_call *call)
{
    dt_admin_answer_text(call, 200, "application/json",
                         transfer_admin_config_text(transfer_admin_of(call)));
    dt_admin_call_finish(call);
}
