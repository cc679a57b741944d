/*
 * The mirror listener over a lab's proxy, and a client that speaks one request per connection.
 */
#ifndef DARTER_TESTS_UNIT_PROXY_LAB_HTTP_H
#define DARTER_TESTS_UNIT_PROXY_LAB_HTTP_H

#include <errno.h>

#include "proxy/mirror.h"
#include "proxy/ping.h"
#include "tests/unit/proxy_lab.h"

struct lab_listener {
    struct dt_httpd *httpd;
    int port;
};

static inline void lab_listen(struct lab_listener *listener, struct lab *lab)
{
    struct dt_err err = {0};
    proxy_pings_new(&lab->proxy);
    lab_run(lab);
    DT_ASSERT(dt_httpd_start(&listener->httpd, lab->proxy.transfer.loops,
                             &(struct dt_httpd_opts){.name = "test",
                                                     .addr = {.host = "127.0.0.1"},
                                                     .handler = proxy_mirror_handle,
                                                     .arg = &lab->proxy,
                                                     .pool = lab->proxy.transfer.pool},
                             &err) == 0);
    listener->port = dt_httpd_port(listener->httpd);
}

static inline void lab_unlisten(struct lab_listener *listener, struct lab *lab)
{
    dt_httpd_drain(listener->httpd, 5000);
    lab_settle(lab);
    dt_loops_stop(lab->proxy.transfer.loops);
    dt_httpd_free(&listener->httpd);
    proxy_pings_free(&lab->proxy);
    lab_close_stopped(lab);
}

/* Sends without waiting for the answer. */
static inline int lab_send(const struct lab_listener *listener, const char *method,
                           const char *target, const char *headers)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)listener->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char *text = dt_asprintf("%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", method,
                             target, headers);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    DT_ASSERT(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    origin_send(fd, text, strlen(text));
    free(text);
    return fd;
}

/* The whole response up to the end of the connection; caller frees. */
static inline char *lab_receive(int fd)
{
    struct dt_text text = {0};
    struct timeval limit = {.tv_sec = LAB_DEADLINE_S};
    char part[4096];
    ssize_t n;

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    while ((n = recv(fd, part, sizeof(part), 0)) > 0 || (n < 0 && errno == EINTR))
        dt_text_add_len(&text, part, n > 0 ? (size_t)n : 0);
    DT_ASSERT(n == 0);
    close(fd);
    return dt_text_take(&text);
}

static inline char *lab_request(const struct lab_listener *listener, const char *method,
                                const char *target, const char *headers)
{
    return lab_receive(lab_send(listener, method, target, headers));
}

#endif
