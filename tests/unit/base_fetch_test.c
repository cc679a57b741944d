/* Tests of base/fetch.c, fetch_easy.c and fetch_head.c: bodies, heads, waits, cancelling. */
#include "tests/unit/base_fetch_run.h"

/* ---- bodies ---- */

static void fetch__brings_the_whole_body(void **state)
{
    struct probe probe;

    (void)state;
    fetch_path(&probe, "/whole?100000");
    assert_int_equal(probe.err.code, 0);
    assert_int_equal(probe.status, 200);
    assert_int_equal(probe.n_heads, 1);
    assert_true(probe.content_length == 100000 && probe.bytes == 100000);
    assert_false(probe.is_wrong);
    assert_string_equal(probe.effective_url, probe.url);
    assert_true(origin_was_asked(&origin, "User-Agent: fetch-test\r\n"));
    assert_true(origin_was_asked(&origin, "Accept-Encoding: identity\r\n"));
}

static void fetch__empty_body_is_fine(void **state)
{
    struct probe probe;

    (void)state;
    fetch_path(&probe, "/whole?0");
    assert_int_equal(probe.err.code, 0);
    assert_true(probe.content_length == 0 && probe.bytes == 0);
}

static void fetch__chunked_and_close_delimited_have_no_length(void **state)
{
    struct probe probe;

    (void)state;
    fetch_path(&probe, "/chunked?300000");
    assert_int_equal(probe.err.code, 0);
    assert_true(probe.content_length == UINT64_MAX && probe.bytes == 300000);
    assert_false(probe.is_wrong);
    fetch_path(&probe, "/close");
    assert_int_equal(probe.err.code, 0);
    assert_true(probe.content_length == UINT64_MAX);
    assert_string_equal(probe.text, "abcde");
}

static void fetch__pause_and_resume_lose_no_byte(void **state)
{
    struct probe probe;

    (void)state;
    for (int is_inside = 0; is_inside < 2; is_inside++) {
        probe_init(&probe, "/whole?67108864");
        probe.pause_every = 300000;
        probe.resumes_inside = is_inside;
        probe_run(&probe);
        assert_int_equal(probe.err.code, 0);
        assert_true(probe.bytes == 67108864);
        assert_false(probe.is_wrong);
    }
}

static void fetch__pause_of_a_chunked_body_loses_no_byte(void **state)
{
    struct probe probe;

    (void)state;
    probe_init(&probe, "/chunked?3000000");
    probe.pause_every = 1;
    probe_run(&probe);
    assert_int_equal(probe.err.code, 0);
    assert_true(probe.bytes == 3000000);
    assert_false(probe.is_wrong);
}

static void fetch__no_more_than_content_length_arrives(void **state)
{
    struct probe probe;

    (void)state;
    fetch_path(&probe, "/too-much");
    assert_int_equal(probe.err.code, 0);
    assert_string_equal(probe.text, "abcde");
}

static void fetch__chunked_overrides_a_length(void **state)
{
    struct probe probe;

    (void)state;
    fetch_path(&probe, "/length-and-chunked");
    assert_int_equal(probe.err.code, 0);
    assert_true(probe.content_length == UINT64_MAX);
    assert_string_equal(probe.text, "abcde");
}

static void fetch__body_cut_short_is_an_error(void **state)
{
    (void)state;
    expect_error("/cut?100000", DT_EUNAVAILABLE, "50000 bytes");
    expect_error("/chunked-cut", DT_EUNAVAILABLE, "127.0.0.1");
    expect_error("/chunked-no-end", DT_EUNAVAILABLE, "127.0.0.1");
    expect_error("/broken-body-rst?100000", DT_EUNAVAILABLE, "127.0.0.1");
    expect_error("/bad-chunk", DT_EUNAVAILABLE, "chunk");
}

static void fetch__body_over_the_limit_is_refused(void **state)
{
    static const char *const paths[] = {"/whole?100000", "/chunked?100000"};
    struct probe probe;

    (void)state;
    for (int i = 0; i < 2; i++) {
        for (uint64_t limit = 99999; limit <= 100000; limit++) {
            probe_init(&probe, paths[i]);
            probe.opts.max_body_bytes = limit;
            probe_run(&probe);
            assert_int_equal(probe.err.code, limit < 100000 ? DT_ETOOBIG : 0);
            assert_true(probe.bytes <= limit);
        }
    }
    /* The limit is also met inside dt_fetch_resume(), where nobody but us would notice. */
    probe_init(&probe, "/chunked?1000000");
    probe.opts.max_body_bytes = 150000;
    probe.pause_every = 1;
    probe_run(&probe);
    assert_int_equal(probe.err.code, DT_ETOOBIG);
    assert_false(probe.is_wrong);
}

/* ---- heads ---- */

static void fetch__head_has_a_length_and_no_body(void **state)
{
    struct probe probe;

    (void)state;
    probe_init(&probe, "/whole?12345");
    probe.opts.method = "HEAD";
    probe.opts.max_body_bytes = 10;
    probe_run(&probe);
    assert_int_equal(probe.err.code, 0);
    assert_true(probe.content_length == 12345 && probe.bytes == 0);
    assert_true(origin_was_asked(&origin, "HEAD /whole?12345 HTTP/1.1\r\n"));
}

static void fetch__post_sends_its_body(void **state)
{
    const struct dt_header headers[] = {{"X-Empty", ""}, {"accept-encoding", "gzip"}};
    struct probe probe;

    (void)state;
    probe_init(&probe, "/whole?5");
    probe.opts.method = "POST";
    probe.opts.body = "grant_type=password";
    probe.opts.body_len = 19;
    probe.opts.headers = headers;
    probe.opts.n_headers = 2;
    probe_run(&probe);
    assert_int_equal(probe.err.code, 0);
    assert_true(origin_was_asked(&origin, "\r\n\r\ngrant_type=password"));
    assert_true(origin_was_asked(&origin, "\r\nX-Empty:\r\n"));
    assert_true(origin_was_asked(&origin, "\r\naccept-encoding: gzip\r\n"));
    assert_false(origin_was_asked(&origin, "identity"));
    assert_false(origin_was_asked(&origin, "Expect"));
}

static void fetch__bad_framing_is_a_protocol_error(void **state)
{
    (void)state;
    expect_error("/two-lengths", DT_EPROTO, "Content-Length");
    expect_error("/same-lengths", DT_EPROTO, "Content-Length");
    expect_error("/bad-length", DT_EPROTO, "Content-Length");
    expect_error("/negative-length", DT_EPROTO, "");
    expect_error("/gzip-coding", DT_EPROTO, "Transfer-Encoding");
    expect_error("/nul", DT_EPROTO, "control character");
    expect_error("/no-name", DT_EPROTO, "without a name");
    expect_error("/switching", DT_EPROTO, "101");
    expect_error("/not-http", DT_EPROTO, "");
    expect_error("/old", DT_EPROTO, "");
    expect_error("/huge-head", DT_EPROTO, "longer than");
    expect_error("/interim-for-ever", DT_EPROTO, "longer than");
}

static void fetch__interim_heads_and_trailers_are_not_shown(void **state)
{
    struct probe probe;

    (void)state;
    fetch_path(&probe, "/continue");
    assert_int_equal(probe.err.code, 0);
    assert_int_equal(probe.n_heads, 1);
    assert_int_equal(probe.status, 200);
    fetch_path(&probe, "/trailers");
    assert_int_equal(probe.err.code, 0);
    assert_string_equal(probe.text, "abcde");
}

static void fetch__declined_head_ends_as_cancelled(void **state)
{
    static const char *const paths[] = {
        "/status?404", "/whole?50000", "/whole?100000000", "/chunked?100000000", "/stall?100",
        "/416",        "/304"};
    struct probe probe;

    (void)state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        probe_init(&probe, paths[i]);
        probe.declines_head = true;
        probe_run(&probe);
        assert_int_equal(probe.n_dones, 1);
        assert_int_equal(probe.err.code, DT_ECANCELLED);
        assert_true(probe.bytes == 0);
    }
}

static void fetch__declined_short_body_keeps_the_connection(void **state)
{
    struct probe probe;
    int before;

    (void)state;
    fetch_path(&probe, "/whole?1");
    before = atomic_load(&origin.n_connections);
    for (int i = 0; i < 5; i++) {
        probe_init(&probe, "/status?404");
        probe.declines_head = true;
        probe_run(&probe);
    }
    fetch_path(&probe, "/whole?1");
    assert_int_equal(atomic_load(&origin.n_connections), before);
}

/* ---- errors with a status ---- */

static void fetch__error_status_is_a_response_like_any_other(void **state)
{
    struct probe probe;

    (void)state;
    fetch_path(&probe, "/status?503");
    assert_int_equal(probe.err.code, 0);
    assert_int_equal(probe.status, 503);
    assert_string_equal(probe.text, "oops");
    fetch_path(&probe, "/204");
    assert_int_equal(probe.err.code, 0);
    assert_int_equal(probe.status, 204);
    fetch_path(&probe, "/304");
    assert_int_equal(probe.err.code, 0);
    assert_int_equal(probe.status, 304);
}

static void fetch__error_body_with_wrong_length_comes_after_its_status(void **state)
{
    struct probe probe;

    (void)state;
    fetch_path(&probe, "/416");
    assert_int_equal(probe.status, 416);
    assert_int_equal(probe.err.code, DT_EUNAVAILABLE);
}

/* ---- no answer ---- */

static void fetch__refused_reset_and_unknown_names_are_unavailable(void **state)
{
    char url[200];
    int port, fd = bind_anywhere(&port); /* nobody listens, and nobody else gets it meanwhile */

    (void)state;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", port);
    expect_error(url, DT_EUNAVAILABLE, "127.0.0.1");
    close(fd);
    expect_error("/rst", DT_EUNAVAILABLE, "127.0.0.1");
    expect_error("/empty", DT_EUNAVAILABLE, "127.0.0.1");
    expect_error("/half-head", DT_EUNAVAILABLE, "");
    /* A label of 64 letters cannot be in the DNS: no server is asked. */
    expect_error("http://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test/",
                 DT_EUNAVAILABLE, "resolve");
}

/* Longer than a machine stands still: the bytes before the silence must have come by then. */
#define LONG_STALL_MS 2500

static void expect_timeout(struct probe *probe, const char *why)
{
    uint64_t before = dt_mono_us();

    probe_run(probe);
    assert_int_equal(probe->n_dones, 1);
    assert_int_equal(probe->err.code, DT_ETIMEOUT);
    if (strstr(probe->err.msg, why) == NULL)
        fail_msg("%s: %s", probe->url, probe->err.msg);
    assert_in_range(dt_mono_us() - before, 99000, 8000000);
}

static void fetch__every_wait_has_a_deadline(void **state)
{
    struct probe probe;

    (void)state;
    probe_init(&probe, "/silent");
    probe.opts.head_timeout_ms = 100;
    expect_timeout(&probe, "no response head within 100 ms");
    probe_init(&probe, "/trickle");
    probe.opts.head_timeout_ms = 100;
    expect_timeout(&probe, "no response head within 100 ms");
    probe_init(&probe, "/stall?100000");
    probe.opts.stall_timeout_ms = LONG_STALL_MS;
    expect_timeout(&probe, "no byte for 2500 ms after 50000");
    assert_true(probe.bytes == 50000);
    probe_init(&probe, "/stall?100000");
    probe.opts.total_timeout_ms = 100;
    expect_timeout(&probe, "not done within 100 ms");
    probe_init(&probe, "/silent");
    probe.opts.total_timeout_ms = 100;
    expect_timeout(&probe, "not done within 100 ms");
}

static void fetch__connect_has_a_deadline(void **state)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};
    int port, fd = listen_anywhere(&port, 0), full[4];
    struct probe probe;
    char url[100];

    (void)state;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    addr.sin_port = htons((uint16_t)port);
    /* Nobody accepts: once the queue is full, further SYNs are dropped. */
    for (int i = 0; i < 4; i++) {
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(full[i], (struct sockaddr *)&addr, sizeof(addr));
    }
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/", port);
    probe_init(&probe, url);
    probe.opts.connect_timeout_ms = 100;
    expect_timeout(&probe, "127.0.0.1");
    for (int i = 0; i < 4; i++)
        close(full[i]);
    close(fd);
}

static void fetch__pause_does_not_count_as_a_stall(void **state)
{
    struct probe probe;

    (void)state;
    probe_init(&probe, "/whole?2000000");
    probe.opts.stall_timeout_ms = 60;
    probe.pause_every = UINT64_MAX / 2;
    probe.cancel_at = WHILE_PAUSED;
    probe_run(&probe);
    assert_int_equal(probe.n_dones, 0);
}

/* ---- gathering ---- */

/* A mark that stayed behind would hold up the next answer on the same connection. */
static void fetch__that_gathers_gets_everything_and_keeps_its_connection(void **state)
{
    static const uint64_t sizes[] = {0, 1, 999, 1000, 1001, 2000000};
    struct probe probe;
    char path[40];
    int before;

    (void)state;
    fetch_path(&probe, "/whole?1");
    before = atomic_load(&origin.n_connections);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        (void)snprintf(path, sizeof(path), "/whole?%llu", (unsigned long long)sizes[i]);
        probe_init(&probe, path);
        probe.opts.gather_bytes = 1000;
        probe.opts.stall_timeout_ms = 5000;
        probe_run(&probe);
        assert_int_equal(probe.err.code, 0);
        assert_true(probe.bytes == sizes[i]);
        fetch_path(&probe, "/whole?1");
        assert_int_equal(probe.err.code, 0);
    }
    assert_int_equal(atomic_load(&origin.n_connections), before);
}

static void fetch__that_gathers_and_pauses_leaves_no_mark_behind(void **state)
{
    struct probe probe;
    int before;

    (void)state;
    fetch_path(&probe, "/whole?1");
    before = atomic_load(&origin.n_connections);
    for (unsigned i = 1; i <= 20; i++) {
        probe_init(&probe, "/whole?300000");
        probe.opts.gather_bytes = 150000;
        probe.pause_every = 10000 * i;
        probe_run(&probe);
        assert_int_equal(probe.err.code, 0);
        assert_true(probe.bytes == 300000);
        probe_init(&probe, "/whole?1");
        probe.opts.total_timeout_ms = 5000;
        probe_run(&probe);
        assert_int_equal(probe.err.code, 0);
    }
    assert_int_equal(atomic_load(&origin.n_connections), before);
}

static void fetch__that_gathers_takes_what_is_here_before_it_gives_up(void **state)
{
    struct probe probe;

    (void)state;
    probe_init(&probe, "/stall?100000");
    probe.opts.gather_bytes = 80000; /* 50000 come */
    probe.opts.stall_timeout_ms = LONG_STALL_MS;
    expect_timeout(&probe, "no byte for 2500 ms after 50000");
    assert_true(probe.bytes == 50000);
}

/* ---- cancel ---- */

static void fetch__cancel_is_legal_everywhere_and_silent(void **state)
{
    static const struct {
        const char *path;
        enum where at;
        unsigned n_calls_max, n_dones;
    } cases[] = {
        {"/whole?100000", AT_START, 0, 0},
        {"http://no-such-host.invalid/", AT_START, 0, 0},
        {"/whole?100000", IN_HEAD, 1, 0},
        {"/whole?0", IN_HEAD, 1, 0},
        {"/whole?1000000", IN_DATA, 2, 0},
        {"/chunked?1000000", IN_DATA, 2, 0},
        {"/whole?1000000", IN_RESUME, 9, 0},
        {"/whole?1000000", WHILE_PAUSED, 9, 0},
        {"/stall?1000000", IN_DATA, 2, 0},
        {"/whole?1000", IN_DONE, 9, 1},
        {"/rst", IN_DONE, 1, 1},
    };
    struct probe probe;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        probe_init(&probe, cases[i].path);
        probe.cancel_at = cases[i].at;
        if (cases[i].at == WHILE_PAUSED || cases[i].at == IN_RESUME)
            probe.pause_every = 20000;
        probe_run(&probe);
        assert_int_equal(probe.n_dones, cases[i].n_dones);
        assert_in_range(probe.n_calls, 0, cases[i].n_calls_max);
    }
}

static void fetch__one_may_cancel_and_start_others_from_its_callbacks(void **state)
{
    struct probe first, second, victim;

    (void)state;
    probe_init(&victim, "/silent");
    probe_init(&second, "/whole?5000");
    probe_init(&first, "/whole?1000000");
    first.other = &second;
    first.victim = &victim;
    probe_launch(&victim);
    probe_run(&first);
    probe_wait(&second);
    probe_wait(&victim);
    fence(0);
    assert_int_equal(first.err.code, 0);
    assert_int_equal(second.err.code, 0);
    assert_true(second.bytes == 5000);
    assert_int_equal(victim.n_dones, 0);
}

/* ---- many, bad arguments ---- */

static void fetch__two_hundred_at_once_all_arrive(void **state)
{
    struct probe *probes = dt_new_array(struct probe, 200);

    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        probe_init(&probes[i], i % 3 == 0 ? "/chunked?200000" : "/whole?200000");
        probes[i].loop = i % N_LOOPS;
        probes[i].pause_every = i % 4 == 0 ? 50000 : 0;
        probe_launch(&probes[i]);
    }
    for (unsigned i = 0; i < 200; i++) {
        probe_wait(&probes[i]);
        assert_int_equal(probes[i].err.code, 0);
        assert_true(probes[i].bytes == 200000);
        assert_false(probes[i].is_wrong);
    }
    for (unsigned i = 0; i < N_LOOPS; i++)
        fence(i);
    free(probes);
}

static void fetch__what_cannot_be_asked_is_refused_at_start(void **state)
{
    const struct dt_header bad[] = {{"X", "a\r\nEvil: 1"}, {"X Y", "a"}, {"", "a"}, {"X:", "a"}};
    struct probe probe;

    (void)state;
    probe_init(&probe, "ftp://127.0.0.1/");
    probe_run(&probe);
    assert_int_equal(probe.start_rc, -DT_EINVAL);
    probe.is_whole = true;
    probe.opts.max_body_bytes = 1;
    probe.is_over = false;
    probe_run(&probe);
    assert_int_equal(probe.start_rc, -DT_EINVAL);
    probe_init(&probe, "/whole?5");
    probe.opts.method = "BREW";
    probe_run(&probe);
    assert_int_equal(probe.start_rc, -DT_EINVAL);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        probe_init(&probe, "/whole?5");
        probe.opts.headers = &bad[i];
        probe.opts.n_headers = 1;
        probe_run(&probe);
        assert_int_equal(probe.start_rc, -DT_EINVAL);
        assert_int_equal(probe.n_dones, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetch__brings_the_whole_body),
        cmocka_unit_test(fetch__empty_body_is_fine),
        cmocka_unit_test(fetch__chunked_and_close_delimited_have_no_length),
        cmocka_unit_test(fetch__pause_and_resume_lose_no_byte),
        cmocka_unit_test(fetch__pause_of_a_chunked_body_loses_no_byte),
        cmocka_unit_test(fetch__no_more_than_content_length_arrives),
        cmocka_unit_test(fetch__chunked_overrides_a_length),
        cmocka_unit_test(fetch__body_cut_short_is_an_error),
        cmocka_unit_test(fetch__body_over_the_limit_is_refused),
        cmocka_unit_test(fetch__head_has_a_length_and_no_body),
        cmocka_unit_test(fetch__post_sends_its_body),
        cmocka_unit_test(fetch__bad_framing_is_a_protocol_error),
        cmocka_unit_test(fetch__interim_heads_and_trailers_are_not_shown),
        cmocka_unit_test(fetch__declined_head_ends_as_cancelled),
        cmocka_unit_test(fetch__declined_short_body_keeps_the_connection),
        cmocka_unit_test(fetch__error_status_is_a_response_like_any_other),
        cmocka_unit_test(fetch__error_body_with_wrong_length_comes_after_its_status),
        cmocka_unit_test(fetch__refused_reset_and_unknown_names_are_unavailable),
        cmocka_unit_test(fetch__every_wait_has_a_deadline),
        cmocka_unit_test(fetch__connect_has_a_deadline),
        cmocka_unit_test(fetch__pause_does_not_count_as_a_stall),
        cmocka_unit_test(fetch__that_gathers_gets_everything_and_keeps_its_connection),
        cmocka_unit_test(fetch__that_gathers_and_pauses_leaves_no_mark_behind),
        cmocka_unit_test(fetch__that_gathers_takes_what_is_here_before_it_gives_up),
        cmocka_unit_test(fetch__cancel_is_legal_everywhere_and_silent),
        cmocka_unit_test(fetch__one_may_cancel_and_start_others_from_its_callbacks),
        cmocka_unit_test(fetch__two_hundred_at_once_all_arrive),
        cmocka_unit_test(fetch__what_cannot_be_asked_is_refused_at_start),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
