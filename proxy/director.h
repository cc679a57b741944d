/*
 * proxy/director.h - what a supernode's word means for a task of this node.
 *
 *   per task:  begin -> join -> (assignments -> fetches -> reports)* -> end -> leave
 *              lost: another supernode, or registries at once
 *              back: the registries' streams finish their piece, and the swarm goes on
 *
 * The modes and what makes them change are director_mode.h; one session with a supernode is
 * exchange.h. Each task's object lives on the task's loop; what the admin endpoint shows of it lies
 * under one lock that is held for a copy.
 */
#ifndef DARTER_PROXY_DIRECTOR_H
#define DARTER_PROXY_DIRECTOR_H

#include "base/wire/wire.h"
#include "proxy/options.h"
#include "proxy/supernodes.h"
#include "transfer/director.h"

/* On links that are full, a question and an answer wait behind data for as long as a piece takes:
 * with few transfers at once the link is idle meanwhile (docs/internals/scheduler.md). */
#define DIRECTOR_UP_SLOTS   7u /* uploads of one blob at once; the seed's come on top of them */
#define DIRECTOR_DOWN_SLOTS 8u /* pieces of one blob on their way at once */
/* The planner knows of all it ordered; a report that is late must not look like a busy node. */
#define DIRECTOR_UPLOADS_MAX 16u

struct proxy_director;

struct proxy_director_opts {
    struct transfer *transfer;
    struct dt_keys *keys;
    struct supernodes *supernodes;
    const struct proxy_options *options;
};
struct proxy_director *proxy_director_new(const struct proxy_director_opts *);
/* For struct transfer; borrowed. */
const struct transfer_director *proxy_director_of_tasks(const struct proxy_director *);
void proxy_director_free(struct proxy_director **); /* after the loops stopped; harmless on NULL */

/* For the admin endpoint. Any thread. */
struct director_view {
    const char *mode;    /* static */
    char supernode[300]; /* its URL; "" = none */
    char why[240];       /* of the last change for the worse; "" = none */
    uint64_t since_ms;   /* wall clock; of the mode */
    unsigned losses;     /* times a supernode was lost */
    uint64_t peer_bytes, seed_bytes;
    unsigned failures; /* pieces that did not come from where they were to */
};
/* False: the task goes without the swarm, or is over. */
bool proxy_director_view(struct director_view *out, struct proxy_director *,
                         const struct dt_digest *);

#endif
