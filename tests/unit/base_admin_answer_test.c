/*
 * tests/unit/base_admin_answer_test.c - problem documents and the list of routes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/admin.h"

static void problem__is_what_rfc_9457_says(void **state)
{
    (void)state;
    char *text = dt_admin_problem_text(409, "ECONFLICT", "it is \"pinned\"\n");
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
    char *text = dt_admin_problem_text(599, NULL, "\xff\xfe");
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_non_null(json_string_value(json_object_get(json, "detail")));
    assert_null(json_object_get(json, "code"));
    json_decref(json);
    free(text);
}

static void routes__are_listed_in_the_order_of_their_tables(void **state)
{
    (void)state;
    static const struct dt_admin_route one[] = {{.method = DT_PUT, .pattern = "/a", .doc = "A."},
                                                {.pattern = NULL}};
    static const struct dt_admin_route two[] = {{.method = DT_GET, .pattern = "/b", .doc = "B."},
                                                {.pattern = NULL}};
    static const struct dt_admin_route *const tables[] = {one, two, NULL};
    char *text = dt_admin_json_text(dt_admin_json_routes(tables));
    assert_string_equal(text, "[{\"method\":\"PUT\",\"path\":\"/a\",\"about\":\"A.\"},"
                              "{\"method\":\"GET\",\"path\":\"/b\",\"about\":\"B.\"}]");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(problem__is_what_rfc_9457_says),
        cmocka_unit_test(problem__survives_bytes_that_are_no_text),
        cmocka_unit_test(routes__are_listed_in_the_order_of_their_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
