/* Tests of base/fetch_redirect.c. */
#include "tests/unit/base_fetch_run.h"

/* ---- redirects ---- */

static void follow(struct probe *probe, const char *path)
{
    static const struct dt_header headers[] = {
        {"Authorization", "Bearer secret"}, {"Cookie", "secret"}, {"Range", "bytes=1-"}};

    probe_init(probe, path);
    probe->opts.follow_redirects = true;
    probe->opts.headers = headers;
    probe->opts.n_headers = 3;
    probe_run(probe);
}

static void fetch__redirects_are_followed_and_credentials_stay_home(void **state)
{
    struct probe probe;
    char path[400];

    (void)state;
    follow(&probe, "/redirect?/whole?50");
    assert_int_equal(probe.err.code, 0);
    assert_int_equal(probe.n_heads, 1);
    assert_true(probe.status == 200 && probe.bytes == 50);
    assert_non_null(strstr(probe.effective_url, "/whole?50"));
    assert_true(origin_was_asked(&origin, "Authorization: Bearer secret"));
    follow(&probe, "/redirect?whole?50");
    assert_true(probe.status == 200 && probe.bytes == 50);
    follow(&probe, "/long-redirect-body");
    assert_true(probe.status == 200 && probe.bytes == 5);
    /* Same address, other name: another host, and none of its business. */
    (void)snprintf(path, sizeof(path), "/redirect?http://localhost:%d/whole?50", origin.port);
    follow(&probe, path);
    assert_int_equal(probe.err.code, 0);
    assert_true(probe.status == 200 && probe.bytes == 50);
    assert_false(origin_was_asked(&origin, "secret"));
    assert_true(origin_was_asked(&origin, "Range: bytes=1-"));
    /* And back again: they are not dug out. */
    (void)snprintf(path, sizeof(path),
                   "/redirect?http://localhost:%d/redirect?http://127.0.0.1:%d/whole?50",
                   origin.port, origin.port);
    follow(&probe, path);
    assert_true(probe.status == 200 && probe.bytes == 50);
    assert_false(origin_was_asked(&origin, "secret"));
}

static void fetch__redirects_that_lead_nowhere_are_protocol_errors(void **state)
{
    (void)state;
    expect_error("/redirect?/redirect?/redirect?/redirect?/redirect?/redirect?/whole?1", DT_EPROTO,
                 "more than 5 redirects");
    expect_error("/redirect?/redirect?/redirect?/redirect?/redirect?/whole?1", 0, "");
    expect_error("/userinfo", DT_EPROTO, "user name");
    expect_error("/ftp", DT_EPROTO, "bad redirect");
    expect_error("/unreadable-location", DT_EPROTO, "unreadable URL");
}

static void fetch__redirect_is_shown_when_not_to_be_followed(void **state)
{
    struct probe probe;

    (void)state;
    fetch_path(&probe, "/redirect?/whole?50");
    assert_true(probe.status == 307 && probe.bytes == 10);
    follow(&probe, "/lonely-302");
    assert_true(probe.status == 302 && probe.bytes == 2);
    follow(&probe, "/304");
    assert_int_equal(probe.status, 304);
    probe_init(&probe, "/redirect?/whole?50");
    probe.opts.follow_redirects = true;
    probe.opts.method = "POST";
    probe_run(&probe);
    assert_int_equal(probe.status, 307);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetch__redirects_are_followed_and_credentials_stay_home),
        cmocka_unit_test(fetch__redirects_that_lead_nowhere_are_protocol_errors),
        cmocka_unit_test(fetch__redirect_is_shown_when_not_to_be_followed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
