/*
 * tests/unit/transfer_plan_test.c - which source fetches which bytes next.
 */
#include "transfer/plan.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define PIECE (1 * MIB)

struct world {
    struct cache_pieces pieces;
    struct plan_source sources[3];
    struct plan_stream streams[4];
    uint64_t wanted[4];
    struct plan_input in;
};

/* A blob of `n_pieces`, one healthy source, nobody reading, nothing running. */
static void world_init(struct world *w, unsigned n_pieces)
{
    memset(w, 0, sizeof(*w));
    cache_pieces_init(&w->pieces, n_pieces * PIECE, PIECE);
    for (unsigned i = 0; i < 3; i++)
        w->sources[i] = (struct plan_source){.is_usable = true, .can_range = true, .order = i};
    w->in = (struct plan_input){.pieces = &w->pieces,
                                .sources = w->sources,
                                .n_sources = 1,
                                .streams = w->streams,
                                .wanted = w->wanted,
                                .n_streams_max = 4,
                                .n_streams_wanted = 1,
                                .segment_bytes = 16 * PIECE};
}

static void world_stream(struct world *w, uint64_t pos, uint64_t end)
{
    w->streams[w->in.n_streams++] = (struct plan_stream){.pos = pos, .end = end};
}

static void world_want(struct world *w, uint64_t off)
{
    w->wanted[w->in.n_wanted++] = off;
}

static void assert_choice(struct world *w, size_t source, uint64_t start, uint64_t end)
{
    struct plan_choice c;
    assert_true(transfer_plan_next(&c, &w->in));
    assert_int_equal(c.source, source);
    assert_int_equal(c.start, start);
    assert_int_equal(c.end, end);
}

static void assert_nothing(struct world *w)
{
    struct plan_choice c;
    assert_false(transfer_plan_next(&c, &w->in));
    cache_pieces_fini(&w->pieces);
}

static void plan__empty_blob_is_fetched_whole_by_one_stream(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 10);
    assert_choice(&w, 0, 0, 10 * PIECE);
    world_stream(&w, 0, 10 * PIECE);
    assert_nothing(&w);
}

static void plan__what_a_reader_waits_for_comes_first(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 10);
    world_want(&w, 6 * PIECE + 5);
    assert_choice(&w, 0, 6 * PIECE, 10 * PIECE);
    world_stream(&w, 6 * PIECE, 10 * PIECE);
    assert_choice(&w, 0, 0, 6 * PIECE);
    world_stream(&w, 0, 6 * PIECE);
    assert_nothing(&w);
}

static void plan__a_broken_stream_is_continued_where_its_piece_ends(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4);
    cache_pieces_add(&w.pieces, 0, PIECE + 100);
    assert_choice(&w, 0, PIECE + 100, 4 * PIECE);
    cache_pieces_fini(&w.pieces);
}

static void plan__gaps_end_where_filled_bytes_begin(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4);
    cache_pieces_add(&w.pieces, 2 * PIECE, PIECE);
    assert_choice(&w, 0, 0, 2 * PIECE);
    world_stream(&w, 0, 2 * PIECE);
    assert_choice(&w, 0, 3 * PIECE, 4 * PIECE);
    cache_pieces_fini(&w.pieces);
}

static void plan__the_first_usable_source_in_order_is_taken(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4);
    w.in.n_sources = 3;
    w.sources[0].is_usable = false;
    assert_choice(&w, 1, 0, 4 * PIECE);
    w.sources[1].is_usable = w.sources[2].is_usable = false;
    assert_nothing(&w);
}

static void plan__a_source_without_ranges_is_passed_over_for_a_part(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 4);
    w.in.n_sources = 2;
    w.sources[0].can_range = false;
    cache_pieces_add(&w.pieces, 0, PIECE);
    assert_choice(&w, 1, PIECE, 4 * PIECE);
    w.sources[1].is_usable = false; /* better the whole again than nothing */
    assert_choice(&w, 0, PIECE, 4 * PIECE);
    cache_pieces_fini(&w.pieces);
}

static void plan__a_stranded_reader_gets_a_stream_whatever_is_running(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 64);
    world_stream(&w, PIECE, 16 * PIECE);
    world_want(&w, 40 * PIECE + 1);
    assert_choice(&w, 0, 40 * PIECE, 64 * PIECE);
    world_stream(&w, 40 * PIECE, 64 * PIECE);
    world_want(&w, 50 * PIECE); /* on its way to him: he waits */
    assert_nothing(&w);
}

static void plan__large_blobs_come_in_segments_of_whole_pieces(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 64);
    cache_pieces_add(&w.pieces, 0, 100);
    assert_choice(&w, 0, 100, 17 * PIECE);
    cache_pieces_fini(&w.pieces);
}

static void plan__a_small_rest_is_taken_along(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 24);
    assert_choice(&w, 0, 0, 24 * PIECE);
    cache_pieces_fini(&w.pieces);
}

static void plan__the_next_segment_begins_before_the_last_one_ends(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 64);
    world_stream(&w, 16 * PIECE - PLAN_TAIL_BYTES - 1, 16 * PIECE);
    cache_pieces_add(&w.pieces, 0, 7 * PIECE);
    assert_nothing(&w);
    world_init(&w, 64);
    cache_pieces_add(&w.pieces, 0, 8 * PIECE);
    world_stream(&w, 16 * PIECE - PLAN_TAIL_BYTES, 16 * PIECE);
    assert_choice(&w, 0, 16 * PIECE, 32 * PIECE);
    cache_pieces_fini(&w.pieces);
}

static void plan__more_streams_take_later_segments(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 64);
    world_stream(&w, 0, 16 * PIECE);
    w.in.n_streams_wanted = 2;
    assert_choice(&w, 0, 16 * PIECE, 32 * PIECE);
    world_stream(&w, 16 * PIECE, 32 * PIECE);
    assert_nothing(&w);
}

static void plan__first_request_is_a_segment_only_of_a_blob_known_to_be_large(void **state)
{
    (void)state;
    assert_int_equal(transfer_plan_first_end(UINT64_MAX, 64 * MIB), UINT64_MAX);
    assert_int_equal(transfer_plan_first_end(96 * MIB, 64 * MIB), UINT64_MAX);
    assert_int_equal(transfer_plan_first_end(1 * GIB, 64 * MIB), 64 * MIB);
}

static void plan__never_more_streams_than_allowed(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 64);
    w.in.n_streams_max = 1;
    w.in.n_streams_wanted = 4;
    world_stream(&w, 0, 16 * PIECE);
    assert_nothing(&w);
}

static void plan__a_full_blob_needs_nothing(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    cache_pieces_add(&w.pieces, 0, 3 * PIECE);
    world_want(&w, PIECE);
    assert_nothing(&w);
}

static void plan__a_reader_beyond_the_end_is_ignored(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 3);
    world_stream(&w, 0, 3 * PIECE);
    world_want(&w, 1000 * PIECE);
    assert_nothing(&w);
}

static void plan__pieces_from_elsewhere_are_left_alone(void **state)
{
    (void)state;
    struct world w;
    bool elsewhere[10] = {[0] = true, [3] = true, [4] = true};
    world_init(&w, 10);
    w.in.elsewhere = elsewhere;
    w.in.n_streams_wanted = 4;
    world_want(&w, 3 * PIECE + 5); /* a reader waits for one: not ours to bring */
    assert_choice(&w, 0, 5 * PIECE, 10 * PIECE);
    world_stream(&w, 5 * PIECE, 10 * PIECE);
    assert_choice(&w, 0, PIECE, 3 * PIECE);
    world_stream(&w, PIECE, 3 * PIECE);
    assert_nothing(&w);
}

static void plan__fetches_of_nodes_take_no_stream_away(void **state)
{
    (void)state;
    struct world w;
    world_init(&w, 10);
    w.in.n_streams_max = 1;
    world_stream(&w, 2 * PIECE, 3 * PIECE);
    w.streams[0].is_elsewhere = true;
    assert_choice(&w, 0, 0, 2 * PIECE);
    world_stream(&w, 0, 2 * PIECE);
    assert_nothing(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan__empty_blob_is_fetched_whole_by_one_stream),
        cmocka_unit_test(plan__pieces_from_elsewhere_are_left_alone),
        cmocka_unit_test(plan__fetches_of_nodes_take_no_stream_away),
        cmocka_unit_test(plan__what_a_reader_waits_for_comes_first),
        cmocka_unit_test(plan__a_broken_stream_is_continued_where_its_piece_ends),
        cmocka_unit_test(plan__gaps_end_where_filled_bytes_begin),
        cmocka_unit_test(plan__the_first_usable_source_in_order_is_taken),
        cmocka_unit_test(plan__a_source_without_ranges_is_passed_over_for_a_part),
        cmocka_unit_test(plan__a_stranded_reader_gets_a_stream_whatever_is_running),
        cmocka_unit_test(plan__large_blobs_come_in_segments_of_whole_pieces),
        cmocka_unit_test(plan__a_small_rest_is_taken_along),
        cmocka_unit_test(plan__the_next_segment_begins_before_the_last_one_ends),
        cmocka_unit_test(plan__more_streams_take_later_segments),
        cmocka_unit_test(plan__first_request_is_a_segment_only_of_a_blob_known_to_be_large),
        cmocka_unit_test(plan__never_more_streams_than_allowed),
        cmocka_unit_test(plan__a_full_blob_needs_nothing),
        cmocka_unit_test(plan__a_reader_beyond_the_end_is_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
