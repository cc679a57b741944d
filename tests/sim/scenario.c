/*
 * tests/sim/scenario.c - what can go on in a swarm, as rows of a table.
 */
#include <string.h>

#include "base/mem.h"
#include "tests/sim/sim.h"

#define MBIT (1e6 / 8)

void sim_defaults(struct sim_options *out)
{
    *out = (struct sim_options){
        .n_nodes = 8,
        .n_seeds = 1,
        .size = 128 * MIB,
        .up = 200 * MBIT,
        .down = 200 * MBIT,
        .overhead = 1.045,
        .latency_ms = 0.5,
        .batch_ms = 2,
        .plan_ms = 1,
        .up_slots = 2,
        .down_slots = 2,
        .seed_slots = 2,
        .active = 16,
        .random = 1,
    };
}

static const struct {
    const char *name;
    struct sim_options adds;
} SCENARIOS[] = {
    {"plain", {0}},
    {"staggered", {.stagger = 0.5}},
    {"churn", {.killed = 0.25, .stagger = 0.2}},
    {"slow", {.slow = 0.05}},
    {"liars", {.liars = 0.03}},
    {"accusers", {.accusers = 0.05}},
    {"readers", {.has_readers = true}},
    {"racks", {.n_racks = 8}},
    {"two-seeds", {.n_seeds = 2}},
    {"all",
     {.stagger = 0.2,
      .killed = 0.25,
      .slow = 0.05,
      .liars = 0.03,
      .accusers = 0.03,
      .has_readers = true,
      .n_racks = 8,
      .n_seeds = 2}},
};

const char *sim_scenario_names(void)
{
    return "plain staggered churn slow liars accusers readers racks two-seeds all";
}

bool sim_scenario(struct sim_options *options, const char *name)
{
    for (size_t i = 0; i < sizeof(SCENARIOS) / sizeof(SCENARIOS[0]); i++) {
        const struct sim_options *adds = &SCENARIOS[i].adds;
        if (strcmp(SCENARIOS[i].name, name) != 0)
            continue;
        options->stagger = adds->stagger;
        options->killed = adds->killed;
        options->slow = adds->slow;
        options->liars = adds->liars;
        options->accusers = adds->accusers;
        options->has_readers = adds->has_readers;
        options->n_racks = adds->n_racks;
        if (adds->n_seeds > 0)
            options->n_seeds = adds->n_seeds;
        return true;
    }
    return false;
}
