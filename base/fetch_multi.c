/*
 * base/fetch_multi.c - curl inside our loops: one multi per loop, its descriptors in an epoll of
 * their own that is itself one readable descriptor of the loop.
 *
 *   loop -> watch(epoll_fd) -> epoll_wait(0) -> curl_multi_socket_action per descriptor
 *                               timer_fd      -> curl_multi_socket_action(CURL_SOCKET_TIMEOUT)
 *
 * Nested, because curl opens and closes its descriptors without asking; a loop that knew them
 * would have to be told in time, every time. What cannot be done while curl is on the stack
 * (adding, removing, ending) waits in `todo` and is done at the end of the round.
 *
 * Threads: a multi belongs to its loop; before start and after stop to main.
 */
#include "base/fetch_priv.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <curl/curl.h>
#include <utlist.h>

#include "base/loop_priv.h"
#include "base/mem.h"

#define MULTI_MAGIC      0x66746d75u
#define MAX_IDLE         256 /* connections kept for the next request, per loop */
#define EVENTS_PER_ROUND 64

struct dt_fetcher {
    char *user_agent; /* owned */
    unsigned n;
    struct fetch_multi *multi; /* owned array, one per loop */
};

/* One per process: dt_fetch_start() finds its loop's multi here. Written by main while no loop
 * runs. */
static struct dt_fetcher *the_fetcher;

struct fetch_multi *fetch_multi_current(void)
{
    struct dt_loop *loop = dt_loop_current();
    struct fetch_multi *multi;

    DT_ASSERT(the_fetcher != NULL && loop != NULL && dt_loop_index(loop) < the_fetcher->n);
    multi = &the_fetcher->multi[dt_loop_index(loop)];
    DT_ASSERT(multi->magic == MULTI_MAGIC && multi->loop == loop);
    return multi;
}

const char *fetch_multi_user_agent(const struct fetch_multi *multi)
{
    return multi->fetcher->user_agent;
}

/* ---- what had to wait ---- */

/* Runs what is queued now; what that queues in turn waits for the next round. */
static void run_todo(struct fetch_multi *multi)
{
    struct dt_fetch *fetch;
    unsigned n;

    DL_COUNT2(multi->todo, fetch, n, todo_next);
    for (; n > 0 && multi->todo != NULL; n--) { /* one may have taken others with it */
        fetch = multi->todo;
        fetch_multi_unqueue(fetch);
        fetch_run_todo(fetch);
    }
}

static void on_scheduled(void *arg)
{
    struct fetch_multi *multi = arg;

    DT_ASSERT(multi->magic == MULTI_MAGIC);
    multi->is_scheduled = false;
    run_todo(multi);
}

void fetch_multi_queue(struct dt_fetch *fetch)
{
    struct fetch_multi *multi = fetch->multi;

    if (!fetch->is_queued) {
        fetch->is_queued = true;
        DL_APPEND2(multi->todo, fetch, todo_prev, todo_next);
    }
    if (!multi->is_scheduled) {
        multi->is_scheduled = true;
        dt_loop_defer(on_scheduled, multi);
    }
}

void fetch_multi_unqueue(struct dt_fetch *fetch)
{
    if (fetch->is_queued)
        DL_DELETE2(fetch->multi->todo, fetch, todo_prev, todo_next);
    fetch->is_queued = false;
}

void fetch_multi_add(struct dt_fetch *fetch)
{
    DT_ASSERT(fetch->multi->depth == 0 && !fetch->is_added);
    DT_ASSERT(curl_multi_add_handle(fetch->multi->curl, fetch->easy) == CURLM_OK);
    fetch->is_added = true;
}

void fetch_multi_remove(struct dt_fetch *fetch)
{
    if (!fetch->is_added)
        return;
    DT_ASSERT(fetch->multi->depth == 0);
    DT_ASSERT(curl_multi_remove_handle(fetch->multi->curl, fetch->easy) == CURLM_OK);
    fetch->is_added = false;
}

/* ---- curl asks for descriptors and time ---- */

/* Of a socket that did not connect curl tells after it has closed it; by then the number may be
 * that of another thread's file. That one is not in this epoll, so nothing happens to it. */
static void unwatch_number(const struct fetch_multi *multi, int fd)
{
    (void)epoll_ctl(multi->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *is_known)
{
    struct fetch_multi *multi = arg;
    struct epoll_event event = {.data.fd = fd};
    char *fetch = NULL;

    if (curl_easy_getinfo(easy, CURLINFO_PRIVATE, &fetch) == CURLE_OK && fetch != NULL)
        fetch_easy_note_socket((struct dt_fetch *)(void *)fetch, fd, what == CURL_POLL_REMOVE);
    (void)is_known; /* curl's memory of a number may outlive the descriptor: epoll knows better */
    if (what == CURL_POLL_REMOVE) {
        unwatch_number(multi, fd);
        return 0;
    }
    if (what & CURL_POLL_IN)
        event.events |= EPOLLIN;
    if (what & CURL_POLL_OUT)
        event.events |= EPOLLOUT;
    if (epoll_ctl(multi->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0)
        DT_ASSERT(errno == ENOENT && epoll_ctl(multi->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0);
    return 0;
}

static int on_curl_timer(CURLM *curl, long delay_ms, void *arg)
{
    struct fetch_multi *multi = arg;
    struct itimerspec spec = {0};

    (void)curl;
    if (delay_ms == 0)
        spec.it_value.tv_nsec = 1; /* at once; zero would disarm */
    if (delay_ms > 0) {
        spec.it_value.tv_sec = delay_ms / 1000;
        spec.it_value.tv_nsec = delay_ms % 1000 * 1000000L;
    }
    DT_ASSERT(timerfd_settime(multi->timer_fd, 0, &spec, NULL) == 0);
    return 0;
}

/* ---- events ---- */

static void act(struct fetch_multi *multi, curl_socket_t fd, int what)
{
    int n_running;

    multi->depth++;
    DT_ASSERT(curl_multi_socket_action(multi->curl, fd, what, &n_running) == CURLM_OK);
    multi->depth--;
}

static void act_on_timer(struct fetch_multi *multi)
{
    uint64_t n_expired;

    if (read(multi->timer_fd, &n_expired, sizeof(n_expired)) < 0)
        DT_ASSERT(errno == EAGAIN); /* set anew by an event before it in this round */
    act(multi, CURL_SOCKET_TIMEOUT, 0);
}

static void act_on_event(struct fetch_multi *multi, const struct epoll_event *event)
{
    int what = 0;

    if (event->events & EPOLLIN)
        what |= CURL_CSELECT_IN;
    if (event->events & EPOLLOUT)
        what |= CURL_CSELECT_OUT;
    if (event->events & (EPOLLERR | EPOLLHUP))
        what |= CURL_CSELECT_ERR;
    act(multi, event->data.fd, what);
}

static void end_finished(struct fetch_multi *multi)
{
    CURLMsg *msg;
    int n_left;

    while ((msg = curl_multi_info_read(multi->curl, &n_left)) != NULL) {
        CURLcode result = msg->data.result;
        CURL *easy = msg->easy_handle; /* msg dies with the removal of its handle */
        struct dt_fetch *fetch;

        DT_ASSERT(msg->msg == CURLMSG_DONE);
        DT_ASSERT(curl_easy_getinfo(easy, CURLINFO_PRIVATE, &fetch) == CURLE_OK);
        if (!fetch->is_cancelled)
            fetch_on_end(fetch, (int)result);
    }
}

/* Level-triggered all the way: what is not handled in this round is reported in the next, after
 * everybody else on the loop had a turn. */
static void on_readable(void *arg)
{
    struct fetch_multi *multi = arg;
    struct epoll_event events[EVENTS_PER_ROUND];
    int n = epoll_wait(multi->epoll_fd, events, EVENTS_PER_ROUND, 0);

    DT_ASSERT(multi->magic == MULTI_MAGIC && multi->depth == 0);
    for (int i = 0; i < n; i++) {
        if (events[i].data.fd == multi->timer_fd)
            act_on_timer(multi);
        else
            act_on_event(multi, &events[i]);
    }
    run_todo(multi); /* first: it forgets the cancelled, whose verdicts nobody wants */
    end_finished(multi);
}

/* ---- life ---- */

#define SET(curl, option, value) DT_ASSERT(curl_multi_setopt((curl), (option), (value)) == CURLM_OK)

static int multi_init(struct fetch_multi *multi, struct dt_fetcher *fetcher, struct dt_loop *loop,
                      struct dt_err *err)
{
    struct epoll_event event = {.events = EPOLLIN};

    multi->magic = MULTI_MAGIC;
    multi->loop = loop;
    multi->fetcher = fetcher;
    multi->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    multi->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    event.data.fd = multi->timer_fd;
    if (multi->epoll_fd < 0 || multi->timer_fd < 0 ||
        epoll_ctl(multi->epoll_fd, EPOLL_CTL_ADD, multi->timer_fd, &event) < 0)
        return dt_err_errno(err, DT_EIO, errno, "cannot set up the HTTP client of loop %u",
                            dt_loop_index(loop));
    multi->curl = curl_multi_init();
    multi->share = curl_share_init();
    DT_ASSERT(multi->curl != NULL && multi->share != NULL); /* out of memory */
    DT_ASSERT(curl_share_setopt(multi->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) ==
              CURLSHE_OK);
    SET(multi->curl, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    SET(multi->curl, CURLMOPT_SOCKETDATA, multi);
    SET(multi->curl, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    SET(multi->curl, CURLMOPT_TIMERDATA, multi);
    SET(multi->curl, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    SET(multi->curl, CURLMOPT_MAXCONNECTS, (long)MAX_IDLE);
    multi->watch = dt_loop_watch_fd(loop, multi->epoll_fd, on_readable, multi);
    return 0;
}

static void multi_fini(struct fetch_multi *multi)
{
    /* The loop has stopped: what still runs ends without a word, as if cancelled. */
    while (multi->all != NULL)
        fetch_free(multi->all);
    dt_loop_unwatch(&multi->watch);
    if (multi->curl != NULL)
        DT_ASSERT(curl_multi_cleanup(multi->curl) == CURLM_OK);
    if (multi->share != NULL)
        DT_ASSERT(curl_share_cleanup(multi->share) == CURLSHE_OK);
    dt_close(&multi->timer_fd);
    dt_close(&multi->epoll_fd);
    multi->magic = 0;
}

int dt_fetcher_new(struct dt_fetcher **out, struct dt_loops *loops,
                   const struct dt_fetcher_opts *opts, struct dt_err *err)
{
    struct dt_fetcher *fetcher = dt_new(struct dt_fetcher);
    int rc = 0;

    DT_ASSERT(the_fetcher == NULL);
    DT_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
    fetcher->user_agent = dt_strdup(opts->user_agent);
    fetcher->multi = dt_new_array(struct fetch_multi, dt_loops_count(loops));
    while (rc == 0 && fetcher->n < dt_loops_count(loops)) {
        rc = multi_init(&fetcher->multi[fetcher->n], fetcher, dt_loops_at(loops, fetcher->n), err);
        fetcher->n++;
    }
    the_fetcher = fetcher;
    if (rc < 0)
        dt_fetcher_free(&fetcher);
    *out = fetcher;
    return rc;
}

void dt_fetcher_free(struct dt_fetcher **fetcher)
{
    if (*fetcher == NULL)
        return;
    for (unsigned i = 0; i < (*fetcher)->n; i++)
        multi_fini(&(*fetcher)->multi[i]);
    free((*fetcher)->multi);
    free((*fetcher)->user_agent);
    dt_free(fetcher);
    the_fetcher = NULL;
    curl_global_cleanup();
}
