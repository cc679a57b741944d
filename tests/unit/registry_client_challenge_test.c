/*
 * tests/unit/registry_client_challenge_test.c - WWW-Authenticate as registries really send it.
 */
#include "registry-client/challenge.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void challenge__is_understood(void **state)
{
    static const struct {
        const char *text;
        enum reg_scheme scheme;
        const char *realm, *service, *scope, *error;
    } ROWS[] = {
        {"Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\","
         "scope=\"repository:library/nginx:pull,push\"",
         REG_AUTH_BEARER, "https://auth.docker.io/token", "registry.docker.io",
         "repository:library/nginx:pull,push", ""},
        {"Basic realm=\"harbor\"", REG_AUTH_BASIC, "harbor", "", "", ""},
        {"Basic", REG_AUTH_BASIC, "", "", "", ""},
        {"bEARER Realm = \"r\" , ERROR=\"insufficient_scope\"", REG_AUTH_BEARER, "r", "", "",
         "insufficient_scope"},
        {"Bearer realm=https://h/token?x=1,service=s", REG_AUTH_BEARER, "https://h/token?x=1", "s",
         "", ""},
        /* several challenges, in either order, among strangers */
        {"Basic realm=\"b\", Bearer realm=\"r\",service=\"s\"", REG_AUTH_BEARER, "r", "s", "", ""},
        {"Bearer realm=\"r\",service=\"s\", Basic realm=\"b\"", REG_AUTH_BEARER, "r", "s", "", ""},
        {"Negotiate, NTLM abc/+x==, Digest realm=\"d\", nonce=\"n\", Basic realm=\"b\"",
         REG_AUTH_BASIC, "b", "", "", ""},
        {"Basic,Bearer realm=r", REG_AUTH_BEARER, "r", "", "", ""},
        {"Bearer, Basic realm=b", REG_AUTH_BASIC, "b", "", "", ""},
        {"Bearer realm=\"one\", Bearer realm=\"two\"", REG_AUTH_BEARER, "one", "", "", ""},
        {" , ,Bearer realm=\"a\\\"b\\\\c\", ,charset=\"UTF-8\" , ", REG_AUTH_BEARER, "a\"b\\c", "",
         "", ""},
        {"Bearer realm=\"\", Basic realm=\"\"", REG_AUTH_BASIC, "", "", "", ""},
    };
    struct reg_challenge c;
    struct dt_err err;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        if (reg_challenge_parse(&c, ROWS[i].text, &err) != 0)
            fail_msg("%s: %s", ROWS[i].text, err.msg);
        if (c.scheme != ROWS[i].scheme)
            fail_msg("%s: scheme %d", ROWS[i].text, c.scheme);
        assert_string_equal(c.realm, ROWS[i].realm);
        assert_string_equal(c.service, ROWS[i].service);
        assert_string_equal(c.scope, ROWS[i].scope);
        assert_string_equal(c.error, ROWS[i].error);
    }
}

static void challenge__is_refused(void **state)
{
    static const char *const ROWS[] = {
        "",
        " ,, ",
        "Negotiate",
        "NTLM abc==",
        "Bearer",
        "Bearer service=\"s\"",
        "Bearer realm=\"r",
        "Bearer realm=\"r\\",
        "Bearer realm=\"r\" service=\"s\"",
        "Bearer realm=\"r\",realm=\"x\"",
        "Bearer realm=\"a\rb\"",
        "Bearer realm=\"a\x7f\"",
        "Bearer realm=\"r\", other=\"\x01\"",
        "Bearer=\"r\"",
        "\"Bearer\" realm=r",
        "Basic realm=\"b\", Bearer realm=\"r\"x",
        "Basic realm=\"b\", =",
    };
    struct reg_challenge c;
    struct dt_err err;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        if (reg_challenge_parse(&c, ROWS[i], &err) != -DT_EPROTO)
            fail_msg("accepted: %s", ROWS[i]);
        assert_int_equal(c.scheme, REG_AUTH_NONE);
        assert_string_equal(c.realm, "");
    }
}

static void fields__have_limits(void **state)
{
    char *text = dt_asprintf("Bearer realm=\"%01023d\",service=\"%0255d\"", 0, 0);
    struct reg_challenge c;
    struct dt_err err;
    (void)state;
    assert_int_equal(reg_challenge_parse(&c, text, &err), 0);
    assert_int_equal(strlen(c.realm), 1023);
    free(text);
    text = dt_asprintf("Bearer realm=\"%01024d\"", 0);
    assert_int_equal(reg_challenge_parse(&c, text, &err), -DT_EPROTO);
    free(text);
    text = dt_asprintf("Bearer realm=r,scope=%0512d", 0);
    assert_int_equal(reg_challenge_parse(&c, text, &err), -DT_EPROTO);
    free(text);
    /* what we do not read may be long */
    text = dt_asprintf("Bearer realm=r,error_description=\"%05000d\"", 0);
    assert_int_equal(reg_challenge_parse(&c, text, &err), 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(challenge__is_understood),
        cmocka_unit_test(challenge__is_refused),
        cmocka_unit_test(fields__have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
