/*
 * tests/unit/base_err_test.c - error values keep their promises; asserts end the process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

static void err_set__fills_and_returns_the_negative_code(void **state)
{
    (void)state;
    struct dt_err err = {0};
    assert_int_equal(dt_err_set(&err, DT_ENOTFOUND, "no %s", "blob"), -DT_ENOTFOUND);
    assert_int_equal(err.code, DT_ENOTFOUND);
    assert_string_equal(err.msg, "no blob");
}

static void err_set__allows_no_receiver(void **state)
{
    (void)state;
    assert_int_equal(dt_err_set(NULL, DT_EBUSY, "unheard"), -DT_EBUSY);
    assert_int_equal(dt_err_errno(NULL, DT_EIO, ENOENT, "unheard"), -DT_EIO);
}

static void err_set__may_quote_its_own_message(void **state)
{
    (void)state;
    struct dt_err err = {0};
    dt_err_set(&err, DT_EINVAL, "bad value");
    dt_err_set(&err, DT_EINVAL, "file:3: %s", err.msg);
    assert_string_equal(err.msg, "file:3: bad value");
}

static void err_set__stays_one_line_and_says_when_it_was_cut(void **state)
{
    (void)state;
    struct dt_err err = {0};
    dt_err_set(&err, DT_EPROTO, "a\nb\x7f");
    assert_string_equal(err.msg, "a?b?");
    dt_err_set(&err, DT_EPROTO, "%0300d", 7);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    assert_string_equal(err.msg + sizeof(err.msg) - 4, "...");
}

static void err_errno__adds_the_reason_even_to_a_long_message(void **state)
{
    (void)state;
    struct dt_err err = {0};
    assert_int_equal(dt_err_errno(&err, DT_EIO, ENOENT, "open %s", "/x"), -DT_EIO);
    assert_string_equal(err.msg, "open /x: No such file or directory");
    dt_err_errno(&err, DT_EIO, ENOENT, "open %0300d", 7);
    assert_non_null(strstr(err.msg, ": No such file or directory"));
}

static void codes__answer_from_one_table_for_either_sign(void **state)
{
    (void)state;
    assert_string_equal(dt_code_name(DT_EMISMATCH), "EMISMATCH");
    assert_string_equal(dt_code_name(-DT_EMISMATCH), "EMISMATCH");
    assert_int_equal(dt_code_http_status(-DT_EMISMATCH), 502);
    assert_string_equal(dt_code_registry(DT_EMISMATCH), "DIGEST_INVALID");
    assert_true(dt_code_is_retryable(-DT_ETIMEOUT));
    assert_false(dt_code_is_retryable(DT_ENOTFOUND));
    assert_string_equal(dt_code_name(DT_OK), "OK");
    assert_int_equal(dt_code_http_status(0), 200);
}

static void codes__from_nowhere_are_a_server_error(void **state)
{
    (void)state;
    assert_int_equal(dt_code_http_status(9999), 500);
    assert_int_equal(dt_code_http_status(INT_MIN), 500);
}

static void assert__logs_what_led_to_it_then_aborts(void **state)
{
    (void)state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)dup2(pipe_fds[1], 2);
        dt_log_start(2, DT_LOG_INFO, DT_LOG_KV);
        dt_log_info("the_last_words", "n=%d", 1);
        DT_ASSERT(child == 1);
        _exit(0);
    }
    close(pipe_fds[1]);
    char text[4096];
    size_t used = 0;
    for (ssize_t n = 1; n > 0; used += (size_t)n) {
        n = read(pipe_fds[0], text + used, sizeof(text) - 1 - used);
        assert_true(n >= 0);
    }
    text[used] = '\0';
    close(pipe_fds[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_non_null(strstr(text, "the_last_words n=1\n"));
    assert_non_null(strstr(text, "assertion failed: child == 1 (tests/unit/base_err_test.c:"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(err_set__fills_and_returns_the_negative_code),
        cmocka_unit_test(err_set__allows_no_receiver),
        cmocka_unit_test(err_set__may_quote_its_own_message),
        cmocka_unit_test(err_set__stays_one_line_and_says_when_it_was_cut),
        cmocka_unit_test(err_errno__adds_the_reason_even_to_a_long_message),
        cmocka_unit_test(codes__answer_from_one_table_for_either_sign),
        cmocka_unit_test(codes__from_nowhere_are_a_server_error),
        cmocka_unit_test(assert__logs_what_led_to_it_then_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
