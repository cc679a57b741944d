/*
 * tests/unit/base_crc32c_test.c - the vectors of RFC 3720 B.4, and both implementations agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/crc32c_priv.h"
#include "base/digest.h"

static void crc32c__matches_known_answers(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0}, ones[32], rising[32];
    memset(ones, 0xff, sizeof(ones));
    for (unsigned i = 0; i < 32; i++)
        rising[i] = (uint8_t)i;
    assert_int_equal(dt_crc32c(0, zeros, 32), 0x8a9136aaU);
    assert_int_equal(dt_crc32c(0, ones, 32), 0x62a8ab43U);
    assert_int_equal(dt_crc32c(0, rising, 32), 0x46dd794eU);
    assert_int_equal(dt_crc32c(0, "123456789", 9), 0xe3069283U);
    assert_int_equal(dt_crc32c_portable(0, "123456789", 9), 0xe3069283U);
    assert_int_equal(dt_crc32c(0, NULL, 0), 0);
}

static void crc32c__agrees_with_the_portable_one_at_every_offset_and_length(void **state)
{
    (void)state;
    uint8_t bytes[100];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 167 + 13);
    for (size_t offset = 0; offset < 16; offset++)
        for (size_t len = 0; len <= sizeof(bytes) - offset; len++)
            assert_int_equal(dt_crc32c(7, bytes + offset, len),
                             dt_crc32c_portable(7, bytes + offset, len));
}

static void crc32c__agrees_with_the_portable_one_over_long_inputs(void **state)
{
    (void)state;
    static uint8_t bytes[40000];
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * i * 31 + i / 7);
    for (size_t len = 12000; len <= sizeof(bytes) - 3; len += 1237)
        assert_int_equal(dt_crc32c(99, bytes + 3, len), dt_crc32c_portable(99, bytes + 3, len));
}

static void crc32c__continues_from_the_last_result(void **state)
{
    (void)state;
    const char digits[] = "123456789";
    uint32_t whole = dt_crc32c(0, digits, 9);
    for (size_t cut = 0; cut <= 9; cut++)
        assert_int_equal(dt_crc32c(dt_crc32c(0, digits, cut), digits + cut, 9 - cut), whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c__matches_known_answers),
        cmocka_unit_test(crc32c__agrees_with_the_portable_one_at_every_offset_and_length),
        cmocka_unit_test(crc32c__agrees_with_the_portable_one_over_long_inputs),
        cmocka_unit_test(crc32c__continues_from_the_last_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
