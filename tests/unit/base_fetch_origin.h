/*
 * A misbehaving HTTP origin inside the test: one thread per connection, raw sockets, and a path
 * that says how to fail. Nothing here sleeps to synchronise: a connection that must hang waits for
 * its peer to close.
 */
#ifndef DARTER_TESTS_UNIT_BASE_FETCH_ORIGIN_H
#define DARTER_TESTS_UNIT_BASE_FETCH_ORIGIN_H

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "tests/unit/base_fetch_canned.h"

struct origin {
    int fd;
    int port;
    pthread_t thread;
    _Atomic int n_connections, n_live;
    pthread_mutex_t lock;
    char last_request[16384]; /* under lock */
};

struct origin_conn {
    struct origin *origin;
    int fd;
};

/* A head that never ends, a byte now and then. */
static void trickle(int fd)
{
    (void)send_text(fd, "HTTP/1.1 200 OK\r\nX-Slow: ");
    while (send_all(fd, "x", 1))
        usleep(5000);
}

static void huge_head(int fd, const char *extra)
{
    bool is_fine = true;

    for (int i = 0; i < 2000 && is_fine; i++)
        is_fine = send_text(fd, extra);
    wait_for_close(fd);
}

/* What follows '?' in the path. */
static const char *query_of(const char *path)
{
    const char *mark = strchr(path, '?');

    return mark != NULL ? mark + 1 : "";
}

static void misbehave(int fd, const char *path, uint64_t len)
{
    if (strncmp(path, "/cut", 4) == 0)
        (void)(send_head(fd, 200, "", len) && send_body(fd, len / 2, false));
    else if (strncmp(path, "/stall", 6) == 0 && send_head(fd, 200, "", len) &&
             send_body(fd, len / 2, false))
        wait_for_close(fd);
    else if (strncmp(path, "/broken-body-rst", 16) == 0 && send_head(fd, 200, "", len))
        reset(fd);
    else if (strcmp(path, "/silent") == 0)
        wait_for_close(fd);
    else if (strcmp(path, "/rst") == 0)
        reset(fd);
    else if (strcmp(path, "/trickle") == 0)
        trickle(fd);
    else if (strcmp(path, "/huge-head") == 0)
        (void)send_text(fd, "HTTP/1.1 200 OK\r\n"),
            huge_head(fd, "X-Pad: 0123456789012345678901234567890123456789\r\n");
    else if (strcmp(path, "/interim-for-ever") == 0)
        huge_head(fd, "HTTP/1.1 103 Early\r\nX-Pad: 01234567890123456789\r\n\r\n");
}

/* Returns whether the connection can be used again. */
static bool reply(int fd, const char *method, const char *path)
{
    const char *query = query_of(path);
    uint64_t len = strtoull(query, NULL, 10);
    char extra[600];

    for (size_t i = 0; i < sizeof(canned) / sizeof(canned[0]); i++)
        if (strcmp(path, canned[i].path) == 0)
            return send_text(fd, canned[i].reply) && false;
    if (strncmp(path, "/whole", 6) == 0)
        return send_head(fd, 200, "", len) &&
               (strcmp(method, "HEAD") == 0 || send_body(fd, len, false));
    if (strncmp(path, "/chunked", 8) == 0)
        return send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") &&
               send_body(fd, len, true);
    if (strncmp(path, "/status", 7) == 0)
        return send_head(fd, (int)len, "Retry-After: 7\r\n", 4) && send_text(fd, "oops");
    if (strncmp(path, "/redirect", 9) == 0) {
        (void)snprintf(extra, sizeof(extra), "Location: %s\r\n", query);
        return send_head(fd, 307, extra, 10) && send_body(fd, 10, false);
    }
    misbehave(fd, path, len);
    return false;
}

/* Reads one request with its body; false = the peer is gone. */
static bool read_request(int fd, char *text, size_t size)
{
    size_t len = 0, want = 0;
    char *end = NULL;
    const char *length;

    while (end == NULL || len < want) {
        ssize_t n = recv(fd, text + len, size - 1 - len, 0);
        if (n <= 0)
            return false;
        len += (size_t)n;
        text[len] = '\0';
        end = strstr(text, "\r\n\r\n");
        if (end == NULL)
            continue;
        length = strstr(text, "Content-Length: ");
        want = (size_t)(end - text) + 4;
        if (length != NULL && length < end)
            want += strtoul(length + 16, NULL, 10);
    }
    return true;
}

static void *origin_conn_main(void *arg)
{
    struct origin_conn *conn = arg;
    struct origin *origin = conn->origin;
    char *text = dt_calloc(1, sizeof(origin->last_request));
    bool is_open = true;

    while (is_open && read_request(conn->fd, text, sizeof(origin->last_request))) {
        char method[16] = "", path[1024] = "";
        pthread_mutex_lock(&origin->lock);
        memcpy(origin->last_request, text, sizeof(origin->last_request));
        pthread_mutex_unlock(&origin->lock);
        (void)sscanf(text, "%15s %1023s", method, path);
        is_open = reply(conn->fd, method, path);
    }
    close(conn->fd);
    free(text);
    free(conn);
    atomic_fetch_sub(&origin->n_live, 1);
    return NULL;
}

static void *origin_main(void *arg)
{
    struct origin *origin = arg;
    int fd;

    while ((fd = accept(origin->fd, NULL, NULL)) >= 0) {
        struct origin_conn *conn = dt_new(struct origin_conn);
        pthread_t thread;
        conn->origin = origin;
        conn->fd = fd;
        /* Head and body are sent apart: without this each body would wait for an acknowledgement.
         */
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
        atomic_fetch_add(&origin->n_connections, 1);
        atomic_fetch_add(&origin->n_live, 1);
        DT_ASSERT(pthread_create(&thread, NULL, origin_conn_main, conn) == 0);
        DT_ASSERT(pthread_detach(thread) == 0);
    }
    return NULL;
}

/* A listening socket on a free port of 127.0.0.1. */
static int bind_anywhere(int *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    DT_ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    DT_ASSERT(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    *port = ntohs(addr.sin_port);
    return fd;
}

static int listen_anywhere(int *port, int backlog)
{
    int fd = bind_anywhere(port);

    DT_ASSERT(listen(fd, backlog) == 0);
    return fd;
}

static void origin_start(struct origin *origin)
{
    *origin = (struct origin){.lock = PTHREAD_MUTEX_INITIALIZER};
    origin->fd = listen_anywhere(&origin->port, 512);
    DT_ASSERT(pthread_create(&origin->thread, NULL, origin_main, origin) == 0);
}

/* Every client is gone by now, so every connection ends by itself. */
static void origin_stop(struct origin *origin)
{
    (void)shutdown(origin->fd, SHUT_RDWR);
    (void)pthread_join(origin->thread, NULL);
    while (atomic_load(&origin->n_live) > 0)
        usleep(1000);
    close(origin->fd);
}

/* Does the newest request hold `text`? */
static inline bool origin_was_asked(struct origin *origin, const char *text)
{
    bool is_there;

    pthread_mutex_lock(&origin->lock);
    is_there = strstr(origin->last_request, text) != NULL;
    pthread_mutex_unlock(&origin->lock);
    return is_there;
}

#endif
