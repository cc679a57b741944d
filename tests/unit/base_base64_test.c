/*
 * tests/unit/base_base64_test.c - base64 of both kinds; the vectors are those of RFC 4648,
 * section 10.
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

static void base64__goes_there_and_back(void **state)
{
    char bytes[64];
    (void)state;
    for (size_t len = 0; len < sizeof(bytes); len++) {
        char *back = NULL;
        size_t back_len = 0;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (char)(i * 37 + len * 11);
        char *text = dt_base64_encode(bytes, len);
        assert_int_equal(strlen(text), (len + 2) / 3 * 4);
        assert_true(dt_base64_decode(&back, &back_len, text, strlen(text)));
        assert_int_equal(back_len, len);
        assert_memory_equal(back, bytes, len);
        free(back);
        assert_true(dt_base64_decode(&back, &back_len, text, strcspn(text, "=")));
        assert_int_equal(back_len, len);
        free(back);
        free(text);
    }
}

static void base64__refuses_odd_text(void **state)
{
    static const char *const ROWS[] = {"A", "AAAAA", "AA=A", "A===", "====", "AA\nA", "AA-_", "="};
    char *out = NULL;
    size_t len = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        if (dt_base64_decode(&out, &len, ROWS[i], strlen(ROWS[i])) || out != NULL)
            fail_msg("accepted: %s", ROWS[i]);
    assert_false(dt_base64_decode(&out, &len, "AA\0A", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64url__matches_known_answers_both_ways),
        cmocka_unit_test(base64url_decode__refuses_all_else),
        cmocka_unit_test(base64__goes_there_and_back),
        cmocka_unit_test(base64__refuses_odd_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
