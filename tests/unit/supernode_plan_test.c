/*
 * tests/unit/supernode_plan_test.c - the rules of the plan, one by one.
 */
#include "supernode/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"

#define PIECE 1000u
#define SITE  7u

static struct supernode_swarm *swarm_of(uint32_t n_pieces)
{
    struct supernode_swarm *swarm = NULL;
    struct supernode_swarm_options options = {
        .size = (uint64_t)n_pieces * PIECE - 1, .piece_size = PIECE, .site = SITE, .key = 42};
    assert_int_equal(supernode_swarm_new(&swarm, &options, NULL), 0);
    return swarm;
}

static uint32_t join(struct supernode_swarm *swarm, bool is_seed, uint64_t have, uint32_t slots)
{
    uint32_t peer = 0;
    struct supernode_peer about = {
        .site = SITE, .is_seed = is_seed, .up_slots = slots, .down_slots = slots, .have = &have};
    assert_int_equal(supernode_swarm_join(&peer, swarm, &about, NULL), 0);
    supernode_swarm_listen(swarm, peer, true);
    return peer;
}

static struct supernode_assignment only(struct supernode_swarm *swarm, uint64_t now_ms)
{
    struct supernode_assignment out[8] = {{0}};
    assert_int_equal(supernode_plan(swarm, now_ms, out, 8), 1);
    return out[0];
}

static void nothing(struct supernode_swarm *swarm, uint64_t now_ms)
{
    struct supernode_assignment out[8];
    assert_int_equal(supernode_plan(swarm, now_ms, out, 8), 0);
}

static bool report_failure(struct supernode_swarm *swarm, struct supernode_assignment a,
                           enum supernode_why why, uint64_t now_ms)
{
    struct supernode_failure failure = {
        .to = a.to, .piece = a.piece, .from = a.from, .why = why, .now_ms = now_ms};
    return supernode_swarm_failed(swarm, &failure);
}

static void swarm__refuses_what_is_no_blob_or_too_large(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = NULL;
    struct dt_err err;
    struct supernode_swarm_options options = {.size = 0, .piece_size = PIECE};
    assert_int_equal(supernode_swarm_new(&swarm, &options, &err), -DT_EINVAL);
    options.size = (uint64_t)SUPERNODE_PIECES_MAX * PIECE + 1;
    assert_int_equal(supernode_swarm_new(&swarm, &options, &err), -DT_ETOOBIG);
    supernode_swarm_free(&swarm); /* harmless on NULL */
}

static void swarm__last_piece_may_be_short(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(3);
    assert_int_equal(supernode_swarm_piece_len(swarm, 1), PIECE);
    assert_int_equal(supernode_swarm_piece_len(swarm, 2), PIECE - 1);
    supernode_swarm_free(&swarm);
}

static void swarm__peer_of_another_site_cannot_join(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(2);
    struct dt_err err;
    uint32_t peer;
    struct supernode_peer about = {.site = SITE + 1, .up_slots = 2, .down_slots = 2};
    assert_int_equal(supernode_swarm_join(&peer, swarm, &about, &err), -DT_EDENIED);
    supernode_swarm_free(&swarm);
}

static void swarm__takes_no_more_seeds_and_peers_than_the_limits(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(SUPERNODE_PIECES_MAX);
    struct dt_err err;
    uint32_t peer, n = 0;
    struct supernode_peer about = {.site = SITE, .is_seed = true};
    for (; n < SUPERNODE_SEEDS_MAX; n++)
        assert_int_equal(supernode_swarm_join(&peer, swarm, &about, &err), 0);
    assert_int_equal(supernode_swarm_join(&peer, swarm, &about, &err), -DT_EBUSY);
    supernode_swarm_free(&swarm);

    struct supernode_swarm_options small = {.size = 1, .piece_size = 1, .site = SITE, .key = 1};
    assert_int_equal(supernode_swarm_new(&swarm, &small, NULL), 0);
    about.is_seed = false;
    for (n = 0; supernode_swarm_join(&peer, swarm, &about, &err) == 0; n++)
        assert_true(n < SUPERNODE_PEERS_MAX);
    assert_int_equal(err.code, DT_EBUSY);
    assert_int_equal(n, SUPERNODE_PEERS_MAX);
    supernode_swarm_free(&swarm);
}

static void plan__rarest_piece_goes_first(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(3);
    join(swarm, false, 0x7, 2); /* piece 1 has one holder, the others two */
    join(swarm, false, 0x5, 2);
    supernode_swarm_listen(swarm, join(swarm, false, 0x5, 2), false);
    uint32_t to = join(swarm, false, 0, 1);
    struct supernode_assignment out[8];
    size_t n = supernode_plan(swarm, 0, out, 8);
    for (size_t i = 0; i < n; i++)
        if (out[i].to == to)
            assert_int_equal(out[i].piece, 1);
    assert_true(n >= 2); /* the second peer lacks piece 1 too */
    supernode_swarm_free(&swarm);
}

static void plan__peers_ask_for_different_pieces(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(64);
    struct supernode_assignment out[16];
    uint64_t seen = 0;
    join(swarm, true, ~0ULL, 16);
    for (int i = 0; i < 16; i++)
        join(swarm, false, 0, 1);
    assert_int_equal(supernode_plan(swarm, 0, out, 16), 16);
    bool is_in_order = true;
    for (uint32_t i = 0; i < 16; i++) {
        assert_false(seen >> out[i].piece & 1);
        seen |= 1ULL << out[i].piece;
        is_in_order = is_in_order && out[i].piece == i;
    }
    assert_false(is_in_order); /* nobody can foresee who gets what */
    supernode_swarm_free(&swarm);
}

static void plan__seed_repeats_nothing_before_all_has_left(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(3);
    uint32_t seed = join(swarm, true, 0x3, 8);
    uint32_t a = join(swarm, false, 0, 4);
    uint32_t b = join(swarm, false, 0, 4);
    struct supernode_assignment out[8], first[2];
    assert_int_equal(supernode_plan(swarm, 0, first, 8), 2);
    assert_int_not_equal(first[0].piece, first[1].piece);
    nothing(swarm, 1); /* though the seed has slots and both lack one */
    assert_true(supernode_swarm_gained(swarm, seed, 2));
    assert_int_equal(supernode_plan(swarm, 2, out, 1), 1);
    assert_int_equal(out[0].piece, 2);
    nothing(swarm, 3); /* all have left, and three are still on their way */
    supernode_swarm_leave(swarm, first[0].to == a ? b : a);
    /* They have arrived or returned: who comes now is served. */
    for (int i = 0; i < 2; i++)
        (void)supernode_swarm_finished(swarm, first[i].to, first[i].piece, seed, 5);
    (void)supernode_swarm_finished(swarm, out[0].to, 2, seed, 5);
    uint32_t c = join(swarm, false, 0, 4);
    assert_true(supernode_plan(swarm, 9, out, 8) >= 1);
    assert_int_equal(out[0].to, c);
    supernode_swarm_free(&swarm);
}

static void plan__seed_sends_again_what_was_lost_with_its_only_holder(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(2);
    uint32_t seed = join(swarm, true, 0x1, 4);
    uint32_t a = join(swarm, false, 0, 1);
    struct supernode_assignment first = only(swarm, 0);
    assert_true(supernode_swarm_finished(swarm, a, first.piece, seed, 5));
    supernode_swarm_leave(swarm, a);
    assert_int_equal(supernode_swarm_copies(swarm, 0), 0);
    uint32_t b = join(swarm, false, 0, 1);
    assert_int_equal(only(swarm, 1).to, b);
    supernode_swarm_free(&swarm);
}

static void plan__slots_of_source_and_receiver_are_kept(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(8);
    uint32_t from = join(swarm, false, 0xff, 3);
    struct supernode_assignment out[16];
    for (int i = 0; i < 4; i++)
        join(swarm, false, 0, 1);
    assert_int_equal(supernode_plan(swarm, 0, out, 16), 3);
    assert_int_equal(supernode_swarm_look_at(swarm, from).n_up, 3);
    supernode_swarm_free(&swarm);
}

static void plan__first_copy_may_use_one_slot_more(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(8);
    supernode_swarm_listen(swarm, join(swarm, false, 0x0f, 4), false);
    uint32_t to = join(swarm, false, 0, 1);
    assert_int_equal(only(swarm, 0).to, to);
    join(swarm, true, 0xf0, 4);
    struct supernode_assignment out[8];
    size_t n = supernode_plan(swarm, 1, out, 8);
    uint32_t n_to = 0;
    for (size_t i = 0; i < n; i++)
        n_to += out[i].to == to;
    assert_int_equal(n_to, 1);
    assert_int_equal(supernode_swarm_look_at(swarm, to).n_down, 2);
    supernode_swarm_free(&swarm);
}

static void plan__only_who_listens_is_given_something(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    join(swarm, false, 1, 1);
    uint32_t to = join(swarm, false, 0, 1);
    supernode_swarm_listen(swarm, to, false);
    nothing(swarm, 0);
    supernode_swarm_listen(swarm, to, true);
    assert_int_equal(only(swarm, 1).to, to);
    supernode_swarm_free(&swarm);
}

static void plan__waited_for_piece_comes_first_one_at_a_time(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(64);
    join(swarm, false, ~0ULL, 8);
    for (int i = 0; i < 3; i++) /* pieces 40 to 45 are the least rare of all */
        supernode_swarm_listen(swarm, join(swarm, false, 0x3fULL << 40, 1), false);
    uint32_t to = join(swarm, false, 0, 2);
    supernode_swarm_want(swarm, to, 40 * PIECE + 3);
    struct supernode_assignment out[8];
    assert_int_equal(supernode_plan(swarm, 0, out, 8), 2);
    assert_int_equal(out[0].piece, 40);
    assert_true(out[1].piece < 40 || out[1].piece > 45);
    supernode_swarm_want(swarm, to, UINT64_MAX); /* nobody waits any more */
    assert_true(supernode_swarm_finished(swarm, to, 40, out[0].from, 1));
    uint32_t piece = only(swarm, 1).piece;
    assert_true(piece < 40 || piece > 45);
    supernode_swarm_free(&swarm);
}

static void plan__same_rack_is_preferred(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    uint64_t all = 1;
    uint32_t peers[8], near = 0;
    for (uint32_t i = 0; i < 8; i++) {
        struct supernode_peer about = {
            .site = SITE, .rack = 1 + i, .up_slots = 1, .down_slots = 1, .have = &all};
        assert_int_equal(supernode_swarm_join(&peers[i], swarm, &about, NULL), 0);
    }
    for (uint32_t rack = 1; rack <= 8; rack++) {
        struct supernode_peer about = {.site = SITE, .rack = rack, .up_slots = 1, .down_slots = 1};
        assert_int_equal(supernode_swarm_join(&near, swarm, &about, NULL), 0);
        supernode_swarm_listen(swarm, near, true);
        assert_int_equal(only(swarm, 0).from, peers[rack - 1]);
        supernode_swarm_leave(swarm, near);
    }
    supernode_swarm_free(&swarm);
}

static void plan__idle_source_comes_before_a_busy_one(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    join(swarm, false, 1, 2);
    join(swarm, false, 1, 2);
    join(swarm, false, 0, 1);
    uint32_t first = only(swarm, 0).from;
    join(swarm, false, 0, 1);
    assert_int_not_equal(only(swarm, 0).from, first);
    supernode_swarm_free(&swarm);
}

/* `from` gives `n` pieces to new peers, each in `took_ms`. */
static void show_speed(struct supernode_swarm *swarm, uint32_t from, uint64_t took_ms)
{
    for (int i = 0; i < 8; i++) {
        uint32_t to = join(swarm, false, 0, 1);
        struct supernode_assignment a = only(swarm, 0);
        while (a.from != from) { /* others are given what they need to be out of the way */
            assert_true(report_failure(swarm, a, SUPERNODE_WHY_BUSY, 0));
            a = only(swarm, 0);
        }
        assert_true(supernode_swarm_finished(swarm, to, a.piece, from, took_ms));
        supernode_swarm_leave(swarm, to);
    }
}

static void plan__slow_source_serves_one_at_a_time_and_last(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    uint32_t fast = join(swarm, false, 1, 4), slow = join(swarm, false, 1, 4);
    show_speed(swarm, slow, 1000);
    show_speed(swarm, fast, 10);
    show_speed(swarm, slow, 1000);
    assert_true(supernode_swarm_look_at(swarm, slow).is_slow);
    assert_int_equal(supernode_swarm_look_at(swarm, slow).up_slots, 1);
    assert_false(supernode_swarm_look_at(swarm, fast).is_slow);
    struct supernode_assignment out[8];
    for (int i = 0; i < 4; i++) {
        join(swarm, false, 0, 1);
        assert_int_equal(only(swarm, 0).from, fast);
    }
    join(swarm, false, 0, 1);
    assert_int_equal(only(swarm, 0).from, slow);
    join(swarm, false, 0, 1);
    assert_int_equal(supernode_plan(swarm, 0, out, 8), 0);
    supernode_swarm_free(&swarm);
}

/* `to` takes pieces one by one, each in `took_ms`. */
static void show_link(struct supernode_swarm *swarm, uint32_t to, uint64_t took_ms)
{
    for (int i = 0; i < 3; i++) {
        struct supernode_assignment a;
        assert_int_equal(supernode_plan(swarm, 0, &a, 1), 1);
        assert_true(supernode_swarm_finished(swarm, to, a.piece, a.from, took_ms));
    }
}

static void plan__slow_receiver_takes_few_at_once(void **state)
{
    (void)state;
    static const struct {
        uint64_t took_ms;
        uint32_t slots;
    } ROWS[] = {{10, 4}, {100, 4}, {160, 3}, {250, 2}, {10000, 2}};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct supernode_swarm *swarm = swarm_of(32);
        join(swarm, false, 0xffffffff, 8);
        uint32_t to = join(swarm, false, 0, 4);
        assert_int_equal(supernode_swarm_look_at(swarm, to).down_slots, 4);
        show_link(swarm, to, ROWS[i].took_ms);
        assert_int_equal(supernode_swarm_look_at(swarm, to).down_slots, ROWS[i].slots);
        struct supernode_assignment out[8];
        assert_int_equal(supernode_plan(swarm, 100000, out, 8), ROWS[i].slots);
        supernode_swarm_free(&swarm);
    }
}

static void plan__overdue_transfer_gets_one_second_source(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    uint32_t a = join(swarm, false, 1, 1), b = join(swarm, false, 1, 1);
    join(swarm, false, 1, 1);
    uint32_t to = join(swarm, false, 0, 2);
    struct supernode_assignment first = only(swarm, 0);
    assert_false(first.is_hedge);
    nothing(swarm, 100);
    struct supernode_assignment second = only(swarm, first.overdue_at_ms);
    assert_true(second.is_hedge);
    assert_int_equal(second.to, to);
    assert_int_equal(second.piece, first.piece);
    assert_int_not_equal(second.from, first.from);
    nothing(swarm, first.overdue_at_ms * 2);
    assert_int_equal(supernode_swarm_copies(swarm, 0), 4); /* the hedge is no copy of its own */
    assert_true(supernode_swarm_finished(swarm, to, 0, second.from, 5));
    assert_int_equal(supernode_swarm_look(swarm).n_flights, 0); /* the slow one is called back */
    assert_int_equal(supernode_swarm_look_at(swarm, a).n_up, 0);
    assert_int_equal(supernode_swarm_look_at(swarm, b).n_up, 0);
    supernode_swarm_free(&swarm);
}

static void plan__hedges_are_a_small_share(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    struct supernode_assignment out[128];
    for (int i = 0; i < 64; i++)
        join(swarm, false, 1, 2);
    for (int i = 0; i < 64; i++)
        join(swarm, false, 0, 2);
    assert_int_equal(supernode_plan(swarm, 0, out, 128), 64);
    size_t n = supernode_plan(swarm, 1000000, out, 128);
    assert_true(n > 0 && n <= 4);
    assert_int_equal(supernode_plan(swarm, 2000000, out, 128), 0);
    supernode_swarm_free(&swarm);
}

static void plan__work_of_a_dead_peer_returns(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    join(swarm, false, 1, 1);
    join(swarm, false, 1, 1);
    uint32_t to = join(swarm, false, 0, 1);
    struct supernode_assignment first = only(swarm, 0);
    supernode_swarm_leave(swarm, first.from);
    assert_int_equal(supernode_swarm_look_at(swarm, to).n_down, 0);
    assert_int_not_equal(only(swarm, 1).from, first.from);
    /* A late word from the past changes nothing. */
    assert_false(report_failure(swarm, first, SUPERNODE_WHY_STALLED, 2));
    supernode_swarm_leave(swarm, first.from);
    supernode_swarm_listen(swarm, first.from, true);
    supernode_swarm_want(swarm, first.from, 0);
    assert_false(supernode_swarm_look_at(swarm, first.from).is_known);
    assert_int_equal(supernode_swarm_look(swarm).n_flights, 1);
    supernode_swarm_free(&swarm);
}

static void plan__failure_hurts_this_pair_only(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    uint32_t from = join(swarm, false, 1, 4), to = join(swarm, false, 0, 1);
    assert_true(report_failure(swarm, only(swarm, 0), SUPERNODE_WHY_BAD_SUM, 0));
    nothing(swarm, 1);
    assert_false(supernode_swarm_look_at(swarm, from).is_quarantined);
    uint32_t other = join(swarm, false, 0, 1);
    struct supernode_assignment a = only(swarm, 2);
    assert_int_equal(a.to, other);
    assert_int_equal(a.from, from);
    assert_int_equal(only(swarm, 60001).to, to); /* and not for ever */
    supernode_swarm_free(&swarm);
}

static void plan__who_only_reports_failures_gets_nobody_banned_and_rests(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    struct supernode_assignment out[4];
    uint32_t sources[32], n_given = 0;
    for (int i = 0; i < 32; i++)
        sources[i] = join(swarm, false, 1, 1);
    join(swarm, false, 0, 1);
    for (uint64_t now_ms = 0; now_ms < 10000; now_ms++)
        if (supernode_plan(swarm, now_ms, out, 4) == 1) {
            n_given++;
            assert_true(report_failure(swarm, out[0], SUPERNODE_WHY_UNREACHABLE, now_ms));
        }
    assert_true(n_given >= 4 && n_given <= 16);
    for (int i = 0; i < 32; i++)
        assert_false(supernode_swarm_look_at(swarm, sources[i]).is_quarantined);
    supernode_swarm_free(&swarm);
}

static void plan__transfers_that_fail_together_are_one_rest(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(8);
    struct supernode_assignment out[8];
    uint32_t seed = join(swarm, true, 0xff, 8);
    (void)join(swarm, false, 0xff, 8);
    (void)join(swarm, false, 0, 8);
    assert_int_equal(supernode_plan(swarm, 0, out, 8), 8);
    for (size_t i = 0; i < 8; i++)
        assert_true(report_failure(swarm, out[i], SUPERNODE_WHY_UNREACHABLE, 1));
    nothing(swarm, 50);
    assert_true(supernode_swarm_look(swarm).is_resting);
    assert_int_equal(supernode_plan(swarm, 70, out, 8), 8); /* rests end in a sweep */
    assert_int_equal(out[0].from, seed);
    assert_false(supernode_swarm_look(swarm).is_resting);
    supernode_swarm_free(&swarm);
}

static void plan__who_has_trouble_may_ask_a_seed_for_more(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(2);
    uint32_t seed = join(swarm, true, 0x1, 4), a = join(swarm, false, 0x1, 4);
    uint32_t to = join(swarm, false, 0, 1);
    struct supernode_assignment first = only(swarm, 0);
    assert_int_equal(first.from, a);
    assert_true(report_failure(swarm, first, SUPERNODE_WHY_UNREACHABLE, 0));
    struct supernode_assignment second = only(swarm, 1); /* piece 1 never left the origin */
    assert_int_equal(second.to, to);
    assert_int_equal(second.from, seed);
    supernode_swarm_free(&swarm);
}

static void plan__proof_quarantines_at_once(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(2);
    uint32_t bad = join(swarm, false, 0x1, 4), to = join(swarm, false, 0, 1);
    supernode_swarm_listen(swarm, bad, false);
    struct supernode_assignment a = only(swarm, 0);
    struct supernode_failure proof = {
        .to = SUPERNODE_NONE, .from = bad, .why = SUPERNODE_WHY_BAD_SUM, .is_proved = true};
    assert_true(supernode_swarm_failed(swarm, &proof));
    assert_true(supernode_swarm_failed(swarm, &proof)); /* once more changes nothing */
    assert_true(supernode_swarm_look_at(swarm, bad).is_quarantined);
    assert_int_equal(supernode_swarm_look(swarm).n_flights, 0);
    assert_int_equal(supernode_swarm_copies(swarm, 0), 0);
    nothing(swarm, 1);
    /* What it had must come from a seed again, and it may still take. */
    join(swarm, true, 0x1, 4);
    assert_int_equal(only(swarm, 2).to, to);
    assert_true(supernode_swarm_gained(swarm, to, 0));
    (void)a;
    assert_true(supernode_swarm_lost(swarm, bad, 0));
    assert_false(supernode_swarm_lost(swarm, bad, 0));
    supernode_swarm_free(&swarm);
}

static void plan__evicted_piece_is_not_offered(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    uint32_t from = join(swarm, false, 1, 1);
    join(swarm, false, 0, 1);
    assert_int_equal(supernode_swarm_look(swarm).n_complete, 1);
    supernode_swarm_listen(swarm, from, false);
    assert_true(supernode_swarm_lost(swarm, from, 0));
    assert_int_equal(supernode_swarm_look(swarm).n_complete, 0);
    nothing(swarm, 0);
    supernode_swarm_free(&swarm);
}

static void plan__quarantined_seed_gives_nothing(void **state)
{
    (void)state;
    struct supernode_swarm *swarm = swarm_of(1);
    uint32_t seed = join(swarm, true, 1, 1);
    join(swarm, false, 0, 1);
    struct supernode_failure proof = {.to = SUPERNODE_NONE, .from = seed, .is_proved = true};
    assert_true(supernode_swarm_failed(swarm, &proof));
    nothing(swarm, 0);
    supernode_swarm_leave(swarm, seed);
    assert_int_equal(supernode_swarm_look(swarm).n_seeds, 0);
    join(swarm, true, 1, 1);
    (void)only(swarm, 1);
    supernode_swarm_free(&swarm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(swarm__refuses_what_is_no_blob_or_too_large),
        cmocka_unit_test(swarm__last_piece_may_be_short),
        cmocka_unit_test(swarm__peer_of_another_site_cannot_join),
        cmocka_unit_test(swarm__takes_no_more_seeds_and_peers_than_the_limits),
        cmocka_unit_test(plan__rarest_piece_goes_first),
        cmocka_unit_test(plan__peers_ask_for_different_pieces),
        cmocka_unit_test(plan__seed_repeats_nothing_before_all_has_left),
        cmocka_unit_test(plan__seed_sends_again_what_was_lost_with_its_only_holder),
        cmocka_unit_test(plan__slots_of_source_and_receiver_are_kept),
        cmocka_unit_test(plan__first_copy_may_use_one_slot_more),
        cmocka_unit_test(plan__only_who_listens_is_given_something),
        cmocka_unit_test(plan__waited_for_piece_comes_first_one_at_a_time),
        cmocka_unit_test(plan__same_rack_is_preferred),
        cmocka_unit_test(plan__idle_source_comes_before_a_busy_one),
        cmocka_unit_test(plan__slow_source_serves_one_at_a_time_and_last),
        cmocka_unit_test(plan__slow_receiver_takes_few_at_once),
        cmocka_unit_test(plan__overdue_transfer_gets_one_second_source),
        cmocka_unit_test(plan__hedges_are_a_small_share),
        cmocka_unit_test(plan__work_of_a_dead_peer_returns),
        cmocka_unit_test(plan__failure_hurts_this_pair_only),
        cmocka_unit_test(plan__who_only_reports_failures_gets_nobody_banned_and_rests),
        cmocka_unit_test(plan__transfers_that_fail_together_are_one_rest),
        cmocka_unit_test(plan__who_has_trouble_may_ask_a_seed_for_more),
        cmocka_unit_test(plan__proof_quarantines_at_once),
        cmocka_unit_test(plan__evicted_piece_is_not_offered),
        cmocka_unit_test(plan__quarantined_seed_gives_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
