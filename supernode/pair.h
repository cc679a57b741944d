/*
 * supernode/pair.h - are the other supernodes of the site there?
 *
 *   new -> start (loops run) -> (asked every second)* -> stop -> free
 *
 * Nodes choose their supernode themselves and tell it everything again, so nothing depends on this
 * answer but people: a pair of which one is away works as before, and has nothing behind it.
 */
#ifndef DARTER_SUPERNODE_PAIR_H
#define DARTER_SUPERNODE_PAIR_H

#include "supernode/options.h"
#include "supernode/supernode.h"

#define PAIR_INTERVAL_MS 1000u
#define PAIR_DEADLINE_MS 500u

struct supernode_pair;

struct supernode_pair *supernode_pair_new(struct supernode *);
void supernode_pair_start(struct supernode_pair *);
/* Blocks until no question is on its way; the loops still run. */
void supernode_pair_stop(struct supernode_pair *);
void supernode_pair_free(struct supernode_pair **); /* after the loops stopped; harmless on NULL */

/* Any thread. */
struct supernode_pair_view {
    const char *url; /* borrowed from the options */
    bool is_up;
    uint64_t since_ms; /* wall clock, of is_up; 0 = never asked */
};
size_t supernode_pair_look(struct supernode_pair_view out[SUPERNODE_PAIR_MAX],
                           const struct supernode_pair *);

#endif
