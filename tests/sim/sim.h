/*
 * tests/sim/sim.h - a swarm in virtual time around the real planner (supernode/plan.h).
 *
 * Nodes report finished pieces and get assignments in an exchange that is held open, as the design
 * says: reports leave at most once per batch_ms, the planner runs once per plan_ms, every message
 * takes the latency, and a node is only told something while its exchange is open. The network is
 * network.h. Everything follows from the options and the seed of the random numbers.
 */
#ifndef DARTER_TESTS_SIM_SIM_H
#define DARTER_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_options {
    uint32_t n_nodes;
    uint32_t n_seeds;
    uint64_t size, piece_size; /* bytes; piece_size 0 = the rule of cache/pieces.h */
    double up, down, seed_up;  /* raw link rates, bytes per second */
    double origin;             /* bytes per second that feed the seeds */
    double overhead;           /* bytes on the wire for one of payload: 1.045 for TCP in Ethernet */
    double latency_ms;         /* one way */
    double batch_ms, plan_ms;  /* between two reports of a node; between two plans */
    double stagger;            /* nodes come over this share of S/B */
    double killed;             /* share of nodes that vanish silently in the middle */
    double slow;               /* share of nodes with a tenth of the rate, both ways */
    double liars;              /* share whose pieces are bad */
    double accusers;           /* share that reports every transfer as failed */
    bool has_readers;          /* every node's readers wait for its first missing byte */
    uint32_t n_racks;
    uint32_t up_slots, down_slots, seed_slots;
    uint32_t active; /* transfers a node runs at once; the other assignments wait */
    uint64_t random;
};

struct sim_result {
    bool is_complete;           /* all who could finish did */
    double last, p50, p90, p99; /* of nodes that are neither slow nor gone: time in S/B */
    double slow_last;           /* of slow nodes, in their own S/B */
    double seconds;             /* virtual */
    double origin_x, seed_x;    /* bytes, in sizes of the blob */
    double wasted;              /* share of all payload that was thrown away */
    double same_rack;           /* share of transfers that stayed in a rack */
    double first_piece;         /* mean time to the blob's first piece, in S/B */
    uint64_t n_assigned, n_hedged, n_exchanges;
    double planner_seconds; /* of real time, all calls into supernode/ */
    uint32_t n_quarantined; /* liars; honest ones are counted in n_wronged */
    uint32_t n_wronged;
};

void sim_defaults(struct sim_options *);
/* "plain", "churn", ...: sets what belongs to it; false = no such scenario. */
bool sim_scenario(struct sim_options *, const char *name);
const char *sim_scenario_names(void);
void sim_run(struct sim_result *out, const struct sim_options *);

#endif
