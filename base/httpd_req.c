/*
 * base/httpd_req.c - one request: life, questions, and the watch for a client that leaves.
 *
 *   WITH_HANDLER -> LAST_BYTES ------------------------> OVER -> disposed
 *        |              ^                                 ^
 *        +---------> SENDING <-> BODY_WAITS               |
 *        |              ^  <---> DISK_READS               |
 *        +-------- any: client gone, stalled, cut --------+
 *
 * The object lives in h2o's request pool; httpd_req_dispose() runs when h2o drops the request, for
 * whatever reason, and is the one place where on_end is called and everything is let go. Hence no
 * other path has to think about cleaning up.
 *
 * While a response is pending h2o does not look at the client. So we do: the socket is polled for
 * reading without being read (h2o's input buffer must not move: the request lies in it), and
 * poll() says whether the peer has closed. Unread bytes (a pipelined request, a TLS alert) would
 * keep it readable for ever; then a timer looks four times a second instead.
 */
#include "base/httpd_priv.h"

#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>

#define LOG_COMPONENT "httpd"
#include "base/log.h"

#define REQ_MAGIC    0x72657175u
#define POLL_GONE_MS 250

int httpd_req_fd(const struct dt_http_req *req)
{
    return h2o_socket_get_fd(req->conn->sock);
}

/* ---- the end ---- */

static void httpd_req_dispose(void *arg)
{
    struct dt_http_req *req = arg;
    struct httpd_conn *conn = req->conn;
    struct dt_http_summary summary = {
        .end = req->end,
        .status = req->status,
        .body_bytes = req->sent,
        .first_byte_us = req->first_byte_us,
    };

    DT_ASSERT(req->magic == REQ_MAGIC);
    req->state = HTTPD_OVER;
    dt_timer_clear(&req->timer);
    httpd_disk_forget(req);
    if (req->is_counted)
        conn->share->n_streaming--;
    if (req->ops != NULL && req->ops->end != NULL)
        req->ops->end(req->body, req->end);
    summary.total_us = dt_mono_us() - req->started_us;
    if (req->on_end != NULL)
        req->on_end(req->on_end_arg, &summary);
    req->magic = 0;
    httpd_conn_set_req(conn, NULL);
}

void httpd_req_cut(struct dt_http_req *req, enum dt_http_end how)
{
    h2o_socket_t *sock = req->conn->sock;
    bool is_writing = h2o_socket_is_writing(sock);

    httpd_req_unwatch(req);
    if (req->state != HTTPD_OVER && !req->is_cut)
        req->end = how; /* the first reason counts, not the failing write that follows from it */
    req->is_cut = true;
    if (req->state == HTTPD_OVER || is_writing || !req->is_answered || sock->ssl != NULL) {
        /* A write in progress fails now and h2o takes the connection down. For TLS this is also
         * what keeps h2o from sending close_notify: a cut body must not look complete. */
        (void)shutdown(httpd_req_fd(req), SHUT_RDWR); /* fails when the peer was faster */
    } else if (req->is_close_delimited) {
        /* Here the end of the stream is the end of the body: it must be a reset. */
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(httpd_req_fd(req), SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    if (req->state == HTTPD_OVER || is_writing)
        return;
    req->state = HTTPD_OVER;
    if (!req->is_answered) {
        /* h2o wants a response to end a request; this one meets a socket already shut. */
        req->h2o->res.status = 500;
        req->h2o->http1_is_persistent = 0;
        h2o_start_response(req->h2o, &req->generator);
    }
    h2o_send(req->h2o, NULL, 0, H2O_SEND_STATE_ERROR); /* the request may be gone now */
}

/* ---- is the client still there, does it take what we send? ---- */

static bool client_has_left(const struct dt_http_req *req)
{
    struct pollfd pollfd = {.fd = httpd_req_fd(req), .events = POLLRDHUP};

    /* After our own SHUT_RD the kernel reports POLLRDHUP always. */
    if (req->conn->is_read_shut)
        pollfd.events = 0;
    return poll(&pollfd, 1, 0) == 1 &&
           (pollfd.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static void on_watched_readable(h2o_socket_t *sock, const char *err)
{
    struct dt_http_req *req = httpd_conn_of(sock)->req;

    DT_ASSERT(req != NULL && req->is_watching);
    if (err != NULL || client_has_left(req)) {
        httpd_req_cut(req, DT_HTTP_CLIENT_GONE);
        return;
    }
    h2o_socket_read_stop(sock);
    req->is_polling = true;
    dt_timer_set(&req->timer, POLL_GONE_MS);
}

void httpd_req_watch(struct dt_http_req *req)
{
    h2o_socket_t *sock = req->conn->sock;

    DT_ASSERT(!req->is_watching);
    req->is_watching = true;
    dt_timer_clear(&req->timer); /* nobody expects the client to take anything now */
    h2o_socket_dont_read(sock, 1);
    h2o_socket_read_start(sock, on_watched_readable);
}

void httpd_req_unwatch(struct dt_http_req *req)
{
    if (!req->is_watching)
        return;
    if (!req->is_polling)
        h2o_socket_read_stop(req->conn->sock);
    h2o_socket_dont_read(req->conn->sock, 0);
    dt_timer_clear(&req->timer);
    req->is_watching = req->is_polling = false;
}

/* Two numbers that stand still when the client takes nothing. Acknowledged bytes rather than bytes
 * written: the kernel's buffer can hide a minute of a slow reader's progress. */
static void progress_read(const struct dt_http_req *req, uint64_t out[2])
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    int queued = 0;

    if (getsockopt(httpd_req_fd(req), IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
        out[0] = info.tcpi_bytes_acked;
        out[1] = 0;
        return;
    }
    (void)ioctl(httpd_req_fd(req), SIOCOUTQ, &queued); /* unix sockets know it; else 0 will do */
    out[0] = req->sent;
    out[1] = (uint64_t)queued;
}

static uint64_t stall_tick_ms(const struct dt_http_req *req)
{
    uint64_t stall_ms = req->conn->share->server->opts.send_stall_ms;

    return stall_ms / 4 > 0 ? stall_ms / 4 : 1;
}

void httpd_req_expect_progress(struct dt_http_req *req)
{
    req->progress_ms = 0; /* the first tick takes the first reading: most responses see none */
    dt_timer_set(&req->timer, stall_tick_ms(req));
}

static void on_timer(void *arg)
{
    struct dt_http_req *req = arg;
    uint64_t now_ms = dt_loop_now_ms(req->conn->share->loop), seen[2];

    DT_ASSERT(req->magic == REQ_MAGIC);
    if (req->is_polling) {
        if (client_has_left(req))
            httpd_req_cut(req, DT_HTTP_CLIENT_GONE);
        else
            dt_timer_set(&req->timer, POLL_GONE_MS);
        return;
    }
    progress_read(req, seen);
    if (req->progress_ms == 0 || seen[0] != req->progress[0] || seen[1] != req->progress[1]) {
        memcpy(req->progress, seen, sizeof seen);
        req->progress_ms = now_ms;
    }
    if (now_ms - req->progress_ms >= req->conn->share->server->opts.send_stall_ms &&
        req->state != HTTPD_DISK_READS) {
        dt_log_info("client_stalled", "server=%s peer=%s sent=%llu",
                    req->conn->share->server->opts.name, req->conn->peer,
                    (unsigned long long)req->sent);
        httpd_req_cut(req, DT_HTTP_CLIENT_GONE);
        return;
    }
    dt_timer_set(&req->timer, stall_tick_ms(req));
}

/* ---- the beginning ---- */

static const char *copy(h2o_req_t *h2o, const char *text, size_t len)
{
    return h2o_strdup(&h2o->pool, text, len).base; /* adds the NUL */
}

static void refuse(h2o_req_t *h2o, int status, const char *why)
{
    h2o_send_error_generic(h2o, status, httpd_reason(status), why,
                           H2O_SEND_ERROR_HTTP1_CLOSE_CONNECTION);
}

static void headers_copy(struct dt_http_req *req)
{
    h2o_req_t *h2o = req->h2o;

    req->n_headers = h2o->headers.size;
    req->headers = h2o_mem_alloc_pool(&h2o->pool, (req->n_headers + 1) * sizeof *req->headers);
    for (size_t i = 0; i < req->n_headers; i++) {
        const h2o_header_t *header = &h2o->headers.entries[i];
        req->headers[i].name = copy(h2o, header->name->base, header->name->len);
        req->headers[i].value = copy(h2o, header->value.base, header->value.len);
    }
}

static struct dt_http_req *req_new(struct httpd_conn *conn, h2o_req_t *h2o,
                                   const struct httpd_head *head)
{
    struct dt_http_req *req = h2o_mem_alloc_shared(&h2o->pool, sizeof *req, httpd_req_dispose);

    memset(req, 0, sizeof *req);
    req->magic = REQ_MAGIC;
    req->state = HTTPD_WITH_HANDLER;
    req->started_us = dt_mono_us();
    req->conn = conn;
    req->h2o = h2o;
    req->generator.proceed = httpd_reply_proceed;
    req->end = DT_HTTP_CLIENT_GONE; /* unless we learn better */
    req->input_len = head->len + h2o->entity.len;
    req->file_fd = req->map_fd = req->warm_fd = -1;
    dt_timer_init(&req->timer, conn->share->loop, on_timer, req);
    httpd_conn_set_req(conn, req);
    return req;
}

int httpd_req_handle(h2o_handler_t *self, h2o_req_t *h2o)
{
    struct httpd_conn *conn = httpd_conn_of(h2o->conn->callbacks->get_socket(h2o->conn));
    const struct dt_httpd_opts *opts = &conn->share->server->opts;
    const char *target = copy(h2o, h2o->input.path.base, h2o->input.path.len);
    int method = httpd_method_parse(h2o->input.method.base, h2o->input.method.len), status;
    struct httpd_head head;
    const char *authority;
    size_t authority_len;
    struct dt_http_req *req;

    (void)self;
    httpd_head_scan(&head, conn->sock->input->bytes, conn->sock->input->size);
    status = httpd_head_check(&head, h2o->version >= 0x101, opts->max_header_bytes);
    if (status != 0) {
        refuse(h2o, status, status == 431 ? "request header too large\n" : "malformed request\n");
        return 0;
    }
    if (method < 0) {
        refuse(h2o, 501, "unknown method\n");
        return 0;
    }
    if (!httpd_target_check((enum dt_http_method)method, target, &authority, &authority_len) ||
        !httpd_host_is_clean(h2o->input.authority.base, h2o->input.authority.len)) {
        refuse(h2o, 400, "malformed request target or Host\n");
        return 0;
    }
    if (authority == NULL && head.n_hosts > 0) {
        authority = h2o->input.authority.base;
        authority_len = h2o->input.authority.len;
    }
    req = req_new(conn, h2o, &head);
    req->method = (enum dt_http_method)method;
    req->target = target;
    req->host = copy(h2o, authority != NULL ? authority : "", authority_len);
    headers_copy(req);
    opts->handler(opts->arg, req);
    if (!req->is_answered)
        httpd_req_watch(req);
    return 0;
}

/* ---- questions ---- */

enum dt_http_method dt_http_method(const struct dt_http_req *req)
{
    return req->method;
}

const char *dt_http_method_name(const struct dt_http_req *req)
{
    return httpd_method_name(req->method);
}

const char *dt_http_target(const struct dt_http_req *req)
{
    return req->target;
}

const char *dt_http_host(const struct dt_http_req *req)
{
    return req->host;
}

const char *dt_http_header(struct dt_http_req *req, const char *lower_name)
{
    const char *value = NULL;

    for (size_t i = 0; i < req->n_headers; i++) {
        if (strcmp(req->headers[i].name, lower_name) != 0)
            continue;
        if (value == NULL) {
            value = req->headers[i].value;
        } else {
            h2o_iovec_t joined =
                h2o_concat(&req->h2o->pool, h2o_iovec_init(value, strlen(value)),
                           h2o_iovec_init(H2O_STRLIT(", ")),
                           h2o_iovec_init(req->headers[i].value, strlen(req->headers[i].value)));
            value = joined.base;
        }
    }
    return value;
}

const void *dt_http_body(const struct dt_http_req *req, size_t *len)
{
    *len = req->h2o->entity.len;
    return req->h2o->entity.base;
}

const char *dt_http_peer(const struct dt_http_req *req)
{
    return req->conn->peer;
}

struct dt_loop *dt_http_loop(const struct dt_http_req *req)
{
    return req->conn->share->loop;
}

void dt_http_on_end(struct dt_http_req *req,
                    void (*on_end)(void *arg, const struct dt_http_summary *), void *arg)
{
    DT_ASSERT(req->on_end == NULL);
    req->on_end = on_end;
    req->on_end_arg = arg;
}
