/*
 * tests/bench/sink.c - a client that only receives, for honest throughput and latency figures.
 *
 *   sink load    HOST PORT PATH CONNECTIONS SECONDS    keep-alive GETs, back to back
 *   sink once    HOST PORT PATH CONNECTIONS            each connection fetches the path once
 *   sink hold    HOST PORT PATH CONNECTIONS            reads 64 KiB of each answer, then waits for
 * EOF on stdin with all connections open sink latency HOST PORT PATH SECONDS                one
 * small request after another
 *
 * Prints one JSON object. One thread, epoll, large reads: wrk reads 8 KiB at a time and becomes the
 * limit itself. Bodies must come with Content-Length.
 */
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_MAX   16384
#define BUF_BYTES  (256 * 1024)
#define HOLD_BYTES (64 * 1024)

struct connection {
    int fd;
    char head[HEAD_MAX];
    size_t head_len;
    uint64_t left;
    uint64_t body_bytes;
    bool in_body, is_done;
    uint64_t began_us, first_byte_us;
};

static struct sockaddr_in address;
static char request[4096];
static char buf[BUF_BYTES];
static uint64_t total_bytes, total_requests, total_errors, first_byte_us;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "sink: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_request(struct connection *c)
{
    size_t len = strlen(request);
    c->head_len = 0;
    c->in_body = false;
    c->began_us = dt_mono_us();
    if (send(c->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send");
}

static void open_connection(struct connection *c)
{
    int one = 1;
    *c = (struct connection){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        die("connect");
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* latency only */
}

/* Parses the head in c->head; returns its length, or 0 while incomplete. */
static size_t parse_head(struct connection *c)
{
    c->head[c->head_len] = '\0';
    char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
        if (c->head_len >= HEAD_MAX - 1)
            die("response head too long");
        return 0;
    }
    char *length = strcasestr(c->head, "\r\ncontent-length:");
    if (length == NULL || length > end || strncmp(c->head + 9, "20", 2) != 0) {
        fprintf(stderr, "sink: %.300s\n", c->head);
        die("not a 2xx answer with a length");
    }
    c->left = strtoull(length + 17, NULL, 10);
    c->in_body = true;
    return (size_t)(end + 4 - c->head);
}

static void count_body(struct connection *c, size_t n)
{
    if (c->body_bytes == 0 && n > 0) {
        c->first_byte_us = dt_mono_us() - c->began_us;
        if (first_byte_us == 0)
            first_byte_us = c->first_byte_us;
    }
    c->left -= n;
    c->body_bytes += n;
    total_bytes += n;
}

/* Reads what is there. true = one answer is complete. */
static bool receive(struct connection *c)
{
    if (!c->in_body) {
        ssize_t n = recv(c->fd, c->head + c->head_len, HEAD_MAX - 1 - c->head_len, 0);
        if (n <= 0)
            die(n == 0 ? "closed before the answer" : "recv");
        c->head_len += (size_t)n;
        size_t head = parse_head(c);
        if (head == 0)
            return false;
        count_body(c, c->head_len - head);
    } else {
        ssize_t n = recv(c->fd, buf, c->left < BUF_BYTES ? c->left : BUF_BYTES, 0);
        if (n <= 0) {
            total_errors++;
            c->is_done = true;
            return true;
        }
        count_body(c, (size_t)n);
    }
    if (c->left > 0)
        return false;
    total_requests++;
    return true;
}

static void run(unsigned n_connections, double seconds, uint64_t stop_bytes)
{
    struct connection *all = dt_new_array(struct connection, n_connections);
    struct epoll_event events[64];
    int ep = epoll_create1(EPOLL_CLOEXEC);
    unsigned n_open = n_connections;
    uint64_t began_us = dt_mono_us();
    for (unsigned i = 0; i < n_connections; i++) {
        open_connection(&all[i]);
        struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &all[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, all[i].fd, &ev);
        send_request(&all[i]);
    }
    while (n_open > 0 && (seconds <= 0 || dt_mono_us() - began_us < (uint64_t)(seconds * 1e6))) {
        int n = epoll_wait(ep, events, 64, 200);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            bool is_complete = receive(c);
            bool is_held = stop_bytes > 0 && c->body_bytes >= stop_bytes;
            if (is_complete && seconds > 0 && !c->is_done) {
                send_request(c);
            } else if (is_complete || is_held) {
                epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
                n_open--;
            }
        }
    }
    double took = (double)(dt_mono_us() - began_us) / 1e6;
    printf("{\"bytes\": %llu, \"requests\": %llu, \"errors\": %llu, \"seconds\": %.6f, "
           "\"first_byte_us\": %llu}\n",
           (unsigned long long)total_bytes, (unsigned long long)total_requests,
           (unsigned long long)total_errors, took, (unsigned long long)first_byte_us);
    fflush(stdout);
    if (stop_bytes > 0)
        while (read(0, buf, sizeof(buf)) > 0)
            ;
    for (unsigned i = 0; i < n_connections; i++)
        close(all[i].fd);
    close(ep);
    free(all);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void run_latency(double seconds)
{
    struct connection c;
    size_t n = 0, capacity = 1 << 20;
    uint64_t *took_us = dt_new_array(uint64_t, capacity);
    uint64_t began_us = dt_mono_us();
    open_connection(&c);
    while (dt_mono_us() - began_us < (uint64_t)(seconds * 1e6) && n < capacity) {
        uint64_t sent_us = dt_mono_us();
        send_request(&c);
        while (!receive(&c))
            ;
        took_us[n++] = dt_mono_us() - sent_us;
    }
    qsort(took_us, n, sizeof(*took_us), compare);
    printf("{\"requests\": %zu, \"p50_us\": %llu, \"p99_us\": %llu, \"max_us\": %llu}\n", n,
           (unsigned long long)took_us[n / 2], (unsigned long long)took_us[n * 99 / 100],
           (unsigned long long)took_us[n - 1]);
    close(c.fd);
    free(took_us);
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: see the top of tests/bench/sink.c\n");
        return 2;
    }
    address = (struct sockaddr_in){.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)strtoul(argv[3], NULL, 10))};
    if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1 ||
        !dt_text_print(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", argv[4],
                       argv[2], argv[3]))
        die("address or path");
    if (strcmp(argv[1], "latency") == 0)
        run_latency(strtod(argv[5], NULL));
    else if (strcmp(argv[1], "once") == 0)
        run((unsigned)strtoul(argv[5], NULL, 10), 0, 0);
    else if (strcmp(argv[1], "hold") == 0)
        run((unsigned)strtoul(argv[5], NULL, 10), 0, HOLD_BYTES);
    else if (argc > 6)
        run((unsigned)strtoul(argv[5], NULL, 10), strtod(argv[6], NULL), 0);
    return total_errors > 0;
}
