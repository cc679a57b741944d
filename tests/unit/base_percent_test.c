/* Tests of base/percent.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/http.h"

static void percent__decodes_into_the_buffer(void **state)
{
    char out[16];

    (void)state;
    assert_int_equal(dt_percent_decode(out, sizeof(out), "sha256%3Aa%2fb+c", 16, NULL), 0);
    assert_string_equal(out, "sha256:a/b+c");
    assert_int_equal(dt_percent_decode(out, sizeof(out), "", 0, NULL), 0);
    assert_string_equal(out, "");
    assert_int_equal(dt_percent_decode(out, 4, "abc", 3, NULL), 0);
}

static void percent__refuses_bad_escapes_controls_and_what_does_not_fit(void **state)
{
    static const char *const bad[] = {
        "%", "%4", "%4g", "%g4", "a%00b", "%0a", "%7F", "a\nb", "0123456789abcdef"};
    char out[16];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_err err = {0};
        assert_int_equal(dt_percent_decode(out, sizeof(out), bad[i], strlen(bad[i]), &err),
                         -DT_EINVAL);
        assert_int_equal(err.code, DT_EINVAL);
    }
    assert_int_equal(dt_percent_decode(out, 0, "", 0, NULL), -DT_EINVAL);
    /* The escape must end inside the given length, not inside the string. */
    assert_int_equal(dt_percent_decode(out, sizeof(out), "%41", 2, NULL), -DT_EINVAL);
}

static void percent__encode_is_undone_by_decode(void **state)
{
    const char *text = "robot$a+b:/?#[]@ \xc3\xa9~._-Zz9%";
    char *encoded = dt_percent_encode(text);
    char out[64];

    (void)state;
    assert_string_equal(encoded, "robot%24a%2Bb%3A%2F%3F%23%5B%5D%40%20%C3%A9~._-Zz9%25");
    assert_int_equal(dt_percent_decode(out, sizeof(out), encoded, strlen(encoded), NULL), 0);
    assert_string_equal(out, text);
    free(encoded);
}

static void query__finds_and_decodes(void **state)
{
    char out[32];

    (void)state;
    assert_int_equal(dt_query_get(out, sizeof(out), "a=1&ns=harbor.test%3A1234", "ns", NULL), 1);
    assert_string_equal(out, "harbor.test:1234");
    assert_int_equal(dt_query_get(out, sizeof(out), "n%73=x", "ns", NULL), 1);
    assert_string_equal(out, "x");
    assert_int_equal(dt_query_get(out, sizeof(out), "&&ns=a=b&ns=c", "ns", NULL), 1);
    assert_string_equal(out, "a=b");
    assert_int_equal(dt_query_get(out, sizeof(out), "ns", "ns", NULL), 1);
    assert_string_equal(out, "");
    assert_int_equal(dt_query_get(out, sizeof(out), "ns=&x", "ns", NULL), 1);
    assert_string_equal(out, "");
}

static void query__absent_is_zero(void **state)
{
    char out[8];

    (void)state;
    assert_int_equal(dt_query_get(out, sizeof(out), NULL, "ns", NULL), 0);
    assert_int_equal(dt_query_get(out, sizeof(out), "", "ns", NULL), 0);
    assert_int_equal(dt_query_get(out, sizeof(out), "nss=1&n=2&=3&xns=4&NS=5", "ns", NULL), 0);
}

static void query__bad_value_is_an_error_only_under_its_own_key(void **state)
{
    struct dt_err err = {0};
    char out[8];

    (void)state;
    assert_int_equal(dt_query_get(out, sizeof(out), "ns=%zz", "ns", &err), -DT_EINVAL);
    assert_int_equal(err.code, DT_EINVAL);
    assert_int_equal(dt_query_get(out, sizeof(out), "ns=12345678", "ns", NULL), -DT_EINVAL);
    assert_int_equal(dt_query_get(out, sizeof(out), "a=%zz&%zz=1&ns=ok", "ns", NULL), 1);
    assert_string_equal(out, "ok");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percent__decodes_into_the_buffer),
        cmocka_unit_test(percent__refuses_bad_escapes_controls_and_what_does_not_fit),
        cmocka_unit_test(percent__encode_is_undone_by_decode),
        cmocka_unit_test(query__finds_and_decodes),
        cmocka_unit_test(query__absent_is_zero),
        cmocka_unit_test(query__bad_value_is_an_error_only_under_its_own_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
