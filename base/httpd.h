/*
 * base/httpd.h - an HTTP/1.1 server on our loops; the one door to h2o's server side.
 *
 *   request:  PARSED -> handler -> (WAITING) -> RESPONDING -> ENDED
 *                                     any ---- client gone ---> ENDED
 *
 * The handler runs on the loop of the connection, when the whole request (and its small body) is
 * here. It answers at once or later, on that same loop, exactly once, by dt_http_reply(),
 * dt_http_reply_head() or dt_http_reply_stream(). However the request ends, its on_end callback
 * comes exactly once; after it the request pointer is dead. Nothing else may be assumed: a client
 * can vanish at any moment, also while the handler waits for upstream (the server watches for it).
 *
 * What the server guarantees to everybody behind it:
 *   - fairness: a connection sends at most HTTPD_SEND_BUDGET bytes per turn of the loop;
 *   - no waiting: file bytes not in the page cache are first read by the pool;
 *   - a client that takes no byte for `send_stall_ms` is cut off; a client whose request, body
 *     included, is not here `idle_timeout_ms` after the previous one ended, too;
 *   - header block, header count, body size and connections are limited;
 *   - malformed requests (two Hosts, unknown method, bare TLS bytes, ...) never reach the handler.
 */
#ifndef DARTER_BASE_HTTPD_H
#define DARTER_BASE_HTTPD_H

#include "base/http.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/tls.h"

struct dt_httpd;
struct dt_http_req;

typedef void (*dt_http_handler_f)(void *arg, struct dt_http_req *req);

struct dt_httpd_opts {
    const char *name;    /* for log lines: "mirror", "admin"; borrowed, static */
    struct dt_addr addr; /* where to listen */
    struct dt_tls *tls;  /* NULL = plain; the server takes references of its own */
    dt_http_handler_f handler;
    void *arg;
    struct dt_pool *pool;     /* for cold reads; borrowed */
    uint64_t idle_timeout_ms; /* keep-alive, header and body read; default 120 s: Go clients drop
                                 at 30 or 90 s, and whoever closes first costs a race */
    uint64_t send_stall_ms;   /* default 60 s */
    size_t max_header_bytes;  /* default 64 KiB -> 431 */
    size_t max_body_bytes;    /* default 64 KiB -> 413 */
    unsigned max_connections; /* default 4096; more wait in the kernel's queue */
};

/* Opens one listening socket shared by all loops, and returns when all of them accept. From main
 * only. Errors: DT_EIO (with the address), DT_EINVAL. */
int dt_httpd_start(struct dt_httpd **out, struct dt_loops *, const struct dt_httpd_opts *,
                   struct dt_err *err);
/* Connections from now on are made with this one (a renewed certificate); those that are there go
 * on with theirs. Only for a server that was started with one. Any thread, before drain. */
void dt_httpd_set_tls(struct dt_httpd *, struct dt_tls *);
/* The port in use (of interest when 0 was asked for). */
uint16_t dt_httpd_port(const struct dt_httpd *);
unsigned dt_httpd_connections(const struct dt_httpd *);
/* Stops accepting; idle connections are closed, running responses finish. Blocks the calling
 * thread (main) until all are gone or `deadline_ms` has passed; the rest is cut. */
void dt_httpd_drain(struct dt_httpd *, uint64_t deadline_ms);
/* After drain and after dt_loops_stop(). */
void dt_httpd_free(struct dt_httpd **);

/* ---- the request; strings are borrowed until on_end ---- */

enum dt_http_method {
    DT_GET,
    DT_HEAD,
    DT_POST,
    DT_PUT,
    DT_PATCH,
    DT_DELETE,
    DT_OPTIONS,
    DT_CONNECT
};

enum dt_http_method dt_http_method(const struct dt_http_req *);
const char *dt_http_method_name(const struct dt_http_req *);
/* The raw request target: "/v2/...?ns=..." or absolute-form; never decoded, never normalised. */
const char *dt_http_target(const struct dt_http_req *);
const char *dt_http_host(const struct dt_http_req *); /* Host header, or the absolute-form's host */
/* Repeated fields are joined with ", " (RFC 9110 5.3). NULL when absent. Name in lower case. */
const char *dt_http_header(struct dt_http_req *, const char *lower_name);
const void *dt_http_body(const struct dt_http_req *, size_t *len);
const char *dt_http_peer(const struct dt_http_req *); /* "127.0.0.1:51234" or "unix" */
struct dt_loop *dt_http_loop(const struct dt_http_req *);

/* ---- the response ---- */

/* How a request ended. */
enum dt_http_end {
    DT_HTTP_COMPLETE,    /* every byte was handed to the kernel */
    DT_HTTP_CUT,         /* we cut it short on purpose (the body's source failed) */
    DT_HTTP_CLIENT_GONE, /* closed, reset, or stalled out */
};
struct dt_http_summary {
    enum dt_http_end end;
    int status;             /* 0 = nothing was sent */
    uint64_t body_bytes;    /* handed to the kernel */
    uint64_t first_byte_us; /* from parsed request to first response byte; 0 = none */
    uint64_t total_us;
};
/* Must be set by the handler before it returns. Runs on the request's loop. Write the access log
 * and free the handler's own state here. Must not call back into the request. */
void dt_http_on_end(struct dt_http_req *, void (*on_end)(void *arg, const struct dt_http_summary *),
                    void *arg);

/* Adds a response header (copied). Only before the reply. CR, LF and NUL are refused by assert:
 * whoever forwards a stranger's value checks it with dt_http_value_is_clean() first. Framing and
 * Date (Connection, Content-Length, Date, Keep-Alive, Transfer-Encoding, Upgrade) are written by
 * the server: those names are ignored here. */
void dt_http_add_header(struct dt_http_req *, const char *name, const char *value);
void dt_http_add_headerf(struct dt_http_req *, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
bool dt_http_value_is_clean(const char *value);

/* A small whole answer; `body` is copied. For HEAD the body is counted and not sent. */
void dt_http_reply(struct dt_http_req *, int status, const void *body, size_t len);
/* Headers only: HEAD with the size GET would have, 204, 304. */
void dt_http_reply_head(struct dt_http_req *, int status, uint64_t content_length);

/* What a body can give now. Either memory or a piece of a file. */
struct dt_http_span {
    const void *mem; /* valid until the next call of next() or end(); NULL = file */
    int fd;          /* borrowed until end(); one number means one file for the whole body */
    uint64_t off;
    size_t len; /* > 0 */
};
enum dt_http_next { DT_HTTP_SPAN, DT_HTTP_WAIT, DT_HTTP_EOF, DT_HTTP_FAIL };

/* A streamed body: pulled by the server, at the client's pace. All on the request's loop. */
struct dt_http_body_ops {
    /* Called with `off` = bytes of the body sent so far. SPAN: *span is filled (at most max_len).
     * WAIT: nothing now; the body calls dt_http_body_wake() when that changes. FAIL: cut the
     * connection short. EOF: only when the length was unknown; with a known length the server
     * stops asking by itself. */
    enum dt_http_next (*next)(void *body, uint64_t off, size_t max_len, struct dt_http_span *span);
    /* Exactly once, before on_end: release the body. NULL = nothing to release. */
    void (*end)(void *body, enum dt_http_end how);
};
#define DT_HTTP_LENGTH_UNKNOWN UINT64_MAX /* chunked */
void dt_http_reply_stream(struct dt_http_req *, int status, uint64_t content_length,
                          const struct dt_http_body_ops *, void *body);
/* There may be more now. Loop thread, between reply_stream() and end(); cheap when it is not so. */
void dt_http_body_wake(struct dt_http_req *);

#endif
