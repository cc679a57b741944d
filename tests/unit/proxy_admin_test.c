/*
 * tests/unit/proxy_admin_test.c - the pure parts of the admin API: routes, pages, problem
 * documents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/admin_priv.h"

#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static struct admin_match match(enum dt_http_method method, const char *path)
{
    struct admin_match found;
    admin_route_match(&found, admin_routes, method, path, strlen(path));
    return found;
}

static void route__finds_its_row_by_method_and_path(void **state)
{
    (void)state;
    static const struct {
        enum dt_http_method method;
        const char *path;
        void (*handle)(struct admin_call *);
    } rows[] = {
        {DT_GET, "/v1", admin_get_index},
        {DT_GET, "/v1/cache", admin_get_cache},
        {DT_HEAD, "/v1/cache", admin_get_cache},
        {DT_GET, "/v1/cache/scrub", admin_get_scrub},
        {DT_POST, "/v1/cache/scrub", admin_post_scrub},
        {DT_DELETE, "/v1/cache/scrub", admin_delete_scrub},
        {DT_GET, "/v1/cache/sha256:" HEX, admin_get_blob},
        {DT_DELETE, "/v1/cache/sha256%3A" HEX, admin_delete_blob},
        {DT_PUT, "/v1/cache/sha256:" HEX "/pin", admin_put_pin},
        {DT_DELETE, "/v1/cache/sha256:" HEX "/pin", admin_delete_pin},
        {DT_GET, "/metrics", admin_get_metrics},
        {DT_GET, "/healthz", admin_get_health},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct admin_match found = match(rows[i].method, rows[i].path);
        assert_int_equal(found.status, 200);
        assert_ptr_equal(found.route->handle, rows[i].handle);
    }
}

static void route__hands_over_the_digest(void **state)
{
    (void)state;
    char text[DT_DIGEST_TEXT_MAX];
    struct admin_match found = match(DT_PUT, "/v1/cache/sha256%3a" HEX "/pin");
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
        struct admin_match found = match(DT_GET, paths[i]);
        assert_int_equal(found.status, 404);
        assert_null(found.route);
    }
}

static void route__a_wrong_method_learns_the_right_ones(void **state)
{
    (void)state;
    struct admin_match found = match(DT_PUT, "/v1/cache/scrub");
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
        struct admin_match found = match(DT_GET, path);
        assert_int_equal(found.status, 400);
        assert_null(found.route);
        assert_true(found.problem[0] != '\0');
        free(path);
    }
}

static void route__only_health_is_open_to_all(void **state)
{
    (void)state;
    for (const struct admin_route *route = admin_routes; route->pattern != NULL; route++)
        assert_int_equal(route->is_open, strcmp(route->pattern, "/healthz") == 0);
}

static void page__says_what_was_asked(void **state)
{
    (void)state;
    struct admin_page page;
    struct dt_err err;
    char text[DT_DIGEST_TEXT_MAX];
    assert_int_equal(admin_page_parse(&page, "", &err), 0);
    assert_int_equal(page.limit, ADMIN_PAGE_NORMAL);
    assert_int_equal(page.filter.state, -1);
    assert_int_equal(page.filter.pinned, -1);
    assert_null(page.filter.upstream);
    assert_false(page.has_after);

    assert_int_equal(admin_page_parse(&page,
                                      "limit=7&state=partial&pinned=true&upstream=docker.io&"
                                      "repository=library%2Fnginx&after=sha256:" HEX,
                                      &err),
                     0);
    assert_int_equal(page.limit, 7);
    assert_int_equal(page.filter.state, CACHE_PARTIAL);
    assert_int_equal(page.filter.pinned, 1);
    assert_string_equal(page.filter.upstream, "docker.io");
    assert_string_equal(page.filter.repository, "library/nginx");
    assert_true(page.has_after);
    assert_string_equal(dt_digest_format(text, &page.after), "sha256:" HEX);
}

static void page__refuses_what_it_cannot_read(void **state)
{
    (void)state;
    static const char *const queries[] = {
        "limit=-1", "limit=1001", "limit=x",          "limit=",       "state=whole", "pinned=maybe",
        "after=x",  "after=%00",  "repository=alone", "upstream=%zz", "state=%00",
    };
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        struct admin_page page;
        struct dt_err err = {0};
        assert_true(admin_page_parse(&page, queries[i], &err) < 0);
        assert_int_equal(dt_code_http_status(err.code), 400);
        assert_true(err.msg[0] != '\0');
    }
}

static void page__the_next_one_asks_the_same(void **state)
{
    (void)state;
    struct admin_page page, next;
    struct dt_err err;
    struct dt_digest last;
    assert_int_equal(dt_digest_parse(&last, "sha256:" HEX, strlen("sha256:" HEX), NULL), 0);
    assert_int_equal(admin_page_parse(&page,
                                      "limit=7&state=sealed&pinned=false&upstream=a%26b&"
                                      "repository=library/nginx",
                                      &err),
                     0);
    char *path = admin_page_next(&page, &last);
    const char *query = strchr(path, '?');
    assert_non_null(query);
    assert_int_equal(admin_page_parse(&next, query + 1, &err), 0);
    assert_int_equal(next.limit, 7);
    assert_int_equal(next.filter.state, CACHE_SEALED);
    assert_int_equal(next.filter.pinned, 0);
    assert_string_equal(next.filter.upstream, "a&b");
    assert_string_equal(next.filter.repository, "library/nginx");
    assert_true(next.has_after && dt_digest_equal(&next.after, &last));
    free(path);
}

static void problem__is_what_rfc_9457_says(void **state)
{
    (void)state;
    char *text = admin_problem_text(409, "ECONFLICT", "it is \"pinned\"\n");
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "type")), "about:blank");
    assert_string_equal(json_string_value(json_object_get(json, "title")), "Conflict");
    assert_int_equal(json_integer_value(json_object_get(json, "status")), 409);
    assert_string_equal(json_string_value(json_object_get(json, "detail")), "it is \"pinned\"\n");
    assert_string_equal(json_string_value(json_object_get(json, "code")), "ECONFLICT");
    json_decref(json);
    free(text);
}

static void problem__survives_bytes_that_are_no_text(void **state)
{
    (void)state;
    char *text = admin_problem_text(599, NULL, "\xff\xfe");
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_non_null(json_string_value(json_object_get(json, "detail")));
    assert_null(json_object_get(json, "code"));
    json_decref(json);
    free(text);
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
        cmocka_unit_test(page__says_what_was_asked),
        cmocka_unit_test(page__refuses_what_it_cannot_read),
        cmocka_unit_test(page__the_next_one_asks_the_same),
        cmocka_unit_test(problem__is_what_rfc_9457_says),
        cmocka_unit_test(problem__survives_bytes_that_are_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
