/*
 * tests/unit/base_wire_exchange_test.c - exchanges and their replies, there and back, and changed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/wire/exchange.h"
#include "tests/unit/base_wire_kit.h"

#define NODE "0123456789abcdef"
#define PEER "fedcba9876543210"

/* Everything a first exchange can hold, by hand. */
static const char FULL[] =
    "{\"v\":1,\"node\":\"" NODE "\",\"digest\":\"sha256:"
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\","
    "\"session\":\"ffeeddccbbaa9988\",\"seq\":1,\"leave\":true,\"keeps\":true,\"want\":4096,"
    "\"join\":{\"name\":\"n1\",\"site\":\"ams1\",\"address\":\":65002\",\"rack\":\"r1\","
    "\"up_slots\":4,\"down_slots\":5,\"size\":10000000,\"piece_size\":1048576,\"have\":\"gQI\","
    "\"takeover\":true,\"inline\":true,\"upstream\":\"docker.io\",\"repository\":\"library/nginx\","
    "\"authorization\":\"c2VhbGVk\"},"
    "\"finished\":[[1,\"" PEER "\",250],[9,\"" NODE "\",0]],"
    "\"failed\":[[2,\"" PEER "\",\"bad-sum\"]],\"gained\":[3,4,4]}";

static void exchange__is_read_as_it_was_written(void **state)
{
    (void)state;
    struct wire_exchange exchange;
    assert_int_equal(wire_exchange_decode(&exchange, FULL, strlen(FULL), NULL), 0);
    assert_string_equal(exchange.node, NODE);
    assert_true(exchange.session == 0xffeeddccbbaa9988ULL && exchange.seq == 1);
    assert_true(exchange.is_leave && exchange.keeps && exchange.want_off == 4096);
    const struct wire_join *join = exchange.join;
    assert_string_equal(join->name, "n1");
    assert_string_equal(join->site, "ams1");
    assert_string_equal(join->rack, "r1");
    assert_string_equal(join->address, ":65002");
    assert_true(join->up_slots == 4 && join->down_slots == 5 && join->size == 10000000);
    assert_true(join->piece_size == MIB && join->n_pieces == 10);
    assert_true(join->have[0] == 0x281 && join->sums == NULL && join->is_takeover);
    assert_true(join->takes_inline);
    assert_string_equal(join->upstream, "docker.io");
    assert_string_equal(join->repository, "library/nginx");
    assert_string_equal(join->sealed_authorization, "c2VhbGVk");
    assert_int_equal(exchange.n_finished, 2);
    assert_true(exchange.finished[0].piece == 1 && exchange.finished[0].took_ms == 250);
    assert_string_equal(exchange.finished[0].from, PEER);
    assert_true(exchange.n_failed == 1 && exchange.failed[0].why == WIRE_WHY_BAD_SUM);
    assert_int_equal(exchange.n_gained, 3); /* told twice: no harm */
    assert_int_equal(exchange.gained[2], 4);
    char *again = wire_exchange_encode(&exchange);
    assert_string_equal(again, FULL);
    free(again);
    wire_exchange_fini(&exchange);
    assert_null(exchange.join);
}

static void exchange__with_little_to_say_is_short(void **state)
{
    (void)state;
    struct wire_exchange exchange = {.node = NODE, .seq = 7, .want_off = UINT64_MAX}, back;
    dt_digest_of(&exchange.digest, DT_SHA512, "abc", 3);
    char *text = wire_exchange_encode(&exchange);
    assert_int_equal(wire_exchange_decode(&back, text, strlen(text), NULL), 0);
    assert_true(back.want_off == UINT64_MAX && back.join == NULL && !back.is_leave);
    assert_true(back.n_finished == 0 && back.n_failed == 0 && back.n_gained == 0);
    assert_true(dt_digest_equal(&back.digest, &exchange.digest));
    free(text);
    wire_exchange_fini(&back);
}

/* The largest of everything at once still fits into a body. */
static void exchange__of_the_largest_blob_round_trips(void **state)
{
    (void)state;
    struct wire_join join = {.name = "n",
                             .site = "s",
                             .address = "[::1]:1",
                             .size = WIRE_BLOB_SIZE_MAX,
                             .piece_size = WIRE_PIECE_SIZE_MAX,
                             .n_pieces = WIRE_PIECES_MAX};
    struct wire_exchange exchange = {.node = NODE, .seq = WIRE_COUNT_MAX, .join = &join}, back;
    struct wire_finished finished = {WIRE_PIECES_MAX - 1, PEER, UINT32_MAX};
    struct wire_failed failed = {WIRE_PIECES_MAX - 1, PEER, WIRE_WHY_UNREACHABLE};
    dt_digest_of(&exchange.digest, DT_SHA512, "abc", 3);
    join.have = dt_new_array(uint64_t, WIRE_PIECES_MAX / 64);
    join.sums = dt_new_array(struct wire_sum, WIRE_PIECES_MAX);
    dt_random_bytes(join.have, WIRE_PIECES_MAX / 8);
    dt_random_bytes(join.sums, WIRE_PIECES_MAX * sizeof(struct wire_sum));
    join.upstream = dt_calloc(WIRE_TEXT_MAX + 1, 1);
    memset(join.upstream, '"', WIRE_TEXT_MAX);
    join.repository = dt_strdup(join.upstream);
    join.sealed_authorization = dt_calloc(WIRE_SEALED_MAX + 1, 1);
    memset(join.sealed_authorization, '\\', WIRE_SEALED_MAX);
    exchange.n_finished = exchange.n_failed = exchange.n_gained = WIRE_REPORTS_MAX;
    exchange.finished = dt_new_array(struct wire_finished, WIRE_REPORTS_MAX);
    exchange.failed = dt_new_array(struct wire_failed, WIRE_REPORTS_MAX);
    exchange.gained = dt_new_array(uint32_t, WIRE_REPORTS_MAX);
    for (size_t i = 0; i < WIRE_REPORTS_MAX; i++) {
        exchange.finished[i] = finished;
        exchange.failed[i] = failed;
        exchange.gained[i] = WIRE_PIECES_MAX - 1;
    }
    char *text = wire_exchange_encode(&exchange);
    struct dt_err err = {.code = 0};
    assert_int_equal(wire_exchange_decode(&back, text, strlen(text), &err), 0);
    assert_memory_equal(back.join->have, join.have, WIRE_PIECES_MAX / 8);
    assert_memory_equal(back.join->sums, join.sums, WIRE_PIECES_MAX * sizeof(struct wire_sum));
    assert_string_equal(back.join->upstream, join.upstream);
    assert_string_equal(back.join->sealed_authorization, join.sealed_authorization);
    assert_int_equal(back.failed[WIRE_REPORTS_MAX - 1].why, WIRE_WHY_UNREACHABLE);
    free(text);
    wire_exchange_fini(&back);
    exchange.join = NULL;
    free(join.have);
    free(join.sums);
    free(join.upstream);
    free(join.repository);
    free(join.sealed_authorization);
    wire_exchange_fini(&exchange);
}

#define DIGEST_END "b00361a396177a9cb410ff61f20015ad"
static const struct wire_kit_change exchange_changes[] = {
    {"{\"v\":1,", "{", "exchange: v: no version"},
    {"\"v\":1", "\"v\":2", "exchange: v: version 2, this is 1"},
    {"\"v\":1", "\"v\":\"1\"", "v: no version"},
    {"\"v\":1,", "\"v\":1,\"v\":1,", "not JSON, or a member twice"},
    {"{\"v\"", "[{\"v\"", "not JSON"},
    {"gained", "g\\u0000", "not JSON"},
    {"[3,4,4]}", "[3,4,4]} ", NULL},
    {"[3,4,4]}", "[3,4,4]}}", "not JSON"},
    {"[3,4,4]", "[3,4,4],\"later\":{\"x\":[[]]}", NULL},
    {"[3,4,4]", "[[[[[[[[[3]]]]]]]]]", "nested too deeply"},
    {NODE, "0123456789ABCDEF", "node: malformed"},
    {NODE, "0123456789abcdef0", "node: too long"},
    {"\"node\"", "\"nod\"", "node: not a string"},
    {DIGEST_END, "b00361a396177a9cb410ff61f20015a", "digest: not a digest"},
    {"\"sha256:", "\"md5:", "digest: not a digest"},
    {"ffeeddccbbaa9988", "xfeeddccbbaa9988", "session: malformed"},
    {"ffeeddccbbaa9988", "", "session: malformed"},
    {"\"seq\":1", "\"seq\":0", "seq: out of range"},
    {"\"seq\":1", "\"seq\":-1", "seq: out of range"},
    {"\"seq\":1", "\"seq\":9007199254740992", "seq: out of range"},
    {"\"seq\":1", "\"seq\":99999999999999999999", "not JSON"},
    {"\"seq\":1", "\"seq\":1.0", "seq: not an integer"},
    {"\"leave\":true", "\"leave\":1", "leave: neither true nor false"},
    {"\"keeps\":true", "\"keeps\":false", NULL},
    {"\"want\":4096", "\"want\":1099511627777", "want: out of range"},
    {"\"want\":4096", "\"want\":null", "want: not an integer"},
    {"\"n1\"", "\"n 1\"", "name: malformed"},
    {"\"ams1\"", "\"\"", "site: malformed"},
    {"\"r1\"", "7", "rack: not a string"},
    {"\":65002\"", "\"example.com:1\"", "address: malformed"},
    {"\"up_slots\":4,", "", "up_slots: not an integer"},
    {"\"up_slots\":4", "\"up_slots\":65536", "up_slots: out of range"},
    {"\"size\":10000000,", "", "join.piece_size: no size, or too many pieces"},
    {"\"size\":10000000", "\"size\":1099511627776", "no size, or too many pieces"},
    {"\"size\":10000000", "\"size\":9000000", "join.have: bits beyond the last piece"},
    {"\"size\":10000000", "\"size\":0", NULL},
    {"\"piece_size\":1048576", "\"piece_size\":4095", "piece_size: out of range"},
    {"\"piece_size\":1048576", "\"piece_size\":16777217", "piece_size: out of range"},
    {"\"piece_size\":1048576,", "", NULL},
    {"\"have\":\"gQI\"", "\"have\":\"gQIA\"", "join.have: not the bits"},
    {"\"have\":\"gQI\"", "\"have\":\"gQJ\"", "join.have: not the bits"},
    {"\"have\":\"gQI\"", "\"have\":[1]", "join.have: not the bits"},
    {"\"have\":\"gQI\",", "", NULL},
    {"\"have\"", "\"sums\"", "join.sums: not the sums"},
    {"\"inline\":true", "\"inline\":65536", "inline: neither true nor false"},
    {"\"inline\":true,", "", NULL},
    {"\"upstream\":\"docker.io\",", "", "upstream or repository missing"},
    {"library/nginx", "library nginx", "repository: not a string of visible ASCII"},
    {"library/nginx", "", "repository: not a string of visible ASCII"},
    {"\"c2VhbGVk\"", "7", "authorization: not a string of visible ASCII"},
    {"\"join\":{", "\"join\":7,\"was\":{", "join: not an object"},
    {"[1,\"" PEER "\",250]", "[65536,\"" PEER "\",250]", "finished piece: out of range"},
    {"[1,\"" PEER "\",250]", "[1,\"\",250]", "finished from: malformed"},
    {"[1,\"" PEER "\",250]", "[1,\"" PEER "\",4294967296]", "finished took_ms: out of range"},
    {"[1,\"" PEER "\",250]", "[1,\"" PEER "\"]", "finished took_ms: not an integer"},
    {"[1,\"" PEER "\",250]", "[1,\"" PEER "\",250,\"later\"]", NULL},
    {"[1,\"" PEER "\",250]", "7", "finished piece: not an integer"},
    {"\"finished\":[", "\"finished\":7,\"was\":[", "finished: not an array"},
    {"\"bad-sum\"", "\"tired\"", NULL},
    {"\"bad-sum\"", "4", "failed why: not a string"},
    {"[3,4,4]", "[65536]", "gained: out of range"},
};

static void exchange__changed_by_hand_is_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(exchange_changes) / sizeof(exchange_changes[0]); i++) {
        const struct wire_kit_change *change = &exchange_changes[i];
        struct wire_exchange exchange;
        struct dt_err err = {.code = 0};
        char *text = wire_kit_replace(FULL, change->old, change->new);
        int rc = wire_exchange_decode(&exchange, text, strlen(text), &err);
        if (rc != (change->why == NULL ? 0 : -DT_EPROTO))
            fail_msg("%s -> %s: %s", change->old, change->new, err.msg);
        if (change->why != NULL && strstr(err.msg, change->why) == NULL)
            fail_msg("%s -> %s: '%s', not '%s'", change->old, change->new, err.msg, change->why);
        wire_exchange_fini(&exchange);
        free(text);
    }
}

static void exchange__cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t len = 0; len < strlen(FULL); len++) {
        struct wire_exchange exchange;
        assert_int_equal(wire_exchange_decode(&exchange, FULL, len, NULL), -DT_EPROTO);
        assert_null(exchange.join);
    }
}

static void exchange__of_a_newer_reason_counts_as_refused(void **state)
{
    (void)state;
    struct wire_exchange exchange;
    char *text = wire_kit_replace(FULL, "bad-sum", "tired");
    assert_int_equal(wire_exchange_decode(&exchange, text, strlen(text), NULL), 0);
    assert_int_equal(exchange.failed[0].why, WIRE_WHY_REFUSED);
    wire_exchange_fini(&exchange);
    free(text);
}

static int decode_flood(const char *begin, const char *unit, unsigned n, struct dt_err *err)
{
    struct dt_text text = {0};
    struct wire_exchange exchange;
    dt_text_add(&text, begin);
    for (unsigned i = 0; i < n; i++)
        dt_text_add(&text, unit);
    int rc = wire_exchange_decode(&exchange, text.data, text.len, err);
    dt_text_fini(&text);
    return rc;
}

static void exchange__as_a_bomb_costs_nothing(void **state)
{
    (void)state;
    struct dt_err err = {.code = 0};
    assert_int_equal(decode_flood("{\"x\":", "[", 1000000, &err), -DT_EPROTO);
    assert_non_null(strstr(err.msg, "nested too deeply"));
    assert_int_equal(decode_flood("{\"x\":", "{\"x\":", 400000, &err), -DT_EPROTO);
    assert_non_null(strstr(err.msg, "nested too deeply"));
    assert_int_equal(decode_flood("{\"x\":[", "[],", 600000, &err), -DT_EPROTO);
    assert_non_null(strstr(err.msg, "too many values"));
    assert_int_equal(decode_flood("", " ", WIRE_BODY_MAX + 1, &err), -DT_ETOOBIG);
}

static void exchange__with_too_many_reports_is_refused(void **state)
{
    (void)state;
    struct dt_text text = {0};
    struct wire_exchange exchange;
    struct dt_err err = {.code = 0};
    dt_text_add_len(&text, FULL, strlen(FULL) - strlen("]}"));
    for (size_t i = 3; i < WIRE_REPORTS_MAX; i++)
        dt_text_add(&text, ",4");
    dt_text_add(&text, "]}");
    assert_int_equal(wire_exchange_decode(&exchange, text.data, text.len, &err), 0);
    assert_int_equal(exchange.n_gained, WIRE_REPORTS_MAX);
    wire_exchange_fini(&exchange);
    text.len -= strlen("]}");
    dt_text_add(&text, ",4]}");
    assert_int_equal(wire_exchange_decode(&exchange, text.data, text.len, &err), -DT_EPROTO);
    assert_string_equal(err.msg, "exchange: gained: too many elements");
    dt_text_fini(&text);
}

/* ---- replies ---- */

static const char REPLY[] =
    "{\"v\":1,\"state\":\"open\",\"seq\":4,\"size\":10000000,\"piece_size\":1048576,"
    "\"assignments\":[[3,\"" PEER "\",\"[2001:db8::1]:65002\",false,"
    "\"ab000000000000000000000000000012\"],[9,\"" NODE "\",\"\",true]],"
    "\"ticket\":\"v1 5 ams1 k0.0\",\"down_limit\":1000000}";

static void reply__is_read_as_it_was_written(void **state)
{
    (void)state;
    struct wire_exchange_reply reply;
    assert_int_equal(wire_exchange_reply_decode(&reply, REPLY, strlen(REPLY), NULL), 0);
    assert_true(reply.state == WIRE_OPEN && reply.seq == 4 && reply.size == 10000000);
    assert_true(reply.piece_size == MIB && reply.down_limit == 1000000);
    assert_string_equal(reply.ticket, "v1 5 ams1 k0.0");
    assert_int_equal(reply.n_assignments, 2);
    const struct wire_assignment *first = &reply.assignments[0], *second = &reply.assignments[1];
    assert_true(first->piece == 3 && !first->is_seed && first->has_sum);
    assert_true(first->sum.bytes[0] == 0xab && first->sum.bytes[15] == 0x12);
    assert_string_equal(first->from, PEER);
    assert_string_equal(first->address, "[2001:db8::1]:65002");
    assert_true(second->piece == 9 && second->is_seed && !second->has_sum);
    assert_string_equal(second->address, "");
    char *again = wire_exchange_reply_encode(&reply);
    assert_string_equal(again, REPLY);
    free(again);
    wire_exchange_reply_fini(&reply);
    assert_null(reply.assignments);
}

static void reply__of_every_state_round_trips(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WIRE_STATE_END; i++) {
        struct wire_exchange_reply reply = {.state = (enum wire_state)i,
                                            .seq = i,
                                            .size = 1,
                                            .piece_size = MIB,
                                            .down_limit = UINT64_MAX},
                                   back;
        (void)dt_err_set(&reply.err, DT_EDENIED, "site \"fra1\"\n\\ \xff");
        char *text = wire_exchange_reply_encode(&reply);
        assert_int_equal(wire_exchange_reply_decode(&back, text, strlen(text), NULL), 0);
        assert_true(back.state == reply.state && back.seq == i);
        assert_true(back.down_limit == WIRE_COUNT_MAX);
        assert_int_equal(back.err.code, i == WIRE_GONE ? DT_EDENIED : 0);
        assert_string_equal(back.err.msg, i == WIRE_GONE ? "site \"fra1\"?\\ ?" : "");
        free(text);
        wire_exchange_reply_fini(&back);
    }
}

static const struct wire_kit_change reply_changes[] = {
    {"\"v\":1", "\"v\":0", "exchange reply: v: version 0, this is 1"},
    {"\"open\"", "\"ajar\"", "state: unknown"},
    {"\"open\"", "4", "state: not a string"},
    {"\"open\"", "\"waiting\"", NULL},
    {"\"open\"", "\"gone\"", "code: not a string"},
    {"\"open\"", "\"gone\",\"code\":\"ELATER\"", NULL},
    {"\"open\"", "\"gone\",\"code\":\"EDENIED\",\"reason\":\"a\\nb\"", "reason: malformed"},
    {"\"seq\":4", "\"seq\":-4", "seq: out of range"},
    {"\"size\":10000000", "\"size\":0", "size: out of range"},
    {"\"size\":10000000", "\"size\":1099511627777", "size: out of range"},
    {"\"size\":10000000", "\"size\":1099511627776", "too many pieces"},
    {"\"piece_size\":1048576", "\"piece_size\":1", "piece_size: out of range"},
    {"\"piece_size\":1048576,", "", "piece_size: not an integer"},
    {"[3,", "[10,", "assigned piece: out of range"},
    {"[3,", "[\"3\",", "assigned piece: not an integer"},
    {"\"" PEER "\"", "\"me\"", "assigned from: malformed"},
    {"[2001:db8::1]:65002", ":65002", "assigned address: malformed"},
    {"[2001:db8::1]:65002", "h/../x:65002", "assigned address: malformed"},
    {"false", "0", "assigned seed: neither true nor false"},
    {"ab00", "AB00", "assigned sum: malformed"},
    {"ab00", "ab", "assigned sum: malformed"},
    {"ab00", "ab0000", "assigned sum: too long"},
    {"000012\"]", "000012\",\"later\"]", NULL},
    {"v1 5", "v1\\r\\n5", "ticket: malformed"},
    {"\"down_limit\":1000000", "\"down_limit\":true", "down_limit: not an integer"},
};

static void reply__changed_by_hand_is_refused_with_a_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(reply_changes) / sizeof(reply_changes[0]); i++) {
        const struct wire_kit_change *change = &reply_changes[i];
        struct wire_exchange_reply reply;
        struct dt_err err = {.code = 0};
        char *text = wire_kit_replace(REPLY, change->old, change->new);
        int rc = wire_exchange_reply_decode(&reply, text, strlen(text), &err);
        if (rc != (change->why == NULL ? 0 : -DT_EPROTO))
            fail_msg("%s -> %s: %s", change->old, change->new, err.msg);
        if (change->why != NULL && strstr(err.msg, change->why) == NULL)
            fail_msg("%s -> %s: '%s', not '%s'", change->old, change->new, err.msg, change->why);
        wire_exchange_reply_fini(&reply);
        free(text);
    }
    for (size_t len = 0; len < strlen(REPLY); len++) {
        struct wire_exchange_reply reply;
        assert_int_equal(wire_exchange_reply_decode(&reply, REPLY, len, NULL), -DT_EPROTO);
        assert_null(reply.assignments);
    }
}

/* "abcde": the bytes stand beside the assignment that they answer. */
static const char SMALL[] =
    "{\"v\":1,\"state\":\"open\",\"seq\":1,\"size\":5,\"piece_size\":262144,"
    "\"assignments\":[[0,\"" NODE "\",\"\",true,\"ab000000000000000000000000000012\"]],"
    "\"bytes\":\"YWJjZGU\",\"ticket\":\"v1 5 ams1 k0.0\"}";

static const struct wire_kit_change small_changes[] = {
    {"\"bytes\":\"YWJjZGU\",", "", NULL},
    {"\"open\"", "\"waiting\"", NULL}, /* what belongs to another state is not looked at */
    {"YWJjZGU", "YWJjZGV", "bytes: not those of the blob"}, /* spare bits */
    {"YWJjZGU", "YWJjZGU=", "bytes: not those of the blob"},
    {"YWJjZGU", "YWJjZG+", "bytes: not those of the blob"},
    {"YWJjZGU", "YWJj", "bytes: not those of the blob"},
    {"YWJjZGU", "YWJjZGVm", "bytes: not those of the blob"},
    {"YWJjZGU", "", "bytes: not those of the blob"},
    {"\"YWJjZGU\"", "[97,98,99,100,101]", "bytes: not those of the blob"},
    {"\"YWJjZGU\"", "null", "bytes: not those of the blob"},
    {"\"size\":5", "\"size\":6", "bytes: not those of the blob"},
    {"\"size\":5", "\"size\":65537", "bytes: not beside the one piece"},
    {"\"size\":5,\"piece_size\":262144", "\"size\":5000,\"piece_size\":4096",
     "bytes: not beside the one piece"},
    {"\"\",true", "\"\",false", "bytes: not beside the one piece"},
    {"\"\",true", "\"192.0.2.1:1\",true", "bytes: not beside the one piece"},
    {"[[0,", "[[0,\"" NODE "\",\"\",true],[0,", "bytes: not beside the one piece"},
    {"\"assignments\"", "\"later\"", "bytes: not beside the one piece"},
};

static void reply__has_a_small_blob_inside(void **state)
{
    (void)state;
    struct wire_exchange_reply reply;
    assert_int_equal(wire_exchange_reply_decode(&reply, SMALL, strlen(SMALL), NULL), 0);
    assert_memory_equal(reply.bytes, "abcde", 5);
    char *again = wire_exchange_reply_encode(&reply);
    assert_string_equal(again, SMALL);
    free(again);
    wire_exchange_reply_fini(&reply);
    assert_null(reply.bytes);
    for (size_t i = 0; i < sizeof(small_changes) / sizeof(small_changes[0]); i++) {
        const struct wire_kit_change *change = &small_changes[i];
        struct dt_err err = {.code = 0};
        char *text = wire_kit_replace(SMALL, change->old, change->new);
        int rc = wire_exchange_reply_decode(&reply, text, strlen(text), &err);
        if (rc != (change->why == NULL ? 0 : -DT_EPROTO) || reply.bytes != NULL)
            fail_msg("%s -> %s: %s", change->old, change->new, err.msg);
        if (change->why != NULL && strstr(err.msg, change->why) == NULL)
            fail_msg("%s -> %s: '%s', not '%s'", change->old, change->new, err.msg, change->why);
        wire_exchange_reply_fini(&reply);
        free(text);
    }
}

static void reply__has_the_largest_small_blob_inside(void **state)
{
    (void)state;
    struct wire_assignment row = {.from = NODE, .is_seed = true};
    struct wire_exchange_reply reply = {.state = WIRE_OPEN,
                                        .size = WIRE_INLINE_MAX,
                                        .piece_size = WIRE_INLINE_MAX,
                                        .assignments = &row,
                                        .n_assignments = 1},
                               back;
    reply.bytes = dt_calloc(WIRE_INLINE_MAX, 1);
    dt_random_bytes(reply.bytes, WIRE_INLINE_MAX);
    char *text = wire_exchange_reply_encode(&reply);
    assert_int_equal(wire_exchange_reply_decode(&back, text, strlen(text), NULL), 0);
    assert_memory_equal(back.bytes, reply.bytes, WIRE_INLINE_MAX);
    wire_exchange_reply_fini(&back);
    free(reply.bytes);
    free(text);
}

static void reply__with_a_newer_code_means_unavailable(void **state)
{
    (void)state;
    static const char GONE[] = "{\"v\":1,\"state\":\"gone\",\"seq\":1,\"code\":\"ELATER\"}";
    struct wire_exchange_reply reply;
    assert_int_equal(wire_exchange_reply_decode(&reply, GONE, strlen(GONE), NULL), 0);
    assert_int_equal(reply.err.code, DT_EUNAVAILABLE);
    assert_string_equal(reply.err.msg, "no reason given");
    wire_exchange_reply_fini(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchange__is_read_as_it_was_written),
        cmocka_unit_test(exchange__with_little_to_say_is_short),
        cmocka_unit_test(exchange__of_the_largest_blob_round_trips),
        cmocka_unit_test(exchange__changed_by_hand_is_refused_with_a_reason),
        cmocka_unit_test(exchange__cut_anywhere_is_refused),
        cmocka_unit_test(exchange__of_a_newer_reason_counts_as_refused),
        cmocka_unit_test(exchange__as_a_bomb_costs_nothing),
        cmocka_unit_test(exchange__with_too_many_reports_is_refused),
        cmocka_unit_test(reply__is_read_as_it_was_written),
        cmocka_unit_test(reply__of_every_state_round_trips),
        cmocka_unit_test(reply__changed_by_hand_is_refused_with_a_reason),
        cmocka_unit_test(reply__has_a_small_blob_inside),
        cmocka_unit_test(reply__has_the_largest_small_blob_inside),
        cmocka_unit_test(reply__with_a_newer_code_means_unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
