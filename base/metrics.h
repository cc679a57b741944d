/*
 * base/metrics.h - counters, gauges and histograms in Prometheus text format (version 0.0.4).
 *
 * A metric is a static variable in the file it belongs to. Those of the macros are there, as 0,
 * from the start: an alert on a counter's growth must see the step from 0 to 1. Others register on
 * first use. /metrics prints all that registered, sorted by name. Updating is one relaxed atomic
 * addition; any thread. Names follow Prometheus' conventions: darter_<what>_<unit>[_total].
 */
#ifndef DARTER_BASE_METRICS_H
#define DARTER_BASE_METRICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

enum dt_metric_kind { DT_COUNTER, DT_GAUGE, DT_HISTOGRAM };

#define DT_METRIC_BUCKETS_MAX 16
struct dt_metric {
    const char *name;
    const char *labels; /* "source=\"disk\"" or NULL; other labels are another variable */
    const char *help;
    enum dt_metric_kind kind;
    const double *bounds;  /* HISTOGRAM: upper bounds, ascending, ended by 0 */
    _Atomic int64_t value; /* COUNTER, GAUGE; HISTOGRAM: sum in microunits */
    _Atomic int64_t buckets[DT_METRIC_BUCKETS_MAX + 1];
    _Atomic int is_registered;
    struct dt_metric *next;
};

#define DT_DEFINE_COUNTER(var, metric_name, metric_labels, metric_help)                            \
    struct dt_metric var = {                                                                       \
        .name = metric_name, .labels = metric_labels, .help = metric_help, .kind = DT_COUNTER};    \
    DT_SHOW_METRICS(&var, 1, var)
#define DT_DEFINE_GAUGE(var, metric_name, metric_labels, metric_help)                              \
    struct dt_metric var = {                                                                       \
        .name = metric_name, .labels = metric_labels, .help = metric_help, .kind = DT_GAUGE};      \
    DT_SHOW_METRICS(&var, 1, var)
/* Registers `n` of them before main(); `word` makes the function's name. */
#define DT_SHOW_METRICS(first, n, word)                                                            \
    __attribute__((constructor)) static void show_##word(void)                                     \
    {                                                                                              \
        for (size_t i = 0; i < (n); i++)                                                           \
            dt_metric_register((first) + i);                                                       \
    }                                                                                              \
    _Static_assert((n) > 0, "there is one")

/* Makes a metric show up (as 0) before its first event. */
void dt_metric_register(struct dt_metric *);
void dt_metric_add(struct dt_metric *, int64_t delta);
void dt_metric_set(struct dt_metric *, int64_t value);
void dt_metric_observe(struct dt_metric *, double value); /* histograms */
int64_t dt_metric_value(const struct dt_metric *);
/* Upper bounds for request latencies: 1 ms ... 60 s. */
extern const double dt_latency_bounds_s[];

/* Numbers that live in a struct of counts elsewhere: one row for each uint64_t. */
struct dt_metric_field {
    struct dt_metric metric;
    size_t offset;
};
#define DT_METRIC_FIELD(metric_name, metric_kind, metric_help, type, field)                        \
    {                                                                                              \
        {.name = metric_name, .help = metric_help, .kind = metric_kind}, offsetof(type, field)     \
    }
void dt_metric_fields_register(struct dt_metric_field *, size_t n);
void dt_metric_fields_set(struct dt_metric_field *, size_t n, const void *object);

/* Appends everything registered. Values that live elsewhere (cache usage) are set as gauges by
 * the caller just before. */
void dt_metrics_print(struct dt_text *out);

#endif
