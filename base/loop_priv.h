/*
 * base/loop_priv.h - what the HTTP server and the HTTP client need of a loop beyond base/loop.h.
 *
 * A watch reports that a file descriptor is readable, for as long as it is (level-triggered).
 * It may be created before dt_loops_start() (by main) or on the loop's own thread; afterwards it
 * is touched on that thread only, or by main after dt_loops_stop(). The descriptor stays the
 * caller's: unwatch first, then close it.
 */
#ifndef DARTER_BASE_LOOP_PRIV_H
#define DARTER_BASE_LOOP_PRIV_H

#include "base/loop.h"

struct dt_watch;

/* The h2o_loop_t * under this loop, for base/httpd*.c. Borrowed. */
void *dt_loop_h2o(struct dt_loop *);

/* Calls readable(arg) on the loop in every round in which `fd` is readable. Any fd that epoll
 * accepts, also another epoll fd. The callback may unwatch itself. */
struct dt_watch *dt_loop_watch_fd(struct dt_loop *, int fd, dt_loop_f readable, void *arg);
/* No callback follows. *watch = NULL. Harmless on NULL. */
void dt_loop_unwatch(struct dt_watch **);

#endif
