/*
 * proxy/ping.h - GET /v2/: what clients read first. proxy_ping_serve() is declared in
 * proxy/mirror.h.
 */
#ifndef DARTER_PROXY_PING_H
#define DARTER_PROXY_PING_H

#include "proxy/proxy.h"

void proxy_pings_new(struct proxy *);  /* fills proxy->pings */
void proxy_pings_free(struct proxy *); /* after the loops stopped */

#endif
