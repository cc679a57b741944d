/*
 * tests/unit/proxy_supernodes_test.c - which supernode a blob is brought to, and when one that is
 * away is asked again. What is said to them is in tests/proto/test_swarm_node.py.
 */
#include "proxy/supernodes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"

static void pause__is_the_interval_while_all_is_well(void **state)
{
    (void)state;
    assert_int_equal(supernode_pause_ms(0, 5000, 0), 4000);
    assert_int_equal(supernode_pause_ms(0, 5000, 2000), 6000);
}

static void pause__doubles_from_a_quarter_second_to_five(void **state)
{
    (void)state;
    const uint64_t expected[] = {250, 500, 1000, 2000, 4000, 5000, 5000};
    for (unsigned i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        uint64_t fifth = expected[i] / 5;
        assert_int_equal(supernode_pause_ms(1 + i, 60000, 0), expected[i] - fifth);
        assert_int_equal(supernode_pause_ms(1 + i, 60000, (uint32_t)(2 * fifth)),
                         expected[i] + fifth);
    }
    assert_int_equal(supernode_pause_ms(UINT32_MAX, 60000, 0), 4000);
}

static void supernode__of_our_site_that_is_not_down_is_usable(void **state)
{
    (void)state;
    struct supernode_view view = {.state = SUPERNODE_UNTRIED};
    assert_true(supernode_is_usable(&view)); /* nothing speaks against it yet */
    view.state = SUPERNODE_UP;
    assert_true(supernode_is_usable(&view));
    view.is_draining = true;
    assert_false(supernode_is_usable(&view));
    view = (struct supernode_view){.state = SUPERNODE_UP, .is_banned = true};
    assert_false(supernode_is_usable(&view));
    view = (struct supernode_view){.state = SUPERNODE_UP, .is_other_site = true};
    assert_false(supernode_is_usable(&view));
    view = (struct supernode_view){.state = SUPERNODE_DOWN};
    assert_false(supernode_is_usable(&view));
}

/* Three supernodes that are never started: only what every loop may ask. */
struct lab {
    struct transfer transfer;
    struct proxy_options options;
    struct proxy_limits limits;
    struct supernodes *supernodes;
};

static int setup(void **state)
{
    static char *urls[] = {(char *)"http://a:1", (char *)"http://b:1", (char *)"http://c:1"};
    struct lab *lab = dt_new(struct lab);
    assert_int_equal(dt_loops_new(&lab->transfer.loops, 1, NULL), 0);
    lab->options.supernodes = (struct dt_strings){urls, 3};
    lab->supernodes = supernodes_new(&(struct supernodes_opts){
        .transfer = &lab->transfer, .options = &lab->options, .limits = &lab->limits});
    *state = lab;
    return 0;
}

static int teardown(void **state)
{
    struct lab *lab = *state;
    supernodes_free(&lab->supernodes);
    dt_loops_free(&lab->transfer.loops);
    free(lab);
    return 0;
}

static void pick__spreads_blobs_and_passes_over_who_is_down(void **state)
{
    struct lab *lab = *state;
    const struct dt_err why = {DT_ETIMEOUT, "no answer"};
    unsigned owned[3] = {0};
    size_t before[100];
    struct dt_digest digests[100];
    for (unsigned i = 0; i < 100; i++) {
        dt_digest_of(&digests[i], DT_SHA256, &i, sizeof i);
        assert_true(supernodes_pick(&before[i], lab->supernodes, &digests[i], 0));
        owned[before[i]]++;
    }
    for (int i = 0; i < 3; i++)
        assert_in_range(owned[i], 10, 60);
    supernodes_failed(lab->supernodes, 1, &why);
    for (unsigned i = 0; i < 100; i++) {
        size_t now;
        assert_true(supernodes_pick(&now, lab->supernodes, &digests[i], 0));
        assert_int_not_equal(now, 1);
        if (before[i] != 1)
            assert_int_equal(now, before[i]); /* who is up keeps his blobs */
    }
    struct supernode_view view;
    supernodes_view(&view, lab->supernodes, 1);
    assert_int_equal(view.state, SUPERNODE_DOWN);
    assert_string_equal(view.last_err.msg, "no answer");
    supernodes_failed(lab->supernodes, 1, &why); /* the next task that lost it */
    supernodes_view(&view, lab->supernodes, 1);
    assert_int_equal(view.failures, 1);
}

static void pick__finds_nobody_when_all_are_down_or_left_out(void **state)
{
    struct lab *lab = *state;
    const struct dt_err why = {DT_ETIMEOUT, "no answer"};
    struct dt_digest digest;
    size_t index;
    dt_digest_of(&digest, DT_SHA256, "x", 1);
    assert_true(supernodes_pick(&index, lab->supernodes, &digest, 3));
    assert_int_equal(index, 2);
    assert_false(supernodes_pick(&index, lab->supernodes, &digest, 7));
    for (size_t i = 0; i < 3; i++)
        supernodes_failed(lab->supernodes, i, &why);
    assert_false(supernodes_pick(&index, lab->supernodes, &digest, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pause__is_the_interval_while_all_is_well),
        cmocka_unit_test(pause__doubles_from_a_quarter_second_to_five),
        cmocka_unit_test(supernode__of_our_site_that_is_not_down_is_usable),
        cmocka_unit_test_setup_teardown(pick__spreads_blobs_and_passes_over_who_is_down, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pick__finds_nobody_when_all_are_down_or_left_out, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
