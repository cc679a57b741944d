/*
 * A probe is one fetch, what to do inside its callbacks, and what came of it. Around it: loops, a
 * fetcher and the misbehaving origin. For the tests of base/fetch*.c, each of which includes it
 * once.
 */
#ifndef DARTER_TESTS_UNIT_BASE_FETCH_PROBE_H
#define DARTER_TESTS_UNIT_BASE_FETCH_PROBE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "base/fetch.h"
#include "tests/unit/base_fetch_origin.h"

#define N_LOOPS 2

static struct dt_loops *loops __attribute__((unused));
static struct dt_fetcher *fetcher __attribute__((unused));
static struct origin origin;

enum where { NOWHERE, AT_START, IN_HEAD, IN_DATA, IN_DONE, WHILE_PAUSED, IN_RESUME };

struct probe {
    struct dt_fetch_opts opts;
    char url[1200];
    unsigned loop;
    /* wishes */
    bool declines_head, resumes_inside, is_whole, is_unchecked;
    enum where cancel_at;
    uint64_t pause_every; /* bytes; a timer resumes */
    struct probe *other;  /* started by our first callback */
    struct probe *victim; /* cancelled by our first byte */
    /* what came; of the loop until `is_over` is seen */
    struct dt_fetch *fetch;
    struct dt_timer timer;
    int start_rc, status;
    struct dt_err err;
    uint64_t content_length, bytes, next_pause;
    unsigned n_heads, n_dones, n_calls;
    bool is_wrong, is_inside_call, was_called_inside;
    char effective_url[1200], text[256], header[64];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_over;
};

static void probe_end(struct probe *probe)
{
    pthread_mutex_lock(&probe->lock);
    probe->is_over = true;
    pthread_cond_broadcast(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
}

static void probe_start(void *arg);

static void probe_called(struct probe *probe)
{
    probe->n_calls++;
    probe->was_called_inside |= probe->is_inside_call;
    if (probe->other != NULL) {
        struct probe *other = probe->other;
        probe->other = NULL;
        probe_start(other);
    }
}

static void probe_cancel(struct probe *probe)
{
    dt_fetch_cancel(&probe->fetch);
    assert_null(probe->fetch);
    dt_fetch_cancel(&probe->fetch); /* harmless on NULL */
    dt_timer_clear(&probe->timer);
    probe_end(probe);
}

static void on_timer(void *arg)
{
    struct probe *probe = arg;

    if (probe->cancel_at == WHILE_PAUSED) {
        probe_cancel(probe);
        return;
    }
    dt_fetch_resume(probe->fetch); /* may deliver, cancel, or pause again */
}

static bool on_head(void *arg, const struct dt_fetch_head *head)
{
    struct probe *probe = arg;
    const char *header = dt_fetch_header(head->fetch, "x-fold");

    probe_called(probe);
    probe->n_heads++;
    probe->status = head->status;
    probe->content_length = head->content_length;
    (void)snprintf(probe->effective_url, sizeof(probe->effective_url), "%s", head->effective_url);
    (void)snprintf(probe->header, sizeof(probe->header), "%s", header != NULL ? header : "-");
    if (probe->cancel_at == IN_HEAD)
        probe_cancel(probe);
    return !probe->declines_head;
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct probe *probe = arg;
    const unsigned char *data = bytes;

    probe_called(probe);
    if (probe->victim != NULL) {
        probe_cancel(probe->victim);
        probe->victim = NULL;
    }
    if (probe->cancel_at == IN_DATA || (probe->cancel_at == IN_RESUME && probe->bytes > 0)) {
        probe_cancel(probe);
        return true;
    }
    if (probe->pause_every != 0 && probe->bytes >= probe->next_pause) {
        probe->next_pause = probe->bytes + probe->pause_every;
        if (probe->resumes_inside)
            dt_fetch_resume(probe->fetch);
        else
            dt_timer_set(&probe->timer, 0);
        return false;
    }
    for (size_t i = 0; i < len; i++)
        probe->is_wrong |= !probe->is_unchecked && data[i] != origin_byte(probe->bytes + i);
    if (probe->bytes < sizeof(probe->text) - 1) {
        size_t room = sizeof(probe->text) - 1 - (size_t)probe->bytes;
        memcpy(probe->text + probe->bytes, data, len < room ? len : room);
    }
    probe->bytes += len;
    return true;
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct probe *probe = arg;

    probe_called(probe);
    probe->n_dones++;
    probe->err = *err;
    dt_timer_clear(&probe->timer);
    dt_fetch_resume(probe->fetch); /* harmless now */
    if (probe->cancel_at == IN_DONE)
        dt_fetch_cancel(&probe->fetch);
    probe->fetch = NULL;
    probe_end(probe);
}

static void on_whole(void *arg, const struct dt_err *err, struct dt_fetch *fetch, int status,
                     const char *body, size_t len)
{
    struct probe *probe = arg;

    assert_ptr_equal(fetch, probe->fetch);
    assert_int_equal(body[len], '\0');
    probe->n_dones++;
    probe->err = *err;
    probe->status = status;
    probe->bytes = len;
    (void)snprintf(probe->text, sizeof(probe->text), "%s", body);
    if (probe->cancel_at == IN_DONE)
        dt_fetch_cancel(&probe->fetch);
    probe_end(probe);
}

static void probe_start(void *arg)
{
    static const struct dt_fetch_ops ops = {on_head, on_data, on_done};
    struct probe *probe = arg;
    struct dt_err err = {0};

    dt_timer_init(&probe->timer, dt_loop_current(), on_timer, probe);
    probe->is_inside_call = true;
    if (probe->is_whole)
        probe->start_rc = dt_fetch_whole(&probe->fetch, &probe->opts, on_whole, probe, &err);
    else
        probe->start_rc = dt_fetch_start(&probe->fetch, &probe->opts, &ops, probe, &err);
    probe->is_inside_call = false;
    if (probe->start_rc < 0) {
        probe->err = err;
        probe_end(probe);
    } else if (probe->cancel_at == AT_START) {
        probe_cancel(probe);
    }
}

static void probe_init(struct probe *probe, const char *path)
{
    *probe = (struct probe){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    if (path[0] == '/')
        (void)snprintf(probe->url, sizeof(probe->url), "http://127.0.0.1:%d%s", origin.port, path);
    else
        (void)snprintf(probe->url, sizeof(probe->url), "%s", path);
    probe->opts.url = probe->url;
}

#endif
