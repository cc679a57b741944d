/*
 * Runs probes to their end, and what the tests of base/fetch*.c start and stop around them.
 */
#ifndef DARTER_TESTS_UNIT_BASE_FETCH_RUN_H
#define DARTER_TESTS_UNIT_BASE_FETCH_RUN_H

#include "tests/unit/base_fetch_probe.h"

static void probe_launch(struct probe *probe)
{
    dt_loop_post(dt_loops_at(loops, probe->loop), probe_start, probe);
}

static void probe_wait(struct probe *probe)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    pthread_mutex_lock(&probe->lock);
    while (!probe->is_over)
        if (pthread_cond_timedwait(&probe->changed, &probe->lock, &until) != 0)
            fail_msg("no end of %s after 60 s", probe->url);
    pthread_mutex_unlock(&probe->lock);
}

/* The loop has been round: what it had to do after the end it has done. */
static void fence_reached(void *arg)
{
    probe_end(arg);
}

static void fence(unsigned loop)
{
    struct probe probe;

    for (int i = 0; i < 3; i++) {
        probe_init(&probe, "/fence");
        dt_loop_post(dt_loops_at(loops, loop), fence_reached, &probe);
        probe_wait(&probe);
    }
}

static void probe_run(struct probe *probe)
{
    probe_launch(probe);
    probe_wait(probe);
    fence(probe->loop);
    assert_false(probe->was_called_inside);
    assert_true(probe->n_dones <= 1);
}

static inline void fetch_path(struct probe *probe, const char *path)
{
    probe_init(probe, path);
    probe_run(probe);
    assert_int_equal(probe->n_dones, 1);
}

static inline void expect_error(const char *path, int code, const char *why)
{
    struct probe probe;

    probe_init(&probe, path);
    probe.opts.follow_redirects = true;
    probe_run(&probe);
    if (probe.err.code != code || strstr(probe.err.msg, why) == NULL)
        fail_msg("%s ended with %s: %s", path, dt_code_name(probe.err.code), probe.err.msg);
}

static inline int setup(void **state)
{
    const struct dt_fetcher_opts opts = {.user_agent = "fetch-test"};

    (void)state;
    DT_ASSERT(dt_loops_new(&loops, N_LOOPS, NULL) == 0);
    DT_ASSERT(dt_fetcher_new(&fetcher, loops, &opts, NULL) == 0);
    DT_ASSERT(dt_loops_start(loops, NULL) == 0);
    origin_start(&origin);
    return 0;
}

static inline int teardown(void **state)
{
    static struct probe left_over; /* ends with the fetcher, without a word */

    (void)state;
    probe_init(&left_over, "/silent");
    probe_launch(&left_over);
    fence(0);
    dt_loops_stop(loops);
    dt_fetcher_free(&fetcher);
    dt_fetcher_free(&fetcher); /* harmless on NULL */
    dt_loops_free(&loops);
    origin_stop(&origin);
    return left_over.n_calls == 0 ? 0 : -1;
}

#endif
