/*
 * tests/unit/registry_client_credentials_test.c - accounts from files, and nothing of them in
 * words.
 */
#include "registry-client/credentials.h"

#include "base/mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define N(a) (sizeof(a) / sizeof((a)[0]))

static const char CONFIG[] =
    "{\"auths\":{"
    "\"https://index.docker.io/v1/\":{\"auth\":\"YWxpY2U6czNjcmV0OndpdGg6Y29sb25z\"},"
    "\"harbor.test:1234\":{\"username\":\"robot$p+n\",\"password\":\"pw\"},"
    "\"http://old.test/v2/\":{\"auth\":\"Ym9iOng=\"},"
    "\"exact.test\":{\"auth\":\"Ym9iOng=\"},"
    "\"https://exact.test\":{\"auth\":\"YWxpY2U6eQ==\"},"
    "\"quay.test/team\":{\"auth\":\"Ym9iOng=\"},"
    "\"token.test\":{\"auth\":\"PHRva2VuPjo=\",\"identitytoken\":\"idt\"},"
    "\"padded.test\":{\"auth\":\"Ym9iOngAAA==\"},"
    "\"empty.test\":{},"
    "\"bad1.test\":{\"auth\":\"????\"},"
    "\"bad2.test\":{\"auth\":\"bm9jb2xvbg==\"},"
    "\"bad3.test\":{\"username\":\"a:b\",\"password\":\"c\"},"
    "\"bad4.test\":{\"auth\":\"OnB3\"},"
    "\"bad5.test\":7,"
    "\"bad6.test\":{\"auth\":\"YTpiAGM=\"},"
    "\"bad7.test\":{\"username\":\"a\"},"
    "\"bad8.test\":{\"auth\":\"A\"}"
    "},\"credHelpers\":{\"helped.test\":\"ecr-login\"}}";

static void docker_config__finds_the_account(void **state)
{
    static const struct {
        const char *host, *username, *password, *identity_token;
    } ROWS[] = {
        {"docker.io", "alice", "s3cret:with:colons", ""},
        {"https://index.docker.io/v1/", "alice", "s3cret:with:colons", ""},
        {"registry-1.docker.io", "alice", "s3cret:with:colons", ""},
        {"harbor.test:1234", "robot$p+n", "pw", ""},
        {"Harbor.Test:1234", "robot$p+n", "pw", ""},
        {"old.test", "bob", "x", ""},
        {"exact.test", "bob", "x", ""},
        {"https://exact.test", "alice", "y", ""},
        {"token.test", "<token>", "", "idt"},
        {"padded.test", "bob", "x", ""},
    };
    struct reg_credentials c;
    struct dt_err err;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        if (reg_credentials_parse_docker_config(&c, CONFIG, strlen(CONFIG), ROWS[i].host, &err) < 0)
            fail_msg("%s: %s", ROWS[i].host, err.msg);
        assert_string_equal(c.username, ROWS[i].username);
        assert_string_equal(c.password, ROWS[i].password);
        assert_string_equal(c.identity_token, ROWS[i].identity_token);
        reg_credentials_fini(&c);
        assert_null(c.password);
    }
}

static void docker_config__says_why_there_is_none(void **state)
{
    static const struct {
        const char *host;
        int rc;
        const char *says;
    } ROWS[] = {
        {"other.test", -DT_ENOTFOUND, "no entry"}, {"quay.test", -DT_ENOTFOUND, "no entry"},
        {"not a host", -DT_ENOTFOUND, "no entry"}, {"empty.test", -DT_ENOTFOUND, "no password"},
        {"helped.test", -DT_ENOTFOUND, "helper"},  {"bad1.test", -DT_EINVAL, "base64"},
        {"bad2.test", -DT_EINVAL, "base64"},       {"bad3.test", -DT_EINVAL, "username"},
        {"bad4.test", -DT_EINVAL, "base64"},       {"bad5.test", -DT_ENOTFOUND, "no entry"},
        {"bad6.test", -DT_EINVAL, "base64"},       {"bad7.test", -DT_ENOTFOUND, "no password"},
        {"bad8.test", -DT_EINVAL, "base64"},
    };
    struct reg_credentials c;
    struct dt_err err;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        int rc =
            reg_credentials_parse_docker_config(&c, CONFIG, strlen(CONFIG), ROWS[i].host, &err);
        if (rc != ROWS[i].rc || strstr(err.msg, ROWS[i].says) == NULL)
            fail_msg("%s: %d %s", ROWS[i].host, rc, err.msg);
        assert_null(c.username);
    }
}

static void docker_config__errors_never_quote_it(void **state)
{
    static const char *const ROWS[] = {
        "{\"auths\":{\"h.test\":{\"auth\":\"hunter2\" oops",
        "{\"auths\":{\"h.test\":{\"auth\":\"hunter2:::\"}}}",
        "[\"hunter2\"]",
        "{\"hunter2\":1,\"hunter2\":2}",
        "{\"auths\":{\"h.test\":{\"username\":\"hunter2:\",\"password\":\"hunter2\"}}}",
    };
    struct reg_credentials c;
    struct dt_err err;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        assert_true(
            reg_credentials_parse_docker_config(&c, ROWS[i], strlen(ROWS[i]), "h.test", &err) < 0);
        assert_null(strstr(err.msg, "hunter2"));
    }
}

static void docker_config__with_a_store_says_so(void **state)
{
    static const char JSON[] = "{\"auths\":{\"h.test\":{}},\"credsStore\":\"desktop\"}";
    struct reg_credentials c;
    struct dt_err err;
    (void)state;
    assert_int_equal(reg_credentials_parse_docker_config(&c, JSON, strlen(JSON), "h.test", &err),
                     -DT_ENOTFOUND);
    assert_non_null(strstr(err.msg, "helper"));
}

static char *write_file(const char *text, size_t len, mode_t mode)
{
    char *path = dt_strdup("/tmp/darter-credentials-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    assert_int_equal(fchmod(fd, mode), 0);
    dt_close(&fd);
    return path;
}

static void password_file__gives_its_first_line(void **state)
{
    static const struct {
        const char *text;
        size_t len;
        const char *password; /* NULL = refused */
    } ROWS[] = {
        {"pw", 2, "pw"},   {"pw\n", 3, "pw"}, {"p w \r\nmore", 10, "p w "},
        {"", 0, NULL},     {"\npw", 3, NULL}, {"p\0w\n", 4, NULL},
        {"\r\n", 2, NULL},
    };
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        char *path = write_file(ROWS[i].text, ROWS[i].len, i == 0 ? 0644 : 0600);
        struct reg_credentials c;
        struct dt_err err;
        int rc = reg_credentials_from_file(&c, "alice", path, &err);
        assert_int_equal(rc, ROWS[i].password == NULL ? -DT_EINVAL : 0);
        if (rc == 0) {
            assert_string_equal(c.username, "alice");
            assert_string_equal(c.password, ROWS[i].password);
            assert_string_equal(c.identity_token, "");
        }
        reg_credentials_fini(&c);
        unlink(path);
        free(path);
    }
}

static void files__that_cannot_be_read_are_named(void **state)
{
    struct reg_credentials c;
    struct dt_err err;
    (void)state;
    assert_int_equal(reg_credentials_from_file(&c, "a", "/nonexistent/pw", &err), -DT_EIO);
    assert_non_null(strstr(err.msg, "/nonexistent/pw"));
    assert_int_equal(reg_credentials_from_file(&c, "a", "/tmp", &err), -DT_EIO);
    assert_int_equal(reg_credentials_from_docker_config(&c, "/nonexistent/c", "h", &err), -DT_EIO);
    assert_int_equal(reg_credentials_from_file(&c, "", "/dev/null", &err), -DT_EINVAL);
    assert_int_equal(reg_credentials_from_file(&c, "a:b", "/dev/null", &err), -DT_EINVAL);
    assert_int_equal(reg_credentials_from_file(&c, "a\n", "/dev/null", &err), -DT_EINVAL);
    assert_int_equal(reg_credentials_from_file(&c, "a", "/dev/zero", &err), -DT_ETOOBIG);
}

static void docker_config_file__is_read_and_named(void **state)
{
    char *path = write_file(CONFIG, strlen(CONFIG), 0600);
    struct reg_credentials c;
    struct dt_err err;
    (void)state;
    assert_int_equal(reg_credentials_from_docker_config(&c, path, "docker.io", &err), 0);
    assert_string_equal(c.username, "alice");
    reg_credentials_fini(&c);
    assert_int_equal(reg_credentials_from_docker_config(&c, path, "x.test", &err), -DT_ENOTFOUND);
    assert_non_null(strstr(err.msg, path));
    unlink(path);
    free(path);
}

static void basic__is_rfc_7617(void **state)
{
    char username[] = "Aladdin", password[] = "open sesame";
    struct reg_credentials c = {.username = username, .password = password};
    char *basic = reg_credentials_basic(&c);
    (void)state;
    assert_string_equal(basic, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    free(basic);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(docker_config__finds_the_account),
        cmocka_unit_test(docker_config__says_why_there_is_none),
        cmocka_unit_test(docker_config__errors_never_quote_it),
        cmocka_unit_test(docker_config__with_a_store_says_so),
        cmocka_unit_test(password_file__gives_its_first_line),
        cmocka_unit_test(files__that_cannot_be_read_are_named),
        cmocka_unit_test(docker_config_file__is_read_and_named),
        cmocka_unit_test(basic__is_rfc_7617),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
