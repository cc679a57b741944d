/*
 * transfer/hedge.c - one request that is asked again while its server says nothing.
 *
 * A try that fails before its head is forgotten while another one is in the air; the last one's
 * failure is the answer. Losers are cancelled when the winner's head is here, before a byte of
 * their bodies was asked for.
 */
#define LOG_COMPONENT "hedge"
#include "transfer/hedge.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#define HEDGE_MAGIC 0x68656467u

static DT_DEFINE_COUNTER(metric_again, "darter_requests_repeated_total", NULL,
                         "Requests sent once more because the server said nothing.");

struct hedge_try {
    struct transfer_hedge *hedge;
    struct dt_fetch *fetch; /* owned while running */
};

struct transfer_hedge {
    unsigned magic;
    struct dt_loop *loop;
    struct dt_fetch_opts opts; /* its strings are owned copies, where there may be another try */
    struct dt_fetch_ops ops;
    void *arg;
    uint64_t again_after_ms, started_ms;
    struct dt_timer again;
    struct hedge_try tries[HEDGE_TRIES_MAX];
    unsigned n_tries, n_running;
    struct hedge_try *winner; /* its head came */
    bool is_done;
};

/* ---- the request, kept for another try ---- */

static void opts_copy(struct dt_fetch_opts *out, const struct dt_fetch_opts *opts)
{
    struct dt_header *headers = dt_new_array(struct dt_header, opts->n_headers + 1);

    DT_ASSERT(opts->body == NULL); /* questions only: nothing is done twice */
    *out = *opts;
    out->method = dt_strdup(opts->method);
    out->url = dt_strdup(opts->url);
    for (size_t i = 0; i < opts->n_headers; i++)
        headers[i] =
            (struct dt_header){dt_strdup(opts->headers[i].name), dt_strdup(opts->headers[i].value)};
    out->headers = headers;
}

/* What the options carry is const to users; here the copies are ours. */
static char *owned(const char *text)
{
    return (char *)(uintptr_t)text;
}

static void opts_fini(struct dt_fetch_opts *opts)
{
    for (size_t i = 0; i < opts->n_headers; i++) {
        char *value = owned(opts->headers[i].value);
        free(owned(opts->headers[i].name));
        dt_free_secret(&value);
    }
    free((struct dt_header *)(uintptr_t)opts->headers);
    free(owned(opts->method));
    free(owned(opts->url));
}

/* ---- life ---- */

static void tries_cancel(struct transfer_hedge *hedge, const struct hedge_try *except)
{
    for (unsigned i = 0; i < hedge->n_tries; i++) {
        if (&hedge->tries[i] == except || hedge->tries[i].fetch == NULL)
            continue;
        dt_fetch_cancel(&hedge->tries[i].fetch);
        hedge->n_running--;
    }
}

static void hedge_free(struct transfer_hedge *hedge)
{
    tries_cancel(hedge, NULL);
    dt_timer_clear(&hedge->again);
    if (hedge->again_after_ms != 0)
        opts_fini(&hedge->opts);
    hedge->magic = 0;
    free(hedge);
}

/* ---- what the tries tell ---- */

static bool on_head(void *arg, const struct dt_fetch_head *head)
{
    struct hedge_try *try = arg;
    struct transfer_hedge *hedge = try->hedge;

    DT_ASSERT(hedge->magic == HEDGE_MAGIC && hedge->winner == NULL);
    hedge->winner = try;
    dt_timer_clear(&hedge->again);
    tries_cancel(hedge, try);
    return hedge->ops.on_head(hedge->arg, head);
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct hedge_try *try = arg;
    return try->hedge->ops.on_data(try->hedge->arg, bytes, len);
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct hedge_try *try = arg;
    struct transfer_hedge *hedge = try->hedge;

    DT_ASSERT(hedge->magic == HEDGE_MAGIC);
    hedge->n_running--;
    if (hedge->winner == NULL && hedge->n_running > 0) {
        try->fetch = NULL;
        return;
    }
    hedge->is_done = true;
    hedge->ops.on_done(hedge->arg, err);
    try->fetch = NULL; /* ends by itself */
    hedge_free(hedge);
}

static const struct dt_fetch_ops TRY_OPS = {on_head, on_data, on_done};

/* ---- asking ---- */

static uint64_t left_ms(uint64_t timeout_ms, uint64_t spent_ms)
{
    if (timeout_ms == 0)
        return 0; /* none */
    return timeout_ms > spent_ms ? timeout_ms - spent_ms : 1;
}

static int try_start(struct transfer_hedge *hedge, const struct dt_fetch_opts *opts,
                     struct dt_err *err)
{
    struct hedge_try *try = &hedge->tries[hedge->n_tries];
    uint64_t spent_ms = dt_loop_now_ms(hedge->loop) - hedge->started_ms;
    struct dt_fetch_opts mine = *opts;

    mine.head_timeout_ms = left_ms(opts->head_timeout_ms, spent_ms);
    mine.total_timeout_ms = left_ms(opts->total_timeout_ms, spent_ms);
    mine.fresh_connection = hedge->n_tries > 0;
    try->hedge = hedge;
    int rc = dt_fetch_start(&try->fetch, &mine, &TRY_OPS, try, err);
    if (rc == 0) {
        hedge->n_tries++;
        hedge->n_running++;
    }
    return rc;
}

static void on_again(void *arg)
{
    struct transfer_hedge *hedge = arg;
    struct dt_err ignored; /* what the first try was made of cannot be wrong now */

    DT_ASSERT(hedge->magic == HEDGE_MAGIC && hedge->winner == NULL);
    dt_metric_add(&metric_again, 1);
    dt_log_info("asked_again", "method=%s url=%s try=%u silent_ms=%llu", hedge->opts.method,
                DT_LOG_Q(hedge->opts.url), hedge->n_tries + 1,
                (unsigned long long)(dt_loop_now_ms(hedge->loop) - hedge->started_ms));
    (void)try_start(hedge, &hedge->opts, &ignored);
    if (hedge->n_tries < HEDGE_TRIES_MAX)
        dt_timer_set(&hedge->again, hedge->again_after_ms);
}

int transfer_hedge_start(struct transfer_hedge **out, const struct dt_fetch_opts *opts,
                         uint64_t again_after_ms, const struct dt_fetch_ops *ops, void *arg,
                         struct dt_err *err)
{
    struct transfer_hedge *hedge = dt_new(struct transfer_hedge);
    int rc;

    hedge->magic = HEDGE_MAGIC;
    hedge->loop = dt_loop_current();
    hedge->ops = *ops;
    hedge->arg = arg;
    hedge->again_after_ms = again_after_ms;
    hedge->started_ms = dt_loop_now_ms(hedge->loop);
    dt_timer_init(&hedge->again, hedge->loop, on_again, hedge);
    if (again_after_ms != 0)
        opts_copy(&hedge->opts, opts);
    rc = try_start(hedge, opts, err);
    if (rc < 0) {
        hedge_free(hedge);
        return rc;
    }
    if (again_after_ms != 0)
        dt_timer_set(&hedge->again, again_after_ms);
    *out = hedge;
    return 0;
}

void transfer_hedge_resume(struct transfer_hedge *hedge)
{
    if (hedge->winner != NULL && hedge->winner->fetch != NULL)
        dt_fetch_resume(hedge->winner->fetch);
}

void transfer_hedge_cancel(struct transfer_hedge **hedge_ptr)
{
    struct transfer_hedge *hedge = *hedge_ptr;

    *hedge_ptr = NULL;
    if (hedge == NULL)
        return;
    DT_ASSERT(hedge->magic == HEDGE_MAGIC);
    if (!hedge->is_done) /* inside its on_done, which is the last callback anyway */
        hedge_free(hedge);
}

struct dt_fetch *transfer_hedge_fetch(struct transfer_hedge *hedge)
{
    return hedge->winner != NULL ? hedge->winner->fetch : NULL;
}
