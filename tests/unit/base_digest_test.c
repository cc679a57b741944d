/*
 * tests/unit/base_digest_test.c - digests against the vectors of FIPS 180-4.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/digest.h"

#define EMPTY_256 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ABC_256   "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define ABC_512                                                                                    \
    "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"                      \
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

static void digest_of__matches_known_answers(void **state)
{
    (void)state;
    struct dt_digest digest;
    char text[DT_DIGEST_TEXT_MAX];
    dt_digest_of(&digest, DT_SHA256, "", 0);
    assert_string_equal(dt_digest_format(text, &digest), EMPTY_256);
    dt_digest_of(&digest, DT_SHA256, "abc", 3);
    assert_string_equal(dt_digest_format(text, &digest), ABC_256);
    assert_int_equal(dt_digest_raw_len(&digest), 32);
    dt_digest_of(&digest, DT_SHA512, "abc", 3);
    assert_string_equal(dt_digest_format(text, &digest), ABC_512);
    assert_int_equal(dt_digest_raw_len(&digest), 64);
    char short_text[13];
    assert_string_equal(dt_digest_short(short_text, &digest), "ddaf35a19361");
}

static void hasher__streams_to_the_same_digest(void **state)
{
    (void)state;
    struct dt_digest streamed, whole;
    dt_digest_of(&whole, DT_SHA512, "abc", 3);
    struct dt_hasher *hasher = dt_hasher_new(DT_SHA512);
    dt_hasher_update(hasher, "a", 1);
    dt_hasher_update(hasher, "", 0);
    dt_hasher_update(hasher, "bc", 2);
    dt_hasher_final(hasher, &streamed);
    dt_hasher_free(&hasher);
    assert_null(hasher);
    dt_hasher_free(&hasher);
    assert_true(dt_digest_equal(&streamed, &whole));
}

static void digest_parse__round_trips(void **state)
{
    (void)state;
    static const char *const good[] = {EMPTY_256, ABC_256, ABC_512};
    for (size_t i = 0; i < 3; i++) {
        struct dt_digest digest;
        char text[DT_DIGEST_TEXT_MAX];
        assert_int_equal(dt_digest_parse(&digest, good[i], strlen(good[i]), NULL), 0);
        assert_string_equal(dt_digest_format(text, &digest), good[i]);
    }
}

static void digest_parse__refuses_all_else(void **state)
{
    (void)state;
    struct dt_digest digest;
    struct dt_err err;
    static const char *const bad[] = {
        "",
        "sha256",
        "sha256:",
        "SHA256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha512:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err = (struct dt_err){0};
        assert_int_equal(dt_digest_parse(&digest, bad[i], strlen(bad[i]), &err), -DT_EINVAL);
        assert_true(err.code == DT_EINVAL && err.msg[0] != '\0');
    }
    /* A NUL inside is not an end. */
    char with_nul[] = ABC_256;
    with_nul[20] = '\0';
    assert_int_equal(dt_digest_parse(&digest, with_nul, sizeof(with_nul) - 1, &err), -DT_EINVAL);
}

static void digest_equal__tells_algorithms_apart(void **state)
{
    (void)state;
    struct dt_digest a = {.algo = DT_SHA256}, b = {.algo = DT_SHA512};
    assert_false(dt_digest_equal(&a, &b));
    b.algo = DT_SHA256;
    assert_true(dt_digest_equal(&a, &b));
    b.raw[31] = 1;
    assert_false(dt_digest_equal(&a, &b));
}

static void digest_hash__sees_every_byte_and_spreads_over_loops(void **state)
{
    (void)state;
    struct dt_digest digest = {.algo = DT_SHA256};
    uint64_t first = dt_digest_hash(&digest);
    assert_true(first == dt_digest_hash(&digest));
    unsigned per_loop[4] = {0};
    for (unsigned i = 0; i < 4000; i++) {
        digest.raw[31] = (uint8_t)i;
        digest.raw[30] = (uint8_t)(i >> 8);
        per_loop[dt_digest_hash(&digest) % 4]++;
    }
    for (size_t i = 0; i < 4; i++)
        assert_in_range(per_loop[i], 800, 1200); /* 1000 +- more than seven sigma */
}

static void hash_bytes__depends_on_every_byte_and_the_length(void **state)
{
    (void)state;
    uint64_t hash = dt_hash_bytes("abc", 3);
    assert_true(hash == dt_hash_bytes("abc", 3));
    assert_true(hash != dt_hash_bytes("abd", 3));
    assert_true(hash != dt_hash_bytes("bac", 3));
    assert_true(hash != dt_hash_bytes("abc\0", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest_of__matches_known_answers),
        cmocka_unit_test(hasher__streams_to_the_same_digest),
        cmocka_unit_test(digest_parse__round_trips),
        cmocka_unit_test(digest_parse__refuses_all_else),
        cmocka_unit_test(digest_equal__tells_algorithms_apart),
        cmocka_unit_test(digest_hash__sees_every_byte_and_spreads_over_loops),
        cmocka_unit_test(hash_bytes__depends_on_every_byte_and_the_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
