/*
 * tests/unit/cache_pieces_test.c - which bytes of a blob are here: tables.
 */
#include "cache/pieces.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static void pieces__size_gives_64_to_256_pieces(void **state)
{
    (void)state;
    static const struct {
        uint64_t blob_size;
        uint32_t piece_size;
    } rows[] = {
        {0, 256 * KIB},         {1, 256 * KIB},
        {64 * MIB, 256 * KIB},  {64 * MIB + 1, 512 * KIB},
        {128 * MIB, 512 * KIB}, {128 * MIB + 1, MIB},
        {256 * MIB, MIB},       {1 * GIB, 4 * MIB},
        {4 * GIB, 16 * MIB},    {1024 * GIB, 16 * MIB},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(cache_pieces_choose_size(rows[i].blob_size), rows[i].piece_size);
}

static void pieces__last_piece_may_be_short(void **state)
{
    (void)state;
    struct cache_pieces p;
    cache_pieces_init(&p, 10 * MIB + 17, 4 * MIB);
    assert_int_equal(p.n, 3);
    assert_int_equal(cache_pieces_len(&p, 1), 4 * MIB);
    assert_int_equal(cache_pieces_len(&p, 2), 2 * MIB + 17);
    assert_int_equal(cache_pieces_start(&p, 2), 8 * MIB);
    assert_int_equal(cache_pieces_at(&p, 8 * MIB - 1), 1);
    assert_int_equal(cache_pieces_at(&p, 8 * MIB), 2);
    cache_pieces_fini(&p);
}

static void pieces__of_an_empty_blob_are_full_at_once(void **state)
{
    (void)state;
    struct cache_pieces p;
    uint64_t start, end;
    cache_pieces_init(&p, 0, 512 * KIB);
    assert_true(cache_pieces_is_full(&p));
    assert_int_equal(cache_pieces_available(&p, 0), 0);
    assert_false(cache_pieces_can_add(&p, 0, 1));
    assert_false(cache_pieces_next_gap(&p, 0, &start, &end));
    cache_pieces_fini(&p);
}

static void pieces__bytes_are_readable_up_to_the_first_gap(void **state)
{
    (void)state;
    struct cache_pieces p;
    cache_pieces_init(&p, 3 * MIB, MIB);
    assert_int_equal(cache_pieces_add(&p, 0, MIB + 10), 1);
    assert_int_equal(cache_pieces_add(&p, 2 * MIB, MIB), 1);
    static const struct {
        uint64_t off, available;
    } rows[] = {
        {0, MIB + 10},  {5, MIB + 5},     {MIB + 9, 1}, {MIB + 10, 0},   {2 * MIB - 1, 0},
        {2 * MIB, MIB}, {3 * MIB - 1, 1}, {3 * MIB, 0}, {UINT64_MAX, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(cache_pieces_available(&p, rows[i].off), rows[i].available);
    assert_int_equal(cache_pieces_add(&p, MIB + 10, MIB - 10), 1);
    assert_true(cache_pieces_is_full(&p));
    assert_int_equal(cache_pieces_available(&p, 1), 3 * MIB - 1);
    assert_int_equal(p.filled_bytes, 3 * MIB);
    cache_pieces_fini(&p);
}

static void pieces__are_continued_where_they_end_and_nowhere_else(void **state)
{
    (void)state;
    struct cache_pieces p;
    cache_pieces_init(&p, 3 * MIB + 1, MIB);
    (void)cache_pieces_add(&p, MIB, 100);
    static const struct {
        uint64_t off, len;
        bool can;
    } rows[] = {
        {0, 1, true},           {0, MIB, true},
        {0, MIB + 1, false}, /* into a begun one */
        {1, 1, false},          {MIB + 100, 1, true},
        {MIB + 99, 1, false},   {MIB + 101, 1, false},
        {MIB + 100, MIB, true}, {3 * MIB, 1, true},
        {3 * MIB, 2, false},    {3 * MIB + 1, 1, false},
        {0, 0, false},          {2 * MIB, UINT64_MAX, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(cache_pieces_can_add(&p, rows[i].off, rows[i].len), rows[i].can);
    cache_pieces_fini(&p);
}

static void pieces__gaps_begin_where_a_fetch_may_write(void **state)
{
    (void)state;
    struct cache_pieces p;
    cache_pieces_init(&p, 5 * MIB, MIB);
    (void)cache_pieces_add(&p, 0, MIB);
    (void)cache_pieces_add(&p, MIB, 7);
    (void)cache_pieces_add(&p, 3 * MIB, 9);
    static const struct {
        uint64_t off, start, end;
    } rows[] = {
        {0, MIB + 7, 3 * MIB},           {MIB, MIB + 7, 3 * MIB},     {2 * MIB, 2 * MIB, 3 * MIB},
        {3 * MIB, 3 * MIB + 9, 5 * MIB}, {4 * MIB, 4 * MIB, 5 * MIB},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t start = 0, end = 0;
        assert_true(cache_pieces_next_gap(&p, rows[i].off, &start, &end));
        assert_int_equal(start, rows[i].start);
        assert_int_equal(end, rows[i].end);
        assert_true(cache_pieces_can_add(&p, start, end - start));
    }
    uint64_t start, end;
    (void)cache_pieces_add(&p, 4 * MIB, MIB);
    assert_false(cache_pieces_next_gap(&p, 4 * MIB, &start, &end));
    cache_pieces_fini(&p);
}

static void pieces__can_be_forgotten(void **state)
{
    (void)state;
    struct cache_pieces p;
    cache_pieces_init(&p, 2 * MIB, MIB);
    (void)cache_pieces_add(&p, 0, MIB + 3);
    cache_pieces_reset(&p, 0);
    assert_int_equal(p.n_complete, 0);
    assert_int_equal(p.filled_bytes, 3);
    cache_pieces_reset(&p, 1);
    assert_int_equal(p.filled_bytes, 0);
    assert_true(cache_pieces_can_add(&p, 0, 2 * MIB));
    cache_pieces_fini(&p);
}

/* Random adds against a model of one flag per 64 KiB. */
static void pieces__agree_with_a_naive_model(void **state)
{
    (void)state;
    enum { UNIT = 64 * 1024, UNITS = 200 };
    struct cache_pieces p;
    bool model[UNITS] = {false};
    uint64_t random = 42;
    cache_pieces_init(&p, (uint64_t)UNITS * UNIT, 512 * KIB);
    while (!cache_pieces_is_full(&p)) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        uint64_t start, end;
        uint64_t from = (random >> 33) % UNITS;
        if (!cache_pieces_next_gap(&p, from * UNIT, &start, &end))
            continue;
        uint64_t n = 1 + (random >> 20) % 12;
        if (n * UNIT > end - start)
            n = (end - start) / UNIT;
        (void)cache_pieces_add(&p, start, n * UNIT);
        for (uint64_t i = 0; i < n; i++)
            model[start / UNIT + i] = true;
        for (uint64_t at = 0; at < UNITS; at++) {
            uint64_t here = 0;
            while (at + here < UNITS && model[at + here])
                here++;
            assert_int_equal(cache_pieces_available(&p, at * UNIT), here * UNIT);
        }
    }
    assert_int_equal(p.filled_bytes, (uint64_t)UNITS * UNIT);
    cache_pieces_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces__size_gives_64_to_256_pieces),
        cmocka_unit_test(pieces__last_piece_may_be_short),
        cmocka_unit_test(pieces__of_an_empty_blob_are_full_at_once),
        cmocka_unit_test(pieces__bytes_are_readable_up_to_the_first_gap),
        cmocka_unit_test(pieces__are_continued_where_they_end_and_nowhere_else),
        cmocka_unit_test(pieces__gaps_begin_where_a_fetch_may_write),
        cmocka_unit_test(pieces__can_be_forgotten),
        cmocka_unit_test(pieces__agree_with_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
