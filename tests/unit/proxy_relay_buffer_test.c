/*
 * tests/unit/proxy_relay_buffer_test.c - two buffers between a fetch and a client.
 */
#include "proxy/relay_buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void assert_span(struct relay_buffer *b, uint64_t off, const char *expected)
{
    const void *bytes;
    bool has_room;
    size_t len = relay_buffer_span(b, off, 1000, &bytes, &has_room);
    assert_int_equal(len, strlen(expected));
    assert_memory_equal(bytes, expected, len);
}

static void relay_buffer__holds_back_the_last_byte_until_finished(void **state)
{
    (void)state;
    struct relay_buffer b = {0};
    assert_true(relay_buffer_put(&b, "hello", 5));
    assert_span(&b, 0, "hell");
    assert_true(relay_buffer_put(&b, " world", 6));
    assert_span(&b, 4, "o");
    assert_span(&b, 5, " worl");
    relay_buffer_finish(&b);
    assert_span(&b, 10, "d");
    assert_int_equal(relay_buffer_total(&b), 11);
    relay_buffer_fini(&b);
}

static void relay_buffer__refuses_what_does_not_fit_and_takes_it_later(void **state)
{
    (void)state;
    static char block[RELAY_BUFFER_BYTES];
    struct relay_buffer b = {0};
    const void *bytes;
    bool has_room;
    assert_true(relay_buffer_put(&b, block, sizeof(block)));
    assert_false(relay_buffer_put(&b, "x", 1));
    size_t len = relay_buffer_span(&b, 0, sizeof(block), &bytes, &has_room);
    assert_int_equal(len, sizeof(block) - 1);
    assert_true(has_room);
    assert_true(relay_buffer_put(&b, "x", 1));
    relay_buffer_fini(&b);
}

static void relay_buffer__begins_again_after_reset(void **state)
{
    (void)state;
    struct relay_buffer b = {0};
    assert_true(relay_buffer_put(&b, "wrong", 5));
    relay_buffer_reset(&b);
    assert_int_equal(relay_buffer_total(&b), 0);
    assert_true(relay_buffer_put(&b, "right", 5));
    relay_buffer_finish(&b);
    assert_span(&b, 0, "right");
    relay_buffer_fini(&b);
}

static void buffer__says_what_the_body_does_next(void **state)
{
    struct relay_buffer buffer = {0};
    struct dt_http_span span = {0};
    (void)state;
    assert_int_equal(relay_buffer_next(&buffer, NULL, 0, &span), DT_HTTP_WAIT);
    assert_int_equal(relay_buffer_next(&buffer, "abc", 3, &span), DT_HTTP_SPAN);
    assert_int_equal(span.len, 3);
    assert_memory_equal(span.mem, "abc", 3);
    relay_buffer_fail(&buffer);
    assert_int_equal(relay_buffer_next(&buffer, "abc", 3, &span), DT_HTTP_SPAN);
    assert_int_equal(relay_buffer_next(&buffer, NULL, 0, &span), DT_HTTP_FAIL);
    relay_buffer_reset(&buffer);
    relay_buffer_finish(&buffer);
    assert_int_equal(relay_buffer_next(&buffer, NULL, 0, &span), DT_HTTP_EOF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relay_buffer__holds_back_the_last_byte_until_finished),
        cmocka_unit_test(relay_buffer__refuses_what_does_not_fit_and_takes_it_later),
        cmocka_unit_test(relay_buffer__begins_again_after_reset),
        cmocka_unit_test(buffer__says_what_the_body_does_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
