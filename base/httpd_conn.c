/*
 * base/httpd_conn.c - a server's share on one loop: its listener and its connections.
 *
 *   share:       (message) open -> accepting <-> paused -> draining -> (main) free
 *   connection:  accepted -> [TLS handshake] -> idle <-> with a request -> closed
 *
 * A connection is our slot on h2o's socket (on_close.data); h2o calls on_close last of all, after
 * the request in progress was disposed of. We never close a socket ourselves: we shut it down, and
 * h2o notices by the failing read or write.
 */
#include "base/httpd_priv.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_COMPONENT "httpd"
#include "base/log.h"
#include "base/loop_priv.h"

#define CONN_MAGIC        0x636f6e6eu
#define ACCEPTS_PER_TURN  2   /* few, so that other loops get their share */
#define ACCEPT_PAUSE_MS   100 /* out of descriptors, or at the cap */
#define WATCHDOG_GRACE_MS 15000

static void accept_resume(void *arg);

/* ---- connections ---- */

struct httpd_conn *httpd_conn_of(h2o_socket_t *sock)
{
    struct httpd_conn *conn = sock->on_close.data;

    DT_ASSERT(conn->magic == CONN_MAGIC);
    return conn;
}

static void peer_format(char *out, size_t out_size, int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    char host[INET6_ADDRSTRLEN] = "?";

    if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0) {
        (void)snprintf(out, out_size, "gone"); /* closed before we looked */
    } else if (sa.ss_family == AF_INET) {
        const struct sockaddr_in *in = (struct sockaddr_in *)&sa;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host); /* cannot fail: it fits */
        (void)snprintf(out, out_size, "%s:%u", host, ntohs(in->sin_port));
    } else if (sa.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&sa;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        (void)snprintf(out, out_size, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        (void)snprintf(out, out_size, "unix");
    }
}

static void conn_shutdown(struct httpd_conn *conn, int how)
{
    (void)shutdown(h2o_socket_get_fd(conn->sock), how); /* fails when the peer was faster */
}

/* h2o sees the end of the stream and closes, after it has answered what had arrived before. */
static void conn_stop_reading(struct httpd_conn *conn)
{
    conn->is_read_shut = true;
    conn_shutdown(conn, SHUT_RD);
}

/* h2o's own timeouts cover a connection without a request, with one gap: a TLS close waits for its
 * last record to be written, for ever if the client does not read. */
static void on_watchdog(void *arg)
{
    struct httpd_conn *conn = arg;

    DT_ASSERT(conn->magic == CONN_MAGIC);
    conn_shutdown(conn, SHUT_RDWR);
}

static void watchdog_start(struct httpd_conn *conn)
{
    dt_timer_set(&conn->watchdog, conn->share->server->opts.idle_timeout_ms + WATCHDOG_GRACE_MS);
}

void httpd_conn_set_req(struct httpd_conn *conn, struct dt_http_req *req)
{
    conn->req = req;
    if (req != NULL) {
        dt_timer_clear(&conn->watchdog);
        return;
    }
    watchdog_start(conn);
    /* Kept alive by a response that began before the drain did: no further request. What has
     * arrived already is still answered, with "Connection: close". */
    if (conn->share->is_draining)
        conn_stop_reading(conn);
}

static void on_conn_close(void *arg)
{
    struct httpd_conn *conn = arg;
    struct httpd_share *share = conn->share;

    DT_ASSERT(conn->magic == CONN_MAGIC && conn->req == NULL);
    h2o_linklist_unlink(&conn->link);
    dt_timer_clear(&conn->watchdog);
    conn->magic = 0;
    free(conn);
    (void)atomic_fetch_sub(&share->server->n_connections, 1);
    if (dt_timer_is_armed(&share->resume))
        accept_resume(share);
    httpd_busy_add(share->server, -1);
}

static void conn_open(struct httpd_share *share, h2o_socket_t *sock)
{
    struct httpd_conn *conn = dt_new(struct httpd_conn);

    conn->magic = CONN_MAGIC;
    conn->share = share;
    conn->sock = sock;
    dt_timer_init(&conn->watchdog, share->loop, on_watchdog, conn);
    h2o_linklist_insert(&share->conns, &conn->link);
    peer_format(conn->peer, sizeof conn->peer, h2o_socket_get_fd(sock));
    sock->on_close.cb = on_conn_close;
    sock->on_close.data = conn;
    httpd_busy_add(share->server, 1);
    watchdog_start(conn);
    h2o_accept(&share->accept_ctx, sock); /* may close it again at once */
}

/* ---- accepting ---- */

static void accept_pause(struct httpd_share *share)
{
    h2o_socket_read_stop(share->listener);
    dt_timer_set(&share->resume, ACCEPT_PAUSE_MS);
}

/* True = go on. */
static bool accept_one(struct httpd_share *share)
{
    struct dt_httpd *server = share->server;
    h2o_socket_t *sock;

    /* Counted before it is accepted: all loops accept at the same time. */
    if (atomic_fetch_add(&server->n_connections, 1) >= server->opts.max_connections) {
        (void)atomic_fetch_sub(&server->n_connections, 1);
        accept_pause(share);
        return false;
    }
    errno = 0;
    sock = h2o_evloop_socket_accept(share->listener);
    if (sock != NULL) {
        share->is_short = false;
        conn_open(share, sock);
        return true;
    }
    (void)atomic_fetch_sub(&server->n_connections, 1);
    /* The listener stays readable without descriptors: polling it would burn a core. */
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        if (!share->is_short) /* not at every try: it may last for hours */
            dt_log_warn("accept_paused", "server=%s connections=%u error=\"%s\"", server->opts.name,
                        dt_httpd_connections(server), strerror(errno));
        share->is_short = true;
        accept_pause(share);
    }
    return false;
}

static void on_listener_readable(h2o_socket_t *listener, const char *err)
{
    struct httpd_share *share = listener->data;

    (void)err; /* h2o does not read this descriptor, so it has no error to tell */
    for (int i = 0; i < ACCEPTS_PER_TURN; i++)
        if (!accept_one(share))
            break;
}

static void accept_resume(void *arg)
{
    struct httpd_share *share = arg;

    dt_timer_clear(&share->resume);
    if (share->listener != NULL)
        h2o_socket_read_start(share->listener, on_listener_readable);
}

/* ---- life of the share ---- */

void httpd_share_open(void *arg)
{
    struct httpd_share *share = arg;
    struct dt_httpd *server = share->server;

    dt_loop_assert_mine(share->loop);
    h2o_context_init(&share->ctx, dt_loop_h2o(share->loop), &server->config);
    share->accept_ctx.ctx = &share->ctx;
    share->accept_ctx.hosts = server->config.hosts;
    share->accept_ctx.ssl_ctx = share->tls != NULL ? dt_tls_ctx(share->tls) : NULL;
    if (share->tls != NULL)
        share->tls_buf = dt_calloc(1, HTTPD_TLS_CHUNK);
    share->warm = httpd_warm_new();
    h2o_linklist_init_anchor(&share->conns);
    dt_timer_init(&share->resume, share->loop, accept_resume, share);
    share->listener =
        h2o_evloop_socket_create(share->ctx.loop, share->listen_fd, H2O_SOCKET_FLAG_DONT_READ);
    share->listener->data = share;
    h2o_socket_read_start(share->listener, on_listener_readable);
    share->is_open = true;
}

void httpd_share_set_tls(struct httpd_share *share, struct dt_tls **tls)
{
    dt_loop_assert_mine(share->loop);
    dt_tls_free(&share->tls);
    share->tls = *tls;
    *tls = NULL;
    share->accept_ctx.ssl_ctx = dt_tls_ctx(share->tls);
}

static void for_each_conn(struct httpd_share *share, void (*fn)(struct httpd_conn *))
{
    h2o_linklist_t *node = share->conns.next;

    while (node != &share->conns) {
        h2o_linklist_t *next = node->next; /* fn may end this connection, and no other */
        fn(H2O_STRUCT_FROM_MEMBER(struct httpd_conn, link, node));
        node = next;
    }
}

static void conn_close_if_idle(struct httpd_conn *conn)
{
    if (conn->req == NULL)
        conn_stop_reading(conn);
}

void httpd_share_drain(void *arg)
{
    struct httpd_share *share = arg;

    dt_loop_assert_mine(share->loop);
    if (share->is_draining)
        return;
    share->is_draining = true;
    /* Clients the kernel has greeted already must not be reset. */
    while (!dt_timer_is_armed(&share->resume) && accept_one(share))
        ;
    dt_timer_clear(&share->resume);
    h2o_socket_close(share->listener);
    share->listener = NULL;
    httpd_listening_end(share->server);
    /* Not h2o_context_request_shutdown(): its HTTP/2 half leaves a timer behind that makes
     * h2o_context_dispose() abort. */
    share->ctx.shutdown_requested = 1;
    for_each_conn(share, conn_close_if_idle);
    httpd_busy_add(share->server, -1);
}

static void conn_cut(struct httpd_conn *conn)
{
    if (conn->req != NULL)
        httpd_req_cut(conn->req, DT_HTTP_CUT);
    else
        conn_shutdown(conn, SHUT_RDWR);
}

void httpd_share_cut(void *arg)
{
    struct httpd_share *share = arg;

    dt_loop_assert_mine(share->loop);
    for_each_conn(share, conn_cut);
}

void httpd_share_free(struct httpd_share *share)
{
    dt_loop_assert_mine(share->loop);
    dt_tls_free(&share->tls);
    if (!share->is_open)
        return; /* the loops never ran */
    DT_ASSERT(share->listener == NULL && h2o_linklist_is_empty(&share->conns));
    h2o_context_dispose(&share->ctx);
    dt_free(&share->tls_buf);
    dt_free(&share->warm);
    share->is_open = false;
}
