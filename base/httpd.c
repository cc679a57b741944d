/*
 * base/httpd.c - the server: one listening socket, a share of it on every loop.
 *
 *   dt_httpd_start -> (serving) -> dt_httpd_drain -> dt_loops_stop -> dt_httpd_free
 *
 * All loops accept from one socket (a descriptor each). The alternative, one SO_REUSEPORT socket
 * per loop, lets the kernel hash clients to loops blindly: with few, long connections a loop is
 * often left idle while another serves two downloads. Here the idle loop takes the next client.
 *
 * Threads: main starts, drains and frees; everything between happens on the loops, by message.
 */
#include "base/httpd.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOG_COMPONENT "httpd"
#include "base/httpd_priv.h"
#include "base/log.h"

#define HTTPD_MAGIC        0x68747064u
#define HTTPD_CUT_GRACE_MS 5000

/* ---- the listening socket ---- */

static int unix_addr_prepare(struct sockaddr_un *sa, const char *path, struct dt_err *err)
{
    struct stat st;
    int probe, in_use;

    sa->sun_family = AF_UNIX;
    (void)snprintf(sa->sun_path, sizeof sa->sun_path, "%s", path);
    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : dt_err_errno(err, DT_EIO, errno, "cannot look at %s", path);
    if (!S_ISSOCK(st.st_mode))
        return dt_err_set(err, DT_EINVAL, "%s exists and is not a socket", path);
    /* A socket nobody answers on is what a killed process left behind. */
    probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return dt_err_errno(err, DT_EIO, errno, "cannot make a socket for %s", path);
    in_use = connect(probe, (struct sockaddr *)sa, sizeof *sa) == 0;
    dt_close(&probe);
    if (in_use)
        return dt_err_set(err, DT_EIO, "%s is in use by another process", path);
    if (unlink(path) < 0)
        return dt_err_errno(err, DT_EIO, errno, "cannot remove the stale socket %s", path);
    return 0;
}

static int addr_prepare(struct sockaddr_storage *out, socklen_t *len, const struct dt_addr *addr,
                        struct dt_err *err)
{
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof *out);
    if (addr->unix_path[0] != '\0') {
        *len = sizeof(struct sockaddr_un);
        return unix_addr_prepare((struct sockaddr_un *)out, addr->unix_path, err);
    }
    if (inet_pton(AF_INET, addr->host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(addr->port);
        *len = sizeof *in;
        return 0;
    }
    if (inet_pton(AF_INET6, addr->host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(addr->port);
        *len = sizeof *in6;
        return 0;
    }
    return dt_err_set(err, DT_EINVAL, "%s is not an address to listen on", addr->host);
}

static int bound_port(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return -1;
    if (sa.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&sa)->sin_port);
    return sa.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&sa)->sin6_port) : 0;
}

static int listen_open(int *out, const struct dt_addr *addr, struct dt_err *err)
{
    struct sockaddr_storage sa;
    socklen_t len;
    int fd = -1, on = 1, rc;
    char text[300];

    rc = addr_prepare(&sa, &len, addr, err);
    if (rc < 0)
        return rc;
    fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        goto fail;
    /* Without it a restarted daemon waits a minute for its own old connections. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
        goto fail;
    /* "[::]:80" means IPv6; who wants both families lists both addresses. */
    if (sa.ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0)
        goto fail;
    if (bind(fd, (struct sockaddr *)&sa, len) < 0)
        goto fail;
    /* Before listen(), so nobody can connect under other permissions. */
    if (sa.ss_family == AF_UNIX && chmod(addr->unix_path, 0660) < 0)
        goto fail;
    if (listen(fd, SOMAXCONN) < 0)
        goto fail;
    *out = fd;
    return 0;
fail:
    rc = dt_err_errno(err, DT_EIO, errno, "cannot listen on %s", dt_addr_format(text, addr));
    dt_close(&fd);
    return rc;
}

/* ---- start ---- */

static void set_default_u64(uint64_t *value, uint64_t preset)
{
    if (*value == 0)
        *value = preset;
}

static void set_default_size(size_t *value, size_t preset)
{
    if (*value == 0)
        *value = preset;
}

static void config_init(struct dt_httpd *server)
{
    h2o_hostconf_t *host;
    h2o_pathconf_t *path;
    h2o_handler_t *handler;

    h2o_config_init(&server->config);
    server->config.server_name = h2o_iovec_init(H2O_STRLIT("")); /* no Server header */
    server->config.max_request_entity_size = server->opts.max_body_bytes;
    server->config.http1.req_timeout = server->opts.idle_timeout_ms;
    /* Neither the h2c upgrade nor the HTTP/2 preface: see docs/internals/http-server.md. */
    server->config.http1.upgrade_to_http2 = 0;
    server->config.handshake_timeout = HTTPD_HANDSHAKE_MS;
    host = h2o_config_register_host(&server->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    path = h2o_config_register_path(host, "/", 0);
    handler = h2o_create_handler(path, sizeof *handler);
    handler->on_req = httpd_req_handle;
}

/* One share per loop, each with its own copy of the listening descriptor: made here, where running
 * out of descriptors can still be said. */
static struct httpd_share *shares_new(unsigned n, int listen_fd, struct dt_err *err)
{
    struct httpd_share *share = dt_new_array(struct httpd_share, n);

    for (unsigned i = 0; i < n; i++) {
        share[i].listen_fd = fcntl(listen_fd, F_DUPFD_CLOEXEC, 0);
        if (share[i].listen_fd >= 0)
            continue;
        (void)dt_err_errno(err, DT_EIO, errno, "copy the listening socket");
        while (i-- > 0)
            dt_close(&share[i].listen_fd);
        free(share);
        return NULL;
    }
    return share;
}

int dt_httpd_start(struct dt_httpd **out, struct dt_loops *loops, const struct dt_httpd_opts *opts,
                   struct dt_err *err)
{
    struct dt_httpd *server;
    struct httpd_share *share;
    pthread_condattr_t monotonic;
    int listen_fd, rc;

    DT_ASSERT(opts->handler != NULL && opts->pool != NULL);
    rc = listen_open(&listen_fd, &opts->addr, err);
    if (rc < 0)
        return rc;
    share = shares_new(dt_loops_count(loops), listen_fd, err);
    if (share == NULL) {
        dt_close(&listen_fd);
        return -DT_EIO;
    }
    server = dt_new(struct dt_httpd);
    server->magic = HTTPD_MAGIC;
    server->opts = *opts;
    set_default_u64(&server->opts.idle_timeout_ms, 120 * 1000);
    set_default_u64(&server->opts.send_stall_ms, 60 * 1000);
    set_default_size(&server->opts.max_header_bytes, 64 * KIB);
    set_default_size(&server->opts.max_body_bytes, 64 * KIB);
    if (server->opts.max_connections == 0)
        server->opts.max_connections = 4096;
    server->is_tls = opts->tls != NULL;
    server->opts.tls = NULL; /* the shares have it */
    server->loops = loops;
    server->listen_fd = listen_fd;
    server->port = (uint16_t)bound_port(listen_fd);
    (void)pthread_mutex_init(&server->lock, NULL); /* cannot fail with these attributes */
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&server->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    config_init(server);

    server->share = share;
    httpd_busy_add(server, (int)dt_loops_count(loops));
    server->n_listening = dt_loops_count(loops);
    for (unsigned i = 0; i < dt_loops_count(loops); i++) {
        server->share[i].server = server;
        server->share[i].loop = dt_loops_at(loops, i);
        server->share[i].tls = opts->tls != NULL ? dt_tls_ref(opts->tls) : NULL;
        /* Waited for: it takes descriptors, and h2o aborts where there is none. */
        dt_loop_call(server->share[i].loop, httpd_share_open, &server->share[i]);
    }
    *out = server;
    return 0;
}

/* A new certificate on its way to one loop. */
struct tls_change {
    struct httpd_share *share;
    struct dt_tls *tls; /* a reference */
};

static void on_tls_change(void *arg)
{
    struct tls_change *change = arg;

    httpd_share_set_tls(change->share, &change->tls);
    free(change);
}

void dt_httpd_set_tls(struct dt_httpd *server, struct dt_tls *tls)
{
    DT_ASSERT(server->is_tls);
    for (unsigned i = 0; i < dt_loops_count(server->loops); i++) {
        struct tls_change *change = dt_new(struct tls_change);

        change->share = &server->share[i];
        change->tls = dt_tls_ref(tls);
        dt_loop_post(change->share->loop, on_tls_change, change);
    }
}

uint16_t dt_httpd_port(const struct dt_httpd *server)
{
    return server->port;
}

unsigned dt_httpd_connections(const struct dt_httpd *server)
{
    return atomic_load(&server->n_connections);
}

/* ---- the end ---- */

void httpd_listening_end(struct dt_httpd *server)
{
    (void)pthread_mutex_lock(&server->lock);
    DT_ASSERT(server->n_listening > 0);
    if (--server->n_listening == 0)
        dt_close(
            &server->listen_fd); /* or the kernel would go on greeting for a copy nobody reads */
    (void)pthread_mutex_unlock(&server->lock);
}

void httpd_busy_add(struct dt_httpd *server, int delta)
{
    (void)pthread_mutex_lock(&server->lock);
    server->n_busy += (unsigned)delta;
    if (delta < 0)
        (void)pthread_cond_broadcast(&server->changed);
    (void)pthread_mutex_unlock(&server->lock);
}

static bool wait_until_idle(struct dt_httpd *server, uint64_t deadline_ms)
{
    struct timespec until;
    unsigned n_busy;

    DT_ASSERT(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    until.tv_sec += (time_t)(deadline_ms / 1000u);
    until.tv_nsec += (long)(deadline_ms % 1000u) * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    (void)pthread_mutex_lock(&server->lock);
    while (server->n_busy > 0)
        if (pthread_cond_timedwait(&server->changed, &server->lock, &until) == ETIMEDOUT)
            break;
    n_busy = server->n_busy;
    (void)pthread_mutex_unlock(&server->lock);
    return n_busy == 0;
}

void dt_httpd_drain(struct dt_httpd *server, uint64_t deadline_ms)
{
    unsigned n = dt_loops_count(server->loops);

    DT_ASSERT(dt_loop_current() == NULL);
    for (unsigned i = 0; i < n; i++)
        dt_loop_post(server->share[i].loop, httpd_share_drain, &server->share[i]);
    if (wait_until_idle(server, deadline_ms))
        return;
    dt_log_warn("drain_deadline", "server=%s connections=%u", server->opts.name,
                dt_httpd_connections(server));
    for (unsigned i = 0; i < n; i++)
        dt_loop_post(server->share[i].loop, httpd_share_cut, &server->share[i]);
    if (!wait_until_idle(server, HTTPD_CUT_GRACE_MS))
        dt_log_error("drain_incomplete", "server=%s connections=%u", server->opts.name,
                     dt_httpd_connections(server));
}

void dt_httpd_free(struct dt_httpd **server_ref)
{
    struct dt_httpd *server = *server_ref;

    if (server == NULL)
        return;
    DT_ASSERT(server->magic == HTTPD_MAGIC);
    for (unsigned i = 0; i < dt_loops_count(server->loops); i++)
        httpd_share_free(&server->share[i]);
    free(server->share);
    h2o_config_dispose(&server->config);
    dt_close(&server->listen_fd);
    if (server->opts.addr.unix_path[0] != '\0')
        (void)unlink(server->opts.addr.unix_path); /* gone already is as good */
    (void)pthread_cond_destroy(&server->changed);
    (void)pthread_mutex_destroy(&server->lock);
    server->magic = 0;
    dt_free(server_ref);
}
