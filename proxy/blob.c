/*
 * proxy/blob.c - answers GET and HEAD of a blob.
 *
 *   PERMIT -> (cached? -> REPLY) | ATTACH -> OPEN -> WAIT (first bytes) -> REPLY -> ENDED
 *
 * The response head goes out only when the first bytes are in hand: before it, every failure can
 * still become a status the runtime falls back on; after it, all we can do is cut the connection
 * short. A disk that fails under a body is not the end of it (proxy/rescue.h). Blobs up to
 * `verify_first_bytes`, and those of nodes that nobody vouches for, wait for their digest: with the
 * whole blob in hand a wrong one is replaced before the client has seen a byte. Lives on the
 * request's loop. Everything that waits holds a reference to the request.
 */
#define LOG_COMPONENT "blob"
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/pieces.h"
#include "cache/reader.h"
#include "proxy/head.h"
#include "proxy/mirror.h"
#include "proxy/relay.h"
#include "proxy/rescue.h"
#include "transfer/blob_body.h"
#include "transfer/task.h"

#define BLOB_MAGIC 0x626c6f62u
/* Of head-deadline: so long a large blob that nobody vouches for is held back. A fetch that takes
 * longer loses nothing by it (the client catches up), a shorter one the client's own time. */
#define BLOB_UNPROVED_PARTS 10
#define BLOB_ATTACH_MAX     4 /* a fill that proved wrong is begun again; so do we */

struct proxy_blob {
    unsigned magic;
    struct proxy_request *request; /* a counted reference */
    struct task_ticket *ticket;    /* owned while attached */
    struct cache_reader *reader;   /* owned */
    struct proxy_rescue *rescue;   /* owned: the disk failed in the middle of the body */
    struct dt_range range;
    struct blob_body body; /* what the answer carries */
    uint64_t known_size;   /* from the permit; UINT64_MAX = unknown */
    struct dt_timer deadline;
    unsigned n_attached;
    bool is_waiting;         /* for the first bytes */
    bool streams_unverified; /* waited long enough for the digest */
};

static void attach(struct proxy_blob *blob);
static void stream_through(struct proxy_blob *blob, uint64_t size);

static const struct dt_digest *blob_digest(const struct proxy_blob *blob)
{
    return &blob->request->route.path.reference.digest;
}

/* ---- the end: whatever happened ---- */

static void blob_end(void *arg, enum dt_http_end how)
{
    struct proxy_blob *blob = arg;
    (void)how; /* the request logs it */
    DT_ASSERT(blob->magic == BLOB_MAGIC);
    blob->magic = 0;
    dt_timer_clear(&blob->deadline);
    proxy_rescue_free(&blob->rescue);
    blob_body_fini(&blob->body);
    cache_reader_close(&blob->reader);
    transfer_task_detach(&blob->ticket);
    proxy_request_unref(&blob->request);
    free(blob);
}

/* May end the request, and so the blob, before it returns: always the last thing a caller does. */
static void fail(struct proxy_blob *blob, const struct dt_err *err, const char *registry_code)
{
    dt_timer_clear(&blob->deadline);
    blob->is_waiting = false;
    proxy_request_fail(blob->request, err, registry_code);
}

/* ---- the body: a cache reader at the client's pace ---- */

/* Our own disk or table is at fault, not a source: the way past the cache is still there. */
static bool is_cache_failure(int code)
{
    return code == DT_EIO || code == DT_ENOSPACE;
}

/* The reader gives nothing more. */
static enum dt_http_next body_failed(struct proxy_blob *blob, uint64_t at, const struct dt_err *err)
{
    char name[13];
    if (is_cache_failure(err->code))
        blob->rescue =
            proxy_rescue_new(blob->request, blob->reader, at, blob->body.first + blob->body.len);
    dt_log_warn(blob->rescue != NULL ? "body_goes_on_past_the_disk" : "body_cut",
                "request=%llu blob=%s at=%llu code=%s reason=%s",
                (unsigned long long)blob->request->id, dt_digest_short(name, blob_digest(blob)),
                (unsigned long long)at, dt_code_name(err->code), DT_LOG_Q(err->msg));
    return blob->rescue != NULL ? DT_HTTP_WAIT : DT_HTTP_FAIL;
}

static enum dt_http_next body_next(void *arg, uint64_t off, size_t max_len,
                                   struct dt_http_span *span)
{
    struct proxy_blob *blob = arg;
    uint64_t at = blob->body.first + off;
    if (blob->rescue != NULL)
        return proxy_rescue_next(blob->rescue, at, max_len, span);
    enum dt_http_next next = blob_body_next(&blob->body, off, max_len, span);
    return next == DT_HTTP_FAIL ? body_failed(blob, at, &blob->body.err) : next;
}

/* The end of the request releases everything. */
static const struct dt_http_body_ops BODY_OPS = {.next = body_next};

/* ---- the head ---- */

static void reply_stream(struct proxy_blob *blob)
{
    struct proxy_request *request = blob->request;
    bool is_part = blob->range.kind == DT_RANGE_SATISFIABLE;
    int source = transfer_task_source(blob->ticket);
    dt_timer_clear(&blob->deadline);
    blob->is_waiting = false;
    if (source >= 0) /* by now it is known who delivers: in a swarm not before */
        request->source = source;
    proxy_head_add_blob(request);
    if (is_part)
        proxy_head_add_part(request, blob->body.first, blob->body.first + blob->body.len,
                            cache_reader_size(blob->reader));
    if (blob->body.len == 0)
        dt_http_reply(request->http, 200, "", 0);
    else
        dt_http_reply_stream(request->http, is_part ? 206 : 200, blob->body.len, &BODY_OPS, blob);
}

/* ---- waiting for the first bytes ---- */

/* Which byte must be readable before the head goes out: the last one (readable only when verified)
 * for a small blob and for one that a node gives without anybody's sum, else the first one the
 * client wants. Where the only holder lies, its bytes are then replaced before anybody saw them. */
static uint64_t decisive_byte(const struct proxy_blob *blob)
{
    uint64_t size = cache_reader_size(blob->reader);
    bool is_verified_first = size <= blob->request->proxy->options->verify_first_bytes ||
                             cache_reader_is_unproved(blob->reader);
    return is_verified_first && !blob->streams_unverified && size > 0 ? size - 1 : blob->body.first;
}

/* The fill failed before the client saw anything: ask the task again, it may know another way. That
 * the cache has just let go of the blob, and does so again and again, is no answer to a client. */
static void retry(struct proxy_blob *blob, const struct dt_err *err)
{
    bool is_used_up = blob->n_attached >= BLOB_ATTACH_MAX;
    cache_reader_close(&blob->reader);
    transfer_task_detach(&blob->ticket);
    if (is_cache_failure(err->code) || (is_used_up && err->code == DT_ENOTFOUND))
        stream_through(blob, blob->known_size);
    else if (is_used_up)
        fail(blob, err, NULL);
    else
        attach(blob);
}

static void check_first_bytes(void *arg)
{
    struct proxy_blob *blob = arg;
    struct dt_err err = {0};
    if (!blob->is_waiting)
        return;
    uint64_t off = decisive_byte(blob);
    if (cache_reader_size(blob->reader) == 0 && cache_reader_is_sealed(blob->reader)) {
        reply_stream(blob);
        return;
    }
    int64_t n = cache_reader_available(blob->reader, off, &err);
    if (n > 0)
        reply_stream(blob);
    else if (n < 0)
        retry(blob, &err);
    else
        cache_reader_wait(blob->reader, off, blob->request->loop, check_first_bytes, blob);
}

/* A large one whose bytes turn out to be unproved waits less long than a small one. */
static void shorten_wait(struct proxy_blob *blob)
{
    const struct proxy_options *options = blob->request->proxy->options;
    uint64_t half_ms = (proxy_request_head_left_ms(blob->request) + 1) / 2;
    uint64_t wait_ms = options->transfer.head_deadline_ms / BLOB_UNPROVED_PARTS;
    if (!blob->streams_unverified && cache_reader_size(blob->reader) > options->verify_first_bytes)
        dt_timer_set(&blob->deadline, wait_ms < half_ms ? wait_ms : half_ms);
}

/* The reader is open, so the size is known: choose what to send. */
static void begin_reply(struct proxy_blob *blob)
{
    uint64_t size = cache_reader_size(blob->reader);
    blob->range = proxy_head_range(blob->request, size);
    if (blob->range.kind == DT_RANGE_UNSATISFIABLE) {
        dt_timer_clear(&blob->deadline);
        proxy_head_refuse_range(blob->request, size);
        return;
    }
    bool is_part = blob->range.kind == DT_RANGE_SATISFIABLE;
    blob_body_init(&blob->body, blob->request->http, blob->reader, NULL);
    blob->body.first = is_part ? blob->range.first : 0;
    blob->body.len = is_part ? blob->range.last - blob->range.first + 1 : size;
    blob->is_waiting = true;
    shorten_wait(blob);
    check_first_bytes(blob);
}

static void on_deadline(void *arg)
{
    struct proxy_blob *blob = arg;
    struct dt_err err = {0};
    /* Half the time (of a large blob: a tenth) went into waiting for its digest: on this slow a
     * link its bytes are better sent as they come; its last one still waits. */
    if (!blob->streams_unverified) {
        blob->streams_unverified = true;
        dt_timer_set(&blob->deadline, proxy_request_head_left_ms(blob->request));
        check_first_bytes(blob); /* of no consequence before the blob is open */
        return;
    }
    cache_reader_close(&blob->reader);
    transfer_task_detach(&blob->ticket);
    dt_err_set(&err, DT_ETIMEOUT, "no source gave a byte in time");
    fail(blob, &err, NULL);
}

/* ---- the task ---- */

static void open_filling(struct proxy_blob *blob, const struct task_event *event)
{
    struct dt_err err = {0};
    blob->request->source = event->source;
    if (cache_reader_open(&blob->reader, blob->request->proxy->transfer.cache, blob_digest(blob),
                          &err) < 0)
        retry(blob, &err); /* it ended between the message and now */
    else
        begin_reply(blob);
}

static void stream_through(struct proxy_blob *blob, uint64_t size)
{
    struct proxy_request *request = proxy_request_ref(blob->request);
    transfer_task_detach(&blob->ticket);
    dt_timer_clear(&blob->deadline);
    if (size == UINT64_MAX)
        size = blob->known_size;
    request->job = NULL;
    request->job_end = NULL;
    blob_end(blob, DT_HTTP_COMPLETE);
    proxy_relay_blob(request, size);
    proxy_request_unref(&request);
}

static void on_task_event(void *arg, const struct task_event *event)
{
    struct proxy_blob *blob = arg;
    DT_ASSERT(blob->magic == BLOB_MAGIC);
    switch (event->news) {
    case TASK_READABLE:
        open_filling(blob, event);
        break;
    case TASK_STREAM_THROUGH:
        stream_through(blob, event->size);
        break;
    case TASK_GONE:
        /* A mismatch: we joined an attempt that was just proving wrong, the next one asks anew. */
        if (is_cache_failure(event->err.code) || event->err.code == DT_EMISMATCH) {
            retry(blob, &event->err);
            break;
        }
        fail(blob, &event->err, event->err.code == DT_ENOTFOUND ? "BLOB_UNKNOWN" : NULL);
        break;
    }
}

/* Which byte he wants first, judged with the size the permit told, so that it is fetched first. */
static uint64_t wanted_offset(struct proxy_blob *blob)
{
    struct dt_range range = proxy_head_range(
        blob->request, blob->known_size != UINT64_MAX ? blob->known_size : CACHE_BLOB_SIZE_MAX);
    return range.kind == DT_RANGE_SATISFIABLE ? range.first : 0;
}

static void attach(struct proxy_blob *blob)
{
    struct proxy_request *request = blob->request;
    struct task_wish wish = {
        .upstream = request->route.upstream,
        .repository = request->route.path.repository,
        .authorization = request->authorization,
        .size = blob->known_size,
        .off = wanted_offset(blob),
    };
    blob->n_attached++;
    blob->is_waiting = false;
    request->freshness = PROXY_MISS;
    blob->ticket = transfer_task_attach(&request->proxy->transfer, blob_digest(blob), &wish,
                                        on_task_event, blob);
}

/* ---- from permit to answer ---- */

static void serve_get(struct proxy_blob *blob)
{
    struct dt_err ignored;
    struct proxy_request *request = blob->request;
    if (proxy_head_is_not_modified(request, blob_digest(blob))) {
        dt_timer_clear(&blob->deadline); /* met, however long the client takes to read */
        proxy_head_add_blob(request);
        dt_http_reply_head(request->http, 304, 0);
        return;
    }
    if (cache_reader_open(&blob->reader, request->proxy->transfer.cache, blob_digest(blob),
                          &ignored) == 0) {
        if (cache_reader_is_sealed(blob->reader)) {
            request->source = SOURCE_DISK;
            request->freshness = PROXY_HIT;
            begin_reply(blob);
            return;
        }
        /* Being filled: the task must know of us, to fetch first what we want. */
        cache_reader_close(&blob->reader);
    }
    attach(blob);
}

static void serve_head(struct proxy_request *request, uint64_t size)
{
    struct cache_entry entry;
    struct dt_err ignored;
    bool is_known = cache_stat(&entry, request->proxy->transfer.cache,
                               &request->route.path.reference.digest, &ignored) == 0 &&
                    entry.state == CACHE_SEALED;
    request->freshness = is_known ? PROXY_HIT : PROXY_MISS;
    request->source = is_known ? (int)SOURCE_DISK : -1;
    if (is_known)
        size = entry.size;
    if (size == UINT64_MAX) { /* permitted, and nobody has told the size: upstream knows */
        proxy_relay_serve(request);
        return;
    }
    proxy_head_add_blob(request);
    dt_http_reply_head(request->http, 200, size);
}

/* Takes the caller's reference to the request over. */
static struct proxy_blob *blob_new(struct proxy_request *request, uint64_t known_size)
{
    struct proxy_blob *blob = dt_new(struct proxy_blob);
    blob->magic = BLOB_MAGIC;
    blob->request = request;
    blob->known_size = known_size;
    request->job = blob;
    request->job_end = blob_end;
    dt_timer_init(&blob->deadline, request->loop, on_deadline, blob);
    dt_timer_set(&blob->deadline, (proxy_request_head_left_ms(request) + 1) / 2);
    return blob;
}

static void on_permit(void *arg, struct proxy_permit *permit)
{
    struct proxy_request *request = arg; /* a counted reference */
    bool is_live = proxy_request_is_live(request);
    if (is_live && permit->refusal.err.code == 0 && !request->is_head) {
        serve_get(blob_new(request, permit->size));
        return;
    }
    if (is_live && permit->refusal.err.code != 0)
        proxy_request_refuse(request, &permit->refusal);
    else if (is_live)
        serve_head(request, permit->size);
    proxy_request_unref(&request);
}

void proxy_blob_serve(struct proxy_request *request)
{
    proxy_repository_permit_blob(request->proxy, request->route.upstream,
                                 request->route.path.repository,
                                 &request->route.path.reference.digest, request->authorization,
                                 on_permit, proxy_request_ref(request));
}
