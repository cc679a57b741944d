/*
 * proxy/route.h - which upstream and which object a request means. Pure; fuzzed.
 *
 * Order (docs/internals/registry-behaviour.md): `?ns=` if present, else the host of an
 * absolute-form target, else the default upstream. Names outside the configured upstreams are
 * refused with a quick 404, which sends a runtime to its next host: never an open relay.
 */
#ifndef DARTER_PROXY_ROUTE_H
#define DARTER_PROXY_ROUTE_H

#include "registry-client/endpoint.h"
#include "registry-client/ref.h"

#define PROXY_TARGET_MAX 4096

struct proxy_route {
    struct reg_upstream *upstream; /* borrowed */
    struct reg_path path;
    char upstream_path[PROXY_TARGET_MAX]; /* path + query to ask upstream for; `ns` taken out */
    char query[PROXY_TARGET_MAX];         /* the query alone, without `ns` and '?'; may be "" */
};

/* `target` is the raw request target (origin-form or absolute-form). *registry_code is the OCI
 * error code to answer with. Errors: DT_ENOTFOUND (unknown upstream, not below /v2/), DT_EINVAL,
 * DT_ETOOBIG. docker.io repositories without a slash are completed to library/NAME for upstream and
 * cache. */
int proxy_route_parse(struct proxy_route *out, const char **registry_code,
                      struct reg_upstream *upstreams, size_t n_upstreams, size_t default_upstream,
                      const char *target, struct dt_err *err);

#endif
