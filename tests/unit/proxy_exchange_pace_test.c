/*
 * tests/unit/proxy_exchange_pace_test.c - when a node speaks to a supernode, and when it gives up.
 */
#include "proxy/exchange_pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define NEVER UINT64_MAX

/* A session whose join went out at 1000 and was answered at 1005, with a patience of 1000 ms. */
static struct exchange_pace joined(void)
{
    struct exchange_pace pace;
    exchange_pace_init(&pace, 200);
    assert_int_equal(pace.patience_ms, 1000);
    exchange_pace_sent(&pace, 1000);
    exchange_pace_answered(&pace, false, 1005);
    return pace;
}

static void pace__a_join_goes_out_at_once_and_alone(void **state)
{
    (void)state;
    struct exchange_pace pace;
    exchange_pace_init(&pace, 200);
    assert_int_equal(exchange_pace_next_ms(&pace), 0);
    assert_true(exchange_pace_lost_ms(&pace) == NEVER);
    exchange_pace_sent(&pace, 1000);
    pace.has_news = true;
    assert_true(exchange_pace_next_ms(&pace) == NEVER);
    assert_int_equal(exchange_pace_lost_ms(&pace), 2000);
}

static void pace__one_exchange_is_always_held_there(void **state)
{
    (void)state;
    struct exchange_pace pace = joined();
    assert_int_equal(exchange_pace_next_ms(&pace), 1000 + EXCHANGE_GAP_MS);
    assert_true(exchange_pace_lost_ms(&pace) == NEVER);
}

static void pace__news_are_gathered_and_urgent_ones_are_not(void **state)
{
    (void)state;
    struct exchange_pace pace = joined();
    exchange_pace_sent(&pace, 2000);
    pace.has_news = true;
    assert_int_equal(exchange_pace_next_ms(&pace), 2000 + EXCHANGE_GAP_MS);
    pace.is_urgent = true;
    assert_int_equal(exchange_pace_next_ms(&pace), 2000 + EXCHANGE_URGENT_MS);
    exchange_pace_sent(&pace, 2010);
    assert_false(pace.has_news || pace.is_urgent);
}

static void pace__there_are_never_more_than_two(void **state)
{
    (void)state;
    struct exchange_pace pace = joined();
    exchange_pace_sent(&pace, 2000);
    exchange_pace_sent(&pace, 2010);
    pace.has_news = true;
    assert_true(exchange_pace_next_ms(&pace) == NEVER);
    exchange_pace_answered(&pace, true, 2020);
    assert_int_equal(exchange_pace_next_ms(&pace), 2010 + EXCHANGE_GAP_MS);
}

static void pace__a_silent_supernode_is_probed_and_then_lost(void **state)
{
    (void)state;
    struct exchange_pace pace = joined();
    exchange_pace_sent(&pace, 2000);
    assert_int_equal(exchange_pace_next_ms(&pace), 2500);
    assert_true(exchange_pace_lost_ms(&pace) == NEVER); /* not yet probed */
    exchange_pace_sent(&pace, 2500);                    /* the probe wins no time by itself */
    assert_int_equal(exchange_pace_lost_ms(&pace), 3000);
    exchange_pace_answered(&pace, true, 2501); /* its answer does */
    assert_int_equal(exchange_pace_next_ms(&pace), 3001);
    exchange_pace_sent(&pace, 3001);
    assert_int_equal(exchange_pace_lost_ms(&pace), 3501);
}

static void pace__bytes_that_come_in_are_a_sign_of_life(void **state)
{
    (void)state;
    struct exchange_pace pace = joined();
    exchange_pace_sent(&pace, 2000);
    exchange_pace_heard(&pace, 2900);
    exchange_pace_heard(&pace, 2800); /* time never goes back */
    assert_int_equal(exchange_pace_next_ms(&pace), 3400);
    exchange_pace_sent(&pace, 3400);
    assert_int_equal(exchange_pace_lost_ms(&pace), 3900);
}

static void pace__who_stood_still_himself_probes_before_he_leaves(void **state)
{
    (void)state;
    struct exchange_pace pace = joined();
    exchange_pace_sent(&pace, 2000);
    exchange_pace_sent(&pace, 4700); /* due at 2500 */
    assert_int_equal(exchange_pace_lost_ms(&pace), 5200);
    exchange_pace_answered(&pace, true, 4701);
    exchange_pace_sent(&pace, 5201);
    assert_int_equal(exchange_pace_lost_ms(&pace), 5701);
}

static void pace__who_answers_nothing_at_once_is_not_asked_in_a_circle(void **state)
{
    (void)state;
    struct exchange_pace pace = joined();
    exchange_pace_sent(&pace, 2000);
    exchange_pace_answered(&pace, true, 2001);
    assert_int_equal(exchange_pace_next_ms(&pace), 2000 + EXCHANGE_IDLE_MS);
    pace.has_news = true;
    assert_int_equal(exchange_pace_next_ms(&pace), 2000 + EXCHANGE_GAP_MS);
}

static void pace__patience_differs_from_session_to_session(void **state)
{
    (void)state;
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t random = 0; random < 10000; random++) {
        struct exchange_pace pace;
        exchange_pace_init(&pace, random);
        least = pace.patience_ms < least ? pace.patience_ms : least;
        most = pace.patience_ms > most ? pace.patience_ms : most;
    }
    assert_int_equal(least, 800);
    assert_int_equal(most, 1200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pace__a_join_goes_out_at_once_and_alone),
        cmocka_unit_test(pace__one_exchange_is_always_held_there),
        cmocka_unit_test(pace__news_are_gathered_and_urgent_ones_are_not),
        cmocka_unit_test(pace__there_are_never_more_than_two),
        cmocka_unit_test(pace__a_silent_supernode_is_probed_and_then_lost),
        cmocka_unit_test(pace__bytes_that_come_in_are_a_sign_of_life),
        cmocka_unit_test(pace__who_stood_still_himself_probes_before_he_leaves),
        cmocka_unit_test(pace__who_answers_nothing_at_once_is_not_asked_in_a_circle),
        cmocka_unit_test(pace__patience_differs_from_session_to_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
