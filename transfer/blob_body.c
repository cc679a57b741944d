/*
 * transfer/blob_body.c - see blob_body.h.
 */
#include "transfer/blob_body.h"

#define HELD_MAX_MS 100u /* the limit may have been raised or lifted meanwhile */

static void wake(void *arg)
{
    struct blob_body *body = arg;
    dt_http_body_wake(body->req);
}

void blob_body_init(struct blob_body *body, struct dt_http_req *req, struct cache_reader *reader,
                    struct dt_bucket *limit)
{
    *body = (struct blob_body){.req = req, .reader = reader, .limit = limit};
    dt_timer_init(&body->timer, dt_http_loop(req), wake, body);
}

/* How many bytes at `off` may go now. What was paid for and not sent, as the client's socket was
 * full, is not paid for twice. */
static size_t pay(struct blob_body *body, uint64_t off, size_t wanted)
{
    if (body->limit == NULL)
        return wanted;
    uint64_t now_us = dt_mono_us();
    if (off >= body->paid)
        body->paid = off + dt_bucket_take(body->limit, wanted, now_us);
    uint64_t n = body->paid - off;
    if (n == 0) {
        uint64_t wait_ms = dt_bucket_wait_ms(body->limit, now_us);
        dt_timer_set(&body->timer, wait_ms < HELD_MAX_MS ? wait_ms : HELD_MAX_MS);
    }
    return n < wanted ? (size_t)n : wanted;
}

enum dt_http_next blob_body_next(struct blob_body *body, uint64_t off, size_t max_len,
                                 struct dt_http_span *span)
{
    uint64_t at = body->first + off, left = body->len - off;
    int64_t n = cache_reader_available(body->reader, at, &body->err);
    if (n < 0)
        return DT_HTTP_FAIL;
    if (n == 0) {
        cache_reader_wait(body->reader, at, dt_http_loop(body->req), wake, body);
        return DT_HTTP_WAIT;
    }
    uint64_t len = (uint64_t)n < max_len ? (uint64_t)n : max_len;
    size_t may = pay(body, off, (size_t)(len < left ? len : left));
    if (may == 0)
        return DT_HTTP_WAIT;
    *span = (struct dt_http_span){.fd = cache_reader_fd(body->reader), .off = at, .len = may};
    return DT_HTTP_SPAN;
}

void blob_body_fini(struct blob_body *body)
{
    if (body->timer.loop != NULL)
        dt_timer_clear(&body->timer);
}
