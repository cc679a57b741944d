/* Tests of base/fetch_whole.c. */
#include "tests/unit/base_fetch_run.h"

static void fetch__whole_collects_a_small_answer(void **state)
{
    static const struct {
        const char *path;
        uint64_t limit;
        int code, status;
        uint64_t bytes;
    } cases[] = {
        {"/whole?5000", 5000, 0, 200, 5000},
        {"/whole?5000", 4999, DT_ETOOBIG, 200, 0},
        {"/status?503", 3, 0, 503, 0},
        {"/rst", 100, DT_EUNAVAILABLE, 0, 0},
        {"/chunked-cut", 100, DT_EUNAVAILABLE, 200, 7},
    };
    struct probe probe;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        probe_init(&probe, cases[i].path);
        probe.is_whole = true;
        probe.opts.max_body_bytes = cases[i].limit;
        probe_run(&probe);
        assert_int_equal(probe.n_dones, 1);
        assert_int_equal(probe.err.code, cases[i].code);
        assert_int_equal(probe.status, cases[i].status);
        assert_true(probe.bytes == cases[i].bytes);
    }
}

static void fetch__whole_may_be_cancelled(void **state)
{
    struct probe probe;

    (void)state;
    for (int i = 0; i < 2; i++) {
        probe_init(&probe, i == 0 ? "/silent" : "/whole?10");
        probe.is_whole = true;
        probe.opts.max_body_bytes = 100;
        probe.cancel_at = i == 0 ? AT_START : IN_DONE;
        probe_run(&probe);
        assert_int_equal(probe.n_dones, i);
    }
}

static void fetch__whole_tells_the_status_of_an_error_with_a_broken_body(void **state)
{
    struct probe probe;

    (void)state;
    probe_init(&probe, "/416");
    probe.is_whole = true;
    probe.opts.max_body_bytes = 1000;
    probe_run(&probe);
    assert_int_equal(probe.err.code, 0);
    assert_int_equal(probe.status, 416);
    assert_string_equal(probe.text, "invalid range: failed to overlap\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetch__whole_collects_a_small_answer),
        cmocka_unit_test(fetch__whole_may_be_cancelled),
        cmocka_unit_test(fetch__whole_tells_the_status_of_an_error_with_a_broken_body),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
