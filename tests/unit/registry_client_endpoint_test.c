/*
 * tests/unit/registry_client_endpoint_test.c - base URLs, the breaker's table, the choice.
 */
#include "registry-client/endpoint.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define N(a)      (sizeof(a) / sizeof((a)[0]))
#define NO_JITTER 20u /* wait * (80 + 20) / 100 */

static void url__is_normalised(void **state)
{
    static const struct {
        const char *given, *url;
    } ROWS[] = {
        {"https://registry-1.docker.io", "https://registry-1.docker.io"},
        {"https://h.test/", "https://h.test"},
        {"http://H.Test:5000//", "http://h.test:5000"},
        {"https://m.test/v2-prefix", "https://m.test/v2-prefix"},
        {"https://m.test/a/B_c~d.e/", "https://m.test/a/B_c~d.e"},
        {"http://[::1]:5000", "http://[::1]:5000"},
    };
    struct reg_endpoint e;
    struct dt_err err;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        if (reg_endpoint_init(&e, ROWS[i].given, 3, &err) != 0)
            fail_msg("%s: %s", ROWS[i].given, err.msg);
        assert_string_equal(e.url, ROWS[i].url);
        assert_int_equal(e.index, 3);
        assert_int_equal(reg_endpoint_breaker(&e, 0), REG_BREAKER_CLOSED);
        reg_endpoint_fini(&e);
        assert_null(e.url);
    }
}

static void url__is_refused(void **state)
{
    static const char *const ROWS[] = {
        "",
        "h.test",
        "ftp://h.test",
        "https://",
        "https://u:p@h.test",
        "https://h.test?x=1",
        "https://h.test/#f",
        "https://h.test/a b",
        "https://h.test/a//b",
        "https://h.test/../b",
        "https://h.test/.",
        "https://h.test/a%2fb",
        "https://h.test/v2",
        "https://h.test/pfx/v2/",
        "https://h.test:0",
        "https://h.test:99999",
    };
    struct reg_endpoint e;
    struct dt_err err;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        if (reg_endpoint_init(&e, ROWS[i], 0, &err) != -DT_EINVAL)
            fail_msg("accepted: %s", ROWS[i]);
        assert_null(e.url);
    }
}

static struct reg_endpoint healthy(void)
{
    struct reg_endpoint e;
    memset(&e, 0, sizeof(e));
    return e;
}

static void breaker__opens_after_failures_in_a_row(void **state)
{
    struct reg_endpoint e = healthy();
    (void)state;
    reg_endpoint_failed(&e, -DT_ETIMEOUT, 0, 100, 9, NO_JITTER);
    reg_endpoint_failed(&e, DT_EUNAVAILABLE, 0, 100, 9, NO_JITTER);
    assert_true(reg_endpoint_admit(&e, 100));
    reg_endpoint_ok(&e, 5, 10);
    reg_endpoint_failed(&e, DT_ETIMEOUT, 0, 100, 11, NO_JITTER);
    reg_endpoint_failed(&e, DT_ETIMEOUT, 0, 100, 11, NO_JITTER);
    assert_int_equal(reg_endpoint_breaker(&e, 100), REG_BREAKER_CLOSED);
    reg_endpoint_failed(&e, DT_EPROTO, 0, 100, 12, NO_JITTER);
    assert_int_equal(reg_endpoint_breaker(&e, 100), REG_BREAKER_OPEN);
    assert_int_equal(reg_endpoint_breaker(&e, 1099), REG_BREAKER_OPEN);
    assert_false(reg_endpoint_admit(&e, 1099));
    assert_int_equal(reg_endpoint_breaker(&e, 1100), REG_BREAKER_HALF_OPEN);
    assert_int_equal(e.failed_total, 5);
    assert_int_equal(e.ok_total, 1);
    assert_int_equal(e.last_failed_ms, 12);
    assert_int_equal(e.last_ok_ms, 10);
    assert_int_equal(e.last_error_code, DT_EPROTO);
}

static void fail_three_times(struct reg_endpoint *e, uint64_t now_ms)
{
    for (int i = 0; i < REG_BREAKER_FAILURES; i++)
        reg_endpoint_failed(e, DT_ETIMEOUT, 0, now_ms, 1, NO_JITTER);
}

static void breaker__lets_one_probe_out_per_window(void **state)
{
    struct reg_endpoint e = healthy();
    (void)state;
    fail_three_times(&e, 0);
    assert_true(reg_endpoint_admit(&e, 1000));
    assert_false(reg_endpoint_admit(&e, 1000));
    assert_false(reg_endpoint_admit(&e, 5999));
    assert_true(reg_endpoint_admit(&e, 6000)); /* the first one never came back */
    assert_false(reg_endpoint_admit(&e, 6001));
    reg_endpoint_ok(&e, 1, 1);
    assert_int_equal(reg_endpoint_breaker(&e, 6001), REG_BREAKER_CLOSED);
    assert_true(reg_endpoint_admit(&e, 6001));
    assert_true(reg_endpoint_admit(&e, 6001));
}

static void breaker__waits_longer_each_time_up_to_a_limit(void **state)
{
    static const uint64_t WAITS[] = {2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
    struct reg_endpoint e = healthy();
    uint64_t now = 1000;
    (void)state;
    fail_three_times(&e, 0);
    for (size_t i = 0; i < N(WAITS); i++) {
        assert_true(reg_endpoint_admit(&e, now));
        reg_endpoint_failed(&e, DT_ETIMEOUT, 0, now, 1, NO_JITTER);
        assert_int_equal(e.open_until_ms, now + WAITS[i]);
        now += WAITS[i];
    }
}

static void breaker__jitter_is_a_fifth(void **state)
{
    (void)state;
    for (uint32_t random = 0; random < 200; random++) {
        struct reg_endpoint e = healthy();
        for (int i = 0; i < REG_BREAKER_FAILURES; i++)
            reg_endpoint_failed(&e, DT_ETIMEOUT, 0, 0, 1, random);
        assert_in_range(e.open_until_ms, 800, 1200);
    }
}

static void failures__together_count_once(void **state)
{
    struct reg_endpoint e = healthy();
    (void)state;
    for (int i = 0; i < 100; i++)
        reg_endpoint_failed(&e, DT_ETIMEOUT, 0, 0, 1, NO_JITTER);
    assert_int_equal(e.open_until_ms, 1000);
    assert_int_equal(e.failures_in_row, 3);
    assert_int_equal(e.failed_total, 100);
}

static void retry_after__opens_at_once_and_is_clipped(void **state)
{
    struct reg_endpoint e = healthy();
    (void)state;
    reg_endpoint_failed(&e, DT_EBUSY, 7000, 50, 1, NO_JITTER);
    assert_int_equal(e.open_until_ms, 7050);
    reg_endpoint_failed(&e, DT_EBUSY, 100, 60, 1, NO_JITTER); /* never shortens a wait */
    assert_int_equal(e.open_until_ms, 7050);

    e = healthy();
    reg_endpoint_failed(&e, DT_EBUSY, UINT64_MAX, 50, 1, NO_JITTER);
    assert_int_equal(e.open_until_ms, 50 + REG_RETRY_AFTER_MAX_MS);

    e = healthy();
    reg_endpoint_failed(&e, DT_EBUSY, 0, 50, 1, NO_JITTER); /* Harbor names no time */
    assert_int_equal(e.open_until_ms, 1050);
}

static void answer__from_before_the_opening_does_not_close(void **state)
{
    struct reg_endpoint e = healthy();
    (void)state;
    reg_endpoint_failed(&e, DT_EBUSY, 7000, 0, 1, NO_JITTER);
    reg_endpoint_ok(&e, 1, 2);
    assert_int_equal(reg_endpoint_breaker(&e, 10), REG_BREAKER_OPEN);
    assert_int_equal(e.ok_total, 1);
    assert_true(reg_endpoint_admit(&e, 7000));
    reg_endpoint_ok(&e, 1, 2);
    assert_int_equal(reg_endpoint_breaker(&e, 7000), REG_BREAKER_CLOSED);
}

static void cancel__is_no_failure_and_frees_the_probe(void **state)
{
    struct reg_endpoint e = healthy();
    (void)state;
    for (int i = 0; i < 10; i++)
        reg_endpoint_failed(&e, -DT_ECANCELLED, 0, 0, 1, NO_JITTER);
    assert_int_equal(e.failed_total, 0);
    fail_three_times(&e, 0);
    assert_true(reg_endpoint_admit(&e, 1000));
    reg_endpoint_failed(&e, -DT_ECANCELLED, 0, 1001, 1, NO_JITTER);
    assert_true(reg_endpoint_admit(&e, 1002));
}

static void strike__opens_at_once(void **state)
{
    struct reg_endpoint e = healthy();
    (void)state;
    reg_endpoint_strike(&e, 0, 77);
    assert_int_equal(e.open_until_ms, 1000);
    assert_int_equal(e.strikes, 1);
    assert_int_equal(e.last_error_code, DT_EMISMATCH);
    assert_int_equal(e.last_failed_ms, 77);
    reg_endpoint_strike(&e, 0, 78);
    assert_int_equal(e.open_until_ms, 8000);
}

static void head_time__is_smoothed(void **state)
{
    struct reg_endpoint e = healthy();
    (void)state;
    reg_endpoint_ok(&e, 800, 1);
    assert_int_equal(e.head_us_ewma, 800);
    reg_endpoint_ok(&e, 1600, 1);
    assert_int_equal(e.head_us_ewma, 900);
    reg_endpoint_ok(&e, 100, 1);
    assert_int_equal(e.head_us_ewma, 800);
    reg_endpoint_ok(&e, UINT64_MAX, 1);
    assert_true(e.head_us_ewma > 500000000u);
}

static void flag__names_an_upstream(void **state)
{
    struct reg_upstream up;
    struct dt_err err;
    (void)state;
    assert_int_equal(
        reg_upstream_parse_flag(&up, "Harbor.Test:1234=https://a.test,http://b.test:81/pfx/", &err),
        0);
    assert_string_equal(up.name, "harbor.test:1234");
    assert_int_equal(up.n_endpoints, 2);
    assert_string_equal(up.endpoints[0].url, "https://a.test");
    assert_string_equal(up.endpoints[1].url, "http://b.test:81/pfx");
    assert_int_equal(up.endpoints[1].index, 1);
    assert_false(up.own_credentials);
    reg_upstream_fini(&up);
    assert_null(up.endpoints);
}

static void flag__is_refused(void **state)
{
    static const char *const ROWS[] = {
        "",
        "docker.io",
        "=https://a.test",
        "docker.io=",
        "a b=https://a.test",
        "docker.io=https://a.test,",
        "docker.io=https://a.test,https://A.test/",
        "docker.io=ftp://a.test",
        "d.io=,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,",
    };
    struct reg_upstream up;
    struct dt_err err;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        if (reg_upstream_parse_flag(&up, ROWS[i], &err) != -DT_EINVAL)
            fail_msg("accepted: %s", ROWS[i]);
        assert_null(up.name);
        assert_null(up.endpoints);
    }
}

static void pick__takes_the_first_that_may_be_asked(void **state)
{
    struct reg_endpoint endpoints[3] = {healthy(), healthy(), healthy()};
    struct reg_upstream up = {.endpoints = endpoints, .n_endpoints = 3};
    (void)state;
    assert_int_equal(reg_upstream_pick(&up, 0, 0), 0);
    assert_int_equal(reg_upstream_pick(&up, 1, 0), 1);
    assert_int_equal(reg_upstream_pick(&up, 3, 0), 2);
    assert_int_equal(reg_upstream_pick(&up, 7, 0), -1);
    fail_three_times(&endpoints[0], 0);
    assert_int_equal(reg_upstream_pick(&up, 0, 0), 1);
    assert_int_equal(reg_upstream_pick(&up, 0, 1000), 0); /* the probe */
    assert_int_equal(reg_upstream_pick(&up, 0, 1000), 1);
}

static void pick__has_a_last_resort(void **state)
{
    struct reg_endpoint endpoints[2] = {healthy(), healthy()};
    struct reg_upstream up = {.endpoints = endpoints, .n_endpoints = 2};
    (void)state;
    reg_endpoint_failed(&endpoints[0], DT_EBUSY, 9000, 0, 1, NO_JITTER);
    fail_three_times(&endpoints[1], 0);
    assert_int_equal(reg_upstream_pick(&up, 0, 10), 1);
    assert_int_equal(reg_upstream_pick(&up, 2, 10), -1);
    reg_endpoint_failed(&endpoints[1], DT_ETIMEOUT, 0, 10, 1, NO_JITTER);
    assert_int_equal(endpoints[1].open_until_ms, 2010);
    assert_int_equal(reg_upstream_pick(&up, 0, 20), 1);
    reg_endpoint_ok(&endpoints[1], 1, 1);
    assert_int_equal(reg_endpoint_breaker(&endpoints[1], 21), REG_BREAKER_CLOSED);

    struct reg_upstream none = {.endpoints = NULL};
    assert_int_equal(reg_upstream_pick(&none, 0, 0), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url__is_normalised),
        cmocka_unit_test(url__is_refused),
        cmocka_unit_test(breaker__opens_after_failures_in_a_row),
        cmocka_unit_test(breaker__lets_one_probe_out_per_window),
        cmocka_unit_test(breaker__waits_longer_each_time_up_to_a_limit),
        cmocka_unit_test(breaker__jitter_is_a_fifth),
        cmocka_unit_test(failures__together_count_once),
        cmocka_unit_test(retry_after__opens_at_once_and_is_clipped),
        cmocka_unit_test(answer__from_before_the_opening_does_not_close),
        cmocka_unit_test(cancel__is_no_failure_and_frees_the_probe),
        cmocka_unit_test(strike__opens_at_once),
        cmocka_unit_test(head_time__is_smoothed),
        cmocka_unit_test(flag__names_an_upstream),
        cmocka_unit_test(flag__is_refused),
        cmocka_unit_test(pick__takes_the_first_that_may_be_asked),
        cmocka_unit_test(pick__has_a_last_resort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
