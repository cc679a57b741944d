/*
 * proxy/upkeep.h - what main does between start and end: reload on SIGHUP, scrub when it is due.
 */
#ifndef DARTER_PROXY_UPKEEP_H
#define DARTER_PROXY_UPKEEP_H

#include "proxy/admin.h"
#include "proxy/proxy.h"

/* Reads the options again and applies what may change; the others are named in a warning. A file
 * that cannot be used changes nothing. The admin token and the mirror's certificate are read anew;
 * what cannot be used of them leaves the old one in place. `options` is main's own copy. */
struct proxy_parts { /* what a reload may reach; borrowed */
    struct proxy *proxy;
    struct transfer_admin *admin;
    struct dt_httpd *mirror;
};
void proxy_upkeep_reload(struct proxy_options *options, const struct proxy_parts *, int argc,
                         char **argv);

/* Pure: when the next scrub is due, given when one was last begun (0 = never; then a full interval
 * after `started_ms`). UINT64_MAX = never. */
uint64_t proxy_scrub_due_ms(uint64_t last_ms, uint64_t started_ms, uint64_t interval_ms);
/* Begins a scrub if one is due and remembers that across restarts. Returns milliseconds until it
 * has to be called again. */
uint64_t proxy_upkeep_scrub(struct proxy *, const struct proxy_options *, uint64_t now_wall_ms);

#endif
