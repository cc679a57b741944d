/*
 * base/fetch.h - an HTTP client on our loops; the one door to libcurl.
 *
 *   NEW -> CONNECTING -> HEADERS -> BODY -> DONE(ok | error)      any -> CANCELLED
 *
 * One curl multi per loop, inside the loop (docs/internals/fetch.md). Bodies are streamed to the
 * caller with back-pressure and never buffered whole. Every wait has a deadline.
 * All calls and callbacks on the loop that started the fetch.
 */
#ifndef DARTER_BASE_FETCH_H
#define DARTER_BASE_FETCH_H

#include "base/http.h"
#include "base/loop.h"

struct dt_fetch;
struct dt_fetcher;

/* One per process; makes a curl multi on every loop. Between dt_loops_new() and _start(). */
struct dt_fetcher_opts {
    const char *user_agent; /* copied */
};
int dt_fetcher_new(struct dt_fetcher **out, struct dt_loops *, const struct dt_fetcher_opts *,
                   struct dt_err *err);
void dt_fetcher_free(struct dt_fetcher **); /* after dt_loops_stop() */

/* What arrived as the final (non-redirect) response head. Valid inside the callback only. */
struct dt_fetch_head {
    int status;
    uint64_t content_length;   /* UINT64_MAX = unknown (chunked or close-delimited) */
    const char *effective_url; /* after redirects */
    struct dt_fetch *fetch;
};
/* First value of a response header, or NULL; valid until on_done returns. */
const char *dt_fetch_header(struct dt_fetch *, const char *name);

struct dt_fetch_ops {
    /* Once, when the final response head is complete (also for non-2xx). Return false to stop here:
     * on_done then comes with DT_ECANCELLED, and the connection is kept when that is cheap. */
    bool (*on_head)(void *arg, const struct dt_fetch_head *head);
    /* Body bytes in order. Return true = taken; false = not now: nothing was taken, the transfer
     * is paused until dt_fetch_resume(). May be called from inside dt_fetch_resume(). */
    bool (*on_data)(void *arg, const void *bytes, size_t len);
    /* Exactly once unless cancelled; never from inside start, resume or cancel. The fetch is freed
     * when it returns. err->code 0 = the whole response came, framing was right. */
    void (*on_done)(void *arg, const struct dt_err *err);
};

struct dt_fetch_opts {
    const char *method; /* "GET", "HEAD", "POST"; NULL = GET */
    const char *url;
    const struct dt_header *headers;
    size_t n_headers;
    const void *body; /* POST: copied */
    size_t body_len;
    const char *ca_file;         /* PEM; NULL = the system's */
    bool insecure_tls;           /* no verification; only where the config says so */
    bool fresh_connection;       /* none that was kept: it may be what is broken */
    bool follow_redirects;       /* 301/302/307/308, at most 5; Authorization stays home */
    uint64_t connect_timeout_ms; /* default 5 s */
    uint64_t head_timeout_ms;    /* start -> response head; default 20 s */
    uint64_t stall_timeout_ms;   /* no body byte for that long while not paused; default 10 s */
    uint64_t total_timeout_ms;   /* 0 = none */
    uint64_t max_body_bytes;     /* 0 = none; more -> DT_ETOOBIG */
    /* Body bytes may wait in the kernel until so many are here: a link that delivers frame by frame
     * then wakes us for every hundred of them and not for each. For those who want no byte before
     * the last; 0 = none. Plain HTTP only: elsewhere it is ignored. */
    unsigned gather_bytes;
};
#define DT_FETCH_HEADER_MAX (64 * 1024) /* response head; more -> DT_EPROTO */

/* Everything in opts is copied. Errors: DT_EINVAL (URL). Errors in on_done: DT_EUNAVAILABLE
 * (refused, reset, unreachable, name not found), DT_ETIMEOUT, DT_EPROTO (framing, too many
 * redirects, TLS), DT_ETOOBIG, DT_ECANCELLED. */
int dt_fetch_start(struct dt_fetch **out, const struct dt_fetch_opts *, const struct dt_fetch_ops *,
                   void *arg, struct dt_err *err);
void dt_fetch_resume(struct dt_fetch *);
/* No callback follows. *fetch = NULL. Harmless on NULL. Legal inside the fetch's own callbacks. */
void dt_fetch_cancel(struct dt_fetch **fetch);

/* Convenience for small answers (tokens, manifests, HEAD): collects up to max_body_bytes
 * (required) and calls done once. `body` is NUL-terminated and valid inside the callback. */
typedef void (*dt_fetch_whole_f)(void *arg, const struct dt_err *err, struct dt_fetch *fetch,
                                 int status, const char *body, size_t len);
int dt_fetch_whole(struct dt_fetch **out, const struct dt_fetch_opts *, dt_fetch_whole_f done,
                   void *arg, struct dt_err *err);

#endif
