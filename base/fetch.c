/*
 * base/fetch.c - one HTTP exchange: started, paused, limited in time, ended exactly once.
 *
 *   phase     leaves it by                                       limited by
 *   WAITING   head complete -> BODY, or DRAINING (redirect)      connect, head, total
 *   BODY      curl's verdict -> DONE; on_head false -> DRAINING  stall (not while paused), total
 *   DRAINING  curl's verdict -> DONE, or WAITING (next hop)      FETCH_DRAIN_MAX_*
 *   DONE      on_done returns -> freed
 *
 * Threads: the loop that started it. Two rules come from curl: inside its callbacks nothing may be
 * added or removed, and curl_easy_pause() may call back at once. So whatever cannot be done where
 * it is asked for sets a flag and queues the fetch (fetch_multi_queue), and on_done is called by
 * the multi's round or by the deadline only, never with curl on the stack.
 */
#include "base/fetch_priv.h"

#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <utlist.h>

#include "base/mem.h"

#define FETCH_MAGIC      0x66657463u
#define HEAD_TIMEOUT_MS  20000
#define STALL_TIMEOUT_MS 10000
#define LAST_LOOK_MS     20 /* for bytes that were left in the kernel on purpose */

/* ---- start ---- */

static uint64_t or_default(uint64_t given_ms, uint64_t default_ms)
{
    return given_ms != 0 ? given_ms : default_ms;
}

/* When this fetch has waited long enough; UINT64_MAX = it may wait for ever. */
static uint64_t due_ms(const struct dt_fetch *fetch)
{
    uint64_t due = UINT64_MAX, total = UINT64_MAX;

    if (fetch->phase == FETCH_WAITING)
        due = fetch->started_ms + fetch->head_timeout_ms;
    else if (fetch->phase == FETCH_DRAINING)
        due = fetch->progress_ms + FETCH_DRAIN_MAX_MS;
    else if (!fetch->is_paused)
        due = fetch->progress_ms + fetch->stall_timeout_ms;
    if (fetch->total_timeout_ms != 0)
        total = fetch->started_ms + fetch->total_timeout_ms;
    return due < total ? due : total;
}

static void deadline_arm(struct dt_fetch *fetch)
{
    uint64_t now = dt_loop_now_ms(fetch->multi->loop), due = due_ms(fetch);

    if (due == UINT64_MAX)
        dt_timer_clear(&fetch->deadline);
    else
        dt_timer_set(&fetch->deadline, due > now ? due - now : 0);
}

static void on_deadline(void *arg);

int dt_fetch_start(struct dt_fetch **out, const struct dt_fetch_opts *opts,
                   const struct dt_fetch_ops *ops, void *arg, struct dt_err *err)
{
    struct fetch_multi *multi = fetch_multi_current();
    struct dt_fetch *fetch = dt_new(struct dt_fetch);
    char origin[300];
    int rc;

    fetch->magic = FETCH_MAGIC;
    fetch->multi = multi;
    fetch->ops = *ops;
    fetch->arg = arg;
    fetch->head_timeout_ms = or_default(opts->head_timeout_ms, HEAD_TIMEOUT_MS);
    fetch->stall_timeout_ms = or_default(opts->stall_timeout_ms, STALL_TIMEOUT_MS);
    fetch->total_timeout_ms = opts->total_timeout_ms;
    fetch->max_body_bytes = opts->max_body_bytes;
    fetch->gather_bytes = opts->gather_bytes;
    fetch->fd = -1;
    fetch->started_ms = fetch->progress_ms = dt_loop_now_ms(multi->loop);
    dt_timer_init(&fetch->deadline, multi->loop, on_deadline, fetch);
    DL_APPEND(multi->all, fetch);
    rc = dt_url_parse(&fetch->home, opts->url, err);
    if (rc < 0)
        goto out;
    /* Put together from its parts, so that curl cannot read it differently. */
    fetch->url = dt_asprintf("%s%s", dt_url_origin(origin, &fetch->home), fetch->home.path);
    rc = fetch_easy_new(fetch, opts, err);
    if (rc < 0)
        goto out;
    deadline_arm(fetch);
    fetch_easy_aim(fetch);
    if (multi->depth == 0)
        fetch_multi_add(fetch);
    else
        fetch_multi_queue(fetch);
    *out = fetch;
    fetch = NULL;
out:
    fetch_free(fetch);
    return rc;
}

/* ---- what curl brings ---- */

static bool has_body(const struct dt_fetch *fetch)
{
    return !fetch->is_head && fetch->head.status != 204 && fetch->head.status != 304;
}

/* From here on nobody wants the body. Returns whether its end is near enough to wait for. */
static bool drain_start(struct dt_fetch *fetch)
{
    uint64_t length = fetch_head_content_length(&fetch->head);

    fetch->phase = FETCH_DRAINING;
    fetch->drained_bytes = 0;
    fetch->progress_ms = dt_loop_now_ms(fetch->multi->loop);
    deadline_arm(fetch);
    return !has_body(fetch) || length == UINT64_MAX || length <= FETCH_DRAIN_MAX_BYTES;
}

/* An error's length is not believed: some registries announce the size of the blob that they do
 * not send. */
static bool is_too_long(const struct dt_fetch *fetch, const struct dt_fetch_head *head)
{
    return fetch->max_body_bytes != 0 && has_body(fetch) && head->status < 300 &&
           head->content_length != UINT64_MAX && head->content_length > fetch->max_body_bytes;
}

/* Never for more than will come: a mark above what is left would wait for ever, and one that stays
 * behind would hold up the next answer on this connection. */
static void gather(struct dt_fetch *fetch)
{
    uint64_t length = fetch_head_content_length(&fetch->head);
    uint64_t left = length - fetch->body_bytes;

    if (fetch->gather_bytes == 0 || length == UINT64_MAX ||
        !dt_text_has_prefix(fetch->url, "http://"))
        return;
    if (left > fetch->gather_bytes)
        left = fetch->gather_bytes;
    fetch_easy_set_low_mark(fetch, left > 0 ? (unsigned)left : 1);
}

bool fetch_on_head(struct dt_fetch *fetch)
{
    struct dt_fetch_head head = {
        .status = fetch->head.status,
        .content_length = fetch_head_content_length(&fetch->head),
        .effective_url = fetch->url,
        .fetch = fetch,
    };
    bool is_wanted;

    fetch->is_redirect = fetch_redirect_is_wanted(fetch);
    if (fetch->is_redirect)
        return drain_start(fetch);
    fetch->phase = FETCH_BODY;
    fetch->progress_ms = dt_loop_now_ms(fetch->multi->loop);
    deadline_arm(fetch);
    is_wanted = fetch->ops.on_head(fetch->arg, &head);
    if (fetch->is_cancelled)
        return false;
    if (!is_wanted) {
        (void)dt_err_set(&fetch->err, DT_ECANCELLED, "stopped at the response head (status %d)",
                         head.status);
        return drain_start(fetch);
    }
    if (is_too_long(fetch, &head)) {
        (void)dt_err_set(&fetch->err, DT_ETOOBIG, "%s: body of %llu bytes, at most %llu taken",
                         fetch->origin, (unsigned long long)head.content_length,
                         (unsigned long long)fetch->max_body_bytes);
        return false;
    }
    gather(fetch);
    return true;
}

enum fetch_taken fetch_on_data(struct dt_fetch *fetch, const void *bytes, size_t len)
{
    bool is_taken;

    if (fetch->is_cancelled)
        return FETCH_STOP;
    if (fetch->phase == FETCH_DRAINING) {
        fetch->drained_bytes += len;
        return fetch->drained_bytes <= FETCH_DRAIN_MAX_BYTES ? FETCH_TAKEN : FETCH_STOP;
    }
    if (fetch->err.code != 0)
        return FETCH_STOP; /* said before: what follows a gap must not be taken for what fills it */
    if (fetch->max_body_bytes != 0 && len > fetch->max_body_bytes - fetch->body_bytes) {
        (void)dt_err_set(&fetch->err, DT_ETOOBIG, "%s: body of more than %llu bytes", fetch->origin,
                         (unsigned long long)fetch->max_body_bytes);
        return FETCH_STOP;
    }
    fetch->is_in_data = true;
    is_taken = fetch->ops.on_data(fetch->arg, bytes, len);
    fetch->is_in_data = false;
    if (fetch->is_cancelled)
        return FETCH_STOP;
    if (!is_taken) {
        fetch->is_paused = true;
        if (fetch->wants_resume)
            fetch_multi_queue(fetch);
        return FETCH_PAUSE;
    }
    fetch->wants_resume = false;
    fetch->body_bytes += len;
    gather(fetch);
    fetch->progress_ms = dt_loop_now_ms(fetch->multi->loop);
    return FETCH_TAKEN;
}

/* ---- resume ---- */

static void unpause(struct dt_fetch *fetch)
{
    int curl_code;

    fetch->is_paused = fetch->wants_resume = false;
    fetch->progress_ms = dt_loop_now_ms(fetch->multi->loop);
    deadline_arm(fetch);
    fetch->multi->depth++;
    curl_code = fetch_easy_unpause(fetch); /* may call fetch_on_data() */
    fetch->multi->depth--;
    /* A callback stopped the transfer, but outside of a round curl tells nobody. */
    if (curl_code != CURLE_OK && !fetch->is_cancelled) {
        fetch->is_failed = true;
        fetch_multi_queue(fetch);
    }
}

void dt_fetch_resume(struct dt_fetch *fetch)
{
    DT_ASSERT(fetch->magic == FETCH_MAGIC);
    dt_loop_assert_mine(fetch->multi->loop);
    if (fetch->is_in_data)
        fetch->wants_resume = true; /* decided before on_data() has said whether it pauses */
    if (!fetch->is_paused || fetch->phase != FETCH_BODY)
        return;
    if (fetch->multi->depth == 0) {
        unpause(fetch);
    } else {
        fetch->wants_resume = true;
        fetch_multi_queue(fetch);
    }
}

/* ---- the end ---- */

static void finish(struct dt_fetch *fetch, const struct dt_err *err)
{
    dt_timer_clear(&fetch->deadline);
    fetch_multi_unqueue(fetch);
    fetch_multi_remove(fetch);
    fetch->phase = FETCH_DONE;
    fetch->ops.on_done(fetch->arg, err);
    fetch_free(fetch);
}

/* The redirect's own body and how it ended do not matter: its head has said all. */
static bool go_on_elsewhere(struct dt_fetch *fetch)
{
    fetch_multi_remove(fetch);
    if (fetch_redirect_follow(fetch, &fetch->err) < 0)
        return false;
    fetch_head_reset(&fetch->head);
    fetch->is_redirect = false;
    fetch->phase = FETCH_WAITING;
    fetch->curl_msg[0] = '\0';
    deadline_arm(fetch);
    fetch_easy_aim(fetch);
    fetch_multi_add(fetch);
    return true;
}

void fetch_on_end(struct dt_fetch *fetch, int curl_code)
{
    struct dt_err err = {0};

    DT_ASSERT(fetch->magic == FETCH_MAGIC && fetch->phase != FETCH_DONE);
    if (fetch->is_redirect && fetch->err.code == 0 && go_on_elsewhere(fetch))
        return;
    if (fetch->err.code != 0)
        err = fetch->err;
    else if (fetch_easy_error(fetch, curl_code, &err) == 0 && !fetch->head.is_complete)
        (void)dt_err_set(&err, DT_EUNAVAILABLE, "%s: closed before the response head was complete",
                         fetch->origin);
    finish(fetch, &err);
}

static void on_deadline(void *arg)
{
    struct dt_fetch *fetch = arg;
    uint64_t now = dt_loop_now_ms(fetch->multi->loop);

    DT_ASSERT(fetch->magic == FETCH_MAGIC && fetch->multi->depth == 0);
    if (now < due_ms(fetch)) {
        deadline_arm(fetch); /* there was progress since it was set */
        return;
    }
    if (fetch->phase == FETCH_BODY && fetch->low_mark > 1) {
        /* Slow is not silent: what is here below the mark comes now, if there is anything. */
        fetch->gather_bytes = 0;
        fetch_easy_set_low_mark(fetch, 1);
        dt_timer_set(&fetch->deadline, LAST_LOOK_MS);
        return;
    }
    if (fetch->total_timeout_ms != 0 && now >= fetch->started_ms + fetch->total_timeout_ms)
        (void)dt_err_set(&fetch->err, DT_ETIMEOUT, "%s: not done within %llu ms", fetch->origin,
                         (unsigned long long)fetch->total_timeout_ms);
    else if (fetch->phase == FETCH_WAITING)
        (void)dt_err_set(&fetch->err, DT_ETIMEOUT, "%s: no response head within %llu ms",
                         fetch->origin, (unsigned long long)fetch->head_timeout_ms);
    else if (fetch->phase == FETCH_BODY)
        (void)dt_err_set(&fetch->err, DT_ETIMEOUT, "%s: no byte for %llu ms after %llu of them",
                         fetch->origin, (unsigned long long)fetch->stall_timeout_ms,
                         (unsigned long long)fetch->body_bytes);
    fetch_on_end(fetch, CURLE_OK); /* a drain that took too long: what was decided stands */
}

/* Queued by whom curl was in the way. */
void fetch_run_todo(struct dt_fetch *fetch)
{
    DT_ASSERT(fetch->magic == FETCH_MAGIC);
    if (fetch->is_cancelled)
        fetch_free(fetch);
    else if (fetch->is_failed)
        fetch_on_end(fetch, CURLE_WRITE_ERROR);
    else if (!fetch->is_added)
        fetch_multi_add(fetch);
    else if (fetch->is_paused && fetch->wants_resume)
        unpause(fetch);
}

void fetch_free(struct dt_fetch *fetch)
{
    if (fetch == NULL)
        return;
    DT_ASSERT(fetch->magic == FETCH_MAGIC);
    dt_timer_clear(&fetch->deadline);
    fetch_multi_unqueue(fetch);
    fetch_multi_remove(fetch);
    DL_DELETE(fetch->multi->all, fetch);
    fetch_easy_free(fetch);
    fetch_head_fini(&fetch->head);
    dt_url_fini(&fetch->home);
    free(fetch->url);
    if (fetch->release != NULL)
        fetch->release(fetch->arg);
    fetch->magic = 0;
    free(fetch);
}

void dt_fetch_cancel(struct dt_fetch **out)
{
    struct dt_fetch *fetch = *out;

    if (fetch == NULL)
        return;
    DT_ASSERT(fetch->magic == FETCH_MAGIC);
    dt_loop_assert_mine(fetch->multi->loop);
    *out = NULL;
    if (fetch->phase == FETCH_DONE)
        return; /* inside its on_done, which is the last callback anyway */
    fetch->is_cancelled = true;
    dt_timer_clear(&fetch->deadline);
    if (fetch->multi->depth == 0)
        fetch_free(fetch);
    else
        fetch_multi_queue(fetch);
}

/* ---- questions ---- */

const char *dt_fetch_header(struct dt_fetch *fetch, const char *name)
{
    return fetch_head_get(&fetch->head, name);
}
