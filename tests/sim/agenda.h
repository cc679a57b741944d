/*
 * tests/sim/agenda.h - what happens when, apart from flows: a heap of events by time; equal times
 * in the order they were written down.
 */
#ifndef DARTER_TESTS_SIM_AGENDA_H
#define DARTER_TESTS_SIM_AGENDA_H

#include <stdint.h>

struct sim_event {
    double at;
    uint64_t order;
    int kind;
    uint32_t node, number;
    void *load; /* what a message carries; the handler frees it */
};

struct sim_agenda {
    struct sim_event *events; /* owned */
    uint32_t n, room;
    uint64_t n_written;
};

void sim_agenda_add(struct sim_agenda *, struct sim_event);
double sim_agenda_next(const struct sim_agenda *); /* HUGE_VAL = empty */
struct sim_event sim_agenda_take(struct sim_agenda *);
void sim_agenda_fini(struct sim_agenda *); /* frees loads too */

#endif
