/*
 * proxy/admin_priv.h - one call of the admin API, and the table of routes. Private to
 * proxy/admin*.c.
 *
 *   matched -> authorised -> handler (loop or pool) -> answered -> sent | client gone
 *
 * A call has two holders, its HTTP request and its handler; it is freed when both have let go, so a
 * client that leaves never frees what a worker writes to.
 */
#ifndef DARTER_PROXY_ADMIN_PRIV_H
#define DARTER_PROXY_ADMIN_PRIV_H

#include <jansson.h>

#include "base/text.h"
#include "proxy/admin.h"

#define ADMIN_CALL_MAGIC  0x61646d63u
#define ADMIN_QUERY_MAX   4096
#define ADMIN_PAGE_MAX    1000
#define ADMIN_PAGE_NORMAL 100

struct admin_call;

enum admin_where {
    ADMIN_ON_LOOP, /* never waits; may answer later with admin_call_finish() */
    ADMIN_ON_POOL, /* may wait for the disk; has answered when it returns */
};

struct admin_route {
    enum dt_http_method method;
    const char *pattern; /* "/v1/cache/{digest}/pin"; literal segments come before {digest} */
    enum admin_where where;
    bool is_open; /* no token asked for, ever */
    void (*handle)(struct admin_call *);
    const char *doc;
};
extern const struct admin_route admin_routes[]; /* ended by pattern == NULL */

struct admin_match {
    const struct admin_route *route; /* NULL: see status */
    int status;                      /* 404, 405, 400 */
    struct dt_digest digest;         /* of {digest} */
    char allow[64];                  /* 405: "GET, HEAD, DELETE" */
    char problem[160];
};
/* Pure. `path` is raw, without query. */
void admin_route_match(struct admin_match *out, const struct admin_route *routes,
                       enum dt_http_method method, const char *path, size_t len);
/* Pure. A query of the list; errors: DT_EINVAL. */
struct admin_page {
    struct cache_filter filter; /* points into the two buffers */
    char upstream[264], repository[260];
    bool has_after;
    struct dt_digest after;
    size_t limit; /* 0 ... ADMIN_PAGE_MAX */
};
int admin_page_parse(struct admin_page *out, const char *query, struct dt_err *err);
/* Where the next page is: "/v1/cache?limit=100&state=sealed&after=sha256:...". Caller frees. */
char *admin_page_next(const struct admin_page *, const struct dt_digest *last);

struct admin_call {
    unsigned magic;
    unsigned holders; /* loop only */
    struct proxy_admin *admin;
    struct proxy *proxy;
    struct dt_loop *loop;
    struct dt_http_req *http; /* NULL once it ended */
    struct admin_match match;
    char query[ADMIN_QUERY_MAX];
    struct dt_job job; /* ADMIN_ON_POOL */
    /* the answer */
    int status;
    const char *content_type; /* static */
    char *body;               /* owned; NULL = none */
    char *link;               /* owned; value of a Link header, or NULL */
    char *location;           /* owned or NULL */
};

/* Fill the answer; each may be called once. `json` is consumed. */
void admin_answer_json(struct admin_call *, int status, json_t *json);
void admin_answer_text(struct admin_call *, int status, const char *content_type, char *body);
void admin_answer_empty(struct admin_call *, int status);
/* RFC 9457. */
void admin_answer_problem(struct admin_call *, int status, const char *code, const char *detail);
void admin_answer_err(struct admin_call *, const struct dt_err *);
/* Sends what was filled in; for handlers that answer later. On the call's loop. */
void admin_call_finish(struct admin_call *);
/* The text of a problem document; caller frees. */
char *admin_problem_text(int status, const char *code, const char *detail);

/* What SIGHUP may change, copied under the admin's lock. */
char *admin_config_text(struct proxy_admin *); /* JSON; caller frees */
uint64_t admin_scrub_rate(struct proxy_admin *);

/* Helpers of the documents. */
void admin_json_time(json_t *object, const char *key, uint64_t unix_ms); /* null when 0 */
json_t *admin_json_digest(const struct dt_digest *);
json_t *admin_json_config(const struct proxy_options *);

/* Makes the gauges of cache and upstreams known to /metrics; once, at start. */
void admin_metrics_register(const struct proxy *);

/* The handlers. */
void admin_get_index(struct admin_call *);
void admin_get_health(struct admin_call *);
void admin_get_ready(struct admin_call *);
void admin_get_metrics(struct admin_call *);
void admin_get_config(struct admin_call *);
void admin_get_upstreams(struct admin_call *);
void admin_get_tasks(struct admin_call *);
void admin_get_cache(struct admin_call *);
void admin_get_scrub(struct admin_call *);
void admin_post_scrub(struct admin_call *);
void admin_delete_scrub(struct admin_call *);
void admin_get_blob(struct admin_call *);
void admin_delete_blob(struct admin_call *);
void admin_put_pin(struct admin_call *);
void admin_delete_pin(struct admin_call *);

#endif
