/*
 * proxy/upkeep.h - what a SIGHUP changes.
 */
#ifndef DARTER_PROXY_UPKEEP_H
#define DARTER_PROXY_UPKEEP_H

#include "proxy/admin.h"
#include "proxy/proxy.h"

/* Reads the options again and applies what may change; the others are named in a warning. A file
 * that cannot be used changes nothing. The admin token, the mirror's certificate and the
 * cluster keys are read anew; what cannot be used of them leaves the old one in place. `options` is
 * main's own copy. */
struct proxy_parts { /* what a reload may reach; borrowed */
    struct proxy *proxy;
    struct transfer_admin *admin;
    struct dt_httpd *mirror;
};
void proxy_upkeep_reload(struct proxy_options *options, const struct proxy_parts *, int argc,
                         char **argv);

#endif
