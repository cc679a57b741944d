/*
 * proxy/mirror.c - see mirror.h.
 */
#include "proxy/mirror.h"

#include "proxy/relay.h"

static void refuse_method(struct proxy_request *request)
{
    struct dt_err err = {0};
    dt_err_set(&err, DT_EMETHOD,
               "this is a pull mirror: push to the registry itself, not through the mirror");
    if (request->route.upstream != NULL && request->route.path.kind == REG_MANIFEST &&
        !request->route.path.reference.is_digest)
        proxy_repository_tag_changed(request->proxy, request->route.upstream,
                                     request->route.path.repository,
                                     request->route.path.reference.text);
    proxy_request_fail(request, &err, NULL);
}

static void serve(struct proxy_request *request)
{
    switch (request->route.path.kind) {
    case REG_PING:
        proxy_ping_serve(request);
        return;
    case REG_MANIFEST:
        proxy_manifest_serve(request);
        return;
    case REG_BLOB:
        proxy_blob_serve(request);
        return;
    case REG_UPLOAD:
        refuse_method(request);
        return;
    case REG_TAGS:
    case REG_REFERRERS:
    case REG_CATALOG:
    case REG_OTHER:
        proxy_relay_serve(request);
        return;
    }
}

void proxy_mirror_handle(void *arg, struct dt_http_req *http)
{
    struct proxy *proxy = arg;
    struct proxy_request *request = proxy_request_new(proxy, http);
    const char *registry_code = NULL;
    struct dt_err err = {0};
    if (proxy_route_parse(&request->route, &registry_code, proxy->upstreams, proxy->n_upstreams,
                          proxy->default_upstream, dt_http_target(http), &err) < 0) {
        request->route.upstream = NULL;
        proxy_request_fail(request, &err, registry_code);
    } else if (dt_http_method(http) != DT_GET && dt_http_method(http) != DT_HEAD) {
        refuse_method(request);
    } else {
        serve(request);
    }
}
