/*
 * The script of tests/unit/proxy_origin.h: whom to let in and how to misbehave, and the answers
 * that follow from it. It counts what it was asked.
 */
#ifndef DARTER_TESTS_UNIT_PROXY_ORIGIN_SCRIPT_H
#define DARTER_TESTS_UNIT_PROXY_ORIGIN_SCRIPT_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"

#define ORIGIN_CHALLENGE "Bearer realm=\"http://127.0.0.1:%d/token\",service=\"lab\",scope=\"x\""
#define ORIGIN_TYPE      "application/vnd.oci.image.manifest.v1+json"

enum origin_quirk {
    QUIRK_NONE,
    QUIRK_HEAD_405,
    QUIRK_HEAD_404,
    QUIRK_HEAD_NO_DIGEST,
    QUIRK_HEAD_NO_LENGTH,
    QUIRK_HEAD_LENGTH_0,
    QUIRK_HEAD_PLAIN_TYPE,
    QUIRK_HEAD_WRONG_DIGEST, /* GET of that digest answers 404 */
    QUIRK_GET_NO_TYPE,
    QUIRK_GET_WRONG_BYTES,
    QUIRK_GET_WRONG_DIGEST, /* GET TAG names a digest that is not its body's; HEAD names none */
    QUIRK_GET_HTML,         /* an error page with 200, HEAD as in HEAD_405 */
    QUIRK_GET_204,          /* HEAD as in HEAD_405 */
    QUIRK_HUGE,
    QUIRK_RESET, /* closes without a word */
    QUIRK_SILENT,
    QUIRK_REDIRECT, /* to `location` */
};

struct origin {
    int fd, port;
    pthread_t thread;
    pthread_mutex_t lock; /* for all below */
    pthread_cond_t changed;
    int n_live;
    /* the script */
    enum origin_quirk quirk;
    int status;              /* != 0: every request for content gets this */
    const char *extra;       /* header lines for every answer, "" or ending in CRLF */
    const char *allowed[4];  /* Authorization values let in; "" = no header needed */
    const char *token;       /* what /token hands out; NULL = 401 there */
    const char *get_refused; /* this Authorization may HEAD and not GET */
    const char *manifest;    /* behind every tag */
    const char *blob;        /* digest of a blob that is here besides the manifest's */
    const char *location;
    bool holds_gets; /* GETs of manifests wait for false */
    /* what came */
    int n_heads, n_gets, n_blob_heads, n_tokens, n_pings, n_requests, n_waiting_gets;
    char last_authorization[256];
};

struct origin_conn {
    struct origin *origin;
    int fd;
};

static _Thread_local bool origin_is_head; /* the request in hand: no body then */

static inline void origin_send(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        text += n;
        len -= (size_t)n;
    }
}

static inline void origin_wait_for_close(int fd)
{
    char rest[256];
    while (recv(fd, rest, sizeof(rest), 0) > 0)
        ;
}

/* The value of one header of a request, "" when absent. */
static inline void origin_header(char *out, size_t out_size, const char *request, const char *name)
{
    const char *line = strcasestr(request, name);
    out[0] = '\0';
    if (line == NULL)
        return;
    line += strlen(name);
    (void)snprintf(out, out_size, "%.*s", (int)strcspn(line, "\r\n"), line);
}

static inline void origin_digest(char out[DT_DIGEST_TEXT_MAX], const char *text)
{
    struct dt_digest digest;
    dt_digest_of(&digest, DT_SHA256, text, strlen(text));
    (void)dt_digest_format(out, &digest);
}

static inline bool origin_lets_in(const struct origin *origin, const char *authorization)
{
    for (size_t i = 0; i < 4; i++)
        if (origin->allowed[i] != NULL && strcmp(origin->allowed[i], authorization) == 0)
            return true;
    return false;
}

static inline void origin_answer(int fd, const struct origin *origin, int status, const char *head,
                                 const char *body)
{
    char *text = dt_asprintf(
        "HTTP/1.1 %d X\r\nConnection: close\r\n%s%sContent-Length: %zu\r\n\r\n%s", status,
        origin->extra != NULL ? origin->extra : "", head, strlen(body), origin_is_head ? "" : body);
    origin_send(fd, text, strlen(text));
    free(text);
}

static inline void origin_refuse(int fd, const struct origin *origin, int status)
{
    char head[300] = "";
    if (status == 401)
        (void)snprintf(head, sizeof(head), "WWW-Authenticate: " ORIGIN_CHALLENGE "\r\n",
                       origin->port);
    origin_answer(fd, origin, status, head, "{\"errors\":[]}");
}

static inline void origin_head(int fd, const struct origin *origin, const char *manifest)
{
    char digest[DT_DIGEST_TEXT_MAX], length[64] = "";
    const char *type = ORIGIN_TYPE;

    origin_digest(digest, origin->quirk == QUIRK_HEAD_WRONG_DIGEST ? "another" : manifest);
    if (origin->quirk != QUIRK_HEAD_NO_LENGTH)
        (void)snprintf(length, sizeof(length), "Content-Length: %zu\r\n",
                       origin->quirk == QUIRK_HEAD_LENGTH_0 ? (size_t)0 : strlen(manifest));
    if (origin->quirk == QUIRK_HEAD_PLAIN_TYPE)
        type = "text/plain; charset=utf-8";
    bool is_told = origin->quirk != QUIRK_HEAD_NO_DIGEST && origin->quirk != QUIRK_GET_WRONG_DIGEST;
    char *text = dt_asprintf("HTTP/1.1 200 OK\r\nConnection: close\r\n%s%sContent-Type: %s\r\n"
                             "%s%s%s\r\n",
                             origin->extra != NULL ? origin->extra : "", length, type,
                             is_told ? "Docker-Content-Digest: " : "", is_told ? digest : "",
                             is_told ? "\r\n" : "");
    origin_send(fd, text, strlen(text));
    free(text);
}

static inline void origin_get(int fd, const struct origin *origin, const char *manifest)
{
    char digest[DT_DIGEST_TEXT_MAX];
    char *head, *big;

    if (origin->quirk == QUIRK_GET_204) {
        origin_answer(fd, origin, 204, "", "");
        return;
    }
    if (origin->quirk == QUIRK_GET_HTML) {
        origin_answer(fd, origin, 200, "Content-Type: text/html\r\n", "<html>sign in</html>");
        return;
    }
    if (origin->quirk == QUIRK_HUGE) {
        big = dt_calloc(1, 5 * MIB);
        memset(big, ' ', 5 * MIB - 1);
        origin_answer(fd, origin, 200, "Content-Type: " ORIGIN_TYPE "\r\n", big);
        free(big);
        return;
    }
    origin_digest(digest, origin->quirk == QUIRK_GET_WRONG_DIGEST ? "another" : manifest);
    head = dt_asprintf(
        "%sDocker-Content-Digest: %s\r\n",
        origin->quirk == QUIRK_GET_NO_TYPE ? "" : "Content-Type: " ORIGIN_TYPE "\r\n", digest);
    origin_answer(fd, origin, 200, head,
                  origin->quirk == QUIRK_GET_WRONG_BYTES ? "{\"schemaVersion\":2}" : manifest);
    free(head);
}

#endif
