/*
 * proxy/swarm.h - this node's half of the swarm, as one thing that main starts and ends.
 *
 *   new (keys read, nothing runs) -> open (piece port, hellos) -> close (bye) -> free
 *
 * Keys, the piece server on its port, the list of supernodes, the director of tasks. Without a
 * cluster key there is none of it, and with a key but no supernode this node only serves pieces.
 * From main, but for the views.
 */
#ifndef DARTER_PROXY_SWARM_H
#define DARTER_PROXY_SWARM_H

#include "proxy/director.h"
#include "proxy/options.h"
#include "proxy/supernodes.h"
#include "transfer/piece_server.h"

struct proxy_swarm;

/* *out stays NULL without a cluster key. Sets the transfer's director. Before the loops start.
 * The limits are borrowed. Errors: DT_EINVAL (key file). */
int proxy_swarm_new(struct proxy_swarm **out, struct transfer *, const struct proxy_options *,
                    struct proxy_limits *, struct dt_err *err);
/* The loops run. Errors: DT_EIO (address). Harmless on NULL, as all of these. */
int proxy_swarm_open(struct proxy_swarm *, struct dt_err *err);
/* "0.0.0.0:65002" with the real port; "closed" without a key. Borrowed. */
const char *proxy_swarm_address(const struct proxy_swarm *);
/* SIGHUP: the key file is read again; the old keys stay when that fails. */
void proxy_swarm_reload_keys(struct proxy_swarm *);
/* No more uploads; supernodes hear bye. Tasks have ended before. */
void proxy_swarm_close(struct proxy_swarm *, uint64_t drain_ms);
void proxy_swarm_free(struct proxy_swarm **); /* after the loops stopped */

/* NULL = there is none. */
struct supernodes *proxy_swarm_supernodes(const struct proxy_swarm *);
struct proxy_director *proxy_swarm_director(const struct proxy_swarm *);
struct piece_server *proxy_swarm_pieces(const struct proxy_swarm *);

#endif
