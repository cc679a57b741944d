/*
 * tests/unit/base_admin_route_test.c - how a path finds its row in several tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/admin.h"

#define HEX "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static void answer(struct dt_admin_call *call)
{
    dt_admin_answer_empty(call, 204);
}

static const struct dt_admin_route own[] = {
    {.method = DT_GET, .pattern = "/v1/nodes", .handle = answer},
    {.method = DT_POST, .pattern = "/v1/nodes/{name}/ban", .handle = answer},
    {.method = DT_DELETE, .pattern = "/v1/nodes/{name}/ban", .handle = answer},
    {.method = DT_GET, .pattern = "/v1/tasks/{digest}", .handle = answer},
    {.pattern = NULL},
};
static const struct dt_admin_route shared[] = {
    {.method = DT_POST, .pattern = "/v1/nodes", .handle = answer},
    {.method = DT_GET, .pattern = "/v1/nodes/{name}/ban", .handle = answer},
    {.pattern = NULL},
};
static const struct dt_admin_route *const tables[] = {own, shared, NULL};

static struct dt_admin_match match(enum dt_http_method method, const char *path)
{
    struct dt_admin_match found;
    dt_admin_route_match(&found, tables, method, path, strlen(path));
    return found;
}

static void route__a_name_is_handed_over_decoded(void **state)
{
    (void)state;
    struct dt_admin_match found = match(DT_POST, "/v1/nodes/web%2d7.example/ban");
    assert_int_equal(found.status, 200);
    assert_string_equal(found.name, "web-7.example");
    assert_ptr_equal(found.route, &own[1]);
}

static void route__a_name_that_cannot_be_read_is_a_bad_request(void **state)
{
    (void)state;
    char longest[DT_ADMIN_NAME_MAX + 32];
    static const char *const paths[] = {"/v1/nodes/%zz/ban", "/v1/nodes/a%00b/ban",
                                        "/v1/nodes/%/ban"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct dt_admin_match found = match(DT_POST, paths[i]);
        assert_int_equal(found.status, 400);
        assert_null(found.route);
        assert_true(found.problem[0] != '\0');
    }
    size_t len = strlen("/v1/nodes/");
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "/v1/nodes/", len);
    memcpy(longest + len + DT_ADMIN_NAME_MAX, "/ban", sizeof "/ban");
    assert_int_equal(match(DT_POST, longest).status, 400);
    memmove(longest + len, longest + len + 1, strlen(longest + len)); /* one less: it fits */
    assert_int_equal(match(DT_POST, longest).status, 200);
}

static void route__a_later_table_adds_methods_to_the_same_pattern(void **state)
{
    (void)state;
    assert_ptr_equal(match(DT_POST, "/v1/nodes").route, &shared[0]);
    assert_ptr_equal(match(DT_GET, "/v1/nodes/a/ban").route, &shared[1]);
    struct dt_admin_match found = match(DT_PUT, "/v1/nodes/a/ban");
    assert_int_equal(found.status, 405);
    assert_string_equal(found.allow, "POST, DELETE, GET, HEAD");
}

static void route__a_digest_is_read_only_where_one_is_expected(void **state)
{
    (void)state;
    assert_int_equal(match(DT_GET, "/v1/tasks/web-7").status, 400);
    struct dt_admin_match found = match(DT_GET, "/v1/tasks/sha256%3A" HEX);
    assert_int_equal(found.status, 200);
    assert_string_equal(found.name, "sha256:" HEX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route__a_name_is_handed_over_decoded),
        cmocka_unit_test(route__a_name_that_cannot_be_read_is_a_bad_request),
        cmocka_unit_test(route__a_later_table_adds_methods_to_the_same_pattern),
        cmocka_unit_test(route__a_digest_is_read_only_where_one_is_expected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
