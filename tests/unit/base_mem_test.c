/*
 * tests/unit/base_mem_test.c - allocations are zeroed, never NULL, and fatal when impossible.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"

struct pair {
    int first;
    int second;
};

static void calloc__is_zeroed_and_never_null(void **state)
{
    (void)state;
    struct pair *pairs = dt_new_array(struct pair, 3);
    assert_int_equal(pairs[2].second, 0);
    dt_free(&pairs);
    assert_null(pairs);
    void *nothing = dt_calloc(0, 8);
    assert_non_null(nothing);
    free(nothing);
}

static void calloc__dies_on_overflow(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO); /* only the exit status counts */
        (void)dt_calloc(SIZE_MAX / 2, 4);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static void realloc__keeps_the_content_and_never_frees(void **state)
{
    (void)state;
    char *text = dt_strdup("abc");
    text = dt_realloc(text, 1000);
    assert_string_equal(text, "abc");
    text = dt_realloc(text, 0);
    assert_non_null(text);
    free(text);
}

static void strndup__stops_at_the_length_or_the_end(void **state)
{
    (void)state;
    const char bytes[] = {'a', 'b', 'c', 'd'};
    char *cut = dt_strndup(bytes, 3), *whole = dt_strndup("ab", 10);
    assert_string_equal(cut, "abc");
    assert_string_equal(whole, "ab");
    free(cut);
    free(whole);
}

static void strdup__of_nothing_is_nothing(void **state)
{
    (void)state;
    assert_null(dt_strdup(NULL));
}

static void free_secret__is_harmless_twice(void **state)
{
    (void)state;
    char *secret = dt_strdup("Bearer abc");
    dt_free_secret(&secret);
    assert_null(secret);
    dt_free_secret(&secret);
    assert_null(secret);
}

static void asprintf__formats(void **state)
{
    (void)state;
    char *text = dt_asprintf("%s-%d", "a", 7);
    assert_string_equal(text, "a-7");
    free(text);
}

static void close__is_harmless_twice(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDONLY), copy = fd;
    assert_true(fd >= 0);
    dt_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(copy, F_GETFD), -1);
    dt_close(&fd);
    assert_int_equal(fd, -1);
}

static void container_of__finds_the_struct(void **state)
{
    (void)state;
    struct pair pair = {1, 2};
    assert_ptr_equal(dt_container_of(&pair.second, struct pair, second), &pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calloc__is_zeroed_and_never_null),
        cmocka_unit_test(calloc__dies_on_overflow),
        cmocka_unit_test(realloc__keeps_the_content_and_never_frees),
        cmocka_unit_test(strndup__stops_at_the_length_or_the_end),
        cmocka_unit_test(strdup__of_nothing_is_nothing),
        cmocka_unit_test(free_secret__is_harmless_twice),
        cmocka_unit_test(asprintf__formats),
        cmocka_unit_test(close__is_harmless_twice),
        cmocka_unit_test(container_of__finds_the_struct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
