/* tests/unit/base_pool_test.c - jobs and strands on real threads. */
#include "base/pool.h"

#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"

#define DEADLINE_S 20

struct job {
    struct dt_job job;
    int id;
    sem_t *gate;
};

static struct dt_loops *loops;
static struct dt_pool *pool;
static sem_t happened;
static _Atomic int n_run, n_done;
static int order[2000];
static int n_expected;

static void wait_happened(void)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += DEADLINE_S;
    assert_int_equal(sem_timedwait(&happened, &until), 0);
}

static int setup(void **state)
{
    struct dt_err err;

    (void)state;
    n_run = n_done = 0;
    return sem_init(&happened, 0, 0) != 0 || dt_loops_new(&loops, 1, &err) < 0 ||
           dt_loops_start(loops, &err) < 0 || dt_pool_new(&pool, 4, &err) < 0;
}

static int teardown(void **state)
{
    (void)state;
    dt_pool_free(&pool);
    dt_pool_free(&pool); /* harmless on NULL */
    dt_loops_stop(loops);
    dt_loops_free(&loops);
    return sem_destroy(&happened);
}

static void run_counted(struct dt_job *job)
{
    (void)job;
    assert_null(dt_loop_current());
    (void)atomic_fetch_add(&n_run, 1);
}

static void done_counted(struct dt_job *job)
{
    assert_ptr_equal(dt_loop_current(), job->loop);
    free(dt_container_of(job, struct job, job));
    if (atomic_fetch_add(&n_done, 1) + 1 == n_expected)
        (void)sem_post(&happened);
}

static struct job *job_new(void (*run)(struct dt_job *), void (*done)(struct dt_job *), int id)
{
    struct job *job = dt_new(struct job);

    job->job.run = run;
    job->job.done = done;
    job->job.loop = done != NULL ? dt_loops_at(loops, 0) : NULL;
    job->id = id;
    return job;
}

static void pool__runs_jobs_and_reports_them_on_their_loop(void **state)
{
    (void)state;
    n_expected = 500;
    for (int i = 0; i < n_expected; i++)
        dt_pool_submit(pool, &job_new(run_counted, done_counted, i)->job);
    wait_happened();
    assert_int_equal(n_run, 500);
    assert_int_equal(dt_pool_queued(pool), 0);
}

static void run_and_free(struct dt_job *job)
{
    (void)atomic_fetch_add(&n_run, 1);
    free(dt_container_of(job, struct job, job));
}

static void pool__runs_what_is_queued_before_it_is_freed(void **state)
{
    struct dt_strand *strand = dt_strand_new(pool);

    (void)state;
    for (int i = 0; i < 300; i++) {
        dt_pool_submit(pool, &job_new(run_and_free, NULL, i)->job);
        dt_strand_submit(strand, &job_new(run_and_free, NULL, i)->job);
    }
    dt_pool_free(&pool);
    assert_int_equal(n_run, 600);
    free(strand); /* its pool is gone: nothing else is left of it */
}

static void run_gated(struct dt_job *job)
{
    struct job *self = dt_container_of(job, struct job, job);

    (void)sem_wait(self->gate);
    free(self);
}

static void pool__counts_what_waits_and_not_what_runs(void **state)
{
    struct dt_strand *strand = dt_strand_new(pool);
    sem_t gate;

    (void)state;
    (void)sem_init(&gate, 0, 0);
    for (int i = 0; i < 4; i++) { /* all four workers */
        struct job *job = job_new(run_gated, NULL, i);
        job->gate = &gate;
        dt_pool_submit(pool, &job->job);
    }
    while (dt_pool_queued(pool) > 0)
        (void)sched_yield();
    n_expected = 5;
    for (int i = 0; i < 2; i++)
        dt_pool_submit(pool, &job_new(run_counted, done_counted, i)->job);
    for (int i = 0; i < 3; i++)
        dt_strand_submit(strand, &job_new(run_counted, done_counted, i)->job);
    assert_int_equal(dt_pool_queued(pool), 5);
    for (int i = 0; i < 4; i++)
        (void)sem_post(&gate);
    wait_happened();
    assert_int_equal(dt_pool_queued(pool), 0);
    dt_strand_free(&strand);
    dt_pool_free(&pool); /* joins: nobody touches the gate any more */
    (void)sem_destroy(&gate);
}

/* Not atomic on purpose: a strand promises that nobody else is here. */
static int n_ordered;

static void run_ordered(struct dt_job *job)
{
    order[n_ordered++] = dt_container_of(job, struct job, job)->id;
}

static void strand__runs_jobs_one_at_a_time_and_in_order(void **state)
{
    struct dt_strand *strand = dt_strand_new(pool);

    (void)state;
    n_ordered = 0;
    n_expected = 2000;
    for (int i = 0; i < n_expected; i++)
        dt_strand_submit(strand, &job_new(run_ordered, done_counted, i)->job);
    wait_happened();
    assert_int_equal(n_ordered, 2000);
    for (int i = 0; i < n_ordered; i++)
        assert_int_equal(order[i], i);
    dt_strand_free(&strand);
    assert_null(strand);
    dt_strand_free(&strand); /* harmless on NULL */
}

/* Twice more, with room for others in between. */
static void run_three_times(struct dt_job *job)
{
    run_ordered(job);
    job->again = n_ordered < 4;
}

static void strand__job_that_goes_on_stays_first_and_lets_others_in(void **state)
{
    struct dt_pool *one = NULL;
    struct dt_err err;
    sem_t gate;

    (void)state;
    (void)sem_init(&gate, 0, 0);
    assert_int_equal(dt_pool_new(&one, 1, &err), 0);
    struct dt_strand *strand = dt_strand_new(one);
    struct job *blocker = job_new(run_gated, NULL, 0);
    blocker->gate = &gate;
    dt_pool_submit(one, &blocker->job);
    n_ordered = 0;
    n_expected = 3;
    dt_strand_submit(strand, &job_new(run_three_times, done_counted, 1)->job);
    dt_strand_submit(strand, &job_new(run_ordered, done_counted, 2)->job);
    dt_pool_submit(one, &job_new(run_ordered, done_counted, 3)->job);
    (void)sem_post(&gate);
    wait_happened();
    static const int expected[] = {1, 3, 1, 1, 2};
    assert_int_equal(n_ordered, 5);
    assert_memory_equal(order, expected, sizeof(expected));
    assert_int_equal(dt_pool_queued(one), 0);
    dt_strand_free(&strand);
    dt_pool_free(&one);
    (void)sem_destroy(&gate);
}

static struct dt_strand *doomed;

static void done_free_strand(struct dt_job *job)
{
    free(dt_container_of(job, struct job, job));
    dt_strand_free(&doomed);
    (void)sem_post(&happened);
}

static void strand__may_be_freed_by_the_last_done(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        doomed = dt_strand_new(pool);
        dt_strand_submit(doomed, &job_new(run_counted, done_free_strand, i)->job);
        wait_happened();
    }
    assert_int_equal(n_run, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pool__runs_jobs_and_reports_them_on_their_loop, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pool__runs_what_is_queued_before_it_is_freed, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(pool__counts_what_waits_and_not_what_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(strand__runs_jobs_one_at_a_time_and_in_order, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(strand__job_that_goes_on_stays_first_and_lets_others_in,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(strand__may_be_freed_by_the_last_done, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
