/*
 * tests/unit/base_text_test.c - the buffer grows and stays terminated; numbers are strict.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static void text__grows_and_stays_terminated(void **state)
{
    (void)state;
    struct dt_text text = {0};
    assert_string_equal(dt_text_str(&text), "");
    for (int i = 0; i < 1000; i++)
        dt_text_addf(&text, "%d,", i % 10);
    assert_int_equal(text.len, 2000);
    assert_int_equal(strlen(dt_text_str(&text)), 2000);
    dt_text_clear(&text);
    assert_string_equal(dt_text_str(&text), "");
    dt_text_fini(&text);
    assert_null(text.data);
}

static void text__keeps_bytes_with_nul_inside(void **state)
{
    (void)state;
    struct dt_text text = {0};
    dt_text_add_len(&text, "a\0b", 3);
    dt_text_add_len(&text, NULL, 0);
    assert_int_equal(text.len, 3);
    assert_memory_equal(text.data, "a\0b", 4);
    dt_text_fini(&text);
}

static void text_addf__fits_any_length_at_every_fill(void **state)
{
    (void)state;
    for (int fill = 0; fill < 140; fill++) {
        struct dt_text text = {0};
        dt_text_addf(&text, "%0*d", fill, 0);
        size_t before = text.len;
        dt_text_addf(&text, "%0200d", 1);
        assert_int_equal(text.len, before + 200);
        assert_int_equal(text.data[text.len - 1], '1');
        dt_text_fini(&text);
    }
}

static void text_take__hands_over_even_when_empty(void **state)
{
    (void)state;
    struct dt_text text = {0};
    char *empty = dt_text_take(&text);
    assert_string_equal(empty, "");
    free(empty);
    dt_text_add(&text, "mine");
    char *taken = dt_text_take(&text);
    assert_string_equal(taken, "mine");
    assert_null(text.data);
    free(taken);
}

static void text_print__says_whether_it_fitted(void **state)
{
    (void)state;
    char out[4];
    assert_true(dt_text_print(out, sizeof(out), "%d", 123));
    assert_false(dt_text_print(out, sizeof(out), "%d", 1234));
    assert_string_equal(out, "123");
}

static void prefix_and_suffix__compare_whole_words(void **state)
{
    (void)state;
    assert_true(dt_text_has_prefix("sha256:ab", "sha256:"));
    assert_false(dt_text_has_prefix("sha", "sha256:"));
    assert_true(dt_text_has_suffix("layer.gz", ".gz"));
    assert_false(dt_text_has_suffix("gz", ".gz"));
    assert_true(dt_text_has_suffix("x", ""));
}

static void equal_nocase__knows_ascii_only(void **state)
{
    (void)state;
    assert_true(dt_text_equal_nocase("Content-LENGTH", "content-length"));
    assert_false(dt_text_equal_nocase("content", "content-length"));
    assert_false(dt_text_equal_nocase("\xc3\x84", "\xc3\xa4"));
    assert_false(dt_text_equal_nocase("[", "{"));
}

static void parse_u64__is_strict(void **state)
{
    (void)state;
    unsigned long long value = 7;
    assert_true(dt_text_parse_u64(&value, "18446744073709551615", 20));
    assert_true(value == UINT64_MAX);
    static const char *const bad[] = {
        "",   "18446744073709551616", "99999999999999999999999", "-1", "+1", " 1", "1 ", "0x1",
        "1.0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(dt_text_parse_u64(&value, bad[i], strlen(bad[i])));
    assert_true(value == UINT64_MAX);
    assert_true(dt_text_parse_u64(&value, "123456", 3));
    assert_int_equal(value, 123);
}

static void text__is_trimmed_at_both_ends(void **state)
{
    static const struct {
        const char *text, *trimmed;
    } rows[] = {{"a b", "a b"}, {" \ta b\t ", "a b"}, {"", ""}, {" \t ", ""}, {"a\r", "a\r"}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *at = rows[i].text;
        size_t len = strlen(at);
        dt_text_trim(&at, &len);
        assert_int_equal(len, strlen(rows[i].trimmed));
        assert_memory_equal(at, rows[i].trimmed, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text__is_trimmed_at_both_ends),
        cmocka_unit_test(text__grows_and_stays_terminated),
        cmocka_unit_test(text__keeps_bytes_with_nul_inside),
        cmocka_unit_test(text_addf__fits_any_length_at_every_fill),
        cmocka_unit_test(text_take__hands_over_even_when_empty),
        cmocka_unit_test(text_print__says_whether_it_fitted),
        cmocka_unit_test(prefix_and_suffix__compare_whole_words),
        cmocka_unit_test(equal_nocase__knows_ascii_only),
        cmocka_unit_test(parse_u64__is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
