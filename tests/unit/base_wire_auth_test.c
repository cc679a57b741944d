/*
 * tests/unit/base_wire_auth_test.c - requests, replies and tickets: every part tampered with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/text.h"
#include "base/wire/wire.h"

#define NOW_MS 1700000000000ULL

static const struct dt_key_part BODY = {"{\"v\":1}", 7};

struct fixture {
    struct dt_keys *keys, *others;
    struct dt_digest digest;
};
static struct fixture fixture;

static int group_setup(void **state)
{
    (void)state;
    static const char OURS[] = "secret-of-this-cluster", THEIRS[] = "secret-of-that-cluster";
    dt_digest_of(&fixture.digest, DT_SHA256, "blob", 4);
    return dt_keys_parse(&fixture.keys, OURS, strlen(OURS), NULL) |
           dt_keys_parse(&fixture.others, THEIRS, strlen(THEIRS), NULL);
}

static int group_teardown(void **state)
{
    (void)state;
    dt_keys_free(&fixture.keys);
    dt_keys_free(&fixture.others);
    return 0;
}

static int check(const char *header, const char *path, struct dt_key_part body, uint64_t now_ms,
                 struct dt_err *err)
{
    char nonce[33] = "";
    return wire_auth_check_request(nonce, fixture.keys, header, path, body, now_ms, err);
}

static struct wire_auth request_now(void)
{
    struct wire_auth auth;
    wire_auth_request(&auth, fixture.keys, WIRE_PATH_HELLO, BODY.bytes, BODY.len, NOW_MS);
    return auth;
}

/* ---- requests ---- */

static void request__passes_and_gives_its_nonce(void **state)
{
    (void)state;
    struct wire_auth auth = request_now(), again = request_now();
    char nonce[33] = "";
    assert_int_equal(wire_auth_check_request(nonce, fixture.keys, auth.text, WIRE_PATH_HELLO, BODY,
                                             NOW_MS, NULL),
                     0);
    assert_string_equal(nonce, auth.nonce);
    assert_int_equal(strlen(nonce), 32);
    assert_string_not_equal(auth.nonce, again.nonce);
    assert_true(strlen(auth.text) < WIRE_AUTH_MAX);
}

static void request__with_any_part_changed_is_refused(void **state)
{
    (void)state;
    static const struct dt_key_part other = {"{\"v\":2}", 7}, shorter = {"{\"v\":1}", 6};
    struct wire_auth auth = request_now();
    struct dt_err err = {.code = 0};
    assert_int_equal(check(auth.text, WIRE_PATH_EXCHANGE, BODY, NOW_MS, &err), -DT_EDENIED);
    assert_string_equal(err.msg, "Darter-Auth: the MAC is wrong");
    assert_int_equal(check(auth.text, WIRE_PATH_HELLO, other, NOW_MS, NULL), -DT_EDENIED);
    assert_int_equal(check(auth.text, WIRE_PATH_HELLO, shorter, NOW_MS, NULL), -DT_EDENIED);
    for (size_t i = 0; auth.text[i] != '\0'; i++) {
        struct wire_auth bad = auth;
        bad.text[i] = auth.text[i] == '7' ? '8' : '7';
        assert_int_equal(check(bad.text, WIRE_PATH_HELLO, BODY, NOW_MS, NULL), -DT_EDENIED);
        bad.text[i] = '\0';
        assert_int_equal(check(bad.text, WIRE_PATH_HELLO, BODY, NOW_MS, NULL), -DT_EDENIED);
        bad.text[i] = ' ';
        if (auth.text[i] != ' ')
            assert_int_equal(check(bad.text, WIRE_PATH_HELLO, BODY, NOW_MS, NULL), -DT_EDENIED);
    }
    assert_int_equal(check(auth.text, WIRE_PATH_HELLO, BODY, NOW_MS, NULL), 0);
}

static void request__of_another_cluster_is_refused(void **state)
{
    (void)state;
    struct wire_auth auth;
    struct dt_err err = {.code = 0};
    wire_auth_request(&auth, fixture.others, WIRE_PATH_HELLO, BODY.bytes, BODY.len, NOW_MS);
    assert_int_equal(check(auth.text, WIRE_PATH_HELLO, BODY, NOW_MS, &err), -DT_EDENIED);
    assert_true(dt_text_has_prefix(err.msg, "Darter-Auth: no such cluster key"));
}

static void request__malformed_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        NULL,
        "",
        "v1",
        "v1 ",
        "v1 5",
        "v1 5 00000000000000000000000000000000",
        "v1 5 0000000000000000000000000000000 k0000000.00000000000000000000000000000000",
        "v1 5 0000000000000000000000000000000A k0000000.00000000000000000000000000000000",
        "v1 -5 00000000000000000000000000000000 k0000000.00000000000000000000000000000000",
        "v1 99999999999999999999 00000000000000000000000000000000 k.0",
        "v2 5 00000000000000000000000000000000 k0000000.00000000000000000000000000000000",
        "v1 5 00000000000000000000000000000000 k0000000.00000000000000000000000000000000 and much "
        "more than any header of ours could ever have, so much that it does not fit into the room",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_err err = {.code = 0};
        assert_int_equal(check(bad[i], WIRE_PATH_HELLO, BODY, NOW_MS, &err), -DT_EDENIED);
        assert_string_equal(err.msg, i == 0 ? "no Darter-Auth" : "malformed Darter-Auth");
    }
}

static void request__bears_skewed_clocks_up_to_a_limit(void **state)
{
    (void)state;
    struct wire_auth auth = request_now();
    struct dt_err err = {.code = 0};
    static const struct {
        uint64_t now_ms;
        int rc;
    } rows[] = {
        {NOW_MS - WIRE_CLOCK_SKEW_MS, 0},
        {NOW_MS + WIRE_CLOCK_SKEW_MS, 0},
        {NOW_MS - WIRE_CLOCK_SKEW_MS - 1, -DT_ETIMEOUT},
        {NOW_MS + WIRE_CLOCK_SKEW_MS + 1, -DT_ETIMEOUT},
        {0, -DT_ETIMEOUT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(check(auth.text, WIRE_PATH_HELLO, BODY, rows[i].now_ms, &err), rows[i].rc);
    assert_non_null(strstr(err.msg, "the clocks differ by 1700000000 s"));
    /* Clocks are spoken of with those only who hold the key. */
    auth.text[strlen(auth.text) - 1] ^= 1;
    assert_int_equal(check(auth.text, WIRE_PATH_HELLO, BODY, 0, &err), -DT_EDENIED);
}

/* ---- replies ---- */

static void reply__answers_one_request_only(void **state)
{
    (void)state;
    struct wire_auth auth = request_now(), other = request_now();
    char header[WIRE_AUTH_MAX];
    wire_auth_reply(header, fixture.keys, auth.nonce, BODY.bytes, BODY.len);
    assert_int_equal(
        wire_auth_check_reply(fixture.keys, header, auth.nonce, BODY.bytes, BODY.len, NULL), 0);
    assert_int_equal(
        wire_auth_check_reply(fixture.keys, header, other.nonce, BODY.bytes, BODY.len, NULL),
        -DT_EDENIED);
    assert_int_equal(
        wire_auth_check_reply(fixture.keys, header, auth.nonce, BODY.bytes, BODY.len - 1, NULL),
        -DT_EDENIED);
    assert_int_equal(
        wire_auth_check_reply(fixture.others, header, auth.nonce, BODY.bytes, BODY.len, NULL),
        -DT_EDENIED);
}

static void reply__malformed_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {NULL, "", "v1", "v2 k0000000.0", "v1 nonsense"};
    struct wire_auth auth = request_now();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_err err = {.code = 0};
        assert_int_equal(
            wire_auth_check_reply(fixture.keys, bad[i], auth.nonce, BODY.bytes, BODY.len, &err),
            -DT_EDENIED);
        assert_true(dt_text_has_prefix(err.msg, "reply: "));
    }
    /* What proves a request proves no reply. */
    char header[WIRE_AUTH_MAX];
    assert_true(dt_text_print(header, sizeof(header), "v1 %s", strrchr(auth.text, ' ') + 1));
    assert_int_equal(
        wire_auth_check_reply(fixture.keys, header, auth.nonce, BODY.bytes, BODY.len, NULL),
        -DT_EDENIED);
}

/* ---- tickets ---- */

static int show(const char *ticket, const char *site, uint64_t now_ms, struct dt_err *err)
{
    return wire_ticket_check(fixture.keys, ticket, &fixture.digest, site, now_ms, err);
}

static void ticket__opens_one_blob_at_one_site_for_a_while(void **state)
{
    (void)state;
    char ticket[WIRE_TICKET_MAX];
    struct dt_digest other;
    struct dt_err err = {.code = 0};
    dt_digest_of(&other, DT_SHA256, "other", 5);
    wire_ticket_make(ticket, fixture.keys, &fixture.digest, "ams1", NOW_MS + WIRE_TICKET_LIFE_MS);
    assert_int_equal(show(ticket, "ams1", NOW_MS, NULL), 0);
    assert_int_equal(show(ticket, "ams1", NOW_MS + WIRE_TICKET_LIFE_MS - 1, NULL), 0);
    assert_int_equal(show(ticket, "ams1", NOW_MS + WIRE_TICKET_LIFE_MS + 5000, &err),
                     -DT_EUNAUTHORIZED);
    assert_string_equal(err.msg, "Darter-Ticket: expired 5 s ago");
    assert_int_equal(show(ticket, "fra1", NOW_MS, &err), -DT_EDENIED);
    assert_string_equal(err.msg, "Darter-Ticket: of site ams1, this is fra1");
    assert_int_equal(wire_ticket_check(fixture.keys, ticket, &other, "ams1", NOW_MS, &err),
                     -DT_EUNAUTHORIZED);
    assert_int_equal(
        wire_ticket_check(fixture.others, ticket, &fixture.digest, "ams1", NOW_MS, &err),
        -DT_EUNAUTHORIZED);
}

static void ticket__with_any_part_changed_is_refused(void **state)
{
    (void)state;
    char ticket[WIRE_TICKET_MAX], bad[WIRE_TICKET_MAX];
    wire_ticket_make(ticket, fixture.keys, &fixture.digest, "ams1", NOW_MS + 1000);
    for (size_t i = 0; ticket[i] != '\0'; i++) {
        memcpy(bad, ticket, sizeof(bad));
        bad[i] = ticket[i] == '9' ? '8' : '9';
        /* Also towards another site's name: the fence is behind the MAC. */
        assert_int_equal(show(bad, "ams1", NOW_MS, NULL), -DT_EUNAUTHORIZED);
        assert_int_equal(show(bad, "am91", NOW_MS, NULL), -DT_EUNAUTHORIZED);
        bad[i] = '\0';
        assert_int_equal(show(bad, "ams1", NOW_MS, NULL), -DT_EUNAUTHORIZED);
    }
}

static void ticket__malformed_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        NULL,
        "",
        "v1",
        "v1 5",
        "v1 5 ams1",
        "v1 x ams1 k0000000.00000000000000000000000000000000",
        "v1 5 a/b k0000000.00000000000000000000000000000000",
        "v1 5  k0000000.00000000000000000000000000000000",
        "v2 5 ams1 k0000000.00000000000000000000000000000000",
        "v1 99999999999999999999 ams1 k0000000.00000000000000000000000000000000",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(show(bad[i], "ams1", NOW_MS, NULL), -DT_EUNAUTHORIZED);
    char longest[WIRE_TICKET_MAX + 100];
    memset(longest, 'v', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(show(longest, "ams1", NOW_MS, NULL), -DT_EUNAUTHORIZED);
    /* And the largest of all is no problem of room. */
    char site[WIRE_NAME_MAX + 1], ticket[WIRE_TICKET_MAX];
    memset(site, 's', WIRE_NAME_MAX);
    site[WIRE_NAME_MAX] = '\0';
    wire_ticket_make(ticket, fixture.keys, &fixture.digest, site, WIRE_COUNT_MAX);
    assert_int_equal(show(ticket, site, NOW_MS, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request__passes_and_gives_its_nonce),
        cmocka_unit_test(request__with_any_part_changed_is_refused),
        cmocka_unit_test(request__of_another_cluster_is_refused),
        cmocka_unit_test(request__malformed_is_refused),
        cmocka_unit_test(request__bears_skewed_clocks_up_to_a_limit),
        cmocka_unit_test(reply__answers_one_request_only),
        cmocka_unit_test(reply__malformed_is_refused),
        cmocka_unit_test(ticket__opens_one_blob_at_one_site_for_a_while),
        cmocka_unit_test(ticket__with_any_part_changed_is_refused),
        cmocka_unit_test(ticket__malformed_is_refused),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
