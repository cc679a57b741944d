/*
 * proxy/mirror.h - the mirror port: every request goes to the one who serves its kind.
 *
 *   route -> ping | manifest | blob | relay        anything but GET and HEAD -> 405
 *
 * Each kind answers now or later, exactly once, on the request's loop.
 */
#ifndef DARTER_PROXY_MIRROR_H
#define DARTER_PROXY_MIRROR_H

#include "proxy/request.h"

/* The handler of the mirror listener (dt_http_handler_f with a struct proxy as arg). */
void proxy_mirror_handle(void *proxy, struct dt_http_req *);

/* One for each kind; proxy/relay.h has the fourth. */
void proxy_ping_serve(struct proxy_request *);     /* ping.c */
void proxy_manifest_serve(struct proxy_request *); /* manifest.c */
void proxy_blob_serve(struct proxy_request *);     /* blob.c */

#endif
