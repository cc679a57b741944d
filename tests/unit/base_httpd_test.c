/* tests/unit/base_httpd_test.c - requests, limits, connections and drain of a real server. */
#include "tests/unit/httpd_fixture.h"

#include <sys/resource.h>
#include <sys/stat.h>

/* ---- requests and answers ---- */

static void server__answers_many_requests_on_one_connection(void **state)
{
    struct client c;
    struct response r;

    (void)state;
    client_open(&c);
    for (int i = 0; i < 50; i++) {
        client_get(&c, &r, "/x");
        assert_int_equal(r.status, 200);
        assert_string_equal((char *)r.body, "GET|/x|h|-|0|");
        assert_non_null(response_header(&r, "\nX-Reply: one\r\n"));
        assert_non_null(response_header(&r, "\nX-Number: 42\r\n"));
        assert_null(response_header(&r, "\nServer:"));
        assert_non_null(response_header(&r, "\nConnection: keep-alive"));
        response_fini(&r);
        assert_int_equal(wait_ended("/x").summary.end, DT_HTTP_COMPLETE);
    }
    assert_int_equal(dt_httpd_connections(server), 1);
    client_close(&c);
}

static void server__answers_pipelined_requests_in_order(void **state)
{
    struct client c;
    struct response r;
    char all[8192] = "", expected[64];

    (void)state;
    client_open(&c);
    for (int i = 0; i < 60; i++)
        (void)snprintf(all + strlen(all), sizeof all - strlen(all),
                       i % 3 != 0 ? "GET /p%d HTTP/1.1\r\nHost: h\r\n\r\n"
                                  : "POST /p%d HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok",
                       i);
    client_send(&c, all);
    for (int i = 0; i < 60; i++) {
        assert_true(client_receive(&c, &r, false));
        (void)snprintf(expected, sizeof expected,
                       i % 3 != 0 ? "GET|/p%d|h|-|0|" : "POST|/p%d|h|-|2|ok", i);
        assert_string_equal((char *)r.body, expected);
        response_fini(&r);
    }
    client_close(&c);
}

static void expect_echo(const char *request, const char *echo)
{
    struct client c;
    struct response r;

    client_open(&c);
    client_send(&c, request);
    assert_true(client_receive(&c, &r, false));
    assert_int_equal(r.status, 200);
    assert_string_equal((char *)r.body, echo);
    response_fini(&r);
    client_close(&c);
}

static void request__is_handed_over_raw(void **state)
{
    (void)state;
    expect_echo("GET /v2/a%2Fb/../c//d?x=1&y=%20 HTTP/1.1\r\nHost: a.b:80\r\n\r\n",
                "GET|/v2/a%2Fb/../c//d?x=1&y=%20|a.b:80|-|0|");
    expect_echo("GET http://reg:5000/v2/ HTTP/1.1\r\nHost: other\r\n\r\n",
                "GET|http://reg:5000/v2/|reg:5000|-|0|");
    expect_echo("CONNECT reg:443 HTTP/1.1\r\nHost: other\r\n\r\n", "CONNECT|reg:443|reg:443|-|0|");
    expect_echo("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS|*|h|-|0|");
    expect_echo("GET /v10 HTTP/1.0\r\n\r\n", "GET|/v10||-|0|");
    expect_echo("PUT /two HTTP/1.1\r\nHost: h\r\nX-Test: a\r\nx-other: z\r\nx-TEST: b\r\n"
                "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                "PUT|/two|h|a, b|5|abcde");
}

static void head__has_the_length_and_no_body(void **state)
{
    struct client c;
    struct response r;

    (void)state;
    client_open(&c);
    client_send(&c,
                "HEAD /file HTTP/1.1\r\nHost: h\r\n\r\nHEAD /x HTTP/1.1\r\nHost: h\r\n\r\n"
                "HEAD /chunked HTTP/1.1\r\nHost: h\r\n\r\nGET /nothing HTTP/1.1\r\nHost: h\r\n\r\n"
                "GET /empty HTTP/1.1\r\nHost: h\r\n\r\nGET /last HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(client_receive(&c, &r, true));
    assert_int_equal(strtoul(response_header(&r, "\nContent-Length: "), NULL, 10), FILE_BYTES);
    assert_true(client_receive(&c, &r, true));
    assert_int_equal(strtoul(response_header(&r, "\nContent-Length: "), NULL, 10), 14);
    assert_true(client_receive(&c, &r, true));
    assert_null(response_header(&r, "\nContent-Length: "));
    assert_true(client_receive(&c, &r, false));
    assert_int_equal(r.status, 204);
    assert_null(response_header(&r, "\nContent-Length: "));
    assert_true(client_receive(&c, &r, false));
    assert_int_equal(r.len, 0);
    response_fini(&r);
    assert_true(client_receive(&c, &r, false));
    assert_string_equal((char *)r.body, "GET|/last|h|-|0|");
    response_fini(&r);
    client_close(&c);
}

static void handler__may_answer_later(void **state)
{
    struct client c;
    struct response r;
    struct call *call;
    struct dt_http_summary summary;

    (void)state;
    client_open(&c);
    client_get(&c, &r, "/late");
    assert_string_equal((char *)r.body, "late\n");
    response_fini(&r);
    summary = wait_ended("/late").summary;
    assert_int_equal(summary.end, DT_HTTP_COMPLETE);
    assert_int_equal(summary.status, 200);
    assert_int_equal(summary.body_bytes, 5);
    assert_true(summary.first_byte_us >= 20000);
    assert_true(summary.total_us >= summary.first_byte_us);
    client_send(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n");
    call = wait_held();
    dt_loop_post(dt_http_loop(call->req), release, call);
    assert_true(client_receive(&c, &r, false));
    assert_string_equal((char *)r.body, "released\n");
    response_fini(&r);
    assert_true(client_receive(&c, &r, false)); /* what was pipelined behind it */
    assert_string_equal((char *)r.body, "GET|/next|h|-|0|");
    response_fini(&r);
    client_close(&c);
}

/* ---- clients that leave ---- */

static void client__leaving_while_the_handler_waits_ends_the_request(void **state)
{
    struct client c;
    struct ended e;
    uint64_t left_us;

    (void)state;
    for (int is_pipelining = 0; is_pipelining < 2; is_pipelining++) {
        client_open(&c);
        client_send(&c, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
        (void)wait_held();
        if (is_pipelining)
            client_send(&c, "GET /never HTTP/1.1\r\nHost: h\r\n\r\n");
        left_us = dt_mono_us();
        client_close(&c);
        e = wait_ended("/hold");
        assert_true(dt_mono_us() - left_us < 8000000);
        assert_int_equal(e.summary.end, DT_HTTP_CLIENT_GONE);
        assert_int_equal(e.summary.status, 0);
        assert_int_equal(e.summary.first_byte_us, 0);
    }
}

/* ---- what is refused ---- */

static void expect_status(const char *request, int status)
{
    struct client c;
    struct response r;

    client_open(&c);
    client_send(&c, request);
    assert_true(client_receive(&c, &r, false));
    assert_int_equal(r.status, status);
    response_fini(&r);
    client_expect_end(&c);
    client_close(&c);
}

static void server__refuses_malformed_requests(void **state)
{
    static const struct {
        const char *request;
        int status;
    } table[] = {
        {"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
        {"GET /x HTTP/1.1\r\n\r\n", 400},
        {"GET /x HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {"GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET /x HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400},
        {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://u@h/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET ftp://h/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"BREW /x HTTP/1.1\r\nHost: a\r\n\r\n", 501},
        {"get /x HTTP/1.1\r\nHost: a\r\n\r\n", 501},
        {"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
         "0\r\n\r\n",
         400},
        {"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400},
        {"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
        {"\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03 a TLS hello on a plain port", 400},
        {"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", 413},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        expect_status(table[i].request, table[i].status);
}

static void server__limits_the_request_header(void **state)
{
    char *request = dt_calloc(1, 100 * KIB);
    size_t len;

    (void)state;
    len = (size_t)snprintf(request, 100 * KIB, "GET /x HTTP/1.1\r\nHost: h\r\nX-Long: ");
    memset(request + len, 'a', 64 * KIB);
    memcpy(request + len + 64 * KIB, "\r\n\r\n", 5);
    expect_status(request, 431);

    len = (size_t)snprintf(request, 100 * KIB, "GET /x HTTP/1.1\r\nHost: h\r\n");
    for (int i = 0; i < 70; i++)
        len += (size_t)snprintf(request + len, 100 * KIB - len, "X-%d: 1\r\n", i);
    memcpy(request + len, "\r\n", 3);
    expect_status(request, 431);
    free(request);
}

static void server__takes_a_body_up_to_the_limit(void **state)
{
    char *request = dt_calloc(1, 100 * KIB);
    struct client c;
    struct response r;
    size_t len;

    (void)state;
    len = (size_t)snprintf(request, 100 * KIB,
                           "PUT /body HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n"
                           "Expect: 100-continue\r\n\r\n");
    memset(request + len, 'b', 64 * KIB);
    client_open(&c);
    client_send(&c, request);
    assert_true(read_head(&c, &r));
    assert_int_equal(r.status, 100);
    assert_true(client_receive(&c, &r, false));
    assert_int_equal(r.status, 200);
    assert_memory_equal(r.body, "PUT|/body|h|-|65536|b", 21);
    response_fini(&r);
    client_close(&c);
    free(request);
}

static void server__closes_connections_that_send_no_request(void **state)
{
    struct client idle, slow;
    uint64_t start_us = dt_mono_us();

    (void)state;
    server_up((struct dt_httpd_opts){.idle_timeout_ms = 300});
    client_open(&idle);
    client_open(&slow);
    client_send(&slow, "GET /x HTTP/1.1\r\nHo");
    client_expect_end(&idle);
    client_expect_end(&slow);
    assert_true(dt_mono_us() - start_us >= 250000);
    client_close(&idle);
    client_close(&slow);
    server_down(DEADLINE_MS);
}

/* ---- connections ---- */

static void server__lets_more_clients_wait_when_full(void **state)
{
    struct client c[4];
    struct response r;

    (void)state;
    server_up((struct dt_httpd_opts){.max_connections = 2});
    for (int i = 0; i < 4; i++)
        client_open(&c[i]); /* the kernel greets them all */
    for (int i = 0; i < 4; i++)
        client_send(&c[i], "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    for (int n_served = 0; n_served < 4; n_served++) {
        struct pollfd fds[4];
        int i;
        for (i = 0; i < 4; i++)
            fds[i] = (struct pollfd){.fd = c[i].fd, .events = POLLIN};
        assert_true(poll(fds, 4, DEADLINE_MS) > 0);
        for (i = 0; i < 4 && (c[i].fd < 0 || fds[i].revents == 0); i++)
            ;
        assert_true(dt_httpd_connections(server) <= 2);
        assert_true(client_receive(&c[i], &r, false));
        assert_int_equal(r.status, 200);
        response_fini(&r);
        client_close(&c[i]);
    }
    server_down(DEADLINE_MS);
}

static void server__survives_running_out_of_descriptors(void **state)
{
    struct rlimit before, tight;
    struct client c[8];
    struct response r;
    int spare;

    (void)state;
    for (int i = 0; i < 8; i++)
        client_open(&c[i]);
    client_get(&c[0], &r, "/x"); /* everybody before it was accepted, or nearly */
    response_fini(&r);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    tight = before;
    tight.rlim_cur = (rlim_t)spare + 1;
    client_close(&c[7]);
    c[7].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(dt_httpd_port(server))};
        sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_int_equal(connect(c[7].fd, (struct sockaddr *)&sa, sizeof sa), 0);
    }
    client_open_fd(&c[7], c[7].fd);
    client_send(&c[7], "GET /x HTTP/1.1\r\nHost: h\r\n\r\n");
    client_get(&c[1], &r, "/x"); /* the others do not notice */
    response_fini(&r);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(client_receive(&c[7], &r, false));
    response_fini(&r);
    dt_close(&spare);
    for (int i = 0; i < 8; i++)
        client_close(&c[i]);
}

static void server__listens_on_a_unix_socket(void **state)
{
    struct dt_httpd_opts opts = {0};
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct dt_httpd *second = NULL;
    struct dt_err err;
    struct client c;
    struct response r;
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    (void)snprintf(opts.addr.unix_path, sizeof opts.addr.unix_path, "%s/s", dir);
    memcpy(sa.sun_path, opts.addr.unix_path, sizeof sa.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0); /* and is left behind */
    dt_close(&fd);
    server_up(opts);
    assert_int_equal(stat(opts.addr.unix_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    opts.handler = handle;
    opts.pool = pool;
    assert_int_equal(dt_httpd_start(&second, loops, &opts, &err), -DT_EIO); /* in use */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    client_open_fd(&c, fd);
    client_get(&c, &r, "/file");
    assert_int_equal(r.len, FILE_BYTES);
    assert_memory_equal(r.body, file_bytes, FILE_BYTES);
    response_fini(&r);
    client_close(&c);
    server_down(DEADLINE_MS);
    assert_int_equal(access(opts.addr.unix_path, F_OK), -1);
}

static int connect_to(const void *sa, socklen_t len)
{
    int fd = socket(((const struct sockaddr *)sa)->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd >= 0 && connect(fd, sa, len) < 0)
        dt_close(&fd);
    return fd;
}

static bool is_free_on_ipv4(uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool is_free = bind(fd, (struct sockaddr *)&v4, sizeof v4) == 0;

    dt_close(&fd);
    return is_free;
}

static void server__listens_on_ipv6_and_on_that_alone(void **state)
{
    struct dt_httpd_opts opts = {.addr.host = "::1"};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct client c;
    struct response r;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has_ipv6 = fd >= 0 && bind(fd, (struct sockaddr *)&v6, sizeof v6) == 0;

    (void)state;
    dt_close(&fd);
    if (!has_ipv6)
        skip();
    server_up(opts);
    /* Somebody else may have the port there: then another one. */
    for (int i = 0; i < 20 && !is_free_on_ipv4(dt_httpd_port(server)); i++) {
        server_down(DEADLINE_MS);
        server_up(opts);
    }
    assert_true(is_free_on_ipv4(dt_httpd_port(server)));
    v6.sin6_port = htons(dt_httpd_port(server));
    assert_int_not_equal(v6.sin6_port, 0);
    fd = connect_to(&v6, sizeof v6);
    assert_true(fd >= 0);
    client_open_fd(&c, fd);
    client_get(&c, &r, "/peer");
    assert_memory_equal(r.body, "[::1]:", strlen("[::1]:"));
    response_fini(&r);
    client_close(&c);
    server_down(DEADLINE_MS);
}

static void start__says_what_is_wrong_with_the_address(void **state)
{
    struct dt_httpd_opts opts = {.name = "test", .handler = handle, .pool = pool};
    struct dt_httpd *second = NULL;
    struct dt_err err = {0};

    (void)state;
    (void)snprintf(opts.addr.host, sizeof opts.addr.host, "127.0.0.1");
    opts.addr.port = dt_httpd_port(server);
    assert_int_equal(dt_httpd_start(&second, loops, &opts, &err), -DT_EIO);
    assert_non_null(strstr(err.msg, "127.0.0.1:"));
    (void)snprintf(opts.addr.host, sizeof opts.addr.host, "nowhere");
    assert_int_equal(dt_httpd_start(&second, loops, &opts, &err), -DT_EINVAL);
    opts.addr.host[0] = '\0';
    (void)snprintf(opts.addr.unix_path, sizeof opts.addr.unix_path, "%s", file_path);
    assert_int_equal(dt_httpd_start(&second, loops, &opts, &err), -DT_EINVAL);
    assert_null(second);
}

/* ---- drain ---- */

static void *drain_main(void *arg)
{
    dt_httpd_drain(server, *(uint64_t *)arg);
    return NULL;
}

static void drain__finishes_running_responses_and_closes_idle_connections(void **state)
{
    struct client busy, idle, streaming;
    struct response r;
    struct call *call;
    pthread_t drainer;
    uint64_t deadline_ms = DEADLINE_MS;

    (void)state;
    server_up((struct dt_httpd_opts){0});
    client_open(&idle);
    client_get(&idle, &r, "/x");
    response_fini(&r);
    client_open_buffered(&streaming, 65536);
    client_send(&streaming, "GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(read_head(&streaming, &r));
    client_open(&busy);
    client_send(&busy, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    call = wait_held();
    assert_int_equal(pthread_create(&drainer, NULL, drain_main, &deadline_ms), 0);
    client_expect_end(&idle);
    assert_true(read_body(&streaming, &r, FILE_BYTES));
    assert_memory_equal(r.body, file_bytes, FILE_BYTES);
    response_fini(&r);
    client_expect_end(&streaming);
    dt_loop_post(dt_http_loop(call->req), release, call);
    assert_true(client_receive(&busy, &r, false));
    assert_string_equal((char *)r.body, "released\n");
    assert_non_null(response_header(&r, "\nConnection: close"));
    response_fini(&r);
    client_expect_end(&busy);
    assert_int_equal(pthread_join(drainer, NULL), 0);
    client_close(&busy);
    client_close(&idle);
    client_close(&streaming);
    server_down(0); /* a second drain is harmless */
}

static void drain__cuts_what_is_left_at_the_deadline(void **state)
{
    struct client stuck, holding, waiting;
    struct response r;

    (void)state;
    server_up((struct dt_httpd_opts){0});
    client_open_buffered(&stuck, 4096);
    client_send(&stuck, "GET /file HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(read_head(&stuck, &r));
    client_open(&holding);
    client_send(&holding, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)wait_held();
    client_open(&waiting);
    client_send(&waiting, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)wait_held();
    server_down(50);
    assert_int_equal(wait_ended("/hold").summary.end, DT_HTTP_CUT);
    assert_int_equal(wait_ended("/wait").summary.end, DT_HTTP_CUT);
    assert_int_equal(wait_ended("/file").summary.end, DT_HTTP_CUT);
    client_expect_end(&holding);
    client_close(&stuck);
    client_close(&holding);
    client_close(&waiting);
}

#define PLAIN(test) cmocka_unit_test_setup_teardown(test, plain_up, plain_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAIN(server__answers_many_requests_on_one_connection),
        PLAIN(server__answers_pipelined_requests_in_order),
        PLAIN(request__is_handed_over_raw),
        PLAIN(head__has_the_length_and_no_body),
        PLAIN(handler__may_answer_later),
        PLAIN(client__leaving_while_the_handler_waits_ends_the_request),
        PLAIN(server__refuses_malformed_requests),
        PLAIN(server__limits_the_request_header),
        PLAIN(server__takes_a_body_up_to_the_limit),
        cmocka_unit_test(server__closes_connections_that_send_no_request),
        cmocka_unit_test(server__lets_more_clients_wait_when_full),
        PLAIN(server__survives_running_out_of_descriptors),
        cmocka_unit_test(server__listens_on_a_unix_socket),
        cmocka_unit_test(server__listens_on_ipv6_and_on_that_alone),
        PLAIN(start__says_what_is_wrong_with_the_address),
        cmocka_unit_test(drain__finishes_running_responses_and_closes_idle_connections),
        cmocka_unit_test(drain__cuts_what_is_left_at_the_deadline),
    };

    return cmocka_run_group_tests(tests, group_up, group_down);
}
