/*
 * base/httpd_stream.c - a streamed body: pulled from its source at the client's pace.
 *
 * Two ways for the bytes:
 *   direct       plaintext, not chunked. Once h2o has written the headers its write side is idle,
 *                and we write to its descriptor ourselves: sendfile() for files, send() for
 *                memory. No copy, and h2o learns nothing until FINAL.
 *   through h2o  TLS (h2o encrypts) and chunked (h2o's filter frames). One span per turn.
 *
 * Turns. A turn sends at most a budget, then asks h2o to call back when the socket is writable:
 * that comes from the loop's poll, after every other ready connection had its turn. Sending on
 * from the completion callback instead would starve the whole loop for as long as one fast client
 * keeps up (h2o runs completed writes without polling). The budget shrinks when many stream.
 *
 * A turn ends in one of: scheduled, waiting for the body, waiting for the pool's disk read, over.
 * After `over` the request may be gone: nothing touches it.
 */
#include "base/httpd_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#define LOG_COMPONENT "httpd"
#include "base/log.h"

enum step { STEP_AGAIN, STEP_STOP };

static void on_turn(h2o_socket_t *sock, const char *err);

void httpd_stream_schedule(struct dt_http_req *req)
{
    req->state = HTTPD_SENDING;
    h2o_socket_notify_write(req->conn->sock, on_turn);
}

static size_t turn_budget(const struct dt_http_req *req)
{
    size_t share = HTTPD_ROUND_BUDGET / req->conn->share->n_streaming;

    if (share < HTTPD_SEND_BUDGET_MIN)
        return HTTPD_SEND_BUDGET_MIN;
    return share < HTTPD_SEND_BUDGET ? share : HTTPD_SEND_BUDGET;
}

/* ---- direct ---- */

static enum step on_send_error(struct dt_http_req *req, int saved_errno)
{
    if (saved_errno == EINTR)
        return STEP_AGAIN;
    if (saved_errno == EAGAIN) {
        httpd_stream_schedule(req);
        return STEP_STOP;
    }
    if (saved_errno == EPIPE || saved_errno == ECONNRESET || saved_errno == ETIMEDOUT) {
        httpd_req_cut(req, DT_HTTP_CLIENT_GONE);
        return STEP_STOP;
    }
    dt_log_warn("body_read_failed", "peer=%s sent=%llu error=\"%s\"", req->conn->peer,
                (unsigned long long)req->sent, strerror(saved_errno));
    httpd_req_cut(req, DT_HTTP_CUT);
    return STEP_STOP;
}

static enum step send_direct(struct dt_http_req *req, const struct dt_http_span *span,
                             size_t *budget)
{
    int fd = httpd_req_fd(req);
    size_t len = span->len;
    ssize_t n;

    if (span->mem != NULL) {
        n = send(fd, span->mem, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
        off_t off = (off_t)span->off;
        len = httpd_disk_resident(req, span->fd, span->off, len);
        if (len == 0) {
            httpd_disk_read_cold(req, span->fd, span->off);
            return STEP_STOP;
        }
        n = sendfile(fd, span->fd, &off, len);
        if (n == 0) {
            dt_log_warn("body_file_short", "peer=%s off=%llu", req->conn->peer,
                        (unsigned long long)span->off);
            httpd_req_cut(req, DT_HTTP_CUT);
            return STEP_STOP;
        }
    }
    if (n < 0)
        return on_send_error(req, errno);
    req->sent += (size_t)n;
    *budget -= (size_t)n;
    if ((size_t)n == len)
        return STEP_AGAIN;
    httpd_stream_schedule(req); /* full: trying again would only tell the same */
    return STEP_STOP;
}

/* ---- through h2o ---- */

static size_t chunk_max(const struct dt_http_req *req)
{
    return req->conn->sock->ssl != NULL ? HTTPD_TLS_CHUNK : HTTPD_CHUNKED_PART;
}

/* TLS copies while it encrypts, so one buffer serves the whole loop. The chunked filter refers to
 * its input until it is written, so there the request needs its own. */
static char *file_buf(struct dt_http_req *req)
{
    if (req->conn->sock->ssl != NULL)
        return req->conn->share->tls_buf;
    if (req->chunk_buf == NULL)
        req->chunk_buf = h2o_mem_alloc_pool(&req->h2o->pool, HTTPD_CHUNKED_PART);
    return req->chunk_buf;
}

static enum step send_by_h2o(struct dt_http_req *req, const struct dt_http_span *span)
{
    h2o_iovec_t buf = {.base = (char *)(uintptr_t)span->mem, .len = span->len};

    if (buf.len > chunk_max(req))
        buf.len = chunk_max(req);
    if (span->mem == NULL) {
        ssize_t n;
        buf.base = file_buf(req);
        n = httpd_disk_read(req, span->fd, buf.base, buf.len, span->off);
        if (n < 0 && errno == EAGAIN) {
            httpd_disk_read_cold(req, span->fd, span->off);
            return STEP_STOP;
        }
        if (n <= 0)
            return on_send_error(req, n < 0 ? errno : ENODATA); /* 0: shorter than promised */
        buf.len = (size_t)n;
    }
    req->in_flight = buf.len;
    h2o_send(req->h2o, &buf, 1, H2O_SEND_STATE_IN_PROGRESS); /* -> httpd_stream_proceed() */
    return STEP_STOP;
}

/* ---- turns ---- */

static enum dt_http_next ask_body(struct dt_http_req *req, size_t max_len,
                                  struct dt_http_span *span)
{
    enum dt_http_next next;

    if (req->length != DT_HTTP_LENGTH_UNKNOWN && req->length - req->sent < max_len)
        max_len = (size_t)(req->length - req->sent);
    memset(span, 0, sizeof *span);
    req->is_asking = true;
    req->was_woken = false;
    next = req->ops->next(req->body, req->sent, max_len, span);
    req->is_asking = false;
    if (next == DT_HTTP_SPAN)
        DT_ASSERT(span->len > 0 && span->len <= max_len);
    return next;
}

static enum step step(struct dt_http_req *req, size_t *budget)
{
    struct dt_http_span span;

    switch (ask_body(req, *budget, &span)) {
    case DT_HTTP_SPAN:
        if (req->conn->sock->ssl != NULL || req->is_chunked)
            return send_by_h2o(req, &span);
        return send_direct(req, &span, budget);
    case DT_HTTP_WAIT:
        req->state = HTTPD_BODY_WAITS;
        if (req->was_woken)
            httpd_stream_schedule(req);
        else
            httpd_req_watch(req);
        return STEP_STOP;
    case DT_HTTP_EOF:
        DT_ASSERT(req->length == DT_HTTP_LENGTH_UNKNOWN);
        httpd_reply_finish(req);
        return STEP_STOP;
    case DT_HTTP_FAIL:
        break;
    }
    httpd_req_cut(req, DT_HTTP_CUT);
    return STEP_STOP;
}

static void turn(struct dt_http_req *req)
{
    size_t budget = turn_budget(req);

    for (;;) {
        if (req->sent == req->length) {
            httpd_reply_finish(req);
            return;
        }
        if (budget == 0) {
            httpd_stream_schedule(req);
            return;
        }
        if (step(req, &budget) == STEP_STOP)
            return;
    }
}

static void on_turn(h2o_socket_t *sock, const char *err)
{
    struct dt_http_req *req = httpd_conn_of(sock)->req;

    if (err != NULL)
        httpd_req_cut(req, DT_HTTP_CLIENT_GONE);
    else
        turn(req);
}

/* The first turn follows the headers at once, as any small answer would; later ones queue. */
void httpd_stream_proceed(struct dt_http_req *req)
{
    bool is_first = !req->had_first_turn;

    req->had_first_turn = true;
    if (is_first && !httpd_reply_must_queue(req))
        turn(req);
    else
        httpd_stream_schedule(req);
}

void dt_http_body_wake(struct dt_http_req *req)
{
    dt_loop_assert_mine(req->conn->share->loop);
    if (req->is_asking)
        req->was_woken = true;
    if (req->state != HTTPD_BODY_WAITS || !req->is_watching)
        return;
    httpd_req_unwatch(req);
    httpd_req_expect_progress(req);
    httpd_stream_schedule(req);
}
