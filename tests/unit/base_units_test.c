/*
 * tests/unit/base_units_test.c - quantities by table, both ways.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/units.h"

struct quantity {
    const char *text;
    uint64_t value;
};

static void size_parse__reads_what_people_write(void **state)
{
    (void)state;
    static const struct quantity good[] = {
        {"0", 0},
        {"512", 512},
        {"512B", 512},
        {"64KiB", 64 * KIB},
        {"64 KiB", 64 * KIB},
        {"1.5GiB", GIB + GIB / 2},
        {"20GB", 20000000000},
        {"3kB", 3000},
        {"18446744073709551615", UINT64_MAX},
        {"0.001MB", 1000},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t bytes = 1;
        assert_int_equal(dt_size_parse(&bytes, good[i].text, NULL), 0);
        assert_true(bytes == good[i].value);
    }
}

static void size_parse__refuses_the_rest(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "10%",
                                      "-1",
                                      "+1",
                                      "1.5",
                                      "1.",
                                      ".5GiB",
                                      "1e3",
                                      "Gb",
                                      "1Gb",
                                      "1 ",
                                      "1  KiB",
                                      " 1",
                                      "20gb",
                                      "16384PiB",
                                      "18446744073709551616",
                                      "1.0000000001GiB",
                                      "1KiB "};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t bytes;
        struct dt_err err = {0};
        assert_int_equal(dt_size_parse(&bytes, bad[i], &err), -DT_EINVAL);
        assert_non_null(strstr(err.msg, "is not a size"));
    }
}

static void size_format__picks_the_unit_a_person_would(void **state)
{
    (void)state;
    static const struct quantity cases[] = {
        {"0 B", 0},           {"1023 B", 1023},           {"1 KiB", 1024},
        {"1.5 KiB", 1536},    {"1023 KiB", 1023 * KIB},   {"1 MiB", MIB - 1}, /* never "1024 KiB" */
        {"20 GiB", 20 * GIB}, {"1.5 GiB", GIB + GIB / 2}, {"16384 PiB", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[24];
        assert_string_equal(dt_size_format(text, cases[i].value), cases[i].text);
    }
}

static void duration_parse__demands_a_unit(void **state)
{
    (void)state;
    static const struct quantity good[] = {
        {"250ms", 250},    {"30s", 30000},    {"1.5s", 1500}, {"5m", 300000},
        {"12h", 43200000}, {"7d", 604800000}, {"0s", 0},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        uint64_t ms = 1;
        assert_int_equal(dt_duration_parse(&ms, good[i].text, NULL), 0);
        assert_true(ms == good[i].value);
    }
    static const char *const bad[] = {"",      "30",  "0", "1.5ms",        "5M",
                                      "1h30m", "-1s", "s", "213503982335d"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t ms;
        struct dt_err err = {0};
        assert_int_equal(dt_duration_parse(&ms, bad[i], &err), -DT_EINVAL);
        assert_non_null(strstr(err.msg, "is not a duration"));
    }
}

static void duration_format__is_short(void **state)
{
    (void)state;
    static const struct quantity cases[] = {
        {"0ms", 0},    {"250ms", 250}, {"30s", 30000},    {"1.5s", 1500},
        {"1m", 59970}, {"5m", 300000}, {"7d", 604800000}, {"213503982334.6d", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[24];
        assert_string_equal(dt_duration_format(text, cases[i].value), cases[i].text);
    }
}

static void time_format__is_rfc_3339(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(dt_time_format(text, 1795377901123), "2026-11-22T20:05:01.123Z");
    assert_string_equal(dt_time_format(text, 0), "1970-01-01T00:00:00.000Z");
    assert_string_equal(dt_time_format(text, 253402300799999), "9999-12-31T23:59:59.999Z");
    assert_string_equal(dt_time_format(text, UINT64_MAX), "1970-01-01T00:00:00.000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(size_parse__reads_what_people_write),
        cmocka_unit_test(size_parse__refuses_the_rest),
        cmocka_unit_test(size_format__picks_the_unit_a_person_would),
        cmocka_unit_test(duration_parse__demands_a_unit),
        cmocka_unit_test(duration_format__is_short),
        cmocka_unit_test(time_format__is_rfc_3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
