/* Tests of base/range.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/http.h"

static void check(const char *value, uint64_t size, enum dt_range_kind kind, uint64_t first,
                  uint64_t last)
{
    struct dt_range range = dt_range_parse(value, size);

    if (range.kind != kind)
        print_message("for '%s' of %llu\n", value != NULL ? value : "(none)",
                      (unsigned long long)size);
    assert_int_equal(range.kind, kind);
    if (kind == DT_RANGE_SATISFIABLE) {
        assert_true(range.first == first);
        assert_true(range.last == last);
    }
}

static void range__satisfiable_is_resolved_and_clipped(void **state)
{
    (void)state;
    check("bytes=500-1499", 2048, DT_RANGE_SATISFIABLE, 500, 1499);
    check("bytes=500-", 2048, DT_RANGE_SATISFIABLE, 500, 2047);
    check("bytes=-500", 2048, DT_RANGE_SATISFIABLE, 1548, 2047);
    check("bytes=-5000", 2048, DT_RANGE_SATISFIABLE, 0, 2047);
    check("bytes=2000-5000", 2048, DT_RANGE_SATISFIABLE, 2000, 2047);
    check("bytes=2047-2047", 2048, DT_RANGE_SATISFIABLE, 2047, 2047);
    check("bytes=0-0", 1, DT_RANGE_SATISFIABLE, 0, 0);
    check("BYTES=0-", 1, DT_RANGE_SATISFIABLE, 0, 0);
    check(" bytes= 1-2\t", 10, DT_RANGE_SATISFIABLE, 1, 2);
}

static void range__outside_is_unsatisfiable(void **state)
{
    (void)state;
    check("bytes=5000-10000", 2048, DT_RANGE_UNSATISFIABLE, 0, 0);
    check("bytes=2048-", 2048, DT_RANGE_UNSATISFIABLE, 0, 0);
    check("bytes=500-0", 2048, DT_RANGE_UNSATISFIABLE, 0, 0);
    check("bytes=-0", 2048, DT_RANGE_UNSATISFIABLE, 0, 0);
    check("bytes=0-", 0, DT_RANGE_UNSATISFIABLE, 0, 0);
    check("bytes=-5", 0, DT_RANGE_UNSATISFIABLE, 0, 0);
}

static void range__strange_is_ignored(void **state)
{
    static const char *const strange[] = {
        "",          "bytes",     "bytes=",      "bytes=-",     "items=0-1", "bytes=0-1,5-6",
        "bytes=a-b", "bytes=0 1", "bytes=0-1 x", "bytes=--5",   "bytes=+1-", "bytes=0x1-2",
        "bytes 0-1", "bytes=1",   "bytes=1- 2",  "bytes= -\t ",
    };

    (void)state;
    check(NULL, 2048, DT_RANGE_NONE, 0, 0);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++)
        check(strange[i], 2048, DT_RANGE_NONE, 0, 0);
}

static void range__numbers_beyond_64_bits_saturate(void **state)
{
    (void)state;
    check("bytes=0-99999999999999999999999", 2048, DT_RANGE_SATISFIABLE, 0, 2047);
    check("bytes=-99999999999999999999999", 2048, DT_RANGE_SATISFIABLE, 0, 2047);
    check("bytes=99999999999999999999999-", 2048, DT_RANGE_UNSATISFIABLE, 0, 0);
    check("bytes=18446744073709551615-18446744073709551616", UINT64_MAX, DT_RANGE_UNSATISFIABLE, 0,
          0);
}

static void content_range__is_read(void **state)
{
    uint64_t first, last, size;
    struct dt_err err = {0};

    (void)state;
    assert_int_equal(dt_content_range_parse(&first, &last, &size, "bytes 5-9/20", &err), 0);
    assert_true(first == 5 && last == 9 && size == 20);
    assert_int_equal(dt_content_range_parse(&first, &last, &size, "Bytes 0-0/*", &err), 0);
    assert_true(first == 0 && last == 0 && size == UINT64_MAX);
}

static void content_range__nonsense_is_a_protocol_error(void **state)
{
    static const char *const nonsense[] = {
        NULL,
        "",
        "bytes",
        "bytes */20",
        "bytes 9-5/20",
        "bytes 5-20/20",
        "bytes 5-9",
        "bytes 5-9/",
        "bytes 5-/20",
        "bytes -5/20",
        "items 5-9/20",
        "bytes=5-9/20",
        "bytes 5-9/2x",
        "bytes 5/9-20",
        "bytes 5-9/20 x",
        "bytes 18446744073709551616-18446744073709551617/*",
        "bytes 0-18446744073709551615/*",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        uint64_t first, last, size;
        struct dt_err err = {0};
        assert_int_equal(dt_content_range_parse(&first, &last, &size, nonsense[i], &err),
                         -DT_EPROTO);
        assert_int_equal(err.code, DT_EPROTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(range__satisfiable_is_resolved_and_clipped),
        cmocka_unit_test(range__outside_is_unsatisfiable),
        cmocka_unit_test(range__strange_is_ignored),
        cmocka_unit_test(range__numbers_beyond_64_bits_saturate),
        cmocka_unit_test(content_range__is_read),
        cmocka_unit_test(content_range__nonsense_is_a_protocol_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
