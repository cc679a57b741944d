/*
 * base/pool.h - a few threads for what blocks or burns: fsync, cold reads, hashing, unlink.
 *
 * A job is embedded in its owner's struct. run() is called on a worker; done(), when set, is then
 * posted to `loop`. Neither comes from inside submit(). A strand is a queue whose jobs run one at
 * a time and in order, on whatever worker is free: one strand per file being written keeps hashing
 * sequential without a thread per file.
 */
#ifndef DARTER_BASE_POOL_H
#define DARTER_BASE_POOL_H

#include "base/loop.h"

struct dt_pool;
struct dt_strand;

struct dt_job {
    void (*run)(struct dt_job *);  /* on a worker */
    void (*done)(struct dt_job *); /* on `loop`, after run; may free the job; NULL = nobody cares,
                                      then run() may free it */
    struct dt_loop *loop;          /* where done() comes; required with done */
    bool again; /* on a strand, with done: set by run() that wants to go on after others had their
                   turn; the job stays the first of its strand */
    struct dt_job *next; /* the pool's */
};

int dt_pool_new(struct dt_pool **out, unsigned n_threads, struct dt_err *err);
/* Runs what is queued, joins the threads. No submit may follow. */
void dt_pool_free(struct dt_pool **);
void dt_pool_submit(struct dt_pool *, struct dt_job *); /* any thread */
unsigned dt_pool_queued(struct dt_pool *); /* jobs that wait; for tests that wait for them */

/* Free only when nothing is queued on it (asserted). Any thread may submit. */
struct dt_strand *dt_strand_new(struct dt_pool *);
void dt_strand_free(struct dt_strand **);
void dt_strand_submit(struct dt_strand *, struct dt_job *);

#endif
