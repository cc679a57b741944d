/* Tests of base/url.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/http.h"
#include "base/mem.h"

static void check(const char *text, const char *scheme, const char *host, int port,
                  const char *path)
{
    struct dt_url url;
    struct dt_err err = {0};

    assert_int_equal(dt_url_parse(&url, text, &err), 0);
    assert_string_equal(url.scheme, scheme);
    assert_string_equal(url.host, host);
    assert_int_equal(url.port, port);
    assert_string_equal(url.path, path);
    dt_url_fini(&url);
    assert_null(url.path);
}

static void url__is_cut_into_parts(void **state)
{
    (void)state;
    check("http://reg.example/v2/", "http", "reg.example", 80, "/v2/");
    check("HTTPS://Reg.Example:5000/v2/A?b=c&d=%20", "https", "reg.example", 5000,
          "/v2/A?b=c&d=%20");
    check("https://reg", "https", "reg", 443, "/");
    check("https://reg?a=b", "https", "reg", 443, "/?a=b");
    check("http://10.0.0.1:65535/x", "http", "10.0.0.1", 65535, "/x");
    check("http://my_reg.example./x", "http", "my_reg.example.", 80, "/x");
}

static void url__ipv6_loses_its_brackets(void **state)
{
    (void)state;
    check("http://[::1]/x", "http", "::1", 80, "/x");
    check("https://[2001:DB8:0:0::1]:8443", "https", "2001:db8::1", 8443, "/");
}

static void url__fragment_is_cut_off(void **state)
{
    (void)state;
    check("http://reg/x?y#z/é", "http", "reg", 80, "/x?y");
    check("http://reg#z", "http", "reg", 80, "/");
}

static void url__what_two_parsers_read_differently_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "reg/v2",
        "//reg/v2",
        "ftp://reg/",
        "httpx://reg/",
        "http:/reg",
        "http://",
        "http:///x",
        "http://?x",
        "http://user@reg/",
        "http://user:pw@reg/",
        "http://reg:0/",
        "http://reg:/",
        "http://reg:65536/",
        "http://reg:99999999999/",
        "http://reg:8o/",
        "http://reg:+80/",
        "http://reg :80/",
        "http://reg/a b",
        "http://reg/a\tb",
        "http://reg/a\nb",
        "http://reg/\x7f",
        " http://reg/",
        "http://r%65g/",
        "http://r\xc3\xa9g/",
        "http://reg\\@evil/",
        "http://.reg/",
        "http://a..b/",
        "http://./",
        "http://[::1/",
        "http://[::g]/",
        "http://[fe80::1%25eth0]/",
        "http://[127.0.0.1]/",
        "http://[::1]x/",
        "http://[]/",
        "http://::1/",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_url url;
        struct dt_err err = {0};
        if (dt_url_parse(&url, bad[i], &err) == 0)
            fail_msg("accepted '%s'", bad[i]);
        assert_int_equal(err.code, DT_EINVAL);
        assert_null(strstr(err.msg, "pw"));
    }
}

static void url__length_is_limited(void **state)
{
    char *text = dt_calloc(1, DT_URL_MAX + 2);
    struct dt_url url;

    (void)state;
    memset(text, 'x', DT_URL_MAX + 1);
    memcpy(text, "http://r/", 9);
    assert_int_equal(dt_url_parse(&url, text, NULL), -DT_EINVAL);
    text[DT_URL_MAX] = '\0';
    assert_int_equal(dt_url_parse(&url, text, NULL), 0);
    dt_url_fini(&url);
    memcpy(text, "http://r", 8);
    memset(text + 7, 'x', 254);
    memcpy(text + 7 + 254, "/", 2);
    assert_int_equal(dt_url_parse(&url, text, NULL), -DT_EINVAL);
    free(text);
}

static void check_origin(const char *text, const char *want)
{
    struct dt_url url;
    char origin[300];

    assert_int_equal(dt_url_parse(&url, text, NULL), 0);
    assert_string_equal(dt_url_origin(origin, &url), want);
    dt_url_fini(&url);
}

static void url__origin_is_one_key_per_origin(void **state)
{
    (void)state;
    check_origin("http://Reg/x", "http://reg");
    check_origin("http://reg:80/y", "http://reg");
    check_origin("http://reg:443/y", "http://reg:443");
    check_origin("https://reg:443/y", "https://reg");
    check_origin("https://[0:0::1]:44/y", "https://[::1]:44");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(url__is_cut_into_parts),
        cmocka_unit_test(url__ipv6_loses_its_brackets),
        cmocka_unit_test(url__fragment_is_cut_off),
        cmocka_unit_test(url__what_two_parsers_read_differently_is_refused),
        cmocka_unit_test(url__length_is_limited),
        cmocka_unit_test(url__origin_is_one_key_per_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
