/*
 * base/pool.c - a queue of jobs, a few threads, and strands on top.
 *
 *   submit -> queued -> run() on a worker -> done() posted to the job's loop
 *
 * A strand holds its own queue and enters the pool's with one job of its own, its turn: a turn
 * runs one job and, when more are waiting, goes to the end of the pool's queue again. So a busy
 * strand takes its share and no more. One mutex guards everything here; jobs run without it.
 */
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>

#include "base/log.h"
#include "base/mem.h"

#define POOL_THREADS_MAX 64

struct job_queue {
    struct dt_job *head, **tail;
};

struct dt_pool {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job_queue ready;
    unsigned n_queued; /* submitted and not yet running, strands' jobs included */
    bool is_stopping;
    unsigned n_threads;
    pthread_t threads[POOL_THREADS_MAX];
};

struct dt_strand {
    struct dt_pool *pool;
    struct job_queue waiting;
    struct dt_job turn;
    bool is_scheduled; /* `turn` is in the pool's queue or running */
};

static void queue_init(struct job_queue *queue)
{
    queue->head = NULL;
    queue->tail = &queue->head;
}

static void queue_put(struct job_queue *queue, struct dt_job *job)
{
    job->next = NULL;
    *queue->tail = job;
    queue->tail = &job->next;
}

static void queue_put_first(struct job_queue *queue, struct dt_job *job)
{
    job->next = queue->head;
    if (queue->head == NULL)
        queue->tail = &job->next;
    queue->head = job;
}

static struct dt_job *queue_take(struct job_queue *queue)
{
    struct dt_job *job = queue->head;

    queue->head = job->next;
    if (queue->head == NULL)
        queue->tail = &queue->head;
    return job;
}

static void job_done(void *arg)
{
    struct dt_job *job = arg;

    job->done(job);
}

/* run() may free a job that has no done(): all that is needed later is read before. */
static void job_run(struct dt_job *job)
{
    struct dt_loop *loop = job->done != NULL ? job->loop : NULL;

    job->run(job);
    if (loop != NULL)
        dt_loop_post(loop, job_done, job);
}

static void strand_turn(struct dt_job *turn)
{
    struct dt_strand *strand = dt_container_of(turn, struct dt_strand, turn);
    struct dt_pool *pool = strand->pool;
    struct dt_job *job;
    struct dt_loop *loop;

    (void)pthread_mutex_lock(&pool->lock);
    job = queue_take(&strand->waiting);
    pool->n_queued--;
    (void)pthread_mutex_unlock(&pool->lock);

    loop = job->done != NULL ? job->loop : NULL;
    job->run(job);

    (void)pthread_mutex_lock(&pool->lock);
    if (loop != NULL && job->again) { /* without done() the job may be gone */
        queue_put_first(&strand->waiting, job);
        pool->n_queued++;
        loop = NULL;
    }
    if (strand->waiting.head != NULL)
        queue_put(&pool->ready, turn); /* this worker looks for work next: nobody to wake */
    else
        strand->is_scheduled = false;
    (void)pthread_mutex_unlock(&pool->lock);
    /* Last, because done() may free the strand. */
    if (loop != NULL)
        dt_loop_post(loop, job_done, job);
}

static void *worker_main(void *arg)
{
    struct dt_pool *pool = arg;

    dt_log_thread_name("pool");
    (void)pthread_setname_np(pthread_self(), "pool"); /* for people with top -H; no harm without */
    (void)pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct dt_job *job;
        while (pool->ready.head == NULL && !pool->is_stopping)
            (void)pthread_cond_wait(&pool->wake, &pool->lock);
        if (pool->ready.head == NULL)
            break;
        job = queue_take(&pool->ready);
        if (job->run != strand_turn)
            pool->n_queued--;
        (void)pthread_mutex_unlock(&pool->lock);
        job_run(job);
        (void)pthread_mutex_lock(&pool->lock);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int dt_pool_new(struct dt_pool **out, unsigned n_threads, struct dt_err *err)
{
    struct dt_pool *pool = dt_new(struct dt_pool);
    sigset_t all, before;
    int rc = 0;

    DT_ASSERT(n_threads > 0 && n_threads <= POOL_THREADS_MAX);
    (void)pthread_mutex_init(&pool->lock, NULL); /* cannot fail with default attributes */
    (void)pthread_cond_init(&pool->wake, NULL);
    queue_init(&pool->ready);
    (void)sigfillset(&all); /* signals are main's */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    while (rc == 0 && pool->n_threads < n_threads) {
        rc = pthread_create(&pool->threads[pool->n_threads], NULL, worker_main, pool);
        if (rc == 0)
            pool->n_threads++;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        dt_pool_free(&pool);
        return dt_err_errno(err, DT_EIO, rc, "cannot start a worker thread");
    }
    *out = pool;
    return 0;
}

void dt_pool_free(struct dt_pool **pool_ref)
{
    struct dt_pool *pool = *pool_ref;

    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    (void)pthread_cond_broadcast(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->n_threads; i++)
        DT_ASSERT(pthread_join(pool->threads[i], NULL) == 0);
    DT_ASSERT(pool->n_queued == 0);
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_mutex_destroy(&pool->lock);
    dt_free(pool_ref);
}

void dt_pool_submit(struct dt_pool *pool, struct dt_job *job)
{
    DT_ASSERT(job->done == NULL || job->loop != NULL);
    (void)pthread_mutex_lock(&pool->lock);
    DT_ASSERT(!pool->is_stopping);
    pool->n_queued++;
    queue_put(&pool->ready, job);
    (void)pthread_cond_signal(&pool->wake);
    (void)pthread_mutex_unlock(&pool->lock);
}

unsigned dt_pool_queued(struct dt_pool *pool)
{
    unsigned n;

    (void)pthread_mutex_lock(&pool->lock);
    n = pool->n_queued;
    (void)pthread_mutex_unlock(&pool->lock);
    return n;
}

struct dt_strand *dt_strand_new(struct dt_pool *pool)
{
    struct dt_strand *strand = dt_new(struct dt_strand);

    strand->pool = pool;
    strand->turn.run = strand_turn;
    queue_init(&strand->waiting);
    return strand;
}

void dt_strand_free(struct dt_strand **strand)
{
    if (*strand == NULL)
        return;
    (void)pthread_mutex_lock(&(*strand)->pool->lock);
    DT_ASSERT(!(*strand)->is_scheduled);
    (void)pthread_mutex_unlock(&(*strand)->pool->lock);
    dt_free(strand);
}

void dt_strand_submit(struct dt_strand *strand, struct dt_job *job)
{
    struct dt_pool *pool = strand->pool;

    DT_ASSERT(job->done == NULL || job->loop != NULL);
    (void)pthread_mutex_lock(&pool->lock);
    pool->n_queued++;
    queue_put(&strand->waiting, job);
    if (!strand->is_scheduled) {
        strand->is_scheduled = true;
        queue_put(&pool->ready, &strand->turn);
        (void)pthread_cond_signal(&pool->wake);
    }
    (void)pthread_mutex_unlock(&pool->lock);
}
