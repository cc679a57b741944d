/*
 * tests/bench/serve_file.c - one file behind the HTTP server, and nothing else.
 *
 *   serve_file ADDRESS:PORT FILE [LOOPS [CERT KEY]]
 *
 * GET /file answers with the file, anything else with a few bytes. Runs until SIGTERM or SIGINT.
 */
#include "base/httpd.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

static int file_fd;
static uint64_t file_size;

static enum dt_http_next file_next(void *body, uint64_t off, size_t max_len,
                                   struct dt_http_span *span)
{
    (void)body;
    span->fd = file_fd;
    span->off = off;
    span->len = max_len;
    return DT_HTTP_SPAN;
}

static void file_end(void *body, enum dt_http_end how)
{
    (void)body;
    (void)how;
}

static const struct dt_http_body_ops file_ops = {file_next, file_end};

static void handle(void *arg, struct dt_http_req *req)
{
    (void)arg;
    if (strcmp(dt_http_target(req), "/file") == 0)
        dt_http_reply_stream(req, 200, file_size, &file_ops, NULL);
    else
        dt_http_reply(req, 200, "hello\n", 6);
}

static int die(const struct dt_err *err)
{
    (void)fprintf(stderr, "serve_file: %s\n", err->msg);
    return 1;
}

int main(int argc, char **argv)
{
    struct dt_err err = {0};
    struct dt_loops *loops;
    struct dt_pool *pool;
    struct dt_httpd *server;
    struct dt_httpd_opts opts = {.name = "bench", .handler = handle};
    struct stat st;
    sigset_t signals;
    int signal_number;

    if (argc < 3 || dt_addr_parse(&opts.addr, argv[1], &err) < 0) {
        (void)fprintf(stderr, "usage: serve_file ADDRESS:PORT FILE [LOOPS [CERT KEY]]\n");
        return 2;
    }
    file_fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (file_fd < 0 || fstat(file_fd, &st) < 0) {
        perror(argv[2]);
        return 1;
    }
    file_size = (uint64_t)st.st_size;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (argc > 5 && dt_tls_server_new(&opts.tls, argv[4], argv[5], &err) < 0)
        return die(&err);
    if (dt_loops_new(&loops, argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1, &err) < 0 ||
        dt_pool_new(&pool, 4, &err) < 0)
        return die(&err);
    opts.pool = pool;
    if (dt_httpd_start(&server, loops, &opts, &err) < 0 || dt_loops_start(loops, &err) < 0)
        return die(&err);
    (void)sigwait(&signals, &signal_number);
    dt_httpd_drain(server, 2000);
    dt_pool_free(&pool);
    dt_loops_stop(loops);
    dt_httpd_free(&server);
    dt_loops_free(&loops);
    dt_tls_free(&opts.tls);
    dt_close(&file_fd);
    return 0;
}
