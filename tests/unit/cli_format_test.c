/*
 * tests/unit/cli_format_test.c - what people read: tables, bars, short forms, a frame of tasks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/cli/cli.h"

static void table__columns_are_as_wide_as_their_widest_cell(void **state)
{
    (void)state;
    static const char *const titles[] = {"NAME", "SIZE", "NOTE"};
    struct cli_table table;
    struct dt_text text = {0};
    cli_table_init(&table, "lrl", titles);
    cli_table_add(&table, "a");
    cli_table_add_size(&table, 1536);
    cli_table_add(&table, "x");
    cli_table_add(&table, "longer");
    cli_table_add_number(&table, 1);
    cli_table_add(&table, NULL);
    cli_table_draw(&table, &text);
    assert_string_equal(dt_text_str(&text), "NAME       SIZE  NOTE\n"
                                            "a       1.5 KiB  x\n"
                                            "longer        1  -\n");
    dt_text_fini(&text);
}

static void text__cannot_move_the_cursor(void **state)
{
    (void)state;
    char *safe = cli_safe_text("a\033[2Jb\nc\177");
    assert_string_equal(safe, "a?[2Jb?c?");
    free(safe);
}

static void digest__is_shortened_to_twelve_digits(void **state)
{
    (void)state;
    char text[16];
    assert_string_equal(cli_short_digest(text, "sha256:0123456789abcdef"), "0123456789ab");
    assert_string_equal(cli_short_digest(text, "?"), "?");
}

static void time__is_short(void **state)
{
    (void)state;
    char text[24];
    assert_string_equal(cli_short_time(text, "2026-11-22T20:05:01.123Z"), "2026-11-22 20:05:01");
    assert_string_equal(cli_short_time(text, NULL), "-");
}

static void time_left__is_in_the_unit_that_matters(void **state)
{
    (void)state;
    char text[16];
    assert_string_equal(cli_time_left(text, 0, 10), "0s");
    assert_string_equal(cli_time_left(text, 1, 10), "1s");
    assert_string_equal(cli_time_left(text, 419, 10), "42s");
    assert_string_equal(cli_time_left(text, 1900, 10), "3m10s");
    assert_string_equal(cli_time_left(text, 75000, 10), "2h05m");
    assert_string_equal(cli_time_left(text, 1, 0), "-");
    assert_string_equal(cli_time_left(text, UINT64_MAX / 2, 1), "-");
}

static void is_bar(uint64_t done, uint64_t total, const char *wanted)
{
    struct dt_text text = {0};
    cli_bar(&text, 10, done, total);
    assert_string_equal(dt_text_str(&text), wanted);
    dt_text_fini(&text);
}

static void bar__is_full_only_when_all_is_done(void **state)
{
    (void)state;
    is_bar(0, 100, "[..........]");
    is_bar(50, 100, "[#####.....]");
    is_bar(99, 100, "[#########.]");
    is_bar(100, 100, "[##########]");
    is_bar(200, 100, "[##########]");
    is_bar(5, 0, "[..........]");
    is_bar(UINT64_MAX - 1, UINT64_MAX, "[#########.]");
}

static json_t *document(void)
{
    json_t *json = json_loads(
        "{\"tasks\":[{\"digest\":\"sha256:0123456789abcdef\",\"state\":\"fetching\","
        "\"size\":1048576,\"present_bytes\":524288,\"rate_bytes_s\":1024,\"clients\":3,"
        "\"bytes_by_source\":{\"disk\":0,\"mirror\":1024,\"origin\":523264}},"
        "{\"digest\":\"sha256:ffff\",\"state\":\"n\\u001bew\",\"size\":null,\"present_bytes\":0,"
        "\"rate_bytes_s\":0,\"clients\":1}]}",
        0, NULL);
    assert_non_null(json);
    return json;
}

static void tasks__are_shown_a_line_each(void **state)
{
    (void)state;
    json_t *json = document();
    struct dt_text text = {0};
    cli_tasks_frame(&text, json, 1000);
    assert_string_equal(
        dt_text_str(&text),
        "2 running\n"
        "0123456789ab fetching  [############............] 512 KiB/1 MiB  1 KiB/s  8m32s left  3 "
        "clients  mirror 1 KiB, origin 511 KiB\n"
        "ffff         n?ew      [........................] 0 B/?  0 B/s  - left  1 client  \n");
    dt_text_fini(&text);
    json_decref(json);
}

static void tasks__never_wrap(void **state)
{
    (void)state;
    json_t *json = document();
    struct dt_text text = {0};
    cli_tasks_frame(&text, json, 60);
    size_t width = 0;
    for (const char *c = dt_text_str(&text); *c != '\0'; c++) {
        width = *c == '\n' ? 0 : width + 1;
        assert_true(width <= 60);
    }
    dt_text_fini(&text);
    json_decref(json);
}

static void members__that_are_missing_read_as_nothing(void **state)
{
    (void)state;
    json_t *json = json_loads("{\"a\":-1,\"b\":null,\"c\":\"x\",\"d\":7}", 0, NULL);
    assert_int_equal(cli_number(json, "a"), 0);
    assert_int_equal(cli_number(json, "c"), 0);
    assert_int_equal(cli_number(json, "none"), 0);
    assert_int_equal(cli_number(json, "d"), 7);
    assert_null(cli_string(json, "b"));
    assert_null(cli_string(json, "none"));
    assert_null(cli_string(NULL, "none"));
    assert_string_equal(cli_string(json, "c"), "x");
    json_decref(json);
}

static void tasks__of_a_site_show_its_nodes(void **state)
{
    (void)state;
    json_t *document = json_pack(
        "{s:[{s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I}]}", "tasks", "digest",
        "sha256:0123456789abcdef", "state", "open", "size", (json_int_t)(8 << 20), "pieces", 4,
        "seeded", 2, "nodes", 7, "complete", 3, "flights", 5, "rate_bytes_s", (json_int_t)1048576,
        "seed_bytes", (json_int_t)2097152, "peer_bytes", (json_int_t)0);
    struct dt_text text = {0};
    cli_tasks_frame(&text, document, 200);
    assert_non_null(strstr(dt_text_str(&text), "0123456789ab open      ["));
    assert_non_null(strstr(dt_text_str(&text),
                           "8 MiB  7 nodes, 3 complete, 5 transfers  1 MiB/s  seed 2 MiB, peer"));
    dt_text_fini(&text);
    json_decref(document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(text__cannot_move_the_cursor),
        cmocka_unit_test(digest__is_shortened_to_twelve_digits),
        cmocka_unit_test(time__is_short),
        cmocka_unit_test(time_left__is_in_the_unit_that_matters),
        cmocka_unit_test(bar__is_full_only_when_all_is_done),
        cmocka_unit_test(tasks__are_shown_a_line_each),
        cmocka_unit_test(tasks__never_wrap),
        cmocka_unit_test(members__that_are_missing_read_as_nothing),
        cmocka_unit_test(tasks__of_a_site_show_its_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
