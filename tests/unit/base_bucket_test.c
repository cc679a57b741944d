/*
 * tests/unit/base_bucket_test.c - rate limits, in made-up time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>

#include "base/bucket.h"
#include "base/err.h"
#include "base/mem.h"

#define SECOND_US 1000000ULL

/* Takes as much as there is, every `step_us` until `end_us`; returns the bytes. */
static uint64_t drain(struct dt_bucket *bucket, uint64_t from_us, uint64_t end_us, uint64_t step_us,
                      size_t helping)
{
    uint64_t sum = 0;
    for (uint64_t now_us = from_us; now_us < end_us; now_us += step_us)
        for (size_t n = helping; n > 0; sum += n)
            n = dt_bucket_take(bucket, helping, now_us);
    return sum;
}

static const struct {
    uint64_t rate, step_us;
    size_t helping;
} ways[] = {
    {64 * KIB, 1000, 64 * KIB},
    {MIB, 700, 16 * KIB},
    {MIB, 50000, 256 * KIB},
    {125 * MIB, 10, 16 * KIB},
    {125 * MIB, 90000, 16 * MIB},
    {10 * GIB, 1000, MIB},
    {10 * GIB, 20, DT_BUCKET_MIN_TAKE},
    {100000000000, 10000, 64 * MIB},
};

static void bucket__gives_its_rate_over_any_second(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        struct dt_bucket bucket;
        uint64_t now_us = 77 * SECOND_US;
        dt_bucket_init(&bucket, ways[i].rate, now_us);
        /* The third second follows one in which nobody asked: the worst case for a burst. */
        for (unsigned second = 0; second < 4; second++) {
            uint64_t begin_us = now_us + second * SECOND_US;
            if (second == 2)
                continue;
            uint64_t sum =
                drain(&bucket, begin_us, begin_us + SECOND_US, ways[i].step_us, ways[i].helping);
            assert_in_range(sum, ways[i].rate / 10 * 9, ways[i].rate / 10 * 11 + 1);
        }
    }
}

static void bucket__begins_empty(void **state)
{
    (void)state;
    struct dt_bucket bucket;
    dt_bucket_init(&bucket, MIB, 0);
    assert_int_equal(dt_bucket_take(&bucket, 64 * KIB, 0), 0);
    assert_int_equal(dt_bucket_take(&bucket, 64 * KIB, 50000), MIB / 20);
}

static void bucket__follows_a_change_at_once(void **state)
{
    (void)state;
    static const uint64_t rates[] = {MIB, 20 * MIB, MIB, 64 * KIB, 2 * GIB, 100 * MIB};
    struct dt_bucket bucket;
    uint64_t now_us = SECOND_US;
    dt_bucket_init(&bucket, MIB, now_us);
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++, now_us += SECOND_US) {
        dt_bucket_set(&bucket, rates[i], now_us);
        uint64_t sum = drain(&bucket, now_us, now_us + SECOND_US, 500, 64 * KIB);
        assert_in_range(sum, rates[i] / 10 * 9, rates[i] / 10 * 11);
    }
}

static void bucket__set_to_what_it_is_changes_nothing(void **state)
{
    (void)state;
    struct dt_bucket bucket;
    uint64_t sum = 0;
    dt_bucket_init(&bucket, MIB, SECOND_US);
    for (uint64_t now_us = SECOND_US; now_us < 2 * SECOND_US; now_us += 1000) {
        dt_bucket_set(&bucket, MIB, now_us); /* a supernode repeats itself in every reply */
        sum += dt_bucket_take(&bucket, 64 * KIB, now_us);
    }
    assert_in_range(sum, MIB / 10 * 9, MIB / 10 * 11);
}

static void bucket__without_a_limit_gives_everything(void **state)
{
    (void)state;
    struct dt_bucket bucket;
    dt_bucket_init(&bucket, 0, 0);
    assert_int_equal(dt_bucket_take(&bucket, SIZE_MAX, 0), SIZE_MAX);
    assert_int_equal(dt_bucket_wait_ms(&bucket, 0), 1);
    dt_bucket_give_back(&bucket, 100);
    /* The limit counts from when it is set. */
    dt_bucket_set(&bucket, MIB, SECOND_US);
    assert_int_equal(dt_bucket_take(&bucket, 64 * KIB, SECOND_US), 0);
    dt_bucket_set(&bucket, 0, SECOND_US);
    assert_int_equal(dt_bucket_take(&bucket, 64 * KIB, SECOND_US), 64 * KIB);
}

static void bucket__gives_no_crumbs_except_last_ones(void **state)
{
    (void)state;
    struct dt_bucket bucket;
    dt_bucket_init(&bucket, MIB, 0);
    assert_int_equal(dt_bucket_take(&bucket, 64 * KIB, 1000), 0); /* 1048 bytes are there */
    assert_int_equal(dt_bucket_take(&bucket, 1000, 1000), 1000);
    assert_int_equal(dt_bucket_take(&bucket, 1000, 1000), 0);
}

static void bucket__takes_back_what_was_not_used(void **state)
{
    (void)state;
    struct dt_bucket bucket;
    dt_bucket_init(&bucket, MIB, 0);
    size_t taken = dt_bucket_take(&bucket, 64 * KIB, 50000);
    assert_int_equal(taken, MIB / 20);
    assert_int_equal(dt_bucket_take(&bucket, 64 * KIB, 50000), 0);
    dt_bucket_give_back(&bucket, taken);
    assert_in_range(dt_bucket_take(&bucket, 64 * KIB, 50000), taken - 2, taken);
    /* More than ever flowed in makes no burst beyond the window. */
    dt_bucket_give_back(&bucket, SIZE_MAX);
    assert_in_range(drain(&bucket, SECOND_US, SECOND_US + 1, 1, 64 * KIB), 1, MIB / 10);
}

static void wait__is_just_long_enough(void **state)
{
    (void)state;
    static const uint64_t rates[] = {1000, 64 * KIB, MIB, 125 * MIB, 10 * GIB};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        struct dt_bucket bucket;
        uint64_t now_us = 3 * SECOND_US;
        dt_bucket_init(&bucket, rates[i], now_us);
        uint64_t wait_ms = dt_bucket_wait_ms(&bucket, now_us);
        assert_true(wait_ms >= 1);
        if (wait_ms > 1)
            assert_int_equal(dt_bucket_take(&bucket, 64 * KIB, now_us + (wait_ms - 1) * 1000), 0);
        assert_true(dt_bucket_take(&bucket, 64 * KIB, now_us + wait_ms * 1000) >=
                    DT_BUCKET_MIN_TAKE);
    }
}

static void bucket__bears_clocks_that_were_read_a_moment_apart(void **state)
{
    (void)state;
    struct dt_bucket bucket;
    dt_bucket_init(&bucket, MIB, 0);
    assert_true(dt_bucket_take(&bucket, 64 * KIB, 60000) > 0);
    assert_int_equal(dt_bucket_take(&bucket, 64 * KIB, 59990), 0);
    assert_true(dt_bucket_wait_ms(&bucket, 59990) >= 1);
}

struct taker {
    struct dt_bucket *bucket;
    uint64_t sum;
};

static void *taker_run(void *arg)
{
    struct taker *taker = arg;
    taker->sum = drain(taker->bucket, SECOND_US, 2 * SECOND_US, 100, 16 * KIB);
    return NULL;
}

static void bucket__shared_by_threads_gives_its_rate_once(void **state)
{
    (void)state;
    struct dt_bucket bucket;
    struct taker takers[4];
    pthread_t threads[4];
    uint64_t sum = 0;
    dt_bucket_init(&bucket, 100 * MIB, SECOND_US);
    for (size_t i = 0; i < 4; i++) {
        takers[i] = (struct taker){.bucket = &bucket};
        assert_int_equal(pthread_create(&threads[i], NULL, taker_run, &takers[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        sum += takers[i].sum;
    }
    /* Whoever lives through the second last finds what the window still holds. */
    assert_in_range(sum, 90 * MIB, 110 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bucket__gives_its_rate_over_any_second),
        cmocka_unit_test(bucket__begins_empty),
        cmocka_unit_test(bucket__follows_a_change_at_once),
        cmocka_unit_test(bucket__set_to_what_it_is_changes_nothing),
        cmocka_unit_test(bucket__without_a_limit_gives_everything),
        cmocka_unit_test(bucket__gives_no_crumbs_except_last_ones),
        cmocka_unit_test(bucket__takes_back_what_was_not_used),
        cmocka_unit_test(wait__is_just_long_enough),
        cmocka_unit_test(bucket__bears_clocks_that_were_read_a_moment_apart),
        cmocka_unit_test(bucket__shared_by_threads_gives_its_rate_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
