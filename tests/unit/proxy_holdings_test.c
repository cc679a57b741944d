/*
 * tests/unit/proxy_holdings_test.c - what a node says it can give, and what it says has changed.
 */
#include "proxy/holdings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"

static struct wire_holding row(unsigned number)
{
    struct wire_holding holding = {.size = 1000 + number};
    dt_digest_of(&holding.digest, DT_SHA256, &number, sizeof number);
    return holding;
}

static struct holdings set_of(unsigned from, unsigned to)
{
    struct holdings holdings = {0};
    for (unsigned i = from; i < to; i++) {
        struct wire_holding one = row(i);
        assert_true(holdings_add(&holdings, &one));
    }
    return holdings;
}

static void holdings__keep_the_most_recently_used_in_digest_order(void **state)
{
    (void)state;
    const unsigned n = WIRE_HOLDINGS_MAX + 10;
    struct holdings_candidate *rows = dt_new_array(struct holdings_candidate, n);
    struct holdings holdings;
    for (unsigned i = 0; i < n; i++)
        rows[i] = (struct holdings_candidate){row(i), i};
    holdings_choose(&holdings, rows, n);
    assert_int_equal(holdings.n, WIRE_HOLDINGS_MAX);
    for (unsigned i = 0; i < n; i++) {
        struct wire_holding one = row(i);
        assert_int_equal(holdings_has(&holdings, &one.digest), i >= 10);
    }
    for (size_t i = 1; i < holdings.n; i++)
        assert_true(memcmp(&holdings.rows[i - 1].digest, &holdings.rows[i].digest,
                           sizeof holdings.rows[i].digest) < 0);
    struct wire_holding more = row(n);
    assert_false(holdings_add(&holdings, &more)); /* there is no room */
    holdings_fini(&holdings);
    free(rows);
}

static void holdings__take_a_blob_once(void **state)
{
    (void)state;
    struct holdings holdings = set_of(0, 5);
    struct wire_holding again = row(3);
    assert_false(holdings_add(&holdings, &again));
    assert_int_equal(holdings.n, 5);
    holdings_fini(&holdings);
}

static void news__are_what_differs(void **state)
{
    (void)state;
    struct holdings before = set_of(0, 10), after = set_of(4, 13);
    struct holdings_news news = {0};
    holdings_news_add(&news, &before, &after);
    assert_int_equal(news.n_lost, 4);
    assert_int_equal(news.n_have, 3);
    for (size_t i = 0; i < news.n_have; i++) {
        assert_false(holdings_has(&before, &news.have[i].digest));
        assert_true(holdings_has(&after, &news.have[i].digest));
    }
    for (size_t i = 0; i < news.n_lost; i++)
        assert_false(holdings_has(&after, &news.lost[i]));
    holdings_news_fini(&news);
    holdings_news_add(&news, &after, &after);
    assert_int_equal(news.n_have + news.n_lost, 0);
    holdings_fini(&before);
    holdings_fini(&after);
}

static void news__of_an_empty_cache_are_all_losses(void **state)
{
    (void)state;
    struct holdings before = set_of(0, 3), after = {0};
    struct holdings_news news = {0};
    holdings_news_add(&news, &before, &after);
    assert_int_equal(news.n_lost, 3);
    holdings_news_fini(&news);
    holdings_news_add(&news, &after, &before);
    assert_int_equal(news.n_have, 3);
    holdings_news_fini(&news);
    holdings_fini(&before);
}

static void news__that_are_too_many_become_the_full_list(void **state)
{
    (void)state;
    struct holdings_news news = {0};
    struct wire_holding one = row(1);
    for (unsigned i = 0; i < WIRE_HOLDINGS_MAX; i++)
        holdings_news_lost(&news, &one.digest);
    assert_false(news.is_full);
    holdings_news_lost(&news, &one.digest);
    assert_true(news.is_full);
    assert_int_equal(news.n_lost, 0);
    holdings_news_have(&news, &one); /* is in the full list anyway */
    assert_int_equal(news.n_have, 0);
    holdings_news_fini(&news);
    for (unsigned i = 0; i <= WIRE_HOLDINGS_MAX; i++)
        holdings_news_have(&news, &one);
    assert_true(news.is_full);
    holdings_news_fini(&news);
}

static void holdings__of_a_cache_that_cannot_be_used_are_none(void **state)
{
    (void)state;
    struct dt_pool *pool = NULL;
    struct cache *cache = NULL;
    struct holdings holdings;
    assert_int_equal(dt_pool_new(&pool, 1, NULL), 0);
    struct cache_opts opts = {.dir = "/proc/nowhere", .max_bytes = MIB, .pool = pool};
    assert_int_equal(cache_open(&cache, &opts, NULL), 0);
    holdings_read(&holdings, cache);
    assert_int_equal(holdings.n, 0);
    holdings_fini(&holdings);
    cache_close(&cache);
    dt_pool_free(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holdings__keep_the_most_recently_used_in_digest_order),
        cmocka_unit_test(holdings__take_a_blob_once),
        cmocka_unit_test(news__are_what_differs),
        cmocka_unit_test(news__of_an_empty_cache_are_all_losses),
        cmocka_unit_test(news__that_are_too_many_become_the_full_list),
        cmocka_unit_test(holdings__of_a_cache_that_cannot_be_used_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
