/*
 * tests/unit/base_base64_test.c - base64url against the vectors of RFC 4648, section 10.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"

static const struct {
    const char *plain, *text;
} vectors[] = {
    {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},          {"foo", "Zm9v"},
    {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}, {"\xfb\xff", "-_8"}};

static void base64url__matches_known_answers_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        size_t len = strlen(vectors[i].plain);
        char *text = dt_base64url_encode(vectors[i].plain, len), back[8];
        assert_string_equal(text, vectors[i].text);
        assert_int_equal(strlen(text), DT_BASE64URL_LEN(len));
        assert_true(dt_base64url_decode(back, len, text, strlen(text)));
        assert_memory_equal(back, vectors[i].plain, len);
        free(text);
    }
}

static void base64url_decode__refuses_all_else(void **state)
{
    (void)state;
    char out[8];
    assert_false(dt_base64url_decode(out, 2, "Zg", 2));      /* one byte, not two */
    assert_false(dt_base64url_decode(out, 1, "Zm8", 3));     /* two, not one */
    assert_false(dt_base64url_decode(out, 1, "Z", 1));       /* six bits */
    assert_false(dt_base64url_decode(out, 1, "Zh", 2));      /* spare bits */
    assert_false(dt_base64url_decode(out, 3, "Zm9=", 4));    /* padding */
    assert_false(dt_base64url_decode(out, 3, "Zm+v", 4));    /* the other alphabet */
    assert_false(dt_base64url_decode(out, 3, "Zm\0v", 4));   /* NUL */
    assert_false(dt_base64url_decode(out, 3, "Zm\xe9v", 4)); /* not ASCII */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url__matches_known_answers_both_ways),
        cmocka_unit_test(base64url_decode__refuses_all_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
