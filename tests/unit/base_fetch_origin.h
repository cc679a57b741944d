/*
 * A misbehaving HTTP origin inside the test: one thread per connection, raw sockets, and a path
 * that says how to fail. Byte i of every body is origin_byte(i), so that a reader can check any
 * piece on its own. Nothing here sleeps to synchronise: a connection that must hang waits for its
 * peer to close.
 */
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

static inline unsigned char origin_byte(uint64_t at)
{
    return (unsigned char)(at * 31 + (at >> 12));
}

/* Replies with nothing to compute: sent as they are, then closed. */
static const struct {
    const char *path, *reply;
} canned[] = {
    {"/two-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"},
    {"/same-lengths", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nabcde"},
    {"/bad-length", "HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nabcde"},
    {"/negative-length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabcde"},
    {"/length-and-chunked", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"},
    {"/gzip-coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabcde"},
    {"/too-much", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcdefghij"},
    {"/close", "HTTP/1.1 200 OK\r\n\r\nabcde"},
    {"/bad-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabcde\r\n0\r\n\r\n"},
    {"/chunked-cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n5\r\nab"},
    {"/chunked-no-end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n"},
    {"/trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n"
                  "Content-Length: 77\r\n\r\n"},
    {"/continue", "HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"
                  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"},
    {"/switching",
     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"},
    {"/not-http", "SSH-2.0-OpenSSH_9.2\r\n"},
    {"/old", "<html>HTTP/0.9</html>"},
    {"/empty", ""},
    {"/half-head", "HTTP/1.1 200 OK\r\nContent-Len"},
    {"/nul", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n"},
    {"/no-name", "HTTP/1.1 200 OK\r\n: v\r\nContent-Length: 0\r\n\r\n"},
    {"/folded", "HTTP/1.1 200 OK\r\nX-Fold: a\r\n  b \r\nX-Twice: 1\r\nx-twice: 2\r\n"
                "Content-Length: 0\r\n\r\n"},
    /* docker-registry 2.8.2 on a range beyond the end. */
    {"/416", "HTTP/1.1 416 Requested Range Not Satisfiable\r\nContent-Length: 104857600\r\n"
             "Content-Type: text/plain\r\n\r\ninvalid range: failed to overlap\n"},
    {"/204", "HTTP/1.1 204 No Content\r\n\r\n"},
    {"/304", "HTTP/1.1 304 Not Modified\r\nLocation: /whole?5\r\nContent-Length: 50\r\n\r\n"},
    {"/userinfo", "HTTP/1.1 302 Found\r\nLocation: http://user:pw@127.0.0.1/\r\n"
                  "Content-Length: 0\r\n\r\n"},
    {"/ftp", "HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"},
    {"/unreadable-location", "HTTP/1.1 302 Found\r\nLocation: http://[/\r\n"
                             "Content-Length: 0\r\n\r\n"},
    {"/lonely-302", "HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nhm"},
    {"/long-redirect-body", "HTTP/1.1 302 Found\r\nLocation: /whole?5\r\n"
                            "Content-Length: 99999999\r\n\r\nx"},
};

static bool send_all(int fd, const void *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes = (const char *)bytes + n;
        len -= (size_t)n;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

static bool send_body(int fd, uint64_t len, bool is_chunked)
{
    static _Thread_local unsigned char piece[65536];
    char line[32];

    for (uint64_t at = 0; at < len;) {
        size_t n = len - at < sizeof(piece) ? (size_t)(len - at) : sizeof(piece);
        for (size_t i = 0; i < n; i++)
            piece[i] = origin_byte(at + i);
        (void)snprintf(line, sizeof(line), "%zx\r\n", n);
        if ((is_chunked && !send_text(fd, line)) || !send_all(fd, piece, n) ||
            (is_chunked && !send_text(fd, "\r\n")))
            return false;
        at += n;
    }
    return !is_chunked || send_text(fd, "0\r\n\r\n");
}

static void wait_for_close(int fd)
{
    char rest[256];

    while (recv(fd, rest, sizeof(rest), 0) > 0)
        ;
}

static void reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static bool send_head(int fd, int status, const char *extra, uint64_t len)
{
    char head[1024];

    (void)snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %llu\r\n%s\r\n", status,
                   (unsigned long long)len, extra);
    return send_text(fd, head);
}

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
static int listen_anywhere(int *port, int backlog)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    DT_ASSERT(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    DT_ASSERT(listen(fd, backlog) == 0);
    DT_ASSERT(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    *port = ntohs(addr.sin_port);
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
