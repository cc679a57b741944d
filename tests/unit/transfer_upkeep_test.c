/*
 * tests/unit/transfer_upkeep_test.c - when a scrub is due.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "transfer/upkeep.h"

#define DAY_MS (24 * 3600 * 1000ULL)

static void scrub__is_due_an_interval_after_the_last_one(void **state)
{
    (void)state;
    assert_true(transfer_scrub_due_ms(100 * DAY_MS, 105 * DAY_MS, 7 * DAY_MS) == 107 * DAY_MS);
    /* a daemon that is restarted every day */
    assert_true(transfer_scrub_due_ms(100 * DAY_MS, 108 * DAY_MS, 7 * DAY_MS) == 107 * DAY_MS);
}

static void scrub__waits_a_full_interval_after_the_first_start(void **state)
{
    (void)state;
    assert_true(transfer_scrub_due_ms(0, 105 * DAY_MS, 7 * DAY_MS) == 112 * DAY_MS);
}

static void scrub__is_never_due_without_an_interval(void **state)
{
    (void)state;
    assert_true(transfer_scrub_due_ms(100 * DAY_MS, 105 * DAY_MS, 0) == UINT64_MAX);
    assert_true(transfer_scrub_due_ms(100 * DAY_MS, 105 * DAY_MS, UINT64_MAX) == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrub__is_due_an_interval_after_the_last_one),
        cmocka_unit_test(scrub__waits_a_full_interval_after_the_first_start),
        cmocka_unit_test(scrub__is_never_due_without_an_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
