/*
 * A scripted registry inside the test: one thread per connection, one request per connection, and a
 * script that says whom to let in and how to misbehave. It counts what it was asked. A connection
 * that must hang waits for its peer to close, or for the test to release it.
 */
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

/* Called with the lock held; gives it up while a GET is held back. */
static inline void origin_manifest(struct origin *origin, int fd, bool is_head,
                                   const char *reference)
{
    char digest[DT_DIGEST_TEXT_MAX];

    origin_digest(digest, origin->manifest);
    if (is_head && (origin->quirk == QUIRK_HEAD_405 || origin->quirk == QUIRK_GET_HTML ||
                    origin->quirk == QUIRK_GET_204)) {
        origin_refuse(fd, origin, 405);
        return;
    }
    if (is_head && origin->quirk == QUIRK_HEAD_404) {
        origin_refuse(fd, origin, 404);
        return;
    }
    if (strncmp(reference, "sha256:", 7) == 0 && strcmp(reference, digest) != 0) {
        origin_refuse(fd, origin, 404);
        return;
    }
    if (is_head) {
        origin_head(fd, origin, origin->manifest);
        return;
    }
    origin->n_waiting_gets++;
    pthread_cond_broadcast(&origin->changed);
    while (origin->holds_gets)
        pthread_cond_wait(&origin->changed, &origin->lock);
    origin->n_waiting_gets--;
    origin_get(fd, origin, origin->manifest);
}

static inline void origin_blob(struct origin *origin, int fd, const char *digest)
{
    char *text;

    origin->n_blob_heads++;
    if (origin->blob == NULL || strcmp(digest, origin->blob) != 0) {
        origin_refuse(fd, origin, 404);
        return;
    }
    text = dt_asprintf("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 77\r\n\r\n");
    origin_send(fd, text, strlen(text));
    free(text);
}

/* Called with the lock held. */
static inline void origin_reply(struct origin *origin, int fd, const char *request)
{
    char authorization[256], method[8], path[600], body[128];
    const char *reference;
    bool is_manifest, is_head;

    if (sscanf(request, "%7s %599s", method, path) != 2)
        return;
    origin_header(authorization, sizeof(authorization), request, "\r\nAuthorization: ");
    origin->n_requests++;
    if (strncmp(path, "/token", 6) == 0) {
        origin->n_tokens++;
        (void)snprintf(body, sizeof(body), "{\"token\":\"%s\"}",
                       origin->token != NULL ? origin->token : "");
        origin_answer(fd, origin, origin->token != NULL ? 200 : 401, "", body);
        return;
    }
    reference = strrchr(path, '/') + 1;
    is_manifest = strstr(path, "/manifests/") != NULL;
    is_head = origin_is_head = strcmp(method, "HEAD") == 0;
    (void)snprintf(origin->last_authorization, sizeof(origin->last_authorization), "%s",
                   authorization);
    origin->n_pings += strcmp(path, "/v2/") == 0;
    origin->n_heads += is_manifest && is_head;
    origin->n_gets += is_manifest && !is_head;
    if (origin->quirk == QUIRK_REDIRECT) {
        (void)snprintf(path, sizeof(path), "Location: %s\r\n", origin->location);
        origin_answer(fd, origin, 307, path, "");
    } else if (origin->status != 0) {
        origin_refuse(fd, origin, origin->status);
    } else if (!origin_lets_in(origin, authorization)) {
        origin_refuse(fd, origin, 401);
    } else if (is_manifest && !is_head && origin->get_refused != NULL &&
               strcmp(origin->get_refused, authorization) == 0) {
        pthread_cond_broadcast(&origin->changed);
        while (origin->holds_gets)
            pthread_cond_wait(&origin->changed, &origin->lock);
        origin_refuse(fd, origin, 401);
    } else if (is_manifest) {
        origin_manifest(origin, fd, is_head, reference);
    } else if (strstr(path, "/blobs/") != NULL) {
        origin_blob(origin, fd, reference);
    } else {
        origin_answer(fd, origin, 200, "", "{}");
    }
}

static inline void *origin_talk(void *arg)
{
    struct origin_conn *conn = arg;
    struct origin *origin = conn->origin;
    char request[16384];
    size_t len = 0;
    bool is_whole = false;

    while (!is_whole && len < sizeof(request) - 1) {
        ssize_t n = recv(conn->fd, request + len, sizeof(request) - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        request[len] = '\0';
        is_whole = strstr(request, "\r\n\r\n") != NULL;
    }
    pthread_mutex_lock(&origin->lock);
    bool is_silent = origin->quirk == QUIRK_SILENT, is_reset = origin->quirk == QUIRK_RESET;
    if (is_whole && (is_silent || is_reset))
        origin->n_requests++;
    else if (is_whole)
        origin_reply(origin, conn->fd, request);
    pthread_mutex_unlock(&origin->lock);
    if (is_silent)
        origin_wait_for_close(conn->fd);
    shutdown(conn->fd, SHUT_WR);
    if (!is_reset)
        origin_wait_for_close(conn->fd);
    close(conn->fd);
    free(conn);
    pthread_mutex_lock(&origin->lock);
    origin->n_live--;
    pthread_cond_broadcast(&origin->changed);
    pthread_mutex_unlock(&origin->lock);
    return NULL;
}

static inline void *origin_accept(void *arg)
{
    struct origin *origin = arg;

    for (;;) {
        int fd = accept(origin->fd, NULL, NULL);
        pthread_t thread;
        if (fd < 0)
            return NULL;
        struct origin_conn *conn = dt_new(struct origin_conn);
        conn->origin = origin;
        conn->fd = fd;
        pthread_mutex_lock(&origin->lock);
        origin->n_live++;
        pthread_mutex_unlock(&origin->lock);
        DT_ASSERT(pthread_create(&thread, NULL, origin_talk, conn) == 0);
        pthread_detach(thread);
    }
}

static inline void origin_start(struct origin *origin)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    socklen_t len = sizeof(addr);

    *origin = (struct origin){.fd = socket(AF_INET, SOCK_STREAM, 0)};
    pthread_mutex_init(&origin->lock, NULL);
    pthread_cond_init(&origin->changed, NULL);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    DT_ASSERT(bind(origin->fd, (struct sockaddr *)&addr, len) == 0);
    DT_ASSERT(listen(origin->fd, 128) == 0);
    DT_ASSERT(getsockname(origin->fd, (struct sockaddr *)&addr, &len) == 0);
    origin->port = ntohs(addr.sin_port);
    DT_ASSERT(pthread_create(&origin->thread, NULL, origin_accept, origin) == 0);
}

/* Every client must have closed by now: the fetcher is gone. */
static inline void origin_stop(struct origin *origin)
{
    shutdown(origin->fd, SHUT_RDWR);
    pthread_join(origin->thread, NULL);
    close(origin->fd);
    pthread_mutex_lock(&origin->lock);
    while (origin->n_live > 0)
        pthread_cond_wait(&origin->changed, &origin->lock);
    pthread_mutex_unlock(&origin->lock);
    pthread_mutex_destroy(&origin->lock);
    pthread_cond_destroy(&origin->changed);
}
