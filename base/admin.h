/*
 * base/admin.h - the admin endpoint of a daemon: JSON over HTTP on a listener of its own.
 *
 *   endpoint:  start -> read_token* -> stop -> free                              (from main)
 *   call:      matched -> authorised -> handler (loop or pool) -> answered -> sent | client gone
 *
 * Who listens, who may ask, which row of which table answers and how an answer looks is here; the
 * tables and their handlers are the daemon's. A call has two holders, its HTTP request and its
 * handler; it is freed when both have let go, so a client that leaves never frees what a worker
 * writes to.
 */
#ifndef DARTER_BASE_ADMIN_H
#define DARTER_BASE_ADMIN_H

#include <jansson.h>

#include "base/digest.h"
#include "base/httpd.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/text.h"

#define DT_ADMIN_CALL_MAGIC 0x61646d63u
#define DT_ADMIN_QUERY_MAX  4096
#define DT_ADMIN_NAME_MAX   256

struct dt_admin;
struct dt_admin_call;

/* ---- the tables ---- */

enum dt_admin_where {
    DT_ADMIN_ON_LOOP, /* never waits; may answer later with dt_admin_call_finish() */
    DT_ADMIN_ON_POOL, /* may wait for the disk; has answered when it returns */
};

struct dt_admin_route {
    enum dt_http_method method;
    const char *pattern; /* "/v1/cache/{digest}/pin", "/v1/nodes/{name}"; literal segments come
                            before braces */
    enum dt_admin_where where;
    bool is_open; /* no token asked for, ever */
    void (*handle)(struct dt_admin_call *);
    const char *doc;
};
/* A daemon's routes: tables of rows, each ended by pattern == NULL; the list ended by NULL. */
typedef const struct dt_admin_route *const *dt_admin_tables;

struct dt_admin_match {
    const struct dt_admin_route *route; /* NULL: see status */
    int status;                         /* 404, 405, 400 */
    struct dt_digest digest;            /* of {digest} */
    char name[DT_ADMIN_NAME_MAX];       /* of {name}, decoded */
    char allow[64];                     /* 405: "GET, HEAD, DELETE" */
    char problem[256];
};
/* Pure. `path` is raw, without query. */
void dt_admin_route_match(struct dt_admin_match *out, dt_admin_tables, enum dt_http_method method,
                          const char *path, size_t len);

/* ---- the endpoint ---- */

struct dt_admin_opts {
    const char *listen;     /* "127.0.0.1:65003", "unix:PATH" */
    const char *token_file; /* copied; NULL = none asked for */
    dt_admin_tables tables; /* must outlive the endpoint */
    void *owner;            /* for the handlers: call->owner */
    struct dt_loops *loops;
    struct dt_pool *pool;
};
/* Reads the token, opens the listener. Errors: DT_EINVAL (token file), DT_EIO (address). */
int dt_admin_start(struct dt_admin **out, const struct dt_admin_opts *, struct dt_err *err);
/* Where it listens, with the real port: "127.0.0.1:65003", "unix:/run/darter/admin.sock". Borrowed.
 */
const char *dt_admin_address(const struct dt_admin *);
/* SIGHUP: reads the token file again; on failure the old token stays. */
int dt_admin_read_token(struct dt_admin *, struct dt_err *err);
/* Stops accepting and waits until every request has ended. The loops and the pool must still run.
 */
void dt_admin_stop(struct dt_admin *);
/* After dt_loops_stop(). Harmless on NULL. */
void dt_admin_free(struct dt_admin **);

/* ---- one call ---- */

struct dt_admin_call {
    unsigned magic;
    unsigned holders; /* loop only */
    struct dt_admin *admin;
    void *owner;
    dt_admin_tables tables;
    struct dt_loop *loop;
    struct dt_http_req *http; /* NULL once it ended */
    struct dt_admin_match match;
    char query[DT_ADMIN_QUERY_MAX];
    struct dt_job job; /* DT_ADMIN_ON_POOL */
    /* the answer */
    int status;
    const char *content_type; /* static */
    char *body;               /* owned; NULL = none */
    char *link;               /* owned; value of a Link header, or NULL */
    char *location;           /* owned or NULL */
};

/* Fill the answer; each may be called once. `json` and `body` are consumed. */
void dt_admin_answer_json(struct dt_admin_call *, int status, json_t *json);
void dt_admin_answer_text(struct dt_admin_call *, int status, const char *content_type, char *body);
void dt_admin_answer_empty(struct dt_admin_call *, int status);
/* RFC 9457. */
void dt_admin_answer_problem(struct dt_admin_call *, int status, const char *code,
                             const char *detail);
void dt_admin_answer_err(struct dt_admin_call *, const struct dt_err *);
/* Sends what was filled in; for handlers that answer later. On the call's loop. */
void dt_admin_call_finish(struct dt_admin_call *);

/* ---- parts of documents ---- */

/* The text of a problem document; caller frees. */
char *dt_admin_problem_text(int status, const char *code, const char *detail);
/* Compact, keys in their order; `json` is consumed; caller frees. */
char *dt_admin_json_text(json_t *json);
/* Bytes that are no UTF-8 are replaced as a whole. */
json_t *dt_admin_json_string(const char *text);
void dt_admin_json_time(json_t *object, const char *key, uint64_t unix_ms); /* null when 0 */
json_t *dt_admin_json_digest(const struct dt_digest *);
/* The list of routes at /v1. */
json_t *dt_admin_json_routes(dt_admin_tables);

#endif
