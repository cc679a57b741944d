/* Tests of base/accept.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/http.h"

#define MANIFEST "application/vnd.oci.image.manifest.v1+json"

static void accept__nothing_asked_admits_everything(void **state)
{
    (void)state;
    assert_true(dt_accept_admits(NULL, MANIFEST));
    assert_true(dt_accept_admits("", MANIFEST));
    assert_true(dt_accept_admits(" , \t", MANIFEST));
}

static void accept__listed_types_are_admitted(void **state)
{
    const char *list = "application/json, " MANIFEST ",text/html";

    (void)state;
    assert_true(dt_accept_admits(list, MANIFEST));
    assert_true(dt_accept_admits(list, "APPLICATION/JSON"));
    assert_true(dt_accept_admits(list, "text/html; charset=utf-8"));
    assert_false(dt_accept_admits(list, "text/plain"));
    assert_false(dt_accept_admits("text/htm", "text/html"));
}

static void accept__wildcards_admit(void **state)
{
    (void)state;
    assert_true(dt_accept_admits("*/*", MANIFEST));
    assert_true(dt_accept_admits("*", MANIFEST));
    assert_true(dt_accept_admits("text/html, application/*;q=0.1", MANIFEST));
    assert_false(dt_accept_admits("text/*", MANIFEST));
    assert_false(dt_accept_admits("app/*", MANIFEST));
    assert_false(dt_accept_admits("a*", "a"));
}

static void accept__weight_zero_refuses(void **state)
{
    (void)state;
    assert_false(dt_accept_admits(MANIFEST ";q=0", MANIFEST));
    assert_false(dt_accept_admits(MANIFEST "; Q=0.000 ", MANIFEST));
    assert_true(dt_accept_admits(MANIFEST ";q=0.001", MANIFEST));
    assert_true(dt_accept_admits(MANIFEST ";q=", MANIFEST));
}

static void accept__most_specific_range_decides(void **state)
{
    (void)state;
    assert_false(dt_accept_admits("*/*, " MANIFEST ";q=0", MANIFEST));
    assert_false(dt_accept_admits(MANIFEST ";q=0, */*", MANIFEST));
    assert_true(dt_accept_admits("application/*;q=0," MANIFEST, MANIFEST));
    assert_false(dt_accept_admits("application/*;q=0, */*", MANIFEST));
    assert_true(dt_accept_admits(MANIFEST ";q=0, " MANIFEST, MANIFEST));
}

static void accept__quoted_parameters_hide_separators(void **state)
{
    (void)state;
    assert_true(dt_accept_admits("text/html;title=\"a,b;q=0\\\"\", " MANIFEST, MANIFEST));
    assert_false(dt_accept_admits("text/html;title=\"x, " MANIFEST "\"", MANIFEST));
    assert_true(dt_accept_admits("text/html;title=\"x;q=0\"", "text/html"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accept__nothing_asked_admits_everything),
        cmocka_unit_test(accept__listed_types_are_admitted),
        cmocka_unit_test(accept__wildcards_admit),
        cmocka_unit_test(accept__weight_zero_refuses),
        cmocka_unit_test(accept__most_specific_range_decides),
        cmocka_unit_test(accept__quoted_parameters_hide_separators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
