/* What the requests of one loop know about files in memory: a table with a clock as argument. */
#include "base/httpd_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const struct httpd_file FILE_A = {.dev = 1, .ino = 7};

static int setup(void **state)
{
    *state = httpd_warm_new();
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static void warm__knows_nothing_at_first(void **state)
{
    const struct httpd_file none = {0};

    assert_int_equal(httpd_warm_end(*state, &FILE_A, 0, 0), 0);
    assert_int_equal(httpd_warm_end(*state, &none, 4096, 0), 4096);
}

static void warm__is_believed_for_a_moment(void **state)
{
    httpd_warm_note(*state, &FILE_A, 100, 5000, 10);
    assert_int_equal(httpd_warm_end(*state, &FILE_A, 100, 10), 5000);
    assert_int_equal(httpd_warm_end(*state, &FILE_A, 4999, 10 + HTTPD_WARM_MS - 1), 5000);
    assert_int_equal(httpd_warm_end(*state, &FILE_A, 99, 10), 99);
    assert_int_equal(httpd_warm_end(*state, &FILE_A, 5000, 10), 5000);
    assert_int_equal(httpd_warm_end(*state, &FILE_A, 100, 10 + HTTPD_WARM_MS), 100);
}

static void warm__tells_files_apart(void **state)
{
    const struct httpd_file other_device = {.dev = 2, .ino = 7}, other = {.dev = 1, .ino = 8};

    httpd_warm_note(*state, &FILE_A, 0, 5000, 10);
    assert_int_equal(httpd_warm_end(*state, &other_device, 0, 10), 0);
    assert_int_equal(httpd_warm_end(*state, &other, 0, 10), 0);
}

static void warm__grows_and_expires_with_its_oldest_part(void **state)
{
    httpd_warm_note(*state, &FILE_A, 0, 4096, 10);
    httpd_warm_note(*state, &FILE_A, 4096, 8192, 500);
    assert_int_equal(httpd_warm_end(*state, &FILE_A, 0, 500), 8192);
    assert_int_equal(httpd_warm_end(*state, &FILE_A, 4096, 10 + HTTPD_WARM_MS), 4096);
    httpd_warm_note(*state, &FILE_A, 8192, 9000, 2000); /* what it would continue has expired */
    assert_int_equal(httpd_warm_end(*state, &FILE_A, 4096, 2000), 4096);
    assert_int_equal(httpd_warm_end(*state, &FILE_A, 8192, 2000), 9000);
}

static void warm__remembers_each_window_of_a_file(void **state)
{
    for (uint64_t i = 0; i < 64; i++)
        httpd_warm_note(*state, &FILE_A, i * HTTPD_WARM_WINDOW, (i + 1) * HTTPD_WARM_WINDOW, 10);
    unsigned n_known = 0;
    for (uint64_t i = 0; i < 64; i++)
        n_known += httpd_warm_end(*state, &FILE_A, i * HTTPD_WARM_WINDOW + 1, 10) ==
                   (i + 1) * HTTPD_WARM_WINDOW;
    assert_true(n_known > 56); /* neighbours rarely take each other's place */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(warm__knows_nothing_at_first, setup, teardown),
        cmocka_unit_test_setup_teardown(warm__is_believed_for_a_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(warm__tells_files_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(warm__grows_and_expires_with_its_oldest_part, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(warm__remembers_each_window_of_a_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
