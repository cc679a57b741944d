/*
 * base/fetch_whole.c - a small answer, collected in memory: a token, a manifest, the reply to HEAD.
 *
 * Stands on base/fetch.h like any other caller, but its state dies with the fetch (`release`).
 * Threads: the loop that started it. What an error says matters more than how its body ends: once
 * the head of a non-2xx has come, a body that is cut, stalls or is too long is kept as far as it
 * came, and the status is the result.
 */
#include "base/fetch_priv.h"

#include <stdlib.h>

#include "base/mem.h"

struct whole {
    struct dt_fetch *fetch; /* borrowed: it owns us */
    dt_fetch_whole_f done;
    void *arg;
    int status;
    struct dt_text body;
};

static bool on_head(void *arg, const struct dt_fetch_head *head)
{
    struct whole *whole = arg;

    whole->status = head->status;
    return true;
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct whole *whole = arg;

    dt_text_add_len(&whole->body, bytes, len); /* bounded: max_body_bytes is required */
    return true;
}

static void on_done(void *arg, const struct dt_err *err)
{
    static const struct dt_err fine = {0};
    struct whole *whole = arg;
    bool is_error_status = whole->status >= 300;

    whole->done(whole->arg, is_error_status ? &fine : err, whole->fetch, whole->status,
                dt_text_str(&whole->body), whole->body.len);
}

static void release(void *arg)
{
    struct whole *whole = arg;

    dt_text_fini(&whole->body);
    free(whole);
}

int dt_fetch_whole(struct dt_fetch **out, const struct dt_fetch_opts *opts, dt_fetch_whole_f done,
                   void *arg, struct dt_err *err)
{
    static const struct dt_fetch_ops ops = {on_head, on_data, on_done};
    struct whole *whole = dt_new(struct whole);
    int rc;

    DT_ASSERT(opts->max_body_bytes > 0);
    whole->done = done;
    whole->arg = arg;
    rc = dt_fetch_start(&whole->fetch, opts, &ops, whole, err);
    if (rc < 0) {
        release(whole);
        return rc;
    }
    whole->fetch->release = release;
    *out = whole->fetch;
    return 0;
}
