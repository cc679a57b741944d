/*
 * tests/unit/base_wire_hello_test.c - hellos and their replies, there and back, and changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/wire/hello.h"
#include "tests/unit/base_wire_kit.h"

#define DIGEST "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static const char FULL[] =
    "{\"v\":1,\"node\":\"0123456789abcdef\",\"name\":\"n1\",\"site\":\"ams1\",\"rack\":\"r1\","
    "\"address\":\"192.0.2.1:65002\",\"full\":true,\"bye\":true,"
    "\"have\":[[\"" DIGEST "\",5],[\"" DIGEST "\",5]],\"lost\":[\"" DIGEST "\"],"
    "\"up\":7,\"down\":8,\"bad\":9}";

static void hello__is_read_as_it_was_written(void **state)
{
    (void)state;
    struct wire_hello hello;
    assert_int_equal(wire_hello_decode(&hello, FULL, strlen(FULL), NULL), 0);
    assert_string_equal(hello.node, "0123456789abcdef");
    assert_string_equal(hello.name, "n1");
    assert_string_equal(hello.site, "ams1");
    assert_string_equal(hello.rack, "r1");
    assert_string_equal(hello.address, "192.0.2.1:65002");
    assert_true(hello.is_full && hello.is_bye && hello.n_have == 2 && hello.n_lost == 1);
    assert_true(hello.have[1].size == 5);
    assert_true(dt_digest_equal(&hello.have[0].digest, &hello.lost[0]));
    assert_true(hello.up_bytes == 7 && hello.down_bytes == 8 && hello.bad_pieces == 9);
    char *again = wire_hello_encode(&hello);
    assert_string_equal(again, FULL);
    free(again);
    wire_hello_fini(&hello);
    assert_null(hello.have);
}

static void hello__with_the_most_holdings_fits(void **state)
{
    (void)state;
    struct wire_hello hello = {.node = "0123456789abcdef",
                               .name = "n",
                               .site = "s",
                               .address = ":1",
                               .n_have = WIRE_HOLDINGS_MAX,
                               .n_lost = WIRE_HOLDINGS_MAX,
                               .up_bytes = UINT64_MAX},
                      back;
    hello.have = dt_new_array(struct wire_holding, WIRE_HOLDINGS_MAX);
    hello.lost = dt_new_array(struct dt_digest, WIRE_HOLDINGS_MAX);
    for (size_t i = 0; i < WIRE_HOLDINGS_MAX; i++) {
        dt_digest_of(&hello.have[i].digest, DT_SHA512, &i, sizeof(i));
        hello.have[i].size = WIRE_BLOB_SIZE_MAX;
        hello.lost[i] = hello.have[i].digest;
    }
    char *text = wire_hello_encode(&hello);
    assert_int_equal(wire_hello_decode(&back, text, strlen(text), NULL), 0);
    assert_int_equal(back.n_have, WIRE_HOLDINGS_MAX);
    assert_memory_equal(back.lost, hello.lost, WIRE_HOLDINGS_MAX * sizeof(hello.lost[0]));
    assert_true(back.have[WIRE_HOLDINGS_MAX - 1].size == WIRE_BLOB_SIZE_MAX);
    assert_true(back.up_bytes == WIRE_COUNT_MAX);
    free(text);
    wire_hello_fini(&back);
    wire_hello_fini(&hello);
}

static const struct wire_kit_change hello_changes[] = {
    {"\"v\":1", "\"v\":3", "hello: v: version 3, this is 1"},
    {"0123456789abcdef", "0123", "node: malformed"},
    {"\"n1\"", "\"n\\u00e4\"", "name: malformed"},
    {"\"site\":\"ams1\",", "", "site: not a string"},
    {"\"rack\":\"r1\",", "", NULL},
    {"192.0.2.1:65002", "192.0.2.1", "address: malformed"},
    {"\"full\":true", "\"full\":\"yes\"", "full: neither true nor false"},
    {"\"bye\":true", "\"bye\":null", "bye: neither true nor false"},
    {"[\"" DIGEST "\",5]", "[\"sha256:00\",5]", "have digest: not a digest"},
    {"[\"" DIGEST "\",5]", "[\"" DIGEST "\"]", "have size: not an integer"},
    {"[\"" DIGEST "\",5]", "[\"" DIGEST "\",1099511627777]", "have size: out of range"},
    {"[\"" DIGEST "\",5]", "[\"" DIGEST "\",5,\"later\"]", NULL},
    {"\"lost\":[", "\"lost\":[7,", "lost: not a digest"},
    {"\"lost\":[", "\"lost\":{},\"was\":[", "lost: not an array"},
    {"\"up\":7", "\"up\":-7", "up: out of range"},
    {"\"bad\":9", "\"bad\":9007199254740992", "bad: out of range"},
    {"\"bad\":9", "\"bad\":9,\"later\":[1,{}]", NULL},
};

static void hello__changed_by_hand_is_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(hello_changes) / sizeof(hello_changes[0]); i++) {
        const struct wire_kit_change *change = &hello_changes[i];
        struct wire_hello hello;
        struct dt_err err = {.code = 0};
        char *text = wire_kit_replace(FULL, change->old, change->new);
        int rc = wire_hello_decode(&hello, text, strlen(text), &err);
        if (rc != (change->why == NULL ? 0 : -DT_EPROTO))
            fail_msg("%s -> %s: %s", change->old, change->new, err.msg);
        if (change->why != NULL && strstr(err.msg, change->why) == NULL)
            fail_msg("%s -> %s: '%s', not '%s'", change->old, change->new, err.msg, change->why);
        wire_hello_fini(&hello);
        free(text);
    }
    for (size_t len = 0; len < strlen(FULL); len++) {
        struct wire_hello hello;
        assert_int_equal(wire_hello_decode(&hello, FULL, len, NULL), -DT_EPROTO);
        assert_true(hello.have == NULL && hello.lost == NULL);
    }
}

static const char REPLY[] =
    "{\"v\":1,\"supernode\":\"sn-a\",\"site\":\"ams1\",\"interval_ms\":5000,\"wants_full\":true,"
    "\"banned\":true,\"draining\":true,\"up_limit\":1,\"down_limit\":2}";

static void reply__is_read_as_it_was_written(void **state)
{
    (void)state;
    struct wire_hello_reply reply;
    assert_int_equal(wire_hello_reply_decode(&reply, REPLY, strlen(REPLY), NULL), 0);
    assert_string_equal(reply.supernode, "sn-a");
    assert_string_equal(reply.site, "ams1");
    assert_true(reply.interval_ms == 5000 && reply.wants_full && reply.is_banned);
    assert_true(reply.is_draining && reply.up_limit == 1 && reply.down_limit == 2);
    char *again = wire_hello_reply_encode(&reply);
    assert_string_equal(again, REPLY);
    free(again);
    struct wire_hello_reply plain = {.supernode = "sn", .site = "s", .interval_ms = 1000};
    again = wire_hello_reply_encode(&plain);
    assert_int_equal(wire_hello_reply_decode(&reply, again, strlen(again), NULL), 0);
    assert_true(!reply.wants_full && !reply.is_banned && !reply.is_draining);
    assert_true(reply.up_limit == 0 && reply.down_limit == 0);
    free(again);
}

static const struct wire_kit_change reply_changes[] = {
    {"\"v\":1", "\"v\":2", "hello reply: v: version 2, this is 1"},
    {"\"sn-a\"", "\"\"", "supernode: malformed"},
    {"\"ams1\"", "null", "site: not a string"},
    {"5000", "999", "interval_ms: out of range"},
    {"5000", "60001", "interval_ms: out of range"},
    {"\"wants_full\":true", "\"wants_full\":[]", "wants_full: neither true nor false"},
    {"\"up_limit\":1", "\"up_limit\":1e3", "up_limit: not an integer"},
    {"\"down_limit\":2", "\"down_limit\":2,\"later\":\"\"", NULL},
};

static void reply__changed_by_hand_is_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(reply_changes) / sizeof(reply_changes[0]); i++) {
        const struct wire_kit_change *change = &reply_changes[i];
        struct wire_hello_reply reply;
        struct dt_err err = {.code = 0};
        char *text = wire_kit_replace(REPLY, change->old, change->new);
        int rc = wire_hello_reply_decode(&reply, text, strlen(text), &err);
        if (rc != (change->why == NULL ? 0 : -DT_EPROTO))
            fail_msg("%s -> %s: %s", change->old, change->new, err.msg);
        if (change->why != NULL && strstr(err.msg, change->why) == NULL)
            fail_msg("%s -> %s: '%s', not '%s'", change->old, change->new, err.msg, change->why);
        if (rc < 0)
            assert_int_equal(reply.interval_ms, 0);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hello__is_read_as_it_was_written),
        cmocka_unit_test(hello__with_the_most_holdings_fits),
        cmocka_unit_test(hello__changed_by_hand_is_refused_with_a_reason),
        cmocka_unit_test(reply__is_read_as_it_was_written),
        cmocka_unit_test(reply__changed_by_hand_is_refused_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
