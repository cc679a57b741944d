/*
 * base/httpd_reply.c - response headers, small answers, and the end of every answer.
 *
 * Everything is handed to h2o as "in progress" first and declared final only when the kernel has
 * it. h2o gives no result for what was sent as final, so a client that vanished meanwhile would be
 * logged as served.
 */
#include "base/httpd_priv.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

/* RFC 9110 15; what is missing gets the name of its class. */
static const struct {
    int status;
    const char *reason;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {507, "Insufficient Storage"},
};
static const char *const reason_classes[] = {"Unknown",     "Information",  "Success",
                                             "Redirection", "Client Error", "Server Error"};

const char *httpd_reason(int status)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return reason_classes[status >= 100 && status <= 599 ? status / 100 : 0];
}

/* ---- headers ---- */

bool dt_http_value_is_clean(const char *value)
{
    for (; *value != '\0'; value++)
        if (((unsigned char)*value < 0x20 && *value != '\t') || *value == 0x7f)
            return false;
    return true;
}

/* Framing and Date are this server's business; a second copy would contradict the first. */
static bool is_server_header(const char *name)
{
    static const char *const names[] = {"connection", "content-length",    "date",
                                        "keep-alive", "transfer-encoding", "upgrade"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcasecmp(name, names[i]) == 0)
            return true;
    return false;
}

void dt_http_add_header(struct dt_http_req *req, const char *name, const char *value)
{
    h2o_mem_pool_t *pool = &req->h2o->pool;
    h2o_iovec_t lower, copy;

    dt_loop_assert_mine(req->conn->share->loop);
    DT_ASSERT(!req->is_answered);
    DT_ASSERT(name[0] != '\0' && dt_http_value_is_clean(name) && dt_http_value_is_clean(value));
    if (is_server_header(name))
        return;
    lower = h2o_strdup(pool, name, strlen(name));
    h2o_strtolower(lower.base, lower.len);
    copy = h2o_strdup(pool, value, strlen(value));
    h2o_add_header_by_str(pool, &req->h2o->res.headers, lower.base, lower.len, 0, name, copy.base,
                          copy.len);
}

void dt_http_add_headerf(struct dt_http_req *req, const char *name, const char *fmt, ...)
{
    char value[1024];
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    DT_ASSERT(len >= 0 && (size_t)len < sizeof value);
    dt_http_add_header(req, name, value);
}

/* ---- answers ---- */

static bool status_has_no_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* False when the client has left meanwhile: there is nobody to answer, on_end is under way. */
static bool reply_begin(struct dt_http_req *req, int status, uint64_t content_length)
{
    h2o_req_t *h2o = req->h2o;

    dt_loop_assert_mine(req->conn->share->loop);
    DT_ASSERT(!req->is_answered && status >= 200 && status <= 599);
    req->is_answered = true;
    if (req->state == HTTPD_OVER)
        return false;
    httpd_req_unwatch(req);
    req->status = status;
    h2o->res.status = status;
    h2o->res.reason = httpd_reason(status);
    /* RFC 9110 8.6: no Content-Length with 204. */
    if (content_length != DT_HTTP_LENGTH_UNKNOWN && status != 204)
        h2o->res.content_length = (size_t)content_length;
    if (req->conn->share->is_draining)
        h2o->http1_is_persistent = 0;
    httpd_req_expect_progress(req);
    req->first_byte_us = dt_mono_us() - req->started_us;
    h2o_start_response(h2o, &req->generator);
    return true;
}

static void send_headers_only(struct dt_http_req *req)
{
    req->state = HTTPD_LAST_BYTES;
    h2o_send(req->h2o, NULL, 0, H2O_SEND_STATE_IN_PROGRESS);
}

void dt_http_reply(struct dt_http_req *req, int status, const void *body, size_t len)
{
    h2o_iovec_t copy;

    if (!reply_begin(req, status, status == 304 ? DT_HTTP_LENGTH_UNKNOWN : len))
        return;
    if (len == 0 || req->method == DT_HEAD || status_has_no_body(status)) {
        send_headers_only(req);
        return;
    }
    copy = h2o_strdup(&req->h2o->pool, body, len);
    req->state = HTTPD_LAST_BYTES;
    req->in_flight = len;
    h2o_send(req->h2o, &copy, 1, H2O_SEND_STATE_IN_PROGRESS);
}

void dt_http_reply_head(struct dt_http_req *req, int status, uint64_t content_length)
{
    DT_ASSERT(req->method == DT_HEAD || status_has_no_body(status) || content_length == 0);
    if (reply_begin(req, status, content_length))
        send_headers_only(req);
}

void dt_http_reply_stream(struct dt_http_req *req, int status, uint64_t content_length,
                          const struct dt_http_body_ops *ops, void *body)
{
    h2o_req_t *h2o = req->h2o;

    req->ops = ops; /* from here on end() will come, even if the client has left */
    req->body = body;
    req->length = content_length;
    if (content_length == DT_HTTP_LENGTH_UNKNOWN && req->method != DT_HEAD &&
        !status_has_no_body(status)) {
        /* h2o's chunked filter does 200 to HTTP/1.1 only; the rest ends with the connection. */
        req->is_chunked = h2o->version == 0x101 && status == 200;
        req->is_close_delimited = !req->is_chunked;
        if (req->is_close_delimited)
            h2o->http1_is_persistent = 0;
    }
    if (!reply_begin(req, status, content_length))
        return;
    if (req->method == DT_HEAD || status_has_no_body(status) || content_length == 0) {
        send_headers_only(req);
        return;
    }
    req->is_counted = true;
    req->conn->share->n_streaming++;
    req->state = HTTPD_SENDING;
    if (req->is_chunked) {
        /* With the chunked filter on top h2o holds headers back until there is data; an empty
         * buffer gets them out. */
        h2o_iovec_t nothing = h2o_iovec_init(H2O_STRLIT(""));
        h2o_send(h2o, &nothing, 1, H2O_SEND_STATE_IN_PROGRESS);
    } else {
        h2o_send(h2o, NULL, 0, H2O_SEND_STATE_IN_PROGRESS);
    }
}

/* ---- and their end ---- */

void httpd_reply_finish(struct dt_http_req *req)
{
    req->end = DT_HTTP_COMPLETE;
    req->state = HTTPD_OVER;
    h2o_send(req->h2o, NULL, 0, H2O_SEND_STATE_FINAL);
}

/* h2o runs completed writes, and the next pipelined request after them, without looking at any
 * other socket. Whoever has more requests in the buffer goes to the end of the queue. */
bool httpd_reply_must_queue(const struct dt_http_req *req)
{
    return req->conn->sock->input->size > req->input_len;
}

static void on_turn_to_finish(h2o_socket_t *sock, const char *err)
{
    struct dt_http_req *req = httpd_conn_of(sock)->req;

    if (err != NULL)
        httpd_req_cut(req, DT_HTTP_CLIENT_GONE);
    else
        httpd_reply_finish(req);
}

void httpd_reply_proceed(h2o_generator_t *generator, h2o_req_t *h2o)
{
    struct dt_http_req *req = dt_container_of(generator, struct dt_http_req, generator);

    (void)h2o;
    req->sent += req->in_flight;
    req->in_flight = 0;
    if (req->state == HTTPD_SENDING)
        httpd_stream_proceed(req);
    else if (httpd_reply_must_queue(req))
        h2o_socket_notify_write(req->conn->sock, on_turn_to_finish);
    else
        httpd_reply_finish(req);
}
