/*
 * base/loop.h - event loops: one thread each, and every live object at home on one of them.
 *
 *   dt_loops_new -> dt_loops_start -> ... -> dt_loops_stop -> dt_loops_free
 *
 * A loop never waits: not for a disk, a lock or a name. What belongs to a loop is touched on its
 * thread only (dt_loop_assert_mine()); other threads send a message with dt_loop_post().
 * Timers and messages fire from inside loop callbacks, where every h2o call is legal.
 */
#ifndef DARTER_BASE_LOOP_H
#define DARTER_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct dt_loop;
struct dt_loops;

typedef void (*dt_loop_f)(void *arg);

/* `n` loops, not yet running. Errors: DT_EIO. */
int dt_loops_new(struct dt_loops **out, unsigned n, struct dt_err *err);
int dt_loops_start(struct dt_loops *, struct dt_err *err);
/* Asks every loop to leave after its current round, joins the threads. From main only. Messages
 * posted before this call run; later ones may be dropped unrun. */
void dt_loops_stop(struct dt_loops *);
/* Only after stop. Objects still linked to a loop must have been closed by then. */
void dt_loops_free(struct dt_loops **);

unsigned dt_loops_count(const struct dt_loops *);
struct dt_loop *dt_loops_at(struct dt_loops *, unsigned index);
/* The home of an object whose key hashes to `hash`. */
struct dt_loop *dt_loops_home(struct dt_loops *, uint64_t hash);

/* The loop of the calling thread; NULL on main and workers. */
struct dt_loop *dt_loop_current(void);
unsigned dt_loop_index(const struct dt_loop *);
void dt_loop_assert_mine(const struct dt_loop *);
/* Monotonic milliseconds, as the timers count them. */
uint64_t dt_loop_now_ms(struct dt_loop *);
/* Wall clock, for what is stored or shown; monotonic microseconds for measuring. Any thread. */
uint64_t dt_wall_ms(void);
uint64_t dt_mono_us(void);

/* Runs fn(arg) on `loop`, exactly once, never from inside this call. Messages from one thread to
 * one loop keep their order. Any thread. */
void dt_loop_post(struct dt_loop *, dt_loop_f fn, void *arg);
/* As dt_loop_post() to the calling thread's own loop: fn runs in the next round. */
void dt_loop_defer(dt_loop_f fn, void *arg);
/* Runs fn(arg) on `loop` and returns when it has returned: for main, which may wait, and never from
 * a loop, where two that wait for each other would wait for ever. The loops may not be stopped
 * meanwhile. A loop that does not run (not yet, or no more) belongs to main, as always: then fn
 * runs here and now, before messages that wait for its start. */
void dt_loop_call(struct dt_loop *, dt_loop_f fn, void *arg);

/* A timer lives inside its owner's struct. init -> (set | clear)* ; clear before freeing.
 * fn is called on the loop, once per set. set() on an armed timer moves it. Loop thread only. */
struct dt_timer {
    struct dt_loop *loop;
    dt_loop_f fn;
    void *arg;
    uint64_t due_ms;
    unsigned heap_index; /* 0 = not armed */
};
void dt_timer_init(struct dt_timer *, struct dt_loop *, dt_loop_f fn, void *arg);
void dt_timer_set(struct dt_timer *, uint64_t delay_ms);
void dt_timer_clear(struct dt_timer *); /* harmless when not armed */
bool dt_timer_is_armed(const struct dt_timer *);

#endif
