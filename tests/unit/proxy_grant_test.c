/*
 * tests/unit/proxy_grant_test.c - grants over time, and what a token says of its end.
 */
#include "proxy/grant.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/text.h"

#define TTL   60000u
#define GRACE 3600000u

static enum proxy_grant_state look(const struct proxy_grants *grants, const char *authorization,
                                   uint64_t now_ms)
{
    struct proxy_grant_key key = proxy_grant_key_of(authorization);
    return proxy_grants_look(grants, &key, now_ms);
}

static void add(struct proxy_grants *grants, const char *authorization, uint64_t now_ms)
{
    struct proxy_grant_key key = proxy_grant_key_of(authorization);
    proxy_grants_add(grants, &key, now_ms, TTL, GRACE);
}

static void grant__is_valid_then_in_grace_then_gone(void **state)
{
    struct proxy_grants grants = {0};

    (void)state;
    assert_int_equal(look(&grants, "Bearer a", 1000), PROXY_GRANT_NONE);
    add(&grants, "Bearer a", 1000);
    assert_int_equal(look(&grants, "Bearer a", 1000), PROXY_GRANT_VALID);
    assert_int_equal(look(&grants, "Bearer a", 1000 + TTL - 1), PROXY_GRANT_VALID);
    assert_int_equal(look(&grants, "Bearer a", 1000 + TTL), PROXY_GRANT_GRACE);
    assert_int_equal(look(&grants, "Bearer a", 1000 + TTL + GRACE - 1), PROXY_GRANT_GRACE);
    assert_int_equal(look(&grants, "Bearer a", 1000 + TTL + GRACE), PROXY_GRANT_NONE);
    proxy_grants_fini(&grants);
}

static void grant__of_one_caller_is_nobody_elses(void **state)
{
    struct proxy_grants grants = {0};

    (void)state;
    add(&grants, "Bearer a", 0);
    assert_int_equal(look(&grants, "Bearer b", 1), PROXY_GRANT_NONE);
    assert_int_equal(look(&grants, "Bearer a ", 1), PROXY_GRANT_NONE);
    assert_int_equal(look(&grants, NULL, 1), PROXY_GRANT_NONE);
    add(&grants, NULL, 0);
    assert_int_equal(look(&grants, "", 1), PROXY_GRANT_VALID);
    assert_int_equal(look(&grants, "Bearer b", 1), PROXY_GRANT_NONE);
    proxy_grants_fini(&grants);
}

static void grant__forgotten_has_no_grace(void **state)
{
    struct proxy_grants grants = {0};
    struct proxy_grant_key key = proxy_grant_key_of("Bearer a");

    (void)state;
    proxy_grants_forget(&grants, &key);
    add(&grants, "Bearer a", 0);
    add(&grants, "Bearer b", 0);
    proxy_grants_forget(&grants, &key);
    assert_int_equal(look(&grants, "Bearer a", 1), PROXY_GRANT_NONE);
    assert_int_equal(look(&grants, "Bearer b", 1), PROXY_GRANT_VALID);
    proxy_grants_fini(&grants);
}

static void grant__public_is_everybodys(void **state)
{
    struct proxy_grants grants = {0};

    (void)state;
    proxy_grants_set_public(&grants, 1000, TTL, GRACE);
    assert_int_equal(look(&grants, "Bearer a", 1001), PROXY_GRANT_VALID);
    assert_int_equal(look(&grants, NULL, 1000 + TTL), PROXY_GRANT_GRACE);
    assert_int_equal(look(&grants, NULL, 1000 + TTL + GRACE), PROXY_GRANT_NONE);
    proxy_grants_forget_public(&grants);
    assert_int_equal(look(&grants, "Bearer a", 1001), PROXY_GRANT_NONE);
    proxy_grants_set_public(&grants, UINT64_MAX - 5, TTL, GRACE); /* does not wrap around */
    assert_int_equal(look(&grants, NULL, UINT64_MAX - 1), PROXY_GRANT_VALID);
    proxy_grants_fini(&grants);
}

static void grant__table_is_bounded_and_the_oldest_makes_room(void **state)
{
    struct proxy_grants grants = {0};
    char name[32];

    (void)state;
    for (unsigned i = 0; i < PROXY_GRANTS_MAX + 10; i++) {
        assert_true(dt_text_print(name, sizeof(name), "Bearer %u", i));
        add(&grants, name, i);
    }
    assert_int_equal(grants.n, PROXY_GRANTS_MAX);
    for (unsigned i = 0; i < PROXY_GRANTS_MAX + 10; i++) {
        assert_true(dt_text_print(name, sizeof(name), "Bearer %u", i));
        assert_int_equal(look(&grants, name, 500), i < 10 ? PROXY_GRANT_NONE : PROXY_GRANT_VALID);
    }
    proxy_grants_fini(&grants);
}

static void grant__that_ended_gives_its_place_away(void **state)
{
    struct proxy_grants grants = {0};

    (void)state;
    for (unsigned round = 0; round < 5; round++) {
        add(&grants, "Bearer a", round * 2ull * (TTL + GRACE));
        add(&grants, "Bearer b", round * 2ull * (TTL + GRACE) + TTL + GRACE);
    }
    assert_int_equal(grants.n, 1);
    proxy_grants_fini(&grants);
}

/* ---- exp ---- */

static void token__exp_shortens_a_grant_and_never_lengthens_it(void **state)
{
    static const struct {
        const char *claims;
        uint64_t life_ms; /* at wall 1,700,000,000 s with a ttl of 60 s */
    } rows[] = {
        {"{\"exp\":1700000010}", 10000},
        {"{\"iss\":\"a\",\"exp\" : 1700000010,\"x\":1}", 10000},
        {"{\"exp\":1700000010.75}", 10000},
        {"{\"exp\":1699999999}", 0},
        {"{\"exp\":1700009999}", TTL},
        {"{\"access\":[{\"exp\":1700000001}],\"exp\":1700000010}", 10000},
        {"{\"a\":\"\\\"exp\\\":1700000001\",\"exp\":1700000010}", 10000},
        {"{\"a\":\"exp\",\"exp\":1700000010}", 10000},
        {"{\"access\":[{\"exp\":1700000001}]}", TTL},
        {"{\"exp\":1.7e9}", TTL},
        {"{\"exp\":17000000101700000010}", TTL},
        {"{\"exp\":\"soon\"}", TTL},
        {"{\"exp\":-5}", TTL},
        {"{\"exp\"", TTL},
        {"{\"exp\":", TTL},
        {"{\"exp", TTL},
        {"\"exp\\", TTL},
        {"", TTL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *payload = dt_base64url_encode(rows[i].claims, strlen(rows[i].claims));
        char *token = dt_asprintf("Bearer eyJhbGciOiJub25lIn0.%s.c2ln", payload);
        uint64_t life_ms = proxy_grant_life_ms(token, 1700000000000, TTL);
        if (life_ms != rows[i].life_ms)
            fail_msg("%s: %llu", rows[i].claims, (unsigned long long)life_ms);
        free(token);
        free(payload);
    }
}

static void token__that_is_no_jwt_lives_for_the_ttl(void **state)
{
    static const char *const texts[] = {"Basic dXNlcjpwdw==",
                                        "Bearer opaque",
                                        "Bearer a.b",
                                        "Bearer a.!!!.c",
                                        "Bearer ..",
                                        "bearer",
                                        ""};

    (void)state;
    assert_int_equal(proxy_grant_life_ms(NULL, 0, TTL), TTL);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(proxy_grant_life_ms(texts[i], 0, TTL), TTL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grant__is_valid_then_in_grace_then_gone),
        cmocka_unit_test(grant__of_one_caller_is_nobody_elses),
        cmocka_unit_test(grant__forgotten_has_no_grace),
        cmocka_unit_test(grant__public_is_everybodys),
        cmocka_unit_test(grant__table_is_bounded_and_the_oldest_makes_room),
        cmocka_unit_test(grant__that_ended_gives_its_place_away),
        cmocka_unit_test(token__exp_shortens_a_grant_and_never_lengthens_it),
        cmocka_unit_test(token__that_is_no_jwt_lives_for_the_ttl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
