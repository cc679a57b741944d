/*
 * tests/unit/httpd_fixture.h - a real server in this process, and a client made of a bare socket.
 *
 * The server has two loops, four workers and one route per behaviour (see route_table). Summaries
 * of ended requests are kept by target; tests wait for them with a deadline.
 */
#ifndef DARTER_TESTS_HTTPD_FIXTURE_H
#define DARTER_TESTS_HTTPD_FIXTURE_H

#include "base/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <cmocka.h>

#include "base/mem.h"

/* Not every test file needs every tool. */
#define TOOL __attribute__((unused)) static

#define DEADLINE_MS 20000
#define FILE_BYTES  (64 * MIB)

static struct dt_loops *loops;
static struct dt_pool *pool;
static struct dt_httpd *server;
static char dir[] = "/tmp/darter-httpd-XXXXXX";
static char file_path[64], cert_path[64], key_path[64];
static int file_fd = -1;
static unsigned char *file_bytes;

/* ---- what the server saw ---- */

#define N_ENDED_MAX 4096
static pthread_mutex_t ended_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended_more = PTHREAD_COND_INITIALIZER;
static struct ended {
    char target[32];
    struct dt_http_summary summary;
    bool body_ended_first;
} ended[N_ENDED_MAX];
static unsigned n_ended;

struct call { /* one request in a handler */
    struct dt_http_req *req;
    char target[32];
    bool is_stream, is_body_ended, is_released;
    enum dt_http_end body_end;
    struct dt_timer timer;
};

static struct call *held; /* under ended_lock: the request of /hold or /wait */

static struct timespec deadline_in(uint64_t ms)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += (time_t)(ms / 1000);
    return ts;
}

/* The next summary with this target that no earlier call has returned. */
TOOL struct ended wait_ended(const char *target)
{
    struct timespec until = deadline_in(DEADLINE_MS);
    struct ended found = {0};

    (void)pthread_mutex_lock(&ended_lock);
    for (unsigned i = 0;; i++) {
        while (i == n_ended) {
            if (pthread_cond_timedwait(&ended_more, &ended_lock, &until) != 0) {
                (void)pthread_mutex_unlock(&ended_lock);
                fail_msg("no request %s has ended", target);
            }
        }
        if (strcmp(ended[i].target, target) == 0) {
            found = ended[i];
            ended[i].target[0] = '\0';
            break;
        }
    }
    (void)pthread_mutex_unlock(&ended_lock);
    return found;
}

TOOL struct call *wait_held(void)
{
    struct timespec until = deadline_in(DEADLINE_MS);
    struct call *call;

    (void)pthread_mutex_lock(&ended_lock);
    while (held == NULL)
        if (pthread_cond_timedwait(&ended_more, &ended_lock, &until) != 0)
            break;
    call = held;
    held = NULL;
    (void)pthread_mutex_unlock(&ended_lock);
    assert_non_null(call);
    return call;
}

static void hold(struct call *call)
{
    (void)pthread_mutex_lock(&ended_lock);
    held = call;
    (void)pthread_cond_broadcast(&ended_more);
    (void)pthread_mutex_unlock(&ended_lock);
}

static void on_end(void *arg, const struct dt_http_summary *summary)
{
    struct call *call = arg;

    DT_ASSERT(dt_loop_current() != NULL);
    DT_ASSERT(call->is_body_ended == call->is_stream);
    DT_ASSERT(!call->is_stream || call->body_end == summary->end);
    dt_timer_clear(&call->timer);
    (void)pthread_mutex_lock(&ended_lock);
    DT_ASSERT(n_ended < N_ENDED_MAX);
    (void)snprintf(ended[n_ended].target, sizeof ended[n_ended].target, "%s", call->target);
    ended[n_ended].summary = *summary;
    n_ended++;
    if (held == call)
        held = NULL;
    (void)pthread_cond_broadcast(&ended_more);
    (void)pthread_mutex_unlock(&ended_lock);
    free(call);
}

/* ---- bodies ---- */

static void body_end(void *body, enum dt_http_end how)
{
    struct call *call = body;

    DT_ASSERT(!call->is_body_ended);
    call->is_body_ended = true;
    call->body_end = how;
}

static enum dt_http_next file_next(void *body, uint64_t off, size_t max_len,
                                   struct dt_http_span *span)
{
    (void)body;
    span->fd = file_fd;
    span->off = off;
    span->len = max_len;
    return DT_HTTP_SPAN;
}

/* The file's bytes from memory, in odd pieces. */
static enum dt_http_next mem_next(void *body, uint64_t off, size_t max_len,
                                  struct dt_http_span *span)
{
    (void)body;
    span->mem = file_bytes + off;
    span->len = max_len < 100001 ? max_len : 100001;
    return DT_HTTP_SPAN;
}

/* 3 MiB, every other 300 KiB from the file. */
static enum dt_http_next mixed_next(void *body, uint64_t off, size_t max_len,
                                    struct dt_http_span *span)
{
    size_t piece = 300 * KIB - off % (300 * KIB);

    if (off == 3 * MIB)
        return DT_HTTP_EOF;
    if (piece > 3 * MIB - off)
        piece = 3 * MIB - off;
    if (off / (300 * KIB) % 2 != 0)
        (void)mem_next(body, off, max_len, span);
    else
        (void)file_next(body, off, max_len, span);
    if (span->len > piece)
        span->len = piece;
    return DT_HTTP_SPAN;
}

static enum dt_http_next fail_next(void *body, uint64_t off, size_t max_len,
                                   struct dt_http_span *span)
{
    if (off >= 1 * MIB)
        return DT_HTTP_FAIL;
    return mem_next(body, off, max_len < MIB - off ? max_len : MIB - off, span);
}

/* The first 10 bytes, then a pause until somebody releases the rest. */
static enum dt_http_next wait_next(void *body, uint64_t off, size_t max_len,
                                   struct dt_http_span *span)
{
    struct call *call = body;

    if (off == 10 && !call->is_released) {
        hold(call);
        return DT_HTTP_WAIT;
    }
    return mem_next(body, off, off == 0 ? 10 : max_len, span);
}

/* Longer than what the file holds. */
static enum dt_http_next short_next(void *body, uint64_t off, size_t max_len,
                                    struct dt_http_span *span)
{
    return file_next(body, off + FILE_BYTES - 100, max_len, span);
}

static const struct dt_http_body_ops file_ops = {file_next, body_end};
static const struct dt_http_body_ops mem_ops = {mem_next, body_end};
static const struct dt_http_body_ops mixed_ops = {mixed_next, body_end};
static const struct dt_http_body_ops fail_ops = {fail_next, body_end};
static const struct dt_http_body_ops wait_ops = {wait_next, body_end};
static const struct dt_http_body_ops short_ops = {short_next, body_end};

/* A message: lets a held body or request go on. */
TOOL void release(void *arg)
{
    struct call *call = arg;

    call->is_released = true;
    if (call->is_stream) {
        dt_http_body_wake(call->req);
        dt_http_body_wake(call->req); /* once too often is harmless */
    } else {
        dt_http_reply(call->req, 200, "released\n", 9);
    }
}

/* ---- handler ---- */

static const struct route {
    const char *target;
    int status;
    uint64_t length;
    const struct dt_http_body_ops *ops;
} route_table[] = {
    {"/file", 200, FILE_BYTES, &file_ops},
    {"/mem", 200, FILE_BYTES, &mem_ops},
    {"/chunked", 200, DT_HTTP_LENGTH_UNKNOWN, &mixed_ops},
    {"/close", 404, DT_HTTP_LENGTH_UNKNOWN, &mixed_ops},
    {"/fail", 200, 2 * MIB, &fail_ops},
    {"/fail-chunked", 200, DT_HTTP_LENGTH_UNKNOWN, &fail_ops},
    {"/fail-close", 404, DT_HTTP_LENGTH_UNKNOWN, &fail_ops},
    {"/wait", 200, 100, &wait_ops},
    {"/empty", 200, 0, &mem_ops},
    {"/short", 200, 1000, &short_ops},
};

static void reply_late(void *arg)
{
    struct call *call = arg;

    dt_http_reply(call->req, 200, "late\n", 5);
}

static void reply_echo(struct dt_http_req *req)
{
    const char *joined = dt_http_header(req, "x-test");
    char text[4096];
    size_t len;
    const char *body = dt_http_body(req, &len);
    int n;

    n = snprintf(text, sizeof text, "%s|%s|%s|%s|%zu|%.*s", dt_http_method_name(req),
                 dt_http_target(req), dt_http_host(req), joined != NULL ? joined : "-", len,
                 len < 16 ? (int)len : 16, body != NULL ? body : "");
    dt_http_add_header(req, "X-Reply", "one");
    dt_http_add_headerf(req, "X-Number", "%d", 42);
    dt_http_add_header(req, "Content-Length", "7"); /* ignored: framing is the server's */
    dt_http_reply(req, 200, text, (size_t)n);
}

static void handle(void *arg, struct dt_http_req *req)
{
    struct call *call = dt_new(struct call);
    const char *target = dt_http_target(req);

    (void)arg;
    call->req = req;
    (void)snprintf(call->target, sizeof call->target, "%s", target);
    dt_timer_init(&call->timer, dt_http_loop(req), reply_late, call);
    dt_http_on_end(req, on_end, call);
    for (size_t i = 0; i < sizeof route_table / sizeof route_table[0]; i++) {
        const struct route *route = &route_table[i];
        if (strcmp(target, route->target) != 0)
            continue;
        call->is_stream = true;
        dt_http_reply_stream(req, route->status, route->length, route->ops, call);
        return;
    }
    if (strcmp(target, "/hold") == 0)
        hold(call);
    else if (strcmp(target, "/late") == 0)
        dt_timer_set(&call->timer, 20);
    else if (strcmp(target, "/peer") == 0)
        dt_http_reply(req, 200, dt_http_peer(req), strlen(dt_http_peer(req)));
    else if (strcmp(target, "/nothing") == 0)
        dt_http_reply_head(req, 204, DT_HTTP_LENGTH_UNKNOWN);
    else
        reply_echo(req);
}

/* ---- client ---- */

struct client {
    int fd;
    SSL *ssl; /* or NULL */
    char buf[65536];
    size_t at, len;
};

struct response {
    int status;
    char head[8192];
    unsigned char *body; /* owned */
    size_t len;
    bool is_complete; /* the framing said so */
    bool is_reset;
};

static void client_open_fd(struct client *c, int fd)
{
    struct timeval limit = {.tv_sec = DEADLINE_MS / 1000};

    memset(c, 0, offsetof(struct client, buf));
    c->at = c->len = 0;
    c->fd = fd;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
}

TOOL void client_open_buffered(struct client *c, int rcvbuf)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(dt_httpd_port(server))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (rcvbuf > 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof rcvbuf);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    client_open_fd(c, fd);
}

TOOL void client_open(struct client *c)
{
    client_open_buffered(c, 0);
}

TOOL void client_start_tls(struct client *c)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    c->ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
    assert_int_equal(SSL_connect(c->ssl), 1);
}

static void client_close(struct client *c)
{
    SSL_free(c->ssl);
    c->ssl = NULL;
    dt_close(&c->fd);
}

static void client_send(struct client *c, const char *text)
{
    size_t len = strlen(text);

    if (c->ssl != NULL)
        assert_int_equal(SSL_write(c->ssl, text, (int)len), (int)len);
    else
        assert_int_equal(send(c->fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

static ssize_t client_read(struct client *c, void *out, size_t len)
{
    if (c->at == c->len) {
        ssize_t n;
        do /* a recv() with a limit of time is interrupted where the process is stopped */
            n = c->ssl != NULL ? SSL_read(c->ssl, c->buf, sizeof c->buf)
                               : recv(c->fd, c->buf, sizeof c->buf, 0);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
            return n;
        c->at = 0;
        c->len = (size_t)n;
    }
    if (len > c->len - c->at)
        len = c->len - c->at;
    memcpy(out, c->buf + c->at, len);
    c->at += len;
    return (ssize_t)len;
}

static bool client_read_line(struct client *c, char *out, size_t out_size)
{
    size_t len = 0;

    while (len + 1 < out_size && client_read(c, out + len, 1) == 1)
        if (out[len++] == '\n')
            break;
    out[len] = '\0';
    return len > 0 && out[len - 1] == '\n';
}

static bool read_body(struct client *c, struct response *r, size_t len)
{
    size_t end = r->len + len;

    r->body = dt_realloc(r->body, end + 1);
    while (r->len < end) {
        ssize_t n = client_read(c, r->body + r->len, end - r->len);
        if (n <= 0) {
            r->is_reset = n < 0 && errno == ECONNRESET;
            return false;
        }
        r->len += (size_t)n;
    }
    r->body[end] = '\0';
    return true;
}

static bool read_chunks(struct client *c, struct response *r)
{
    char line[64];
    size_t len;

    do {
        if (!client_read_line(c, line, sizeof line))
            return false;
        len = strtoul(line, NULL, 16);
        if (!read_body(c, r, len) || !client_read_line(c, line, sizeof line) || line[0] != '\r')
            return false;
    } while (len > 0);
    return true;
}

static const char *response_header(const struct response *r, const char *name)
{
    const char *at = strcasestr(r->head, name);

    return at != NULL ? at + strlen(name) : NULL;
}

static void response_fini(struct response *r)
{
    dt_free(&r->body);
}

static bool read_head(struct client *c, struct response *r)
{
    size_t len = 0;

    memset(r, 0, sizeof *r);
    do {
        size_t before = len;
        if (!client_read_line(c, r->head + len, sizeof r->head - len))
            return false;
        len += strlen(r->head + len);
        if (strcmp(r->head + before, "\r\n") == 0)
            break;
    } while (true);
    assert_int_equal(sscanf(r->head, "HTTP/1.1 %d", &r->status), 1);
    return true;
}

/* False = the connection ended before a whole head. */
TOOL bool client_receive(struct client *c, struct response *r, bool is_head)
{
    const char *length;

    if (!read_head(c, r))
        return false;
    length = response_header(r, "\nContent-Length: ");
    if (is_head || r->status == 204 || r->status == 304) {
        r->is_complete = true;
    } else if (length != NULL) {
        r->is_complete = read_body(c, r, strtoul(length, NULL, 10));
    } else if (response_header(r, "\nTransfer-Encoding: chunked") != NULL) {
        r->is_complete = read_chunks(c, r);
    } else {
        (void)read_body(c, r, FILE_BYTES); /* until the end */
        r->is_complete = !r->is_reset;
    }
    return true;
}

TOOL void client_get(struct client *c, struct response *r, const char *target)
{
    char text[256];

    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target);
    client_send(c, text);
    assert_true(client_receive(c, r, false));
}

/* Nothing more comes: end of stream or reset, before the deadline. */
TOOL void client_expect_end(struct client *c)
{
    char byte;
    ssize_t n = client_read(c, &byte, 1);

    assert_true(n == 0 || (n < 0 && errno != EAGAIN));
}

/* ---- life ---- */

TOOL void server_up(struct dt_httpd_opts opts)
{
    struct dt_err err = {0};

    n_ended = 0;
    held = NULL;
    assert_int_equal(dt_loops_new(&loops, 2, &err), 0);
    assert_int_equal(dt_pool_new(&pool, 4, &err), 0);
    opts.name = "test";
    opts.handler = handle;
    opts.pool = pool;
    if (opts.addr.unix_path[0] == '\0' && opts.addr.host[0] == '\0')
        (void)strncpy(opts.addr.host, "127.0.0.1", sizeof opts.addr.host - 1);
    assert_int_equal(dt_httpd_start(&server, loops, &opts, &err), 0);
    assert_int_equal(dt_loops_start(loops, &err), 0);
}

TOOL void server_down(uint64_t drain_ms)
{
    dt_httpd_drain(server, drain_ms);
    assert_int_equal(dt_httpd_connections(server), 0);
    dt_pool_free(&pool);
    dt_loops_stop(loops);
    dt_httpd_free(&server);
    dt_loops_free(&loops);
}

TOOL int plain_up(void **state)
{
    (void)state;
    server_up((struct dt_httpd_opts){0});
    return 0;
}

TOOL int plain_down(void **state)
{
    (void)state;
    server_down(DEADLINE_MS);
    return 0;
}

static void write_cert(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    FILE *out;

    assert_non_null(key);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    (void)X509_set_pubkey(cert, key);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                     (const unsigned char *)"test", -1, -1, 0);
    (void)X509_set_issuer_name(cert, X509_get_subject_name(cert));
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    out = fopen(cert_path, "w");
    assert_true(out != NULL && PEM_write_X509(out, cert) == 1 && fclose(out) == 0);
    out = fopen(key_path, "w");
    assert_true(out != NULL && PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1 &&
                fclose(out) == 0);
    X509_free(cert);
    EVP_PKEY_free(key);
}

TOOL int group_up(void **state)
{
    uint64_t x = 88172645463325252ull;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(file_path, sizeof file_path, "%s/file", dir);
    (void)snprintf(cert_path, sizeof cert_path, "%s/cert.pem", dir);
    (void)snprintf(key_path, sizeof key_path, "%s/key.pem", dir);
    file_bytes = dt_calloc(1, FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i += 8) { /* xorshift64 */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(file_bytes + i, &x, 8);
    }
    file_fd = open(file_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    for (size_t at = 0; at < FILE_BYTES;) {
        ssize_t n = write(file_fd, file_bytes + at, FILE_BYTES - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    write_cert();
    return 0;
}

TOOL int group_down(void **state)
{
    (void)state;
    dt_close(&file_fd);
    free(file_bytes);
    (void)unlink(file_path);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    return rmdir(dir);
}

#endif
