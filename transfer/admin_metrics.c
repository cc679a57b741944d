/*
 * transfer/admin_metrics.c - /metrics: what registered itself anywhere, plus the numbers that live
 * in the cache and in the endpoints and are copied into gauges just before printing.
 *
 * The cache's rows are a table of (metric, field). Endpoints get their metrics at start, one set
 * each, and keep them until the process ends, as every metric does.
 */
#include "transfer/admin_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/metrics.h"

/* ---- the cache ---- */

#define CACHE_ROW(name, kind, help, field)                                                         \
    DT_METRIC_FIELD(name, kind, help, struct cache_usage, field)
static struct dt_metric_field cache_rows[] = {
    CACHE_ROW("darter_cache_used_bytes", DT_GAUGE, "Bytes the cache takes.", used_bytes),
    CACHE_ROW("darter_cache_max_bytes", DT_GAUGE, "Quota of the cache.", max_bytes),
    CACHE_ROW("darter_cache_pinned_bytes", DT_GAUGE, "Bytes that are never evicted.", pinned_bytes),
    CACHE_ROW("darter_cache_free_bytes", DT_GAUGE, "Free bytes of the cache's file system.",
              free_bytes),
    CACHE_ROW("darter_cache_sealed_blobs", DT_GAUGE, "Verified blobs.", n_sealed),
    CACHE_ROW("darter_cache_partial_blobs", DT_GAUGE, "Blobs of which a part is here.", n_partial),
    CACHE_ROW("darter_cache_objects", DT_GAUGE, "Manifests and other small objects.", n_objects),
    CACHE_ROW("darter_cache_tags", DT_GAUGE, "Tags known.", n_tags),
    CACHE_ROW("darter_cache_hits_total", DT_COUNTER, "Look-ups answered from the cache.", hits),
    CACHE_ROW("darter_cache_misses_total", DT_COUNTER, "Look-ups that ended at upstream.", misses),
    CACHE_ROW("darter_cache_evictions_total", DT_COUNTER, "Blobs evicted to make room.", evictions),
    CACHE_ROW("darter_cache_evicted_bytes_total", DT_COUNTER, "Bytes evicted to make room.",
              evicted_bytes),
    CACHE_ROW("darter_cache_scrub_checked_total", DT_COUNTER, "Blobs read and hashed again.",
              scrub_checked),
    CACHE_ROW("darter_cache_scrub_bad_total", DT_COUNTER, "Blobs a scrub found wrong and removed.",
              scrub_bad),
};
static DT_DEFINE_GAUGE(cache_usable, "darter_cache_usable", NULL,
                       "1 = the cache can be used, 0 = pulls stream through.");
static DT_DEFINE_GAUGE(start_time, "darter_start_time_seconds", NULL,
                       "When the process started, seconds since 1970.");

static void set_cache_rows(struct cache *cache)
{
    struct cache_usage usage;
    cache_usage(&usage, cache);
    dt_metric_set(&cache_usable, usage.is_usable);
    dt_metric_fields_set(cache_rows, sizeof cache_rows / sizeof cache_rows[0], &usage);
}

/* ---- the endpoints ---- */

enum endpoint_metric {
    ENDPOINT_UP,
    ENDPOINT_OK,
    ENDPOINT_FAILED,
    ENDPOINT_BYTES,
    ENDPOINT_STRIKES,
    ENDPOINT_METRICS
};
static const struct {
    const char *name, *help;
    enum dt_metric_kind kind;
} endpoint_rows[ENDPOINT_METRICS] = {
    [ENDPOINT_UP] = {"darter_endpoint_up", "1 = the endpoint's breaker is closed.", DT_GAUGE},
    [ENDPOINT_OK] = {"darter_endpoint_ok_total", "Requests the endpoint answered.", DT_COUNTER},
    [ENDPOINT_FAILED] = {"darter_endpoint_failed_total", "Requests the endpoint failed.",
                         DT_COUNTER},
    [ENDPOINT_BYTES] = {"darter_endpoint_bytes_total", "Body bytes read from the endpoint.",
                        DT_COUNTER},
    [ENDPOINT_STRIKES] = {"darter_endpoint_strikes_total", "Times it sent wrong bytes.",
                          DT_COUNTER},
};

/* One per endpoint, in the order of the upstreams; set once before the listener opens. */
static struct dt_metric (*endpoint_metrics)[ENDPOINT_METRICS];

static void add_label(struct dt_text *out, const char *name, const char *value)
{
    dt_text_addf(out, "%s%s=\"", out->len > 0 ? "," : "", name);
    for (; *value != '\0'; value++) /* exposition format: backslash and quote are escaped */
        dt_text_addf(out, "%s%c", *value == '"' || *value == '\\' ? "\\" : "", *value);
    dt_text_add(out, "\"");
}

static void register_endpoint(struct dt_metric *set, const struct reg_upstream *upstream,
                              const struct reg_endpoint *endpoint)
{
    struct dt_text labels = {0};
    add_label(&labels, "upstream", upstream->name);
    add_label(&labels, "endpoint", endpoint->url);
    const char *text = dt_text_take(&labels);
    for (int i = 0; i < ENDPOINT_METRICS; i++) {
        set[i].name = endpoint_rows[i].name;
        set[i].help = endpoint_rows[i].help;
        set[i].kind = endpoint_rows[i].kind;
        set[i].labels = text;
        dt_metric_register(&set[i]);
    }
}

static void set_endpoint(struct dt_metric *set, const struct reg_endpoint *endpoint,
                         uint64_t now_ms)
{
    dt_metric_set(&set[ENDPOINT_UP], reg_endpoint_breaker(endpoint, now_ms) == REG_BREAKER_CLOSED);
    dt_metric_set(&set[ENDPOINT_OK], (int64_t)atomic_load(&endpoint->ok_total));
    dt_metric_set(&set[ENDPOINT_FAILED], (int64_t)atomic_load(&endpoint->failed_total));
    dt_metric_set(&set[ENDPOINT_BYTES], (int64_t)atomic_load(&endpoint->bytes_total));
    dt_metric_set(&set[ENDPOINT_STRIKES], (int64_t)atomic_load(&endpoint->strikes));
}

void transfer_admin_metrics_register(const struct transfer_admin *admin)
{
    const struct reg_upstreams *upstreams = admin->opts.upstreams;
    size_t n = 0;
    if (endpoint_metrics != NULL)
        return;
    dt_metric_register(&cache_usable);
    dt_metric_register(&start_time);
    dt_metric_set(&start_time, (int64_t)(admin->opts.started_ms / 1000));
    dt_metric_fields_register(cache_rows, sizeof cache_rows / sizeof cache_rows[0]);
    for (size_t i = 0; i < upstreams->n; i++)
        n += upstreams->list[i].n_endpoints;
    endpoint_metrics = dt_calloc(n, sizeof *endpoint_metrics);
    n = 0;
    for (size_t i = 0; i < upstreams->n; i++)
        for (size_t e = 0; e < upstreams->list[i].n_endpoints; e++)
            register_endpoint(endpoint_metrics[n++], &upstreams->list[i],
                              &upstreams->list[i].endpoints[e]);
}

void transfer_admin_get_metrics(struct dt_admin_call *call)
{
    const struct transfer_admin *admin = transfer_admin_of(call);
    const struct reg_upstreams *upstreams = admin->opts.upstreams;
    uint64_t now_ms = dt_mono_us() / 1000;
    size_t n = 0;
    set_cache_rows(admin->opts.transfer->cache);
    for (size_t i = 0; i < upstreams->n; i++)
        for (size_t e = 0; e < upstreams->list[i].n_endpoints; e++)
            set_endpoint(endpoint_metrics[n++], &upstreams->list[i].endpoints[e], now_ms);
    if (admin->opts.refresh_metrics != NULL)
        admin->opts.refresh_metrics(admin->opts.daemon);
    struct dt_text text = {0};
    dt_metrics_print(&text);
    dt_admin_answer_text(call, 200, "text/plain; version=0.0.4; charset=utf-8",
                         dt_text_take(&text));
}
