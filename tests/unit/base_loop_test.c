/* tests/unit/base_loop_test.c - messages, timers and watches of real, running loops. */
#include "base/loop.h"
#include "base/loop_priv.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"

#define DEADLINE_S 20

static sem_t happened;

static void wait_happened(void)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    assert_int_equal(sem_timedwait(&happened, &until), 0);
}

static struct dt_loops *loops_up(unsigned n)
{
    struct dt_loops *loops = NULL;
    struct dt_err err;

    assert_int_equal(sem_init(&happened, 0, 0), 0);
    assert_int_equal(dt_loops_new(&loops, n, &err), 0);
    assert_int_equal(dt_loops_start(loops, &err), 0);
    return loops;
}

static void loops_down(struct dt_loops **loops)
{
    dt_loops_stop(*loops);
    dt_loops_free(loops);
    assert_null(*loops);
    (void)sem_destroy(&happened);
}

/* ---- messages ---- */

#define N_MESSAGES 1000
static int seen[N_MESSAGES];
static int n_seen;
static struct dt_loop *seen_on;

static void see(void *arg)
{
    seen_on = dt_loop_current();
    dt_loop_assert_mine(seen_on);
    seen[n_seen++] = (int)(intptr_t)arg;
    if (n_seen == N_MESSAGES)
        (void)sem_post(&happened);
}

static void loop__runs_messages_of_one_thread_in_order(void **state)
{
    struct dt_loops *loops = loops_up(2);

    (void)state;
    n_seen = 0;
    for (int i = 0; i < N_MESSAGES; i++)
        dt_loop_post(dt_loops_at(loops, 1), see, (void *)(intptr_t)i);
    wait_happened();
    assert_ptr_equal(seen_on, dt_loops_at(loops, 1));
    assert_null(dt_loop_current());
    for (int i = 0; i < N_MESSAGES; i++)
        assert_int_equal(seen[i], i);
    loops_down(&loops);
}

static bool is_inside;

static void deferred(void *arg)
{
    (void)arg;
    assert_false(is_inside);
    (void)sem_post(&happened);
}

static void defer_one(void *arg)
{
    is_inside = true;
    dt_loop_defer(deferred, arg);
    is_inside = false;
}

static void loop__deferred_call_comes_after_the_caller_returned(void **state)
{
    struct dt_loops *loops = loops_up(1);

    (void)state;
    dt_loop_post(dt_loops_at(loops, 0), defer_one, NULL);
    wait_happened();
    loops_down(&loops);
}

static void count(void *arg)
{
    ++*(int *)arg;
}

static void loop__runs_what_was_posted_before_stop_and_drops_the_rest(void **state)
{
    struct dt_loops *loops = NULL;
    struct dt_err err;
    int n_before = 0, n_after = 0;

    (void)state;
    assert_int_equal(dt_loops_new(&loops, 3, &err), 0);
    for (unsigned i = 0; i < 3; i++)
        dt_loop_post(dt_loops_at(loops, 2), count, &n_before); /* before start, too */
    assert_int_equal(dt_loops_start(loops, &err), 0);
    dt_loops_stop(loops);
    assert_int_equal(n_before, 3);
    dt_loop_post(dt_loops_at(loops, 2), count, &n_after);
    dt_loops_free(&loops);
    assert_int_equal(n_after, 0);
}

struct called {
    struct dt_loop *on;
    int n;
};

static void be_called(void *arg)
{
    struct called *called = arg;

    called->on = dt_loop_current();
    called->n++;
}

static void loop__call_returns_when_it_was_run_there(void **state)
{
    struct dt_loops *loops = loops_up(2);
    struct called called = {0};
    int n_posted = 0;

    (void)state;
    for (int i = 0; i < 100; i++) {
        struct dt_loop *loop = dt_loops_at(loops, (unsigned)i % 2);
        dt_loop_post(loop, count, &n_posted);
        dt_loop_call(loop, be_called, &called);
        assert_int_equal(called.n, i + 1);
        assert_int_equal(n_posted, i + 1); /* messages keep their order */
        assert_ptr_equal(called.on, loop);
    }
    loops_down(&loops);
}

static void loop__call_to_one_that_does_not_run_is_made_at_once(void **state)
{
    struct dt_loops *loops = NULL;
    struct called called = {0};
    struct dt_err err;

    (void)state;
    assert_int_equal(dt_loops_new(&loops, 1, &err), 0);
    dt_loop_call(dt_loops_at(loops, 0), be_called, &called);
    assert_int_equal(called.n, 1);
    assert_int_equal(dt_loops_start(loops, &err), 0);
    dt_loops_stop(loops);
    dt_loop_call(dt_loops_at(loops, 0), be_called, &called);
    assert_int_equal(called.n, 2);
    assert_null(called.on);
    dt_loops_free(&loops);
}

static void loop__is_the_home_of_a_hash_for_good(void **state)
{
    struct dt_loops *loops = loops_up(3);

    (void)state;
    assert_int_equal(dt_loops_count(loops), 3);
    for (uint64_t hash = 0; hash < 9; hash++) {
        assert_ptr_equal(dt_loops_home(loops, hash), dt_loops_home(loops, hash));
        assert_int_equal(dt_loop_index(dt_loops_home(loops, hash)), hash % 3);
    }
    loops_down(&loops);
}

/* ---- timers ---- */

#define N_TIMERS 200
static struct timed {
    struct dt_timer timer;
    uint64_t set_us, fired_us, delay_ms;
} timed[N_TIMERS];
static unsigned fired_order[N_TIMERS], n_fired;

static void on_timed(void *arg)
{
    struct timed *t = arg;

    t->fired_us = dt_mono_us();
    fired_order[n_fired++] = (unsigned)(t - timed);
    assert_false(dt_timer_is_armed(&t->timer));
    if (n_fired == N_TIMERS / 2)
        (void)sem_post(&happened);
}

static void set_many(void *arg)
{
    struct dt_loop *loop = arg;

    for (unsigned i = 0; i < N_TIMERS; i++) {
        timed[i].delay_ms = (i * 37) % 100;
        dt_timer_init(&timed[i].timer, loop, on_timed, &timed[i]);
        dt_timer_set(&timed[i].timer, 100000 - i);
        timed[i].set_us = dt_mono_us();
        dt_timer_set(&timed[i].timer, timed[i].delay_ms); /* moved */
    }
    for (unsigned i = 1; i < N_TIMERS; i += 2) {
        dt_timer_clear(&timed[i].timer);
        dt_timer_clear(&timed[i].timer); /* harmless */
    }
}

static void timers__fire_in_order_once_and_never_early(void **state)
{
    struct dt_loops *loops = loops_up(1);

    (void)state;
    n_fired = 0;
    dt_loop_post(dt_loops_at(loops, 0), set_many, dt_loops_at(loops, 0));
    wait_happened();
    loops_down(&loops);
    assert_int_equal(n_fired, N_TIMERS / 2);
    for (unsigned i = 0; i < n_fired; i++) {
        struct timed *t = &timed[fired_order[i]];
        assert_int_equal(fired_order[i] % 2, 0); /* the odd ones were cleared */
        assert_true(t->fired_us - t->set_us >= t->delay_ms * 1000);
        if (i > 0)
            assert_true(timed[fired_order[i - 1]].timer.due_ms <= t->timer.due_ms);
    }
}

static struct dt_timer restless;
static int n_restless;

static void on_restless(void *arg)
{
    (void)arg;
    n_restless++;
    dt_timer_set(&restless, 0);
}

static void stop_restless(void *arg)
{
    (void)arg;
    if (n_restless < 5) { /* let it run a little */
        dt_loop_defer(stop_restless, NULL);
        return;
    }
    dt_timer_clear(&restless);
    (void)sem_post(&happened);
}

static void start_restless(void *arg)
{
    dt_timer_init(&restless, arg, on_restless, NULL);
    dt_timer_set(&restless, 0);
    dt_loop_defer(stop_restless, NULL);
}

static void timers__set_to_zero_from_their_own_callback_do_not_starve_the_loop(void **state)
{
    struct dt_loops *loops = loops_up(1);

    (void)state;
    n_restless = 0;
    dt_loop_post(dt_loops_at(loops, 0), start_restless, dt_loops_at(loops, 0));
    wait_happened();
    assert_true(n_restless >= 5);
    loops_down(&loops);
}

static struct dt_timer kept;
static uint64_t awake_us, kept_fired_us;

static void on_kept(void *arg)
{
    (void)arg;
    kept_fired_us = dt_mono_us();
    (void)sem_post(&happened);
}

static void stand_still(void *arg)
{
    const struct timespec long_enough = {.tv_nsec = 400000000};

    dt_timer_init(&kept, arg, on_kept, NULL);
    dt_timer_set(&kept, 1);
    (void)nanosleep(&long_enough,
                    NULL); /* what no callback ever does: the machine was taken away */
    awake_us = dt_mono_us();
}

static void timers__of_a_loop_that_stood_still_let_others_speak_first(void **state)
{
    struct dt_loops *loops = loops_up(1);

    (void)state;
    dt_loop_post(dt_loops_at(loops, 0), stand_still, dt_loops_at(loops, 0));
    wait_happened();
    loops_down(&loops);
    assert_true(kept_fired_us >= awake_us + 249000); /* milliseconds are rounded */
}

/* ---- watches ---- */

struct watched {
    struct dt_loop *loop;
    struct dt_watch *watch;
    int fd[2];
    int n_calls;
};

static void on_watched(void *arg)
{
    struct watched *w = arg;
    char c;

    w->n_calls++;
    if (w->n_calls < 3)
        return; /* level-triggered: unread, so it comes again */
    assert_int_equal(read(w->fd[0], &c, 1), 1);
    dt_loop_unwatch(&w->watch);
    assert_null(w->watch);
    dt_loop_unwatch(&w->watch); /* harmless */
    (void)sem_post(&happened);
}

static void watch__reports_a_descriptor_while_it_is_readable(void **state)
{
    struct dt_loops *loops = NULL;
    struct dt_err err;
    struct watched w = {0};

    (void)state;
    assert_int_equal(sem_init(&happened, 0, 0), 0);
    assert_int_equal(dt_loops_new(&loops, 1, &err), 0);
    assert_int_equal(pipe2(w.fd, O_CLOEXEC), 0);
    w.watch = dt_loop_watch_fd(dt_loops_at(loops, 0), w.fd[0], on_watched, &w);
    assert_non_null(dt_loop_h2o(dt_loops_at(loops, 0)));
    assert_int_equal(dt_loops_start(loops, &err), 0);
    assert_int_equal(write(w.fd[1], "x", 1), 1);
    wait_happened();
    loops_down(&loops);
    assert_int_equal(w.n_calls, 3);
    assert_int_not_equal(fcntl(w.fd[0], F_GETFD), -1); /* still ours, still open */
    dt_close(&w.fd[0]);
    dt_close(&w.fd[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loop__runs_messages_of_one_thread_in_order),
        cmocka_unit_test(loop__deferred_call_comes_after_the_caller_returned),
        cmocka_unit_test(loop__runs_what_was_posted_before_stop_and_drops_the_rest),
        cmocka_unit_test(loop__call_returns_when_it_was_run_there),
        cmocka_unit_test(loop__call_to_one_that_does_not_run_is_made_at_once),
        cmocka_unit_test(loop__is_the_home_of_a_hash_for_good),
        cmocka_unit_test(timers__fire_in_order_once_and_never_early),
        cmocka_unit_test(timers__set_to_zero_from_their_own_callback_do_not_starve_the_loop),
        cmocka_unit_test(timers__of_a_loop_that_stood_still_let_others_speak_first),
        cmocka_unit_test(watch__reports_a_descriptor_while_it_is_readable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
