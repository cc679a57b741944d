/*
 * tests/unit/base_metrics_test.c - the text form, by exact comparison.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/metrics.h"

static DT_DEFINE_COUNTER(disk, "darter_test_bytes_total", "source=\"disk\"", "Bytes\nby \\source.");
static DT_DEFINE_COUNTER(origin, "darter_test_bytes_total", "source=\"origin\"",
                         "Bytes\nby \\source.");
static DT_DEFINE_COUNTER(accidents, "darter_test_accidents_total", NULL, "Nothing happened yet.");
static DT_DEFINE_GAUGE(active, "darter_test_active", NULL, "Now active.");

static const double bounds[] = {0.5, 1, 2.5, 0};
static struct dt_metric latency = {
    .name = "darter_test_seconds", .help = "Latency.", .kind = DT_HISTOGRAM, .bounds = bounds};
static struct dt_metric labelled = {.name = "darter_test_wait_seconds",
                                    .labels = "kind=\"a\"",
                                    .help = "Wait.",
                                    .kind = DT_HISTOGRAM,
                                    .bounds = dt_latency_bounds_s};

static void metrics__print_sorted_with_help_once_per_name(void **state)
{
    (void)state;
    dt_metric_register(&origin);
    dt_metric_register(&origin);
    dt_metric_add(&disk, 40);
    dt_metric_add(&disk, 2);
    dt_metric_set(&active, -3);
    dt_metric_observe(&latency, 0.5);
    dt_metric_observe(&latency, 0.75);
    dt_metric_observe(&latency, 99);
    assert_int_equal(dt_metric_value(&disk), 42);
    assert_int_equal(dt_metric_value(&accidents), 0);
    struct dt_text out = {0};
    dt_metrics_print(&out);
    /* What nothing has happened to is there from the start, as 0. */
    assert_string_equal(dt_text_str(&out),
                        "# HELP darter_test_accidents_total Nothing happened yet.\n"
                        "# TYPE darter_test_accidents_total counter\n"
                        "darter_test_accidents_total 0\n"
                        "# HELP darter_test_active Now active.\n"
                        "# TYPE darter_test_active gauge\n"
                        "darter_test_active -3\n"
                        "# HELP darter_test_bytes_total Bytes\\nby \\\\source.\n"
                        "# TYPE darter_test_bytes_total counter\n"
                        "darter_test_bytes_total{source=\"disk\"} 42\n"
                        "darter_test_bytes_total{source=\"origin\"} 0\n"
                        "# HELP darter_test_seconds Latency.\n"
                        "# TYPE darter_test_seconds histogram\n"
                        "darter_test_seconds_bucket{le=\"0.5\"} 1\n"
                        "darter_test_seconds_bucket{le=\"1\"} 2\n"
                        "darter_test_seconds_bucket{le=\"2.5\"} 2\n"
                        "darter_test_seconds_bucket{le=\"+Inf\"} 3\n"
                        "darter_test_seconds_sum 100.250000\n"
                        "darter_test_seconds_count 3\n");
    dt_text_fini(&out);
}

static void histogram__carries_its_labels_on_every_line(void **state)
{
    (void)state;
    dt_metric_observe(&labelled, 45);
    struct dt_text out = {0};
    dt_metrics_print(&out);
    const char *text = dt_text_str(&out);
    assert_non_null(strstr(text, "darter_test_wait_seconds_bucket{kind=\"a\",le=\"0.001\"} 0\n"));
    assert_non_null(strstr(text, "darter_test_wait_seconds_bucket{kind=\"a\",le=\"60\"} 1\n"));
    assert_non_null(strstr(text, "darter_test_wait_seconds_sum{kind=\"a\"} 45.000000\n"));
    assert_non_null(strstr(text, "darter_test_wait_seconds_count{kind=\"a\"} 1\n"));
    dt_text_fini(&out);
}

static struct dt_metric many[64];

static void *count_all(void *arg)
{
    for (int round = 0; round < 100; round++)
        for (size_t i = 0; i < 64; i++)
            dt_metric_add(&many[i], 1);
    return arg;
}

static void metrics__register_once_from_many_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < 64; i++)
        many[i] = (struct dt_metric){.name = "darter_test_many_total", .help = "Many."};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_all, NULL), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    struct dt_text out = {0};
    dt_metrics_print(&out);
    unsigned n = 0;
    for (const char *at = dt_text_str(&out);
         (at = strstr(at, "\ndarter_test_many_total 400\n")) != NULL; at++)
        n++;
    assert_int_equal(n, 64);
    dt_text_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics__print_sorted_with_help_once_per_name),
        cmocka_unit_test(histogram__carries_its_labels_on_every_line),
        cmocka_unit_test(metrics__register_once_from_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
