/*
 * base/metrics.c - the list of metrics and its Prometheus text form.
 *
 * Metrics are static variables chained into one list by compare-and-swap on first use; they never
 * leave it, so readers need no lock. Printing sorts a snapshot, writes HELP and TYPE once per name
 * and sees each number at a slightly different moment, as Prometheus expects.
 */
#include "base/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define MICRO 1e6

const double dt_latency_bounds_s[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                      0.5,   1,      2.5,   5,    10,    30,   60,  0};

static struct dt_metric *_Atomic all_metrics;

static const struct {
    const char *type;
} kinds[] = {
    [DT_COUNTER] = {"counter"},
    [DT_GAUGE] = {"gauge"},
    [DT_HISTOGRAM] = {"histogram"},
};

static size_t bounds_count(const struct dt_metric *metric)
{
    size_t n = 0;
    while (metric->bounds[n] > 0)
        n++;
    return n;
}

void dt_metric_register(struct dt_metric *metric)
{
    if (atomic_load_explicit(&metric->is_registered, memory_order_relaxed) != 0)
        return;
    if (atomic_exchange(&metric->is_registered, 1) != 0)
        return; /* another thread is just doing it */
    if (metric->kind == DT_HISTOGRAM)
        DT_ASSERT(bounds_count(metric) <= DT_METRIC_BUCKETS_MAX);
    struct dt_metric *head = atomic_load(&all_metrics);
    do {
        metric->next = head;
    } while (!atomic_compare_exchange_weak(&all_metrics, &head, metric));
}

void dt_metric_add(struct dt_metric *metric, int64_t delta)
{
    dt_metric_register(metric);
    atomic_fetch_add_explicit(&metric->value, delta, memory_order_relaxed);
}

void dt_metric_set(struct dt_metric *metric, int64_t value)
{
    dt_metric_register(metric);
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

void dt_metric_observe(struct dt_metric *metric, double value)
{
    DT_ASSERT(metric->kind == DT_HISTOGRAM);
    dt_metric_register(metric);
    size_t bucket = 0;
    while (metric->bounds[bucket] > 0 && value > metric->bounds[bucket])
        bucket++;
    atomic_fetch_add_explicit(&metric->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&metric->value, (int64_t)(value * MICRO), memory_order_relaxed);
}

void dt_metric_fields_register(struct dt_metric_field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dt_metric_register(&fields[i].metric);
}

void dt_metric_fields_set(struct dt_metric_field *fields, size_t n, const void *object)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t value;
        memcpy(&value, (const char *)object + fields[i].offset, sizeof value);
        dt_metric_set(&fields[i].metric, (int64_t)value);
    }
}

int64_t dt_metric_value(const struct dt_metric *metric)
{
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

static int metric_order(const void *left, const void *right)
{
    const struct dt_metric *a = *(struct dt_metric *const *)left;
    const struct dt_metric *b = *(struct dt_metric *const *)right;
    int by_name = strcmp(a->name, b->name);
    return by_name != 0 ? by_name : strcmp(a->labels ? a->labels : "", b->labels ? b->labels : "");
}

static void help_print(struct dt_text *out, const struct dt_metric *metric)
{
    dt_text_addf(out, "# HELP %s ", metric->name);
    for (const char *c = metric->help; *c != '\0'; c++)
        dt_text_add_len(out,
                        *c == '\n'   ? "\\n"
                        : *c == '\\' ? "\\\\"
                                     : c,
                        *c == '\n' || *c == '\\' ? 2 : 1);
    dt_text_addf(out, "\n# TYPE %s %s\n", metric->name, kinds[metric->kind].type);
}

static void histogram_print(struct dt_text *out, const struct dt_metric *metric)
{
    const char *labels = metric->labels ? metric->labels : "";
    const char *comma = metric->labels ? "," : "";
    const char *open = metric->labels ? "{" : "", *close = metric->labels ? "}" : "";
    size_t n = bounds_count(metric);
    int64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        total += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        dt_text_addf(out, "%s_bucket{%s%sle=\"%g\"} %lld\n", metric->name, labels, comma,
                     metric->bounds[i], (long long)total);
    }
    total += atomic_load_explicit(&metric->buckets[n], memory_order_relaxed);
    dt_text_addf(out, "%s_bucket{%s%sle=\"+Inf\"} %lld\n", metric->name, labels, comma,
                 (long long)total);
    dt_text_addf(out, "%s_sum%s%s%s %.6f\n", metric->name, open, labels, close,
                 (double)dt_metric_value(metric) / MICRO);
    dt_text_addf(out, "%s_count%s%s%s %lld\n", metric->name, open, labels, close, (long long)total);
}

static void metric_print(struct dt_text *out, const struct dt_metric *metric)
{
    if (metric->kind == DT_HISTOGRAM)
        histogram_print(out, metric);
    else if (metric->labels != NULL)
        dt_text_addf(out, "%s{%s} %lld\n", metric->name, metric->labels,
                     (long long)dt_metric_value(metric));
    else
        dt_text_addf(out, "%s %lld\n", metric->name, (long long)dt_metric_value(metric));
}

void dt_metrics_print(struct dt_text *out)
{
    /* One snapshot of the head: a metric that registers meanwhile shows up next time. */
    struct dt_metric *head = atomic_load(&all_metrics);
    size_t n = 0;
    for (const struct dt_metric *metric = head; metric != NULL; metric = metric->next)
        n++;
    struct dt_metric **sorted = dt_new_array(struct dt_metric *, n);
    size_t i = 0;
    for (struct dt_metric *metric = head; metric != NULL; metric = metric->next)
        sorted[i++] = metric;
    qsort(sorted, n, sizeof(sorted[0]), metric_order);
    for (i = 0; i < n; i++) {
        if (i == 0 || strcmp(sorted[i]->name, sorted[i - 1]->name) != 0)
            help_print(out, sorted[i]);
        metric_print(out, sorted[i]);
    }
    free(sorted);
}
