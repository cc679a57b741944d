/*
 * transfer/admin_upstreams.c - registries and their endpoints' health on the admin API.
 *
 * Reads plain atomics: each number is right, two of them may be of different moments.
 */
#include <string.h>

#include "transfer/admin_priv.h"

static const char *const breaker_words[] = {
    [REG_BREAKER_CLOSED] = "closed",
    [REG_BREAKER_OPEN] = "open",
    [REG_BREAKER_HALF_OPEN] = "half-open",
};

static json_t *json_of_health(struct reg_endpoint *endpoint, uint64_t now_ms)
{
    enum reg_breaker breaker = reg_endpoint_breaker(endpoint, now_ms);
    uint64_t open_until_ms = atomic_load(&endpoint->open_until_ms);
    uint64_t retry_in_ms =
        breaker == REG_BREAKER_OPEN && open_until_ms > now_ms ? open_until_ms - now_ms : 0;
    int last_error = atomic_load(&endpoint->last_error_code);
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:I, s:i, s:I, s:I, s:I, s:I, s:f}", "url", endpoint->url,
                  "role", endpoint->index == 0 ? "origin" : "standby", "breaker",
                  breaker_words[breaker], "retry_in_ms", (json_int_t)retry_in_ms, "failures_in_row",
                  (int)atomic_load(&endpoint->failures_in_row), "strikes",
                  (json_int_t)atomic_load(&endpoint->strikes), "ok_total",
                  (json_int_t)atomic_load(&endpoint->ok_total), "failed_total",
                  (json_int_t)atomic_load(&endpoint->failed_total), "bytes_total",
                  (json_int_t)atomic_load(&endpoint->bytes_total), "head_ms",
                  atomic_load(&endpoint->head_us_ewma) / 1000.0);
    (void)json_object_set_new(
        json, "last_error", last_error != 0 ? json_string(dt_code_name(last_error)) : json_null());
    dt_admin_json_time(json, "last_ok", atomic_load(&endpoint->last_ok_ms));
    dt_admin_json_time(json, "last_failed", atomic_load(&endpoint->last_failed_ms));
    return json;
}

void transfer_admin_get_upstreams(struct dt_admin_call *call)
{
    uint64_t now_ms = dt_loop_now_ms(call->loop);
    const struct transfer_admin_opts *opts = &transfer_admin_of(call)->opts;
    json_t *upstreams = json_array();
    for (size_t i = 0; i < opts->upstreams->n; i++) {
        struct reg_upstream *upstream = &opts->upstreams->list[i];
        json_t *endpoints = json_array();
        bool is_default =
            opts->default_upstream != NULL && strcmp(upstream->name, opts->default_upstream) == 0;
        for (size_t e = 0; e < upstream->n_endpoints; e++)
            (void)json_array_append_new(endpoints, json_of_health(&upstream->endpoints[e], now_ms));
        (void)json_array_append_new(upstreams,
                                    json_pack("{s:s, s:b, s:b, s:o}", "name", upstream->name,
                                              "default", is_default, "own_credentials",
                                              upstream->own_credentials, "endpoints", endpoints));
    }
    dt_admin_answer_json(call, 200, json_pack("{s:o}", "upstreams", upstreams));
    dt_admin_call_finish(call);
}
