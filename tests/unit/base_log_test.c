/*
 * tests/unit/base_log_test.c - lines come out whole, escaped, counted, and before the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_COMPONENT "test"
#include "base/log.h"
#include "base/log_priv.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"

static const struct log_event sample = {
    .time = "2026-11-22T20:05:01.123Z",
    .level = "WARN",
    .thread = "loop0",
    .component = "fetch",
    .event = "endpoint_down",
    .body = "",
};

/* Everything that arrives until all writers are gone. */
static char *read_all(int fd)
{
    struct dt_text text = {0};
    char chunk[8192];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        dt_text_add_len(&text, chunk, (size_t)n);
    assert_int_equal(n, 0);
    return dt_text_take(&text);
}

static unsigned count(const char *text, const char *needle)
{
    unsigned n = 0;
    while ((text = strstr(text, needle)) != NULL)
        n++, text += strlen(needle);
    return n;
}

static void kv__is_one_plain_line(void **state)
{
    (void)state;
    struct dt_text out = {0};
    struct log_event event = sample;
    event.body = "upstream=docker.io n=3";
    dt_log_format_kv(&out, &event);
    event.body = "forged=\nERROR\x1b[0m\xc3\xa4";
    dt_log_format_kv(&out, &event);
    event.body = "";
    dt_log_format_kv(&out, &event);
    assert_string_equal(
        dt_text_str(&out),
        "2026-11-22T20:05:01.123Z WARN loop0 fetch endpoint_down upstream=docker.io n=3\n"
        "2026-11-22T20:05:01.123Z WARN loop0 fetch endpoint_down "
        "forged=\\nERROR\\x1b[0m\\xc3\\xa4\n"
        "2026-11-22T20:05:01.123Z WARN loop0 fetch endpoint_down\n");
    dt_text_fini(&out);
}

static void json__holds_the_same_values(void **state)
{
    (void)state;
    struct dt_text out = {0};
    struct log_event event = sample;
    event.body = "n=3 path=\"a \\\"b\\\" \\\\ \\n \\x1b \\xc3\" raw=\xc3 word  open=\"un\\";
    dt_log_format_json(&out, &event);
    assert_string_equal(
        dt_text_str(&out),
        "{\"ts\":\"2026-11-22T20:05:01.123Z\",\"level\":\"WARN\",\"thread\":\"loop0\","
        "\"component\":\"fetch\",\"event\":\"endpoint_down\",\"n\":\"3\","
        "\"path\":\"a \\\"b\\\" \\\\ \\u000a \\u001b \\\\xc3\",\"raw\":\"\\\\xc3\",\"word\":true,"
        "\"open\":\"un\\\\\"}\n");
    dt_text_fini(&out);
}

static void lines__have_a_limit_in_both_formats(void **state)
{
    (void)state;
    char body[5000];
    memset(body, '\n', sizeof(body) - 1);
    memcpy(body, "a=1 b=", 6);
    body[sizeof(body) - 1] = '\0';
    struct log_event event = sample;
    event.body = body;
    struct dt_text out = {0};
    dt_log_format_kv(&out, &event);
    assert_true(out.len <= LOG_LINE_MAX);
    assert_int_equal(out.data[out.len - 1], '\n');
    assert_int_equal(count(dt_text_str(&out), "\n"), 1);
    dt_text_clear(&out);
    dt_log_format_json(&out, &event);
    assert_true(out.len <= LOG_LINE_MAX);
    assert_non_null(strstr(dt_text_str(&out), ",\"a\":\"1\",\"cut\":true}\n"));
    dt_text_fini(&out);
}

static void quote__leaves_plain_words_alone_and_escapes_the_rest(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"docker.io/library/nginx:1.27", "docker.io/library/nginx:1.27"},
        {"", "\"\""},
        {NULL, "-"},
        {"two words", "\"two words\""},
        {"level=ERROR", "\"level=ERROR\""},
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"a\r\n\t\x01\x7f\xff", "\"a\\r\\n\\t\\x01\\x7f\\xff\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(DT_LOG_Q(cases[i].in), cases[i].out);
}

static void quote__cuts_long_values_and_closes_the_quote(void **state)
{
    (void)state;
    char out[16];
    assert_string_equal(dt_log_quote(out, sizeof(out), "abcdefghijklmnopqrstuvwxyz"),
                        "\"abcdefghij...\"");
    assert_string_equal(dt_log_quote(out, sizeof(out), "abcdefghi\x01"), "\"abcdefghi...\"");
    assert_string_equal(dt_log_quote(out, sizeof(out), "abcdefghijklmno"), "abcdefghijklmno");
}

static void quote__keeps_eight_values_apart(void **state)
{
    (void)state;
    const char *values[8];
    for (int i = 0; i < 8; i++) {
        char text[2] = {(char)('a' + i), '\0'};
        values[i] = DT_LOG_Q(text);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(values[i][0], 'a' + i);
}

static void log__writes_what_was_queued_before_it_stops(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    dt_log_thread_name("a-name-that-is-far-too-long");
    dt_log_start(fds[1], DT_LOG_INFO, DT_LOG_KV);
    for (int i = 0; i < 100; i++)
        dt_log_info("event", "i=%d", i);
    dt_log_debug("hidden", "x=%d", 1);
    dt_log_set_level(DT_LOG_DEBUG);
    dt_log_debug("shown", "x=%d", 1);
    dt_log_stop();
    dt_log_stop(); /* harmless */
    close(fds[1]);
    char *text = read_all(fds[0]);
    close(fds[0]);
    assert_int_equal(count(text, "\n"), 101);
    assert_non_null(strstr(text, "Z INFO a-name-that-is- test event i=99\n"));
    assert_null(strstr(text, "hidden"));
    assert_non_null(strstr(text, " DEBUG "));
    free(text);
    dt_log_thread_name("main");
}

static void log__restarts_in_json(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    dt_log_start(fds[1], DT_LOG_WARN, DT_LOG_JSON);
    dt_log_info("below_the_level", "n=%d", 1);
    dt_log_error("boom", "why=%s", DT_LOG_Q("no \"space\""));
    dt_log_stop();
    close(fds[1]);
    char *text = read_all(fds[0]);
    close(fds[0]);
    assert_int_equal(count(text, "\n"), 1);
    assert_non_null(strstr(text, "\"level\":\"ERROR\",\"thread\":\"main\",\"component\":\"test\","
                                 "\"event\":\"boom\",\"why\":\"no \\\"space\\\"\"}\n"));
    free(text);
}

static void *reader_main(void *arg)
{
    return read_all(*(int *)arg);
}

static void log__counts_what_it_drops_while_nobody_reads(void **state)
{
    (void)state;
    enum { N_LINES = 3 * LOG_QUEUE_MAX };
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    dt_log_start(fds[1], DT_LOG_INFO, DT_LOG_KV);
    for (int i = 0; i < N_LINES; i++)
        dt_log_info("flood", "i=%d padding=%0100d", i, 0);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, reader_main, &fds[0]), 0);
    dt_log_stop();
    close(fds[1]);
    void *text;
    assert_int_equal(pthread_join(reader, &text), 0);
    close(fds[0]);
    unsigned long n_dropped = 0;
    for (const char *at = text; (at = strstr(at, "log lines_dropped count=")) != NULL;)
        n_dropped += strtoul(at += strlen("log lines_dropped count="), NULL, 10);
    assert_true(n_dropped > 0);
    assert_int_equal(count(text, " flood i=") + n_dropped, N_LINES);
    struct dt_text metrics = {0};
    dt_metrics_print(&metrics);
    char *sample_line = dt_asprintf("\ndarter_log_dropped_lines_total %lu\n", n_dropped);
    assert_non_null(strstr(dt_text_str(&metrics), sample_line));
    free(sample_line);
    dt_text_fini(&metrics);
    free(text);
}

static void log__stops_although_the_reader_is_stuck(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    dt_log_start(fds[1], DT_LOG_INFO, DT_LOG_KV);
    for (int i = 0; i < 2000; i++)
        dt_log_info("stuck", "padding=%0200d", 0);
    dt_log_stop(); /* the test is that this returns */
    close(fds[0]);
    close(fds[1]);
}

static void log__survives_a_reader_that_went_away(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    close(fds[0]);
    dt_log_start(fds[1], DT_LOG_INFO, DT_LOG_KV);
    dt_log_info("unheard", "n=%d", 1);
    dt_log_stop(); /* SIGPIPE would have ended us */
    close(fds[1]);
}

static void log__says_when_a_line_was_cut(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    dt_log_start(fds[1], DT_LOG_INFO, DT_LOG_KV);
    dt_log_info("long", "padding=%05000d", 0);
    dt_log_flush();
    char text[8192];
    ssize_t len = read(fds[0], text, sizeof(text)); /* flushed: it is there before the stop */
    assert_true(len > 3000 && len <= LOG_LINE_MAX);
    assert_memory_equal(text + len - 5, "0...\n", 5);
    dt_log_stop();
    close(fds[0]);
    close(fds[1]);
}

static void *shout(void *arg)
{
    dt_log_thread_name(arg);
    for (int i = 0; i < 500; i++)
        dt_log_info("shout", "by=%s i=%d", DT_LOG_Q(arg), i);
    return NULL;
}

static void log__takes_lines_from_many_threads(void **state)
{
    (void)state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pthread_t reader, threads[4];
    static char names[4][8] = {"pool0", "pool1", "pool2", "pool3"};
    assert_int_equal(pthread_create(&reader, NULL, reader_main, &fds[0]), 0);
    dt_log_start(fds[1], DT_LOG_INFO, DT_LOG_KV);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, shout, names[i]), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    dt_log_stop();
    close(fds[1]);
    void *text;
    assert_int_equal(pthread_join(reader, &text), 0);
    close(fds[0]);
    assert_int_equal(count(text, "\n"), 2000);
    assert_int_equal(count(text, "INFO pool2 test shout by=pool2 i="), 500);
    free(text);
}

static void log__speaks_at_once_while_it_is_not_running(void **state)
{
    (void)state;
    int fds[2], saved = dup(STDERR_FILENO);
    assert_true(saved >= 0);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    dt_log_warn("early", "n=%d", 1);
    assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
    close(saved);
    close(fds[1]);
    char *text = read_all(fds[0]);
    close(fds[0]);
    assert_non_null(strstr(text, "WARN main test early n=1\n"));
    free(text);
}

static void level_parse__knows_four_words(void **state)
{
    (void)state;
    enum dt_log_level level;
    struct dt_err err = {0};
    assert_int_equal(dt_log_level_parse(&level, "Warn", &err), 0);
    assert_int_equal(level, DT_LOG_WARN);
    assert_int_equal(dt_log_level_parse(&level, "trace", &err), -DT_EINVAL);
    assert_non_null(strstr(err.msg, "'trace' is not a log level"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kv__is_one_plain_line),
        cmocka_unit_test(json__holds_the_same_values),
        cmocka_unit_test(lines__have_a_limit_in_both_formats),
        cmocka_unit_test(quote__leaves_plain_words_alone_and_escapes_the_rest),
        cmocka_unit_test(quote__cuts_long_values_and_closes_the_quote),
        cmocka_unit_test(quote__keeps_eight_values_apart),
        cmocka_unit_test(log__writes_what_was_queued_before_it_stops),
        cmocka_unit_test(log__restarts_in_json),
        cmocka_unit_test(log__counts_what_it_drops_while_nobody_reads),
        cmocka_unit_test(log__stops_although_the_reader_is_stuck),
        cmocka_unit_test(log__survives_a_reader_that_went_away),
        cmocka_unit_test(log__says_when_a_line_was_cut),
        cmocka_unit_test(log__takes_lines_from_many_threads),
        cmocka_unit_test(log__speaks_at_once_while_it_is_not_running),
        cmocka_unit_test(level_parse__knows_four_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
