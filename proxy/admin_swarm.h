/*
 * proxy/admin_swarm.h - what the admin API and /metrics show of this node's half of the swarm.
 */
#ifndef DARTER_PROXY_ADMIN_SWARM_H
#define DARTER_PROXY_ADMIN_SWARM_H

#include "proxy/proxy.h"
#include "transfer/admin.h"

void proxy_admin_get_supernodes(struct dt_admin_call *);
/* Adds the member "director" to a task's document: null when it goes without. Any loop. */
void proxy_admin_describe_task(void *proxy, json_t *task, const struct dt_digest *);
/* Makes the gauges known; once, before the endpoint starts. */
void proxy_admin_register_swarm(const struct proxy *);
void proxy_admin_refresh_swarm(void *proxy);

#endif
