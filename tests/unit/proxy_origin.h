/*
 * A scripted registry inside the test: one thread per connection, one request per connection. What
 * it answers: tests/unit/proxy_origin_script.h. A connection that must hang waits for its peer to
 * close, or for the test to release it.
 */
#ifndef DARTER_TESTS_UNIT_PROXY_ORIGIN_H
#define DARTER_TESTS_UNIT_PROXY_ORIGIN_H

#include <time.h>

#include "tests/unit/proxy_origin_script.h"

#define ORIGIN_DEADLINE_S 20

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

/* A counter of the origin, read under its lock. */
static inline int origin_count(struct origin *origin, const int *counter)
{
    pthread_mutex_lock(&origin->lock);
    int value = *counter;
    pthread_mutex_unlock(&origin->lock);
    return value;
}

static inline void origin_wait_count(struct origin *origin, const int *counter, int at_least)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ORIGIN_DEADLINE_S;
    pthread_mutex_lock(&origin->lock);
    while (*counter < at_least) {
        struct timespec step;
        clock_gettime(CLOCK_REALTIME, &step);
        DT_ASSERT(step.tv_sec < until.tv_sec);
        step.tv_nsec += 10000000; /* counters are not all announced */
        if (step.tv_nsec >= 1000000000) {
            step.tv_sec++;
            step.tv_nsec -= 1000000000;
        }
        (void)pthread_cond_timedwait(&origin->changed, &origin->lock, &step);
    }
    pthread_mutex_unlock(&origin->lock);
}

#endif
