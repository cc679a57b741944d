/*
 * tests/unit/proxy_admin_test.c - which row of the proxy's admin API a path finds.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/admin.h"
#include "transfer/admin_priv.h"

#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static struct dt_admin_match match(enum dt_http_method method, const char *path)
{
    struct dt_admin_match found;
    dt_admin_route_match(&found, proxy_admin_tables, method, path, strlen(path));
    return found;
}

static void route__finds_its_row_by_method_and_path(void **state)
{
    (void)state;
    static const struct {
        enum dt_http_method method;
        const char *path;
        void (*handle)(struct dt_admin_call *);
    } rows[] = {
        {DT_GET, "/v1", transfer_admin_get_index},
        {DT_GET, "/v1/cache", transfer_admin_get_cache},
        {DT_HEAD, "/v1/cache", transfer_admin_get_cache},
        {DT_GET, "/v1/cache/scrub", transfer_admin_get_scrub},
        {DT_POST, "/v1/cache/scrub", transfer_admin_post_scrub},
        {DT_DELETE, "/v1/cache/scrub", transfer_admin_delete_scrub},
        {DT_GET, "/v1/cache/sha256:" HEX, transfer_admin_get_blob},
        {DT_DELETE, "/v1/cache/sha256%3A" HEX, transfer_admin_delete_blob},
        {DT_PUT, "/v1/cache/sha256:" HEX "/pin", transfer_admin_put_pin},
        {DT_DELETE, "/v1/cache/sha256:" HEX "/pin", transfer_admin_delete_pin},
        {DT_GET, "/metrics", transfer_admin_get_metrics},
        {DT_GET, "/healthz", transfer_admin_get_health},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dt_admin_match found = match(rows[i].method, rows[i].path);
        assert_int_equal(found.status, 200);
        assert_ptr_equal(found.route->handle, rows[i].handle);
    }
}

static void route__hands_over_the_digest(void **state)
{
    (void)state;
    char text[DT_DIGEST_TEXT_MAX];
    struct dt_admin_match found = match(DT_PUT, "/v1/cache/sha256%3a" HEX "/pin");
    assert_string_equal(dt_digest_format(text, &found.digest), "sha256:" HEX);
}

static void route__unknown_paths_are_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {"",
                                        "/",
                                        "/v1/",
                                        "/v1/none",
                                        "/v2/",
                                        "/v1/cache/",
                                        "/v1//cache",
                                        "/v1/cache/sha256:" HEX "/",
                                        "/v1/cache/sha256:" HEX "/pins",
                                        "/v1/cache//pin",
                                        "/metricsx",
                                        "*"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct dt_admin_match found = match(DT_GET, paths[i]);
        assert_int_equal(found.status, 404);
        assert_null(found.route);
    }
}

static void route__a_wrong_method_learns_the_right_ones(void **state)
{
    (void)state;
    struct dt_admin_match found = match(DT_PUT, "/v1/cache/scrub");
    assert_int_equal(found.status, 405);
    assert_string_equal(found.allow, "GET, HEAD, POST, DELETE");
    found = match(DT_GET, "/v1/cache/sha256:" HEX "/pin");
    assert_int_equal(found.status, 405);
    assert_string_equal(found.allow, "PUT, DELETE");
    found = match(DT_POST, "/v1/tasks");
    assert_string_equal(found.allow, "GET, HEAD");
}

static void route__a_bad_digest_is_a_bad_request(void **state)
{
    (void)state;
    static const char *const digests[] = {"x", "sha256:12", ("md5:" HEX), "sha256:%zz", "%00"};
    for (size_t i = 0; i < sizeof digests / sizeof digests[0]; i++) {
        char *path = dt_asprintf("/v1/cache/%s", digests[i]);
        struct dt_admin_match found = match(DT_GET, path);
        assert_int_equal(found.status, 400);
        assert_null(found.route);
        assert_true(found.problem[0] != '\0');
        free(path);
    }
}

static void route__only_health_is_open_to_all(void **state)
{
    (void)state;
    for (dt_admin_tables table = proxy_admin_tables; *table != NULL; table++)
        for (const struct dt_admin_route *route = *table; route->pattern != NULL; route++)
            assert_int_equal(route->is_open, strcmp(route->pattern, "/healthz") == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route__finds_its_row_by_method_and_path),
        cmocka_unit_test(route__hands_over_the_digest),
        cmocka_unit_test(route__unknown_paths_are_not_found),
        cmocka_unit_test(route__a_wrong_method_learns_the_right_ones),
        cmocka_unit_test(route__a_bad_digest_is_a_bad_request),
        cmocka_unit_test(route__only_health_is_open_to_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
