/*
 * tests/unit/base_fetch_sync_test.c - the blocking fetch of command-line tools, against our own
 * server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <unistd.h>

#include "base/fetch_sync.h"
#include "base/httpd.h"
#include "base/mem.h"

struct server {
    struct dt_loops *loops;
    struct dt_pool *pool;
    struct dt_httpd *httpd;
    char url[64];
    char unix_path[64];
};

static void on_end(void *arg, const struct dt_http_summary *summary)
{
    (void)arg;
    (void)summary;
}

/* Echoes method, target and one header; /empty has no body, /deny is a 403. */
static void handle(void *arg, struct dt_http_req *req)
{
    (void)arg;
    const char *token = dt_http_header(req, "authorization");
    char body[200];
    dt_http_on_end(req, on_end, NULL);
    if (strcmp(dt_http_target(req), "/empty") == 0) {
        dt_http_reply_head(req, 204, 0);
        return;
    }
    (void)snprintf(body, sizeof body, "%s %s %s", dt_http_method_name(req), dt_http_target(req),
                   token != NULL ? token : "-");
    dt_http_reply(req, strcmp(dt_http_target(req), "/deny") == 0 ? 403 : 200, body, strlen(body));
}

static void server_start(struct server *server, bool is_unix)
{
    struct dt_err err;
    struct dt_httpd_opts opts = {.name = "test", .handler = handle};
    *server = (struct server){0};
    (void)snprintf(server->unix_path, sizeof server->unix_path, "/tmp/darter-sync-%d.sock",
                   (int)getpid());
    if (is_unix)
        (void)snprintf(opts.addr.unix_path, sizeof opts.addr.unix_path, "%s", server->unix_path);
    else
        (void)snprintf(opts.addr.host, sizeof opts.addr.host, "127.0.0.1");
    assert_int_equal(dt_loops_new(&server->loops, 1, &err), 0);
    assert_int_equal(dt_pool_new(&server->pool, 1, &err), 0);
    opts.pool = server->pool;
    assert_int_equal(dt_loops_start(server->loops, &err), 0);
    assert_int_equal(dt_httpd_start(&server->httpd, server->loops, &opts, &err), 0);
    (void)snprintf(server->url, sizeof server->url, "http://127.0.0.1:%u",
                   (unsigned)dt_httpd_port(server->httpd));
}

static void server_stop(struct server *server)
{
    dt_httpd_drain(server->httpd, 5000);
    dt_loops_stop(server->loops);
    dt_httpd_free(&server->httpd);
    dt_pool_free(&server->pool);
    dt_loops_free(&server->loops);
}

static int fetch(struct dt_fetch_sync_reply *out, const char *method, const char *base,
                 const char *path, struct dt_err *err)
{
    char *url = dt_asprintf("%s%s", base, path);
    const struct dt_header header = {"Authorization", "Bearer word"};
    const struct dt_fetch_sync_opts opts = {
        .method = method, .url = url, .headers = &header, .n_headers = 1, .max_body_bytes = 40};
    int rc = dt_fetch_sync(out, &opts, err);
    free(url);
    return rc;
}

static void sync__brings_status_and_body(void **state)
{
    (void)state;
    struct server server;
    struct dt_fetch_sync_reply reply;
    struct dt_err err;
    server_start(&server, false);
    assert_int_equal(fetch(&reply, NULL, server.url, "/x?y=1", &err), 0);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, "GET /x?y=1 Bearer word");
    assert_int_equal(reply.len, strlen(reply.body));
    dt_fetch_sync_reply_fini(&reply);
    assert_int_equal(fetch(&reply, "DELETE", server.url, "/deny", &err), 0);
    assert_int_equal(reply.status, 403);
    assert_string_equal(reply.body, "DELETE /deny Bearer word");
    dt_fetch_sync_reply_fini(&reply);
    assert_int_equal(fetch(&reply, "PUT", server.url, "/empty", &err), 0);
    assert_int_equal(reply.status, 204);
    assert_string_equal(reply.body, "");
    dt_fetch_sync_reply_fini(&reply);
    server_stop(&server);
}

static void sync__refuses_a_body_over_the_limit(void **state)
{
    (void)state;
    struct server server;
    struct dt_fetch_sync_reply reply;
    struct dt_err err;
    server_start(&server, false);
    int rc = fetch(&reply, NULL, server.url, "/0123456789012345678901234567890123456789", &err);
    assert_int_equal(rc, -DT_ETOOBIG);
    assert_null(reply.body);
    server_stop(&server);
}

static void sync__knows_unix_sockets(void **state)
{
    (void)state;
    struct server server;
    struct dt_fetch_sync_reply reply;
    struct dt_err err;
    server_start(&server, true);
    struct dt_fetch_sync_opts opts = {
        .url = "http://localhost/x", .unix_path = server.unix_path, .max_body_bytes = 100};
    assert_int_equal(dt_fetch_sync(&reply, &opts, &err), 0);
    assert_string_equal(reply.body, "GET /x -");
    dt_fetch_sync_reply_fini(&reply);
    server_stop(&server);
    assert_int_equal(dt_fetch_sync(&reply, &opts, &err), -DT_EUNAVAILABLE);
    assert_non_null(strstr(err.msg, server.unix_path));
}

static void sync__says_why_it_failed(void **state)
{
    (void)state;
    struct server server;
    struct dt_fetch_sync_reply reply;
    struct dt_err err;
    server_start(&server, false);
    server_stop(&server); /* now nobody listens there */
    assert_int_equal(fetch(&reply, NULL, server.url, "/", &err), -DT_EUNAVAILABLE);
    assert_non_null(strstr(err.msg, server.url));
    assert_int_equal(fetch(&reply, NULL, "ftp://127.0.0.1", "/", &err), -DT_EINVAL);
    assert_int_equal(fetch(&reply, NULL, "http://127.0.0.1:port", "/", &err), -DT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sync__brings_status_and_body),
        cmocka_unit_test(sync__refuses_a_body_over_the_limit),
        cmocka_unit_test(sync__knows_unix_sockets),
        cmocka_unit_test(sync__says_why_it_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
