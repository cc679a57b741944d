/*
 * How the misbehaving origin of the fetch tests sends, and what it says without thinking. Byte i
 * of every body is origin_byte(i), so that a reader can check any piece on its own.
 */
#ifndef DARTER_TESTS_UNIT_BASE_FETCH_CANNED_H
#define DARTER_TESTS_UNIT_BASE_FETCH_CANNED_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static inline unsigned char origin_byte(uint64_t at)
{
    return (unsigned char)(at * 31 + (at >> 12));
}

/* Replies with nothing to compute: sent as they are, then closed. */
static const struct {
    const char *path, *reply;
} canned[] __attribute__((unused)) = {
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

static inline bool send_all(int fd, const void *bytes, size_t len)
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

static inline bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

static inline bool send_body(int fd, uint64_t len, bool is_chunked)
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

static inline void wait_for_close(int fd)
{
    char rest[256];

    while (recv(fd, rest, sizeof(rest), 0) > 0)
        ;
}

static inline void reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static inline bool send_head(int fd, int status, const char *extra, uint64_t len)
{
    char head[1024];

    (void)snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Length: %llu\r\n%s\r\n", status,
                   (unsigned long long)len, extra);
    return send_text(fd, head);
}

#endif
