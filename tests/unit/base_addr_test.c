/* Tests of base/addr.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/http.h"

static void check(const char *text, const char *formatted, bool is_local)
{
    struct dt_addr addr;
    struct dt_err err = {0};
    char out[300];

    assert_int_equal(dt_addr_parse(&addr, text, &err), 0);
    assert_string_equal(dt_addr_format(out, &addr), formatted);
    assert_int_equal(dt_addr_is_local(&addr), is_local);
}

static void addr__reads_what_it_prints(void **state)
{
    (void)state;
    check("127.0.0.1:65001", "127.0.0.1:65001", true);
    check("127.9.9.9:1", "127.9.9.9:1", true);
    check("0.0.0.0:0", "0.0.0.0:0", false);
    check("10.0.0.1:80", "10.0.0.1:80", false);
    check("[::1]:80", "[::1]:80", true);
    check("[0:0::1]:80", "[::1]:80", true);
    check("[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]:80", true);
    check("[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.1]:80", false);
    check("[::]:65535", "[::]:65535", false);
    check("unix:/run/x.sock", "unix:/run/x.sock", true);
}

static void addr__refuses_the_rest(void **state)
{
    static const char *const bad[] = {
        "",
        "80",
        ":80",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.1:80",
        "localhost:1",
        "[::1]",
        "[::1]80",
        "[::1:80",
        "::1:80",
        "[]:80",
        "[:80",
        "[127.0.0.1]:80",
        "1.2.3.4:-1",
        "1.2.3.4:1x",
        "unix:",
        "unix:x",
        "1.2.3.4:0000080",
        "[::1%lo]:80",
        "0123456789012345678901234567890123456789012345678901:1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_addr addr;
        struct dt_err err = {0};
        if (dt_addr_parse(&addr, bad[i], &err) == 0)
            fail_msg("accepted '%s'", bad[i]);
        assert_int_equal(err.code, DT_EINVAL);
    }
}

static void addr__socket_path_must_fit(void **state)
{
    struct dt_addr addr;
    char text[140] = "unix:/";

    (void)state;
    memset(text + 6, 'x', 106);
    assert_int_equal(dt_addr_parse(&addr, text, NULL), 0);
    text[112] = 'x';
    assert_int_equal(dt_addr_parse(&addr, text, NULL), -DT_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addr__reads_what_it_prints),
        cmocka_unit_test(addr__refuses_the_rest),
        cmocka_unit_test(addr__socket_path_must_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
