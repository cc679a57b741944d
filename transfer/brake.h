/*
 * transfer/brake.h - holds one incoming body back to the rates that are set.
 *
 *   init -> (pass -> taken | held -> go_on)* -> release
 *
 * Bytes arrive in helpings of the network's choosing and are taken whole or not at all; so a brake
 * saves up until it can pay for the next one. What it paid for and did not use flows back. Up to
 * two limits apply at once: the node's, and that of whoever shares it out. One loop.
 */
#ifndef DARTER_TRANSFER_BRAKE_H
#define DARTER_TRANSFER_BRAKE_H

#include "base/bucket.h"
#include "base/loop.h"

#define BRAKE_LIMITS 2

struct transfer_brake {
    struct dt_bucket *limits[BRAKE_LIMITS]; /* borrowed; NULL = none */
    size_t saved[BRAKE_LIMITS];
    dt_loop_f go_on;
    void *arg;
    struct dt_timer timer;
};

/* go_on(arg) comes on the calling loop after every pass() that said no: resume the body then. */
void transfer_brake_init(struct transfer_brake *, struct dt_bucket *node, struct dt_bucket *share,
                         dt_loop_f go_on, void *arg);
/* true: `len` bytes are paid for and may be taken. false: pause. */
bool transfer_brake_pass(struct transfer_brake *, size_t len);
/* They were not taken after all: the same bytes will come again. */
void transfer_brake_unpass(struct transfer_brake *, size_t len);
void transfer_brake_release(struct transfer_brake *); /* go_on() comes no more */

#endif
