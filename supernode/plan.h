/*
 * supernode/plan.h - who takes which piece from whom, now. Pure.
 *
 * The rules, in the order they are applied:
 *   1. An overdue transfer gets a second source (a hedge); all hedges together stay a small share.
 *   2. Who has nothing on the way comes before who has something.
 *   3. A piece that local readers wait for, one at a time; else the rarest, equals by keyed hash.
 *   4. A piece nobody has leaves a seed; a seed repeats one only when all it holds have left.
 *   5. The least busy source with a free slot, of the same rack if there is one.
 */
#ifndef DARTER_SUPERNODE_PLAN_H
#define DARTER_SUPERNODE_PLAN_H

#include "supernode/swarm.h"

struct supernode_assignment {
    uint32_t to, piece, from;
    bool is_hedge;          /* `to` already has a transfer of this piece on the way */
    uint64_t overdue_at_ms; /* after this the plan looks for a second source */
};

/* Fills `out` with at most `max` assignments for peers that listen and have free slots. Returns how
 * many; fewer than max = nothing more can be done before the next event or tick. Also the tick:
 * call it now and then (every 10 to 100 ms) while transfers are on the way. */
size_t supernode_plan(struct supernode_swarm *, uint64_t now_ms, struct supernode_assignment *out,
                      size_t max);

#endif
