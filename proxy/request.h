/*
 * proxy/request.h - one client request on the mirror port, from its first line to its log line.
 *
 *   PARSED -> ROUTED -> (ping | manifest | blob | relay) -> REPLYING -> ENDED
 *
 * Lives on its connection's loop; reference-counted, because answers from other loops may arrive
 * after the client has left: whoever waits for one holds a reference and asks
 * proxy_request_is_live() first. The access-log line is written here, once, when it ends.
 */
#ifndef DARTER_PROXY_REQUEST_H
#define DARTER_PROXY_REQUEST_H

#include "proxy/proxy.h"
#include "proxy/repository.h"
#include "proxy/route.h"
#include "transfer/source.h"

struct proxy_request {
    unsigned magic;
    unsigned refs;
    struct proxy *proxy;
    struct dt_loop *loop;
    struct dt_http_req *http; /* NULL once it ended */
    struct proxy_route route;
    char *authorization; /* owned copy or NULL; wiped on free */
    char *accept;        /* owned copy or NULL */
    bool is_head;
    uint64_t id; /* for log lines */
    uint64_t began_us;
    /* for the access log and headers */
    int source; /* enum source_kind, -1 = none */
    enum proxy_freshness freshness;
    /* what the handler of its kind holds; released by on_end before the request goes */
    void *job;
    void (*job_end)(void *job, enum dt_http_end how);
};

/* One reference, which the end of `http` gives back. The route is still empty. */
struct proxy_request *proxy_request_new(struct proxy *, struct dt_http_req *http);
struct proxy_request *proxy_request_ref(struct proxy_request *);
void proxy_request_unref(struct proxy_request **);
bool proxy_request_is_live(const struct proxy_request *);
/* How long the client may still wait for its response head, over all stages: at least 1. */
uint64_t proxy_request_head_left_ms(const struct proxy_request *);

/* Answers with an OCI error body. */
void proxy_request_refuse(struct proxy_request *, const struct proxy_refusal *);
void proxy_request_fail(struct proxy_request *, const struct dt_err *, const char *registry_code);
/* Adds X-Darter-Source, X-Cache, X-Darter-First-Byte-Ms, Docker-Distribution-Api-Version. */
void proxy_request_add_common_headers(struct proxy_request *);

#endif
