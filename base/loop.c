/*
 * base/loop.c - one thread per event loop: messages, timers, watches; h2o's evloop underneath.
 *
 *   h2o_evloop_t               polls; everything below is a socket on it
 *     +- eventfd -> mailbox    dt_loop_post(): a list under a mutex
 *     +- timerfd -> heap       dt_timer: one descriptor for all timers of the loop
 *     +- watches               foreign descriptors (the HTTP client's nested epoll)
 *
 * Why not h2o's own message queue: it goes on as long as there are messages, so a message that
 * posts the next one (any dt_loop_defer() chain) would keep the loop from everything else. Ours
 * takes what is there, once per round.
 * Why not h2o's own timeouts: each h2o_timeout_t is a list of one fixed duration driven by the
 * wall clock; a clock that steps back would freeze it. Ours are monotonic and of any length, and
 * they fire from a socket callback, where every h2o call is legal (a call made between two rounds
 * can leave its completion unnoticed until the next event).
 *
 * Threads: a loop's fields belong to its thread, except `mail`, which has its lock, and
 * `is_running`. Before start and after stop they belong to main.
 */
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <h2o.h>

#include "base/log.h"
#include "base/loop_priv.h"
#include "base/mem.h"

#if H2O_USE_LIBUV
#error "h2o's headers are set up for libuv: compile with -DH2O_USE_LIBUV=0"
#endif

#define LOOP_MAGIC     0x6c6f6f70u
#define LOOP_COUNT_MAX 256
/* Timers that come so late were kept by a machine that stood still. What others have said
 * meanwhile, or say now that they run again, is heard before somebody is called silent. */
#define STOOD_STILL_MS 250u
#define LISTEN_MS      250u

struct dt_watch {
    h2o_socket_t *sock; /* owned; its descriptor is not */
    dt_loop_f readable;
    void *arg;
};

struct message {
    dt_loop_f fn;
    void *arg;
    struct message *next;
};

struct mailbox {
    pthread_mutex_t lock;
    struct message *first, **last; /* owned */
    int fd;                        /* owned; an eventfd, readable while there is something */
    struct dt_watch *watch;        /* owned */
};

struct dt_loop {
    unsigned magic;
    unsigned index;
    h2o_evloop_t *h2o; /* owned */
    struct mailbox mail;
    pthread_t thread;
    _Atomic bool is_running;
    bool is_leaving; /* leave after this round */

    int timer_fd;                 /* owned */
    struct dt_watch *timer_watch; /* owned */
    struct dt_timer **heap;       /* owned array; [1..n_timers], least due_ms at [1] */
    unsigned n_timers, heap_capacity;
    uint64_t alarm_ms;  /* what timer_fd is set to; UINT64_MAX = not set */
    uint64_t firing_ms; /* while timers fire: up to where; else 0 */
    uint64_t listen_ms; /* no timer fires before: the loop stood still; else 0 */
};

struct dt_loops {
    unsigned n;
    struct dt_loop *loop; /* owned array */
};

static __thread struct dt_loop *current_loop;

/* ---- clocks ---- */

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts;

    DT_ASSERT(clock_gettime(id, &ts) == 0);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

uint64_t dt_wall_ms(void)
{
    return clock_us(CLOCK_REALTIME) / 1000u;
}

uint64_t dt_mono_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

/* ---- messages ---- */

static struct message *mail_take(struct mailbox *mail)
{
    struct message *first;

    (void)pthread_mutex_lock(&mail->lock);
    first = mail->first;
    mail->first = NULL;
    mail->last = &mail->first;
    (void)pthread_mutex_unlock(&mail->lock);
    return first;
}

static void on_mail(void *arg)
{
    struct dt_loop *loop = arg;
    struct message *message, *next;
    uint64_t n;

    /* First the signal, then the list: whoever posts in between signals again. */
    if (read(loop->mail.fd, &n, sizeof n) < 0)
        DT_ASSERT(errno == EAGAIN);
    for (message = mail_take(&loop->mail); message != NULL; message = next) {
        next = message->next;
        message->fn(message->arg);
        free(message);
    }
}

void dt_loop_post(struct dt_loop *loop, dt_loop_f fn, void *arg)
{
    struct message *message = dt_new(struct message);
    const uint64_t one = 1;
    bool was_empty;

    DT_ASSERT(loop->magic == LOOP_MAGIC);
    message->fn = fn;
    message->arg = arg;
    (void)pthread_mutex_lock(&loop->mail.lock);
    was_empty = loop->mail.first == NULL;
    *loop->mail.last = message;
    loop->mail.last = &message->next;
    (void)pthread_mutex_unlock(&loop->mail.lock);
    if (was_empty)
        DT_ASSERT(write(loop->mail.fd, &one, sizeof one) == (ssize_t)sizeof one);
}

void dt_loop_defer(dt_loop_f fn, void *arg)
{
    DT_ASSERT(current_loop != NULL);
    dt_loop_post(current_loop, fn, arg);
}

struct call {
    dt_loop_f fn;
    void *arg;
    sem_t is_done;
};

static void on_call(void *arg)
{
    struct call *call = arg;

    call->fn(call->arg);
    (void)sem_post(&call->is_done); /* the caller's stack may be gone from here on */
}

void dt_loop_call(struct dt_loop *loop, dt_loop_f fn, void *arg)
{
    struct call call = {.fn = fn, .arg = arg};

    DT_ASSERT(current_loop == NULL);
    if (!atomic_load(&loop->is_running)) {
        fn(arg);
        return;
    }
    (void)sem_init(&call.is_done, 0, 0); /* cannot fail: the value is small */
    dt_loop_post(loop, on_call, &call);
    while (sem_wait(&call.is_done) < 0)
        DT_ASSERT(errno == EINTR);
    (void)sem_destroy(&call.is_done);
}

/* ---- watches ---- */

static void on_watch_readable(h2o_socket_t *sock, const char *err)
{
    struct dt_watch *watch = sock->data;

    (void)err;                   /* h2o does not read this descriptor, so it has no error to tell */
    watch->readable(watch->arg); /* may free the watch */
}

struct dt_watch *dt_loop_watch_fd(struct dt_loop *loop, int fd, dt_loop_f readable, void *arg)
{
    struct dt_watch *watch = dt_new(struct dt_watch);

    dt_loop_assert_mine(loop);
    watch->readable = readable;
    watch->arg = arg;
    watch->sock = h2o_evloop_socket_create(loop->h2o, fd, H2O_SOCKET_FLAG_DONT_READ);
    watch->sock->data = watch;
    h2o_socket_read_start(watch->sock, on_watch_readable);
    return watch;
}

void dt_loop_unwatch(struct dt_watch **watch)
{
    h2o_socket_export_t export;

    if (*watch == NULL)
        return;
    h2o_socket_read_stop((*watch)->sock);
    /* h2o_socket_close() would close the caller's descriptor; export unregisters it and leaves it
     * open. */
    DT_ASSERT(h2o_socket_export((*watch)->sock, &export) == 0);
    h2o_buffer_dispose(&export.input);
    dt_free(watch);
}

/* ---- timers: a binary heap, its least element mirrored in one timerfd ---- */

static void heap_put(struct dt_loop *loop, unsigned i, struct dt_timer *timer)
{
    loop->heap[i] = timer;
    timer->heap_index = i;
}

static void heap_up(struct dt_loop *loop, unsigned i)
{
    struct dt_timer *timer = loop->heap[i];

    for (; i > 1 && timer->due_ms < loop->heap[i / 2]->due_ms; i /= 2)
        heap_put(loop, i, loop->heap[i / 2]);
    heap_put(loop, i, timer);
}

static void heap_down(struct dt_loop *loop, unsigned i)
{
    struct dt_timer *timer = loop->heap[i];

    for (unsigned child; (child = 2 * i) <= loop->n_timers; i = child) {
        if (child < loop->n_timers && loop->heap[child + 1]->due_ms < loop->heap[child]->due_ms)
            child++;
        if (timer->due_ms <= loop->heap[child]->due_ms)
            break;
        heap_put(loop, i, loop->heap[child]);
    }
    heap_put(loop, i, timer);
}

static void heap_remove(struct dt_loop *loop, struct dt_timer *timer)
{
    unsigned i = timer->heap_index;
    struct dt_timer *last = loop->heap[loop->n_timers--];

    timer->heap_index = 0;
    if (last == timer)
        return;
    heap_put(loop, i, last);
    heap_up(loop, i);
    heap_down(loop, last->heap_index);
}

/* The alarm only moves forward to an earlier time; one that comes too early costs an empty round,
 * which is cheaper than a system call for each of the many timers that are moved and never fire. */
static void alarm_update(struct dt_loop *loop)
{
    uint64_t due_ms = loop->n_timers > 0 ? loop->heap[1]->due_ms : UINT64_MAX;
    struct itimerspec spec = {0};

    due_ms = due_ms > loop->listen_ms ? due_ms : loop->listen_ms;
    if (due_ms >= loop->alarm_ms)
        return;
    loop->alarm_ms = due_ms;
    due_ms = due_ms > 0 ? due_ms : 1; /* 0 would disarm */
    spec.it_value.tv_sec = (time_t)(due_ms / 1000u);
    spec.it_value.tv_nsec = (long)(due_ms % 1000u) * 1000000L;
    DT_ASSERT(timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0);
}

/* True: not now. Once for each time that it stood still. */
static bool stood_still(struct dt_loop *loop)
{
    uint64_t now_ms = dt_loop_now_ms(loop);

    if (now_ms < loop->listen_ms) /* an alarm that was set before */
        return true;
    if (loop->listen_ms != 0 || loop->n_timers == 0 ||
        now_ms < loop->heap[1]->due_ms + STOOD_STILL_MS) {
        loop->listen_ms = 0;
        return false;
    }
    loop->listen_ms = now_ms + LISTEN_MS;
    return true;
}

static void on_alarm(void *arg)
{
    struct dt_loop *loop = arg;
    uint64_t n_expired;

    DT_ASSERT(loop->magic == LOOP_MAGIC);
    if (read(loop->timer_fd, &n_expired, sizeof n_expired) < 0)
        DT_ASSERT(errno == EAGAIN); /* moved between the poll and now */
    loop->alarm_ms = UINT64_MAX;
    if (stood_still(loop)) {
        alarm_update(loop);
        return;
    }
    loop->firing_ms = dt_loop_now_ms(loop);
    while (loop->n_timers > 0 && loop->heap[1]->due_ms <= loop->firing_ms) {
        struct dt_timer *timer = loop->heap[1];
        heap_remove(loop, timer);
        timer->fn(timer->arg); /* may free the timer */
    }
    loop->firing_ms = 0;
    alarm_update(loop);
}

void dt_timer_init(struct dt_timer *timer, struct dt_loop *loop, dt_loop_f fn, void *arg)
{
    *timer = (struct dt_timer){.loop = loop, .fn = fn, .arg = arg};
}

void dt_timer_set(struct dt_timer *timer, uint64_t delay_ms)
{
    struct dt_loop *loop = timer->loop;
    /* Rounded up: a timer may come late, never early. */
    uint64_t now_ms = (dt_mono_us() + 999u) / 1000u;

    dt_loop_assert_mine(loop);
    dt_timer_clear(timer);
    timer->due_ms = delay_ms < UINT64_MAX / 2 ? now_ms + delay_ms : UINT64_MAX / 2;
    /* A callback that sets its own timer to 0 must not keep on_alarm() going for ever. */
    if (timer->due_ms <= loop->firing_ms)
        timer->due_ms = loop->firing_ms + 1;
    if (loop->n_timers + 1 >= loop->heap_capacity) {
        loop->heap_capacity = loop->heap_capacity > 0 ? 2 * loop->heap_capacity : 64;
        loop->heap = dt_realloc(loop->heap, loop->heap_capacity * sizeof *loop->heap);
    }
    heap_put(loop, ++loop->n_timers, timer);
    heap_up(loop, loop->n_timers);
    if (loop->firing_ms == 0)
        alarm_update(loop);
}

void dt_timer_clear(struct dt_timer *timer)
{
    if (timer->heap_index == 0)
        return;
    dt_loop_assert_mine(timer->loop);
    heap_remove(timer->loop, timer);
}

bool dt_timer_is_armed(const struct dt_timer *timer)
{
    return timer->heap_index != 0;
}

/* ---- life ---- */

static int loop_init(struct dt_loop *loop, unsigned index, struct dt_err *err)
{
    loop->magic = LOOP_MAGIC;
    loop->index = index;
    loop->alarm_ms = UINT64_MAX;
    loop->mail.last = &loop->mail.first;
    (void)pthread_mutex_init(&loop->mail.lock, NULL); /* cannot fail with default attributes */
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    loop->mail.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->timer_fd < 0 || loop->mail.fd < 0)
        return dt_err_errno(err, DT_EIO, errno, "cannot make descriptors for loop %u", index);
    loop->h2o = h2o_evloop_create();
    loop->mail.watch = dt_loop_watch_fd(loop, loop->mail.fd, on_mail, loop);
    loop->timer_watch = dt_loop_watch_fd(loop, loop->timer_fd, on_alarm, loop);
    return 0;
}

static void loop_fini(struct dt_loop *loop)
{
    struct message *message, *next;

    if (loop->h2o != NULL) {
        dt_loop_unwatch(&loop->timer_watch);
        dt_loop_unwatch(&loop->mail.watch);
        h2o_evloop_destroy(loop->h2o);
    }
    for (message = mail_take(&loop->mail); message != NULL; message = next) {
        next = message->next; /* too late to run */
        free(message);
    }
    (void)pthread_mutex_destroy(&loop->mail.lock);
    dt_close(&loop->mail.fd);
    dt_close(&loop->timer_fd);
    dt_free(&loop->heap);
    loop->magic = 0;
}

int dt_loops_new(struct dt_loops **out, unsigned n, struct dt_err *err)
{
    struct dt_loops *loops = dt_new(struct dt_loops);
    int rc;

    DT_ASSERT(n > 0 && n <= LOOP_COUNT_MAX);
    loops->loop = dt_new_array(struct dt_loop, n);
    while (loops->n < n) {
        rc = loop_init(&loops->loop[loops->n], loops->n, err);
        loops->n++; /* a loop half made is freed as well */
        if (rc < 0)
            goto out;
    }
    *out = loops;
    loops = NULL;
    rc = 0;
out:
    dt_loops_free(&loops);
    return rc;
}

static void *loop_main(void *arg)
{
    struct dt_loop *loop = arg;
    char name[16];

    current_loop = loop;
    (void)snprintf(name, sizeof name, "loop%u", loop->index);
    dt_log_thread_name(name);
    (void)pthread_setname_np(pthread_self(), name); /* for people with top -H; no harm without */
    while (!loop->is_leaving)
        (void)h2o_evloop_run(loop->h2o, INT32_MAX); /* -1 = interrupted: go round again */
    current_loop = NULL;
    return NULL;
}

static void leave(void *arg)
{
    ((struct dt_loop *)arg)->is_leaving = true;
}

int dt_loops_start(struct dt_loops *loops, struct dt_err *err)
{
    sigset_t all, before;
    int rc = 0;

    /* A client that hangs up is a return value of write(), not the end of the process; all other
     * signals are main's. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    for (unsigned i = 0; i < loops->n && rc == 0; i++) {
        struct dt_loop *loop = &loops->loop[i];
        atomic_store(&loop->is_running, true);
        rc = pthread_create(&loop->thread, NULL, loop_main, loop);
        if (rc != 0)
            atomic_store(&loop->is_running, false);
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0)
        return 0;
    dt_loops_stop(loops);
    return dt_err_errno(err, DT_EIO, rc, "cannot start a loop's thread");
}

void dt_loops_stop(struct dt_loops *loops)
{
    DT_ASSERT(current_loop == NULL);
    for (unsigned i = 0; i < loops->n; i++)
        if (atomic_load(&loops->loop[i].is_running))
            dt_loop_post(&loops->loop[i], leave, &loops->loop[i]);
    for (unsigned i = 0; i < loops->n; i++) {
        if (!atomic_load(&loops->loop[i].is_running))
            continue;
        DT_ASSERT(pthread_join(loops->loop[i].thread, NULL) == 0);
        atomic_store(&loops->loop[i].is_running, false);
    }
}

void dt_loops_free(struct dt_loops **loops)
{
    if (*loops == NULL)
        return;
    for (unsigned i = 0; i < (*loops)->n; i++) {
        DT_ASSERT(!atomic_load(&(*loops)->loop[i].is_running));
        loop_fini(&(*loops)->loop[i]);
    }
    free((*loops)->loop);
    dt_free(loops);
}

/* ---- questions ---- */

unsigned dt_loops_count(const struct dt_loops *loops)
{
    return loops->n;
}

struct dt_loop *dt_loops_at(struct dt_loops *loops, unsigned index)
{
    DT_ASSERT(index < loops->n);
    return &loops->loop[index];
}

struct dt_loop *dt_loops_home(struct dt_loops *loops, uint64_t hash)
{
    return &loops->loop[hash % loops->n];
}

struct dt_loop *dt_loop_current(void)
{
    return current_loop;
}

unsigned dt_loop_index(const struct dt_loop *loop)
{
    return loop->index;
}

void dt_loop_assert_mine(const struct dt_loop *loop)
{
    DT_ASSERT(loop->magic == LOOP_MAGIC);
    DT_ASSERT(current_loop == loop || !atomic_load(&loop->is_running));
}

uint64_t dt_loop_now_ms(struct dt_loop *loop)
{
    (void)loop;
    return dt_mono_us() / 1000u;
}

void *dt_loop_h2o(struct dt_loop *loop)
{
    return loop->h2o;
}
