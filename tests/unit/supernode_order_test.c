/*
 * tests/unit/supernode_order_test.c - rarest first, equals by hash, and speeds that are learned.
 */
#include "supernode/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "supernode/bits.h"
#include "supernode/rate.h"

#define N 100u

static void order__picks_the_lowest_count_of_many_and_of_few(void **state)
{
    (void)state;
    struct supernode_order order;
    uint64_t few[2] = {1ULL << 3 | 1ULL << 9, 0}, many[2] = {~0ULL, (1ULL << 36) - 1};
    supernode_order_init(&order, N);
    for (uint32_t piece = 0; piece < N; piece++)
        for (uint32_t i = 0; i < 200 - piece; i++)
            supernode_order_more(&order, piece);
    assert_int_equal(supernode_order_pick(&order, few, 1), 9);
    assert_int_equal(supernode_order_pick(&order, many, 1), 99);
    for (int i = 0; i < 120; i++)
        supernode_order_less(&order, 50);
    assert_int_equal(supernode_order_pick(&order, many, 1), 50);
    few[0] = 0;
    assert_int_equal(supernode_order_pick(&order, few, 1), SUPERNODE_NONE);
    supernode_order_fini(&order);
}

static void order__equals_differ_by_hash(void **state)
{
    (void)state;
    struct supernode_order order;
    uint64_t few[2] = {0xff, 0}, many[2] = {~0ULL, 0};
    uint32_t of_few[2], of_many[2];
    supernode_order_init(&order, N);
    for (uint32_t i = 0; i < 2; i++) {
        of_few[i] = supernode_order_pick(&order, few, i << 31);
        of_many[i] = supernode_order_pick(&order, many, i << 30);
    }
    assert_int_not_equal(of_few[0], of_few[1]);
    assert_int_not_equal(of_many[0], of_many[1]);
    supernode_order_fini(&order);
}

static void bits__are_found_in_a_circle(void **state)
{
    (void)state;
    struct supernode_bits a = {0}, b = {0};
    supernode_bits_grow(&a, 9000);
    supernode_bits_grow(&b, 9000);
    assert_int_equal(supernode_bits_match(&a, &b, &b, 5), SUPERNODE_NONE);
    static const uint32_t members[] = {0, 63, 64, 4095, 4096, 8999};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        supernode_bits_set(&a, members[i]);
        supernode_bits_set(&b, members[i]);
        for (uint32_t from = 0; from < 9000; from += 7)
            assert_int_equal(supernode_bits_match(&a, &b, &b, from), members[i]);
        supernode_bits_clear(&b, members[i]);
        assert_int_equal(supernode_bits_match(&a, &b, &b, 1), SUPERNODE_NONE);
    }
    assert_true(b.summary[0] == 0 && b.summary[1] == 0 && b.summary[2] == 0);
    supernode_bits_grow(&a, 18000);
    assert_int_equal(supernode_bits_match(&a, &a, &a, 8999), 8999);
    supernode_bits_fini(&a);
    supernode_bits_fini(&b);
}

static void rate__rises_fast_and_falls_slowly(void **state)
{
    (void)state;
    struct supernode_rate rate = {0};
    assert_false(supernode_rate_is_known(&rate));
    supernode_rate_add(&rate, 1000, 10, 1);
    supernode_rate_add(&rate, 1000, 10, 2);
    assert_true(rate.bytes_per_ms >= 140 && rate.bytes_per_ms <= 160);
    supernode_rate_add(&rate, 1000, 1000, 1);
    assert_true(supernode_rate_is_known(&rate));
    assert_true(rate.bytes_per_ms >= 120);
    supernode_rate_add(&rate, UINT64_MAX, 0, 0); /* nonsense stays finite */
    assert_true(rate.bytes_per_ms <= 100000000.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order__picks_the_lowest_count_of_many_and_of_few),
        cmocka_unit_test(order__equals_differ_by_hash),
        cmocka_unit_test(bits__are_found_in_a_circle),
        cmocka_unit_test(rate__rises_fast_and_falls_slowly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
