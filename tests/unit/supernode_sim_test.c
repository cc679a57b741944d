/*
 * tests/unit/supernode_sim_test.c - small swarms in virtual time: the figures hold, and whatever
 * goes wrong, everybody finishes. Larger ones: the program swarm (docs/internals/scheduler.md).
 */
#include "tests/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"

#define MBIT (1e6 / 8)

static struct sim_result run(uint32_t n_nodes, uint64_t size, double mbit, const char *scenario)
{
    struct sim_options options;
    struct sim_result result;
    sim_defaults(&options);
    options.n_nodes = n_nodes;
    options.size = size;
    options.up = options.down = options.seed_up = options.origin = mbit * MBIT;
    assert_true(sim_scenario(&options, scenario));
    sim_run(&result, &options);
    assert_true(result.is_complete);
    assert_int_equal(result.n_wronged, 0);
    return result;
}

static void swarm__of_8_fills_in_little_more_than_one_link_time(void **state)
{
    (void)state;
    struct sim_result r = run(8, 128 * MIB, 200, "plain");
    assert_true(r.last <= 1.15);
    assert_true(r.seed_x <= 1.10);
    assert_true(r.wasted <= 0.001);
}

static void swarm__of_32_fills_in_little_more_than_one_link_time(void **state)
{
    (void)state;
    assert_true(run(32, 32 * MIB, 50, "plain").last <= 1.26);
}

static void swarm__of_200_fills_in_little_more_than_one_link_time(void **state)
{
    (void)state;
    assert_true(run(200, 128 * MIB, 200, "plain").p99 <= 1.20);
}

static void swarm__copes_with_whatever_happens(void **state)
{
    (void)state;
    static const struct {
        const char *scenario;
        double p99, wasted;
    } rows[] = {
        {"staggered", 1.25, 0.001}, {"churn", 2.2, 0.04},      {"slow", 1.6, 0.04},
        {"liars", 1.35, 0.04},      {"accusers", 1.3, 0.02},   {"readers", 1.25, 0.001},
        {"racks", 1.25, 0.001},     {"two-seeds", 1.2, 0.001}, {"all", 2.2, 0.06},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sim_result r = run(100, 128 * MIB, 200, rows[i].scenario);
        if (r.p99 > rows[i].p99 || r.wasted > rows[i].wasted)
            fail_msg("%s: p99 %.3f, wasted %.4f", rows[i].scenario, r.p99, r.wasted);
    }
}

static void liars__are_found_and_nobody_else(void **state)
{
    (void)state;
    struct sim_result r = run(100, 128 * MIB, 200, "liars");
    assert_true(r.n_quarantined > 0); /* who was wronged is checked in every run */
}

static void racks__keep_more_transfers_at_home_than_chance(void **state)
{
    (void)state;
    assert_true(run(100, 128 * MIB, 200, "racks").same_rack > 0.18); /* chance: one in 8 */
}

static void simulator__knows_its_scenarios(void **state)
{
    (void)state;
    struct sim_options options;
    sim_defaults(&options);
    assert_false(sim_scenario(&options, "no such thing"));
    assert_non_null(sim_scenario_names());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(swarm__of_8_fills_in_little_more_than_one_link_time),
        cmocka_unit_test(swarm__of_32_fills_in_little_more_than_one_link_time),
        cmocka_unit_test(swarm__of_200_fills_in_little_more_than_one_link_time),
        cmocka_unit_test(swarm__copes_with_whatever_happens),
        cmocka_unit_test(liars__are_found_and_nobody_else),
        cmocka_unit_test(racks__keep_more_transfers_at_home_than_chance),
        cmocka_unit_test(simulator__knows_its_scenarios),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
