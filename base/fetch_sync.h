/*
 * base/fetch_sync.h - one HTTP request that blocks the calling thread; for command-line tools.
 *
 * Daemons use base/fetch.h: no loop may ever wait here. Knows unix sockets; never uses a proxy from
 * the environment, never follows redirects.
 */
#ifndef DARTER_BASE_FETCH_SYNC_H
#define DARTER_BASE_FETCH_SYNC_H

#include "base/http.h"

struct dt_fetch_sync_opts {
    const char *method; /* NULL = GET */
    const char *url;
    const char *unix_path; /* connect here instead of to the URL's host; NULL = no */
    const struct dt_header *headers;
    size_t n_headers;
    uint64_t connect_timeout_ms; /* default 5 s */
    uint64_t total_timeout_ms;   /* default 30 s */
    size_t max_body_bytes;       /* required; more -> DT_ETOOBIG */
};
struct dt_fetch_sync_reply {
    int status;
    char *body; /* owned, NUL-terminated */
    size_t len;
};
/* Any complete answer is success, whatever its status. Errors: DT_EINVAL (URL), DT_EUNAVAILABLE
 * (refused, unreachable, no such socket), DT_ETIMEOUT, DT_EPROTO, DT_ETOOBIG. */
int dt_fetch_sync(struct dt_fetch_sync_reply *out, const struct dt_fetch_sync_opts *,
                  struct dt_err *err);
void dt_fetch_sync_reply_fini(struct dt_fetch_sync_reply *);

#endif
