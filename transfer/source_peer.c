/*
 * transfer/source_peer.c - see source_peer.h.
 *
 *   ASKED -> GATHERING -> SUMMED (on the pool) -> GIVEN -> done      any -> cancelled
 *   HERE (with its order) -^
 *
 * The bytes belong to the fetch until the sum is being computed, then to the job; a fetch that is
 * cancelled meanwhile leaves the job behind, which frees itself. Callbacks of the sink come from
 * the network's or the pool's callbacks or from the fetch's own timer, never from inside fetch(),
 * resume() or cancel().
 */
#define LOG_COMPONENT "source"
#include "transfer/source_peer.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "cache/pieces.h"
#include "transfer/brake.h"

#define PEER_SOURCE_MAGIC 0x70656572u
#define RATE_MIN          8192u         /* bytes/s: who sends less is stalled */
#define GATHER_BYTES      (24 * 1024u)  /* what RATE_MIN asks for in the time of a stall */
#define GIVE_BYTES        (256 * 1024u) /* at a time: the task may want to pause in between */

struct peer_source {
    struct source base; /* first */
    unsigned magic;
    struct transfer *transfer;
    struct dt_bucket *down; /* borrowed or NULL */
    char *url;              /* owned */
    char *ticket;           /* owned */
    char *ca_file;          /* owned or NULL */
    bool has_sum;
    struct wire_sum sum;
    char *bytes; /* owned: came with the order, for one fetch; NULL = to be asked for */
    size_t len;
    uint64_t took_ms;
};

/* Computes the sum on the pool. Owns the bytes meanwhile. */
struct sum_job {
    struct dt_job job;          /* first */
    struct source_fetch *fetch; /* NULL: cancelled, nobody waits */
    char *bytes;                /* owned */
    size_t len;
    struct wire_sum sum;
};

struct source_fetch {
    struct peer_source *source;
    struct source_span span;
    const struct source_sink_ops *sink;
    void *arg;
    struct dt_fetch *http;  /* owned while running */
    struct sum_job *job;    /* while the sum is computed */
    char *bytes;            /* owned; NULL before the head and while the sum is computed */
    size_t len, got, given; /* of the piece: asked, received, handed to the task */
    uint64_t blob_size;
    bool is_size_told;
    bool *is_gone; /* set when the sink cancels us from inside a callback */
    struct dt_err err;
    struct transfer_brake brake;
    struct dt_timer turn; /* the next thing to do, outside of the caller's call */
    uint64_t began_ms;
    struct dt_timer pace; /* looks at the rate, from the head to the last byte */
    size_t paced;         /* received when it looked last */
    bool was_held;        /* by a limit of ours since then */
};

/* ---- the end ---- */

static void fetch_free(struct source_fetch *fetch)
{
    fetch->source->base.n_active--;
    dt_timer_clear(&fetch->turn);
    dt_timer_clear(&fetch->pace);
    transfer_brake_release(&fetch->brake);
    if (fetch->job != NULL)
        fetch->job->fetch = NULL; /* it frees itself when the pool is done */
    dt_fetch_cancel(&fetch->http);
    free(fetch->bytes);
    free(fetch);
}

static void finish(struct source_fetch *fetch)
{
    struct dt_err err = fetch->err;
    const struct source_sink_ops *sink = fetch->sink;
    void *arg = fetch->arg;
    fetch->source->took_ms = dt_loop_now_ms(dt_loop_current()) - fetch->began_ms;
    fetch_free(fetch);
    sink->on_done(arg, &err);
}

/* ---- giving it to the task ---- */

/* false: the sink has cancelled us, or wants a pause, or has refused. */
static bool give_some(struct source_fetch *fetch)
{
    bool is_gone = false;
    size_t n = fetch->len - fetch->given;
    n = n < GIVE_BYTES ? n : GIVE_BYTES;
    fetch->is_gone = &is_gone;
    bool is_taken = fetch->sink->on_data(fetch->arg, fetch->bytes + fetch->given, n);
    if (is_gone)
        return false;
    fetch->is_gone = NULL;
    if (!is_taken)
        return false;
    fetch->given += n;
    fetch->source->base.bytes += n;
    return true;
}

static bool tell_size(struct source_fetch *fetch)
{
    bool is_gone = false;
    fetch->is_gone = &is_gone;
    int rc = fetch->sink->on_size(fetch->arg, fetch->blob_size);
    if (is_gone)
        return false;
    fetch->is_gone = NULL;
    fetch->is_size_told = true;
    if (rc == 0)
        return true;
    dt_err_set(&fetch->err, (enum dt_code) - rc, "%s: its size contradicts what is known",
               fetch->source->base.name);
    finish(fetch);
    return false;
}

static void give(struct source_fetch *fetch)
{
    if (!fetch->is_size_told && !tell_size(fetch))
        return;
    while (fetch->given < fetch->len)
        if (!give_some(fetch))
            return;
    finish(fetch);
}

/* ---- the sum ---- */

static void sum_run(struct dt_job *base)
{
    struct sum_job *job = (struct sum_job *)base;
    wire_sum_of(&job->sum, job->bytes, job->len);
}

static void sum_done(struct dt_job *base)
{
    struct sum_job *job = (struct sum_job *)base;
    struct source_fetch *fetch = job->fetch;
    struct wire_sum sum = job->sum;
    char *bytes = job->bytes;
    free(job);
    if (fetch == NULL) {
        free(bytes);
        return;
    }
    fetch->job = NULL;
    fetch->bytes = bytes;
    if (wire_sum_equal(&sum, &fetch->source->sum)) {
        give(fetch);
        return;
    }
    dt_err_set(&fetch->err, DT_EMISMATCH, "%s: the piece at %llu is not what its sum says",
               fetch->source->base.name, (unsigned long long)fetch->span.off);
    finish(fetch);
}

static void check_sum(struct source_fetch *fetch)
{
    struct sum_job *job = dt_new(struct sum_job);
    *job = (struct sum_job){
        .job = {.run = sum_run, .done = sum_done, .loop = dt_loop_current()},
        .fetch = fetch,
        .bytes = fetch->bytes,
        .len = fetch->len,
    };
    fetch->bytes = NULL;
    fetch->job = job;
    dt_pool_submit(fetch->source->transfer->pool, &job->job);
}

/* All came that will come. */
static void judge(struct source_fetch *fetch)
{
    if (fetch->err.code != 0)
        finish(fetch);
    else if (fetch->source->has_sum)
        check_sum(fetch);
    else
        give(fetch);
}

/* ---- what came with the order ---- */

/* It is in memory already, and paid for all the same: it took our link's time. */
static void take_inline(struct source_fetch *fetch)
{
    struct peer_source *source = fetch->source;
    if (!transfer_brake_pass(&fetch->brake, fetch->len))
        return; /* go_on() comes */
    transfer_brake_release(&fetch->brake);
    fetch->bytes = source->bytes;
    source->bytes = NULL;
    fetch->got = fetch->len;
    judge(fetch);
}

static void on_turn(void *arg)
{
    struct source_fetch *fetch = arg;
    if (fetch->err.code != 0)
        finish(fetch);
    else if (fetch->source->bytes != NULL)
        take_inline(fetch);
    else
        give(fetch);
}

/* ---- the answer ---- */

static enum dt_code code_of_status(int status)
{
    if (status == 503 || status == 429)
        return DT_EBUSY;
    if (status == 401 || status == 403 || status == 404)
        return DT_EDENIED;
    return DT_EPROTO;
}

static int read_head(struct source_fetch *fetch, const struct dt_fetch_head *head)
{
    const char *name = fetch->source->base.name;
    uint64_t first, last;
    if (head->status != 206)
        return dt_err_set(&fetch->err, code_of_status(head->status), "%s answered %d for a piece",
                          name, head->status);
    const char *value = dt_fetch_header(head->fetch, "content-range");
    if (value == NULL ||
        dt_content_range_parse(&first, &last, &fetch->blob_size, value, &fetch->err) < 0 ||
        first != fetch->span.off || last != fetch->span.end - 1)
        return dt_err_set(&fetch->err, DT_EPROTO,
                          "%s answered 206 without the Content-Range asked for", name);
    if (head->content_length != UINT64_MAX && head->content_length != fetch->len)
        return dt_err_set(&fetch->err, DT_EPROTO, "%s sends a piece of another length", name);
    return 0;
}

/* Somebody who sends a byte now and then would never be called silent, and would keep a slot of
 * ours for days. */
static void on_pace(void *arg)
{
    struct source_fetch *fetch = arg;
    uint64_t min_bytes = (uint64_t)RATE_MIN * SOURCE_PEER_STALL_MS / 1000;
    if (!fetch->was_held && fetch->got - fetch->paced < min_bytes) {
        dt_err_set(&fetch->err, DT_ETIMEOUT, "%s sends %u bytes in %u ms", fetch->source->base.name,
                   (unsigned)(fetch->got - fetch->paced), SOURCE_PEER_STALL_MS);
        finish(fetch);
        return;
    }
    fetch->was_held = false;
    fetch->paced = fetch->got;
    dt_timer_set(&fetch->pace, SOURCE_PEER_STALL_MS);
}

static bool on_head(void *arg, const struct dt_fetch_head *head)
{
    struct source_fetch *fetch = arg;
    if (read_head(fetch, head) < 0)
        return false;
    fetch->bytes = dt_realloc(NULL, fetch->len); /* at most CACHE_PIECE_SIZE_MAX */
    dt_timer_set(&fetch->pace, SOURCE_PEER_STALL_MS);
    return true;
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct source_fetch *fetch = arg;
    if (!transfer_brake_pass(&fetch->brake, len)) {
        fetch->was_held = true;
        return false;
    }
    DT_ASSERT(len <= fetch->len - fetch->got); /* max_body_bytes stops what is longer */
    memcpy(fetch->bytes + fetch->got, bytes, len);
    fetch->got += len;
    return true;
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct source_fetch *fetch = arg;
    fetch->http = NULL;
    dt_timer_clear(&fetch->pace);
    transfer_brake_release(&fetch->brake);
    if (fetch->err.code == 0 && err->code == DT_ETOOBIG)
        dt_err_set(&fetch->err, DT_EPROTO, "%s sends more than the piece",
                   fetch->source->base.name);
    else if (fetch->err.code == 0 && err->code != 0)
        fetch->err = *err;
    else if (fetch->err.code == 0 && fetch->got < fetch->len)
        dt_err_set(&fetch->err, DT_EPROTO, "%s ended the piece early", fetch->source->base.name);
    judge(fetch);
}

static const struct dt_fetch_ops HTTP_OPS = {on_head, on_data, on_done};

/* ---- the question ---- */

static void go_on(void *arg)
{
    struct source_fetch *fetch = arg;
    if (fetch->source->bytes != NULL)
        take_inline(fetch);
    else
        dt_fetch_resume(fetch->http);
}

static void ask(struct source_fetch *fetch)
{
    const struct peer_source *source = fetch->source;
    char range[64];
    DT_ASSERT(dt_text_print(range, sizeof(range), "bytes=%llu-%llu",
                            (unsigned long long)fetch->span.off,
                            (unsigned long long)fetch->span.end - 1));
    struct dt_header headers[] = {{"Range", range}, {WIRE_HEADER_TICKET, source->ticket}};
    uint64_t patience_ms = fetch->span.head_timeout_ms;
    struct dt_fetch_opts opts = {
        .url = source->url,
        .headers = headers,
        .n_headers = 2,
        .ca_file = source->ca_file,
        .connect_timeout_ms = SOURCE_PEER_CONNECT_MS,
        .head_timeout_ms = patience_ms < SOURCE_PEER_STALL_MS ? patience_ms : SOURCE_PEER_STALL_MS,
        .stall_timeout_ms = SOURCE_PEER_STALL_MS,
        .max_body_bytes = fetch->len,
        .gather_bytes = GATHER_BYTES, /* nobody sees a byte before the piece is whole */
    };
    if (dt_fetch_start(&fetch->http, &opts, &HTTP_OPS, fetch, &fetch->err) < 0)
        dt_timer_set(&fetch->turn, 0);
}

static struct source_fetch *peer_fetch(struct source *base, const struct source_span *span,
                                       const struct source_sink_ops *sink, void *arg)
{
    struct peer_source *source = (struct peer_source *)base;
    DT_ASSERT(source->magic == PEER_SOURCE_MAGIC);
    DT_ASSERT(span->off < span->end && span->end - span->off <= CACHE_PIECE_SIZE_MAX);
    struct source_fetch *fetch = dt_new(struct source_fetch);
    *fetch = (struct source_fetch){.source = source,
                                   .span = *span,
                                   .sink = sink,
                                   .arg = arg,
                                   .len = (size_t)(span->end - span->off),
                                   .blob_size = UINT64_MAX,
                                   .began_ms = dt_loop_now_ms(dt_loop_current())};
    base->n_active++;
    dt_timer_init(&fetch->turn, dt_loop_current(), on_turn, fetch);
    dt_timer_init(&fetch->pace, dt_loop_current(), on_pace, fetch);
    transfer_brake_init(&fetch->brake, source->transfer->down, source->down, go_on, fetch);
    DT_ASSERT(source->bytes == NULL || source->len == fetch->len);
    if (source->bytes != NULL)
        dt_timer_set(&fetch->turn, 0);
    else
        ask(fetch);
    return fetch;
}

static void peer_resume(struct source_fetch *fetch)
{
    dt_timer_set(&fetch->turn, 0);
}

static void peer_cancel(struct source_fetch **fetch_ptr)
{
    struct source_fetch *fetch = *fetch_ptr;
    *fetch_ptr = NULL;
    if (fetch == NULL)
        return;
    if (fetch->is_gone != NULL)
        *fetch->is_gone = true;
    fetch_free(fetch);
}

/* Who lies, and who may be asked, is for the director and its supernode to keep. */
static void peer_strike(struct source *base)
{
    (void)base;
}

static bool peer_is_ready(struct source *base, uint64_t now_ms)
{
    (void)base, (void)now_ms;
    return true;
}

static void peer_free(struct source **base_ptr)
{
    struct peer_source *source = (struct peer_source *)*base_ptr;
    *base_ptr = NULL;
    if (source == NULL)
        return;
    DT_ASSERT(source->magic == PEER_SOURCE_MAGIC && source->base.n_active == 0);
    source->magic = 0;
    free(source->url);
    dt_free_secret(&source->ticket);
    free(source->ca_file);
    free(source->bytes);
    free(source);
}

static const struct source_ops PEER_OPS = {
    .fetch = peer_fetch,
    .resume = peer_resume,
    .cancel = peer_cancel,
    .strike = peer_strike,
    .is_ready = peer_is_ready,
    .free = peer_free,
};

struct source *source_peer_new(struct transfer *transfer, const struct source_peer_opts *opts)
{
    char text[DT_DIGEST_TEXT_MAX];
    struct peer_source *source = dt_new(struct peer_source);
    source->magic = PEER_SOURCE_MAGIC;
    source->base.ops = &PEER_OPS;
    source->base.kind = opts->is_seed ? SOURCE_SEED : SOURCE_PEER;
    /* Long names are cut: they are for people. */
    (void)dt_text_print(source->base.name, sizeof(source->base.name), "%s", opts->base_url);
    source->transfer = transfer;
    source->down = opts->down;
    source->url = dt_asprintf("%s" WIRE_PATH_BLOBS "%s", opts->base_url,
                              dt_digest_format(text, opts->digest));
    source->ticket = dt_strdup(opts->ticket);
    source->ca_file = dt_strdup(opts->ca_file);
    source->has_sum = opts->has_sum;
    source->sum = opts->sum;
    if (opts->bytes != NULL) {
        DT_ASSERT(opts->len > 0);
        source->len = opts->len;
        source->bytes = memcpy(dt_realloc(NULL, opts->len), opts->bytes, opts->len);
    }
    return &source->base;
}

uint64_t source_peer_took_ms(const struct source *base)
{
    const struct peer_source *source = (const struct peer_source *)base;
    DT_ASSERT(source->magic == PEER_SOURCE_MAGIC);
    return source->took_ms;
}
