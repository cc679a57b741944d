/*
 * tests/sim/main.c - swarm: how long until the last node has it all?
 *
 *   swarm --nodes 8 --size 128MiB --up 200 --down 200 --scenario churn --runs 3
 * Rates are in Mbit/s. Exit status 1 when some node never finished. All random numbers follow from
 * --random and the number of the run.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "tests/sim/sim.h"

#define MBIT (1e6 / 8)

enum { SIZE, PIECE_SIZE, SCENARIO, RUNS, JSON, RANDOM, FIRST_NUMBER };

/* Options that are one number: where it goes, and in which unit it is written. */
#define NUMBERS(X)                                                                                 \
    X("nodes", n_nodes, 1)                                                                         \
    X("seeds", n_seeds, 1)                                                                         \
    X("up", up, MBIT)                                                                              \
    X("down", down, MBIT)                                                                          \
    X("seed-up", seed_up, MBIT)                                                                    \
    X("origin", origin, MBIT)                                                                      \
    X("latency", latency_ms, 1)                                                                    \
    X("batch", batch_ms, 1)                                                                        \
    X("plan", plan_ms, 1)                                                                          \
    X("overhead", overhead, 1)                                                                     \
    X("racks", n_racks, 1)                                                                         \
    X("active", active, 1)                                                                         \
    X("up-slots", up_slots, 1)                                                                     \
    X("down-slots", down_slots, 1)                                                                 \
    X("seed-slots", seed_slots, 1)

static const struct option OPTIONS[] = {
    {"size", required_argument, NULL, SIZE},
    {"piece-size", required_argument, NULL, PIECE_SIZE},
    {"scenario", required_argument, NULL, SCENARIO},
    {"runs", required_argument, NULL, RUNS},
    {"json", no_argument, NULL, JSON},
    {"random", required_argument, NULL, RANDOM},
#define X(name, field, unit) {name, required_argument, NULL, FIRST_NUMBER},
    NUMBERS(X)
#undef X
        {0},
};

struct call {
    struct sim_options options;
    const char *scenario;
    uint32_t n_runs;
    bool is_json;
};

static void set_number(struct sim_options *options, const char *name, double value)
{
#define X(option, field, unit)                                                                     \
    if (strcmp(name, option) == 0)                                                                 \
        options->field = value * (unit);
    NUMBERS(X)
#undef X
}

static int usage(const char *why)
{
    fprintf(stderr, "swarm: %s\noptions:", why);
    for (const struct option *option = OPTIONS; option->name != NULL; option++)
        fprintf(stderr, " --%s", option->name);
    fprintf(stderr, "\nscenarios: %s\n", sim_scenario_names());
    return 2;
}

static int parse(struct call *call, int argc, char **argv)
{
    struct dt_err err;
    int kind, index;
    sim_defaults(&call->options);
    while ((kind = getopt_long(argc, argv, "", OPTIONS, &index)) != -1) {
        uint64_t *size = kind == SIZE ? &call->options.size : &call->options.piece_size;
        if (kind == '?')
            return usage("unknown option");
        if (kind == JSON)
            call->is_json = true;
        else if (kind == SCENARIO)
            call->scenario = optarg;
        else if (kind == RUNS)
            call->n_runs = (uint32_t)strtoul(optarg, NULL, 10);
        else if (kind == RANDOM)
            call->options.random = strtoull(optarg, NULL, 10);
        else if (kind == FIRST_NUMBER)
            set_number(&call->options, OPTIONS[index].name, strtod(optarg, NULL));
        else if (dt_size_parse(size, optarg, &err) < 0)
            return usage(err.msg);
    }
    if (!sim_scenario(&call->options, call->scenario))
        return usage("no such scenario");
    if (call->options.seed_up <= 0)
        call->options.seed_up = call->options.up;
    if (call->options.origin <= 0)
        call->options.origin = call->options.seed_up;
    return 0;
}

static void print(const struct call *call, const struct sim_result *r)
{
    const char *format =
        call->is_json
            ? "{\"complete\":%d,\"last\":%.4f,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,"
              "\"slow_last\":%.4f,\"first_piece\":%.4f,\"seconds\":%.3f,\"origin_x\":%.3f,"
              "\"seed_x\":%.3f,\"wasted_percent\":%.3f,\"same_rack_percent\":%.1f,"
              "\"assigned\":%llu,\"hedged\":%llu,\"exchanges_per_node_s\":%.1f,"
              "\"assigned_per_cpu_s\":%.0f,\"quarantined\":%u,\"wronged\":%u}\n"
            : "complete %d  last %.3f p50 %.3f p90 %.3f p99 %.3f  slow %.3f  first piece %.3f  "
              "%.2f s  origin %.2fx seed %.2fx  wasted %.2f%%  same rack %.0f%%  assigned %llu "
              "hedged %llu  exchanges/node/s %.1f  assigned/cpu-s %.0f  quarantined %u "
              "wronged %u\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* two literals with the same arguments */
    printf(format, r->is_complete, r->last, r->p50, r->p90, r->p99, r->slow_last, r->first_piece,
           r->seconds, r->origin_x, r->seed_x, r->wasted * 100, r->same_rack * 100,
           (unsigned long long)r->n_assigned, (unsigned long long)r->n_hedged,
           (double)r->n_exchanges / call->options.n_nodes / r->seconds,
           (double)r->n_assigned / r->planner_seconds, r->n_quarantined, r->n_wronged);
#pragma GCC diagnostic pop
    (void)fflush(stdout); /* a run takes long: show what there is */
}

int main(int argc, char **argv)
{
    struct call call = {.scenario = "plain", .n_runs = 1};
    int rc = parse(&call, argc, argv);
    if (rc != 0)
        return rc;
    for (uint32_t run = 0; run < call.n_runs; run++) {
        struct sim_result result;
        sim_run(&result, &call.options);
        print(&call, &result);
        rc |= !result.is_complete;
        call.options.random++;
    }
    return rc;
}
