/*
 * tests/unit/base_wire_wire_test.c - sums, ids, names, addresses, and whose blob it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/wire/wire.h"

static void sum__is_the_first_half_of_sha256(void **state)
{
    (void)state;
    struct wire_sum sum, other;
    static const uint8_t abc[16] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea,
                                    0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23};
    wire_sum_of(&sum, "abc", 3);
    assert_memory_equal(sum.bytes, abc, sizeof(abc));
    wire_sum_of(&other, "abd", 3);
    assert_false(wire_sum_equal(&sum, &other));
    wire_sum_of(&other, "abc", 3);
    assert_true(wire_sum_equal(&sum, &other));
}

static void id__is_random_and_valid(void **state)
{
    (void)state;
    wire_id a, b;
    wire_id_make(a);
    wire_id_make(b);
    assert_true(wire_id_is_valid(a) && wire_id_is_valid(b));
    assert_string_not_equal(a, b);
    assert_false(wire_id_is_valid(""));
    assert_false(wire_id_is_valid("0123456789abcde"));
    assert_false(wire_id_is_valid("0123456789abcdef0"));
    assert_false(wire_id_is_valid("0123456789ABCDEF"));
}

static void name__is_safe_in_headers_logs_and_metrics(void **state)
{
    (void)state;
    char longest[WIRE_NAME_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[WIRE_NAME_MAX + 1] = '\0';
    assert_false(wire_name_is_valid(longest));
    longest[WIRE_NAME_MAX] = '\0';
    assert_true(wire_name_is_valid(longest));
    assert_true(wire_name_is_valid("node-7.rack_3.example"));
    wire_name copy;
    wire_name_copy(copy, longest);
    assert_string_equal(copy, longest);
    wire_name_copy(copy, NULL);
    assert_string_equal(copy, "");
    static const char *const bad[] = {"", "a b", "a/b", "a\n", "\xc3\xa4", "a\"", "a:1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(wire_name_is_valid(bad[i]));
}

static void address__is_numbers_and_a_port(void **state)
{
    (void)state;
    static const char *const good[] = {
        "192.0.2.1:65002", "[2001:db8::1]:1",
        ":65002",          "[2001:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535",
        "127.0.0.1:1",     "[::1]:1"};
    static const char *const bad[] = {
        "",           "192.0.2.1",   "192.0.2.1:",     "192.0.2.1:0",    ":0",
        ":",          ":65536",      "example.com:80", "unix:/run/sock", "[::1]",
        "::1:80",     "1.2.3.4:80/", "1.2.3.4:80\r\n", "[::1%eth0]:80",  " 1.2.3.4:80",
        "user@1.2:3", "[]:80",       "1.2.3.4:+80",
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(wire_address_is_valid(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(wire_address_is_valid(bad[i]));
    char longest[200];
    memset(longest, '1', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_false(wire_address_is_valid(longest));
}

static void address__is_where_a_node_can_be(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0.0.0.0:80", "169.254.169.254:80", "224.0.0.1:80",  "255.255.255.255:80",
        "[::]:80",    "[fe80::1]:80",       "[ff02::1]:80",  "[::ffff:169.254.169.254]:80",
        "0.1.2.3:80", "[febf::1]:80",       "239.1.2.3:443", "[::ffff:0.0.0.0]:80",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(wire_address_is_valid(bad[i]));
}

static void pieces_of__knows_its_limits(void **state)
{
    (void)state;
    assert_int_equal(wire_pieces_of(1, MIB), 1);
    assert_int_equal(wire_pieces_of(MIB, MIB), 1);
    assert_int_equal(wire_pieces_of(MIB + 1, MIB), 2);
    assert_int_equal(wire_pieces_of(0, MIB), 0);
    assert_int_equal(wire_pieces_of(WIRE_BLOB_SIZE_MAX, WIRE_PIECE_SIZE_MAX), WIRE_PIECES_MAX);
    assert_int_equal(wire_pieces_of(WIRE_BLOB_SIZE_MAX, WIRE_PIECE_SIZE_MAX / 2), 0);
    assert_int_equal(wire_pieces_of(WIRE_BLOB_SIZE_MAX + 1, WIRE_PIECE_SIZE_MAX), 0);
    assert_int_equal(wire_pieces_of(UINT64_MAX, WIRE_PIECE_SIZE_MAX), 0);
    assert_int_equal(wire_pieces_of(MIB, 0), 0);
    assert_int_equal(wire_pieces_of(MIB, WIRE_PIECE_SIZE_MIN - 1), 0);
    assert_int_equal(wire_pieces_of(MIB, WIRE_PIECE_SIZE_MAX + 1), 0);
}

/* ---- whose blob is it ---- */

#define N_NAMES 5
static const char *const names[N_NAMES] = {"sn-a", "sn-b", "sn-c", "sn-d", "sn-e"};

static struct dt_digest digest_number(unsigned number)
{
    struct dt_digest digest;
    dt_digest_of(&digest, DT_SHA256, &number, sizeof(number));
    return digest;
}

static void rendezvous__is_the_same_in_every_program(void **state)
{
    (void)state;
    struct dt_digest digest;
    size_t order[N_NAMES];
    dt_digest_of(&digest, DT_SHA256, "abc", 3);
    wire_rendezvous(order, &digest, names, N_NAMES);
    static const size_t expected[N_NAMES] = {1, 0, 3, 2, 4}; /* by another program */
    assert_memory_equal(order, expected, sizeof(expected));
}

static void rendezvous__depends_on_names_and_not_on_their_order(void **state)
{
    (void)state;
    static const char *const turned[N_NAMES] = {"sn-e", "sn-d", "sn-c", "sn-b", "sn-a"};
    for (unsigned i = 0; i < 100; i++) {
        struct dt_digest digest = digest_number(i);
        size_t order[N_NAMES], other[N_NAMES];
        wire_rendezvous(order, &digest, names, N_NAMES);
        wire_rendezvous(other, &digest, turned, N_NAMES);
        for (size_t place = 0; place < N_NAMES; place++)
            assert_string_equal(names[order[place]], turned[other[place]]);
    }
}

static void rendezvous__spreads_blobs_evenly_over_all_places(void **state)
{
    (void)state;
    unsigned n[N_NAMES][N_NAMES] = {{0}};
    for (unsigned i = 0; i < 10000; i++) {
        struct dt_digest digest = digest_number(i);
        size_t order[N_NAMES];
        wire_rendezvous(order, &digest, names, N_NAMES);
        for (size_t place = 0; place < N_NAMES; place++)
            n[place][order[place]]++;
    }
    for (size_t place = 0; place < N_NAMES; place++)
        for (size_t name = 0; name < N_NAMES; name++)
            assert_in_range(n[place][name], 1800, 2200); /* 2000 +- five sigma */
}

static void rendezvous__without_one_name_moves_only_its_blobs(void **state)
{
    (void)state;
    unsigned n_inherited[N_NAMES] = {0};
    for (unsigned i = 0; i < 2000; i++) {
        struct dt_digest digest = digest_number(i);
        size_t all[N_NAMES], fewer[N_NAMES - 1], place = 0;
        wire_rendezvous(all, &digest, names, N_NAMES);
        wire_rendezvous(fewer, &digest, names, N_NAMES - 1); /* sn-e has gone */
        for (size_t j = 0; j < N_NAMES; j++)
            if (all[j] != N_NAMES - 1)
                assert_int_equal(fewer[place++], all[j]);
        if (all[0] == N_NAMES - 1)
            n_inherited[fewer[0]]++;
    }
    for (size_t name = 0; name < N_NAMES - 1; name++)
        assert_in_range(n_inherited[name], 50, 150); /* 100 each: no heir alone */
}

static void rendezvous__of_none_one_and_equal_names_is_defined(void **state)
{
    (void)state;
    static const char *const equal[] = {"sn", "sn", "sn"};
    struct dt_digest digest = digest_number(1);
    size_t order[3] = {7, 7, 7};
    wire_rendezvous(order, &digest, NULL, 0);
    assert_int_equal(order[0], 7);
    wire_rendezvous(order, &digest, equal, 1);
    assert_int_equal(order[0], 0);
    wire_rendezvous(order, &digest, equal, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(order[i], i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum__is_the_first_half_of_sha256),
        cmocka_unit_test(id__is_random_and_valid),
        cmocka_unit_test(name__is_safe_in_headers_logs_and_metrics),
        cmocka_unit_test(address__is_numbers_and_a_port),
        cmocka_unit_test(address__is_where_a_node_can_be),
        cmocka_unit_test(pieces_of__knows_its_limits),
        cmocka_unit_test(rendezvous__is_the_same_in_every_program),
        cmocka_unit_test(rendezvous__depends_on_names_and_not_on_their_order),
        cmocka_unit_test(rendezvous__spreads_blobs_evenly_over_all_places),
        cmocka_unit_test(rendezvous__without_one_name_moves_only_its_blobs),
        cmocka_unit_test(rendezvous__of_none_one_and_equal_names_is_defined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
