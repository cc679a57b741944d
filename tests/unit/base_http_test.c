/* Tests of base/http.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/http.h"

#define NOW_MS 784111777000ULL /* Sun, 06 Nov 1994 08:49:37 GMT */
#define MAX_MS 3600000ULL

static void retry_after__seconds_are_read_and_clipped(void **state)
{
    (void)state;
    assert_true(dt_retry_after_parse("120", NOW_MS, MAX_MS) == 120000);
    assert_true(dt_retry_after_parse(" 7 ", NOW_MS, MAX_MS) == 7000);
    assert_true(dt_retry_after_parse("0", NOW_MS, MAX_MS) == 0);
    assert_true(dt_retry_after_parse("3600", NOW_MS, MAX_MS) == MAX_MS);
    assert_true(dt_retry_after_parse("3601", NOW_MS, MAX_MS) == MAX_MS);
    assert_true(dt_retry_after_parse("99999999999999999999999999", NOW_MS, MAX_MS) == MAX_MS);
    assert_true(dt_retry_after_parse("99999999999999999999999999", NOW_MS, UINT64_MAX) ==
                UINT64_MAX);
    assert_true(dt_retry_after_parse("00000000000000000000000005", NOW_MS, MAX_MS) == 5000);
}

static void retry_after__dates_of_all_three_forms_are_read(void **state)
{
    (void)state;
    assert_true(dt_retry_after_parse("Sun, 06 Nov 1994 08:50:00 GMT", NOW_MS, MAX_MS) == 23000);
    assert_true(dt_retry_after_parse("Sunday, 06-Nov-94 08:50:00 GMT", NOW_MS, MAX_MS) == 23000);
    assert_true(dt_retry_after_parse("Sun Nov  6 08:50:00 1994", NOW_MS, MAX_MS) == 23000);
    assert_true(dt_retry_after_parse("Sun, 06 Nov 2094 08:50:00 GMT", NOW_MS, MAX_MS) == MAX_MS);
}

static void retry_after__past_or_unreadable_is_zero(void **state)
{
    (void)state;
    assert_true(dt_retry_after_parse(NULL, NOW_MS, MAX_MS) == 0);
    assert_true(dt_retry_after_parse("", NOW_MS, MAX_MS) == 0);
    assert_true(dt_retry_after_parse("soon", NOW_MS, MAX_MS) == 0);
    assert_true(dt_retry_after_parse("-5", NOW_MS, MAX_MS) == 0);
    assert_true(dt_retry_after_parse("5 seconds", NOW_MS, MAX_MS) == 0);
    assert_true(dt_retry_after_parse("1.5", NOW_MS, MAX_MS) == 0);
    assert_true(dt_retry_after_parse("Sun, 06 Nov 1994 08:00:00 GMT", NOW_MS, MAX_MS) == 0);
    assert_true(dt_retry_after_parse("Sun, 06 Nov 1930 08:00:00 GMT", NOW_MS, MAX_MS) == 0);
    assert_true(dt_retry_after_parse("Sun, 06 Nov 2094 08:50:00 GMT x", NOW_MS, MAX_MS) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retry_after__seconds_are_read_and_clipped),
        cmocka_unit_test(retry_after__dates_of_all_three_forms_are_read),
        cmocka_unit_test(retry_after__past_or_unreadable_is_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
