/*
 * tests/sim/network.h - links in virtual time: every node has one way up and one way down, and the
 * flows on a link share it fairly (max-min: what one flow cannot use because its other end is
 * narrower goes to the others). No packets, no slow start, no loss.
 *
 * Rates are bytes per second, times are seconds.
 */
#ifndef DARTER_TESTS_SIM_NETWORK_H
#define DARTER_TESTS_SIM_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_NO_FLOW UINT32_MAX

struct sim_network;

struct sim_network *sim_network_new(uint32_t n_nodes);
void sim_network_free(struct sim_network **);
void sim_network_set_link(struct sim_network *, uint32_t node, double up, double down);

/* `owner` comes back when the flow is through. */
uint32_t sim_network_start(struct sim_network *, double now, uint32_t from, uint32_t to,
                           double bytes, uint64_t owner);
/* Returns the bytes that had not arrived. */
double sim_network_stop(struct sim_network *, double now, uint32_t flow);

/* When the next flow is through; HUGE_VAL = there is none. */
double sim_network_next(struct sim_network *, double now);
/* Takes that flow away; false = it only looked so, ask again. */
bool sim_network_take(struct sim_network *, double now, uint64_t *owner);
/* Bytes that went up from this node so far. */
double sim_network_sent(const struct sim_network *, uint32_t node);

#endif
