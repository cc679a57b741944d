/*
 * tests/unit/proxy_limits_test.c - whose limit holds.
 */
#include "proxy/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/wire/wire.h"

static void limits__lowest_of_operator_and_supernode_holds(void **state)
{
    static const struct {
        uint64_t own, told, effective;
    } rows[] = {{0, 0, 0},
                {500000, 0, 500000},
                {0, 700000, 700000},
                {500000, 700000, 500000},
                {900000, 700000, 700000},
                {0, 1, WIRE_LIMIT_FLOOR}, /* a supernode cannot stop us */
                {0, WIRE_LIMIT_FLOOR - 1, WIRE_LIMIT_FLOOR},
                {0, WIRE_LIMIT_FLOOR + 1, WIRE_LIMIT_FLOOR + 1}};
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxy_limits limits;
        proxy_limits_init(&limits, 1, 2);
        proxy_limits_set_told(&limits, rows[i].told, rows[i].told);
        proxy_limits_set_own(&limits, rows[i].own, rows[i].own);
        assert_int_equal(atomic_load(&limits.up.rate), rows[i].effective);
        assert_int_equal(atomic_load(&limits.down.rate), rows[i].effective);
        proxy_limits_set_told(&limits, 0, 0);
        assert_int_equal(atomic_load(&limits.up.rate), rows[i].own);
    }
}

static void limits__directions_are_apart(void **state)
{
    struct proxy_limits limits;
    (void)state;
    proxy_limits_init(&limits, 100000, 200000);
    assert_int_equal(atomic_load(&limits.up.rate), 100000);
    assert_int_equal(atomic_load(&limits.down.rate), 200000);
    proxy_limits_set_told(&limits, 70000, 900000);
    assert_int_equal(atomic_load(&limits.up.rate), 70000);
    assert_int_equal(atomic_load(&limits.down.rate), 200000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits__lowest_of_operator_and_supernode_holds),
        cmocka_unit_test(limits__directions_are_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
