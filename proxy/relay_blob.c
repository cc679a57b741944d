/*
 * proxy/relay_blob.c - stream-through: a blob for one client while the cache cannot take it.
 *
 *   FETCHING (source, again from the next one by Range, ...) -> REPLYING -> ENDED
 *
 * The blob is always fetched from its first byte when the client's range reaches its last one: only
 * so can the digest be known before that byte goes out. A part that ends earlier is fetched alone.
 * The client's head waits for the first byte; a blob that fits the buffer waits for its digest.
 * Hashing is done here, on the loop, a few dozen KiB at a time: this is the mode of a sick disk,
 * not the hot path.
 */
#define LOG_COMPONENT "relay"
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/head.h"
#include "proxy/relay.h"
#include "proxy/relay_buffer.h"

#define RELAY_BLOB_MAGIC 0x72626c62u
#define RELAY_TRIES      3 /* per source */

struct relay_blob {
    unsigned magic;
    struct proxy_request *request; /* a counted reference */
    struct source *sources[REG_ENDPOINTS_MAX];
    size_t n_sources, source;   /* `source` runs now */
    struct source_fetch *fetch; /* owned while running */
    uint64_t size;              /* of the blob, or UINT64_MAX */
    uint64_t first, end;        /* the client's range; end = UINT64_MAX: unknown */
    uint64_t pos;               /* next byte to come */
    struct dt_hasher *hasher;   /* owned; NULL when only a middle part is fetched */
    struct relay_buffer buffer;
    struct dt_timer deadline;
    struct dt_err err;
    bool is_part, is_paused, is_replying;
    bool is_size_claimed; /* `size` is what the first source said */
    bool is_rest;         /* what was before it came another way, from whomever */
};

static void fetch_next(struct relay_blob *relay);
static void conclude(struct relay_blob *relay);

static void relay_blob_end(void *arg, enum dt_http_end how)
{
    struct relay_blob *relay = arg;
    (void)how;
    DT_ASSERT(relay->magic == RELAY_BLOB_MAGIC);
    relay->magic = 0;
    dt_timer_clear(&relay->deadline);
    if (relay->fetch != NULL)
        relay->sources[relay->source]->ops->cancel(&relay->fetch);
    for (size_t i = 0; i < relay->n_sources; i++)
        relay->sources[i]->ops->free(&relay->sources[i]);
    dt_hasher_free(&relay->hasher);
    relay_buffer_fini(&relay->buffer);
    proxy_request_unref(&relay->request);
    free(relay);
}

/* ---- the body ---- */

enum dt_http_next proxy_relay_next(struct relay_blob *relay, uint64_t off, size_t max_len,
                                   struct dt_http_span *span)
{
    const void *bytes;
    bool has_room;
    size_t len = relay_buffer_span(&relay->buffer, off, max_len, &bytes, &has_room);
    if (relay->is_paused && has_room && relay->fetch != NULL) {
        relay->is_paused = false;
        relay->sources[relay->source]->ops->resume(relay->fetch);
    }
    return relay_buffer_next(&relay->buffer, bytes, len, span);
}

static enum dt_http_next body_next(void *arg, uint64_t off, size_t max_len,
                                   struct dt_http_span *span)
{
    return proxy_relay_next(arg, off, max_len, span);
}

/* The end of the request releases everything. */
static const struct dt_http_body_ops BODY_OPS = {.next = body_next};

/* ---- the head ---- */

static void reply(struct relay_blob *relay)
{
    struct proxy_request *request = relay->request;
    dt_timer_clear(&relay->deadline);
    relay->is_replying = true;
    request->source = (int)relay->sources[relay->source]->kind;
    proxy_head_add_blob(request);
    if (relay->is_part)
        proxy_head_add_part(request, relay->first, relay->end, relay->size);
    uint64_t len = relay->end == UINT64_MAX ? DT_HTTP_LENGTH_UNKNOWN : relay->end - relay->first;
    if (len == 0)
        dt_http_reply(request->http, 200, "", 0);
    else
        dt_http_reply_stream(request->http, relay->is_part ? 206 : 200, len, &BODY_OPS, relay);
}

/* Enough in hand to promise 200? Last thing its callers do: a reply may end everything. */
static void reply_or_wake(struct relay_blob *relay)
{
    bool fits = relay->end != UINT64_MAX && relay->end - relay->first <= RELAY_BUFFER_BYTES;
    if (relay->is_replying)
        dt_http_body_wake(relay->request->http);
    else if (relay->buffer.is_finished || (!fits && relay_buffer_total(&relay->buffer) > 1))
        reply(relay);
}

static void fail(struct relay_blob *relay, const struct dt_err *err)
{
    char name[13];
    dt_log_warn("stream_through_failed", "request=%llu blob=%s at=%llu code=%s reason=%s",
                (unsigned long long)relay->request->id,
                dt_digest_short(name, &relay->request->route.path.reference.digest),
                (unsigned long long)relay->pos, dt_code_name(err->code), DT_LOG_Q(err->msg));
    relay_buffer_fail(&relay->buffer);
    dt_timer_clear(&relay->deadline);
    if (relay->is_replying)
        dt_http_body_wake(relay->request->http);
    else
        proxy_request_fail(relay->request, err, err->code == DT_ENOTFOUND ? "BLOB_UNKNOWN" : NULL);
}

/* ---- bytes ---- */

/* With the size known, the client's Range can be resolved. false = answered (416). */
static bool resolve_range(struct relay_blob *relay)
{
    struct proxy_request *request = relay->request;
    relay->end = relay->size;
    struct dt_range range = {.kind = DT_RANGE_NONE};
    if (relay->size != UINT64_MAX)
        range = proxy_head_range(request, relay->size);
    if (range.kind == DT_RANGE_UNSATISFIABLE) {
        dt_timer_clear(&relay->deadline);
        proxy_head_refuse_range(request, relay->size);
        return false;
    }
    if (range.kind == DT_RANGE_SATISFIABLE) {
        relay->is_part = true;
        relay->first = range.first;
        relay->end = range.last + 1;
    }
    if (relay->is_part && relay->end < relay->size)
        relay->pos = relay->first; /* a middle part: nothing to verify, nothing before it needed */
    else
        relay->hasher =
            dt_hasher_new((enum dt_digest_algo)request->route.path.reference.digest.algo);
    return true;
}

static int on_size(void *arg, uint64_t blob_size)
{
    struct relay_blob *relay = arg;
    if (relay->size == UINT64_MAX && blob_size != UINT64_MAX && relay->pos == 0) {
        relay->size = blob_size;
        relay->is_size_claimed = true;
        if (relay->end == UINT64_MAX)
            relay->end = blob_size; /* no Range was resolved against an unknown size: all of it */
    }
    if (blob_size != UINT64_MAX && relay->size != UINT64_MAX && blob_size != relay->size)
        return -DT_EPROTO;
    return 0;
}

/* Where the fetching ends: a blob that is verified is read to its end. */
static uint64_t target(const struct relay_blob *relay)
{
    return relay->hasher != NULL ? relay->size : relay->end;
}

/* Bytes beyond the target are nobody's: let through, they would push the last byte of the blob out
 * to the client before its digest is known. */
static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct relay_blob *relay = arg;
    const char *from = bytes;
    bool is_over = len > target(relay) - relay->pos;
    if (is_over)
        len = (size_t)(target(relay) - relay->pos);
    size_t skip = 0;
    if (relay->pos < relay->first)
        skip = relay->first - relay->pos < len ? (size_t)(relay->first - relay->pos) : len;
    if (skip < len && !relay_buffer_put(&relay->buffer, from + skip, len - skip)) {
        relay->is_paused = true;
        return false;
    }
    if (relay->hasher != NULL)
        dt_hasher_update(relay->hasher, bytes, len);
    relay->pos += len;
    if (is_over) {
        relay->sources[relay->source]->ops->cancel(&relay->fetch);
        conclude(relay);
    } else {
        reply_or_wake(relay);
    }
    return true;
}

/* ---- the end of a source ---- */

static bool is_right(struct relay_blob *relay)
{
    struct dt_digest computed;
    if (relay->hasher == NULL)
        return true;
    dt_hasher_final(relay->hasher, &computed);
    dt_hasher_free(&relay->hasher);
    return dt_digest_equal(&computed, &relay->request->route.path.reference.digest);
}

/* Wrong bytes: begin again elsewhere if the client has seen nothing. */
static void on_mismatch(struct relay_blob *relay)
{
    struct source *source = relay->sources[relay->source];
    if (!relay->is_rest)
        source->ops->strike(source);
    source->is_excluded = true;
    dt_err_set(&relay->err, DT_EMISMATCH, "%s gave bytes that do not match the digest",
               relay->is_rest ? "somebody" : source->name);
    if (relay->is_replying) {
        fail(relay, &relay->err);
        return;
    }
    relay_buffer_reset(&relay->buffer);
    relay->pos = 0;
    if (relay->is_size_claimed) /* by him */
        relay->size = relay->end = UINT64_MAX;
    relay->is_size_claimed = false;
    relay->hasher =
        dt_hasher_new((enum dt_digest_algo)relay->request->route.path.reference.digest.algo);
    fetch_next(relay);
}

/* Every byte that was wanted is here. */
static void conclude(struct relay_blob *relay)
{
    if (!is_right(relay)) {
        on_mismatch(relay);
        return;
    }
    relay_buffer_finish(&relay->buffer);
    reply_or_wake(relay);
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct relay_blob *relay = arg;
    struct source *source = relay->sources[relay->source];
    relay->fetch = NULL;
    relay->is_paused = false;
    if (err->code == 0 && (target(relay) == UINT64_MAX || relay->pos == target(relay))) {
        conclude(relay);
        return;
    }
    relay->err = *err;
    if (err->code == 0)
        dt_err_set(&relay->err, DT_EPROTO, "%s ended the body early", source->name);
    source->failures++;
    source->is_excluded |= !dt_code_is_retryable(relay->err.code);
    fetch_next(relay);
}

static const struct source_sink_ops SINK_OPS = {on_size, on_data, on_done};

/* The first source in order that may still be asked; each gets RELAY_TRIES. */
static void fetch_next(struct relay_blob *relay)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < relay->n_sources; i++) {
        struct source *s = relay->sources[i];
        if (s->is_excluded || s->failures >= RELAY_TRIES)
            continue;
        if (best == SIZE_MAX || s->failures < relay->sources[best]->failures)
            best = i;
    }
    if (best == SIZE_MAX) {
        fail(relay, &relay->err);
        return;
    }
    relay->source = best;
    const struct transfer_options *options = &relay->request->proxy->options->transfer;
    struct source_span span = {
        .off = relay->pos,
        .end = relay->hasher != NULL ? UINT64_MAX : relay->end,
        .head_timeout_ms = transfer_patience_ms(options, relay->n_sources > 1),
        .again_after_ms = transfer_again_ms(options, relay->n_sources > 1),
    };
    relay->fetch = relay->sources[best]->ops->fetch(relay->sources[best], &span, &SINK_OPS, relay);
}

static void on_deadline(void *arg)
{
    struct relay_blob *relay = arg;
    struct dt_err err = {0};
    if (relay->fetch != NULL)
        relay->sources[relay->source]->ops->cancel(&relay->fetch);
    dt_err_set(&err, DT_ETIMEOUT, "no source gave a byte in time");
    fail(relay, &err);
}

static struct relay_blob *relay_new(struct proxy_request *request, uint64_t size)
{
    struct relay_blob *relay = dt_new(struct relay_blob);
    struct reg_upstream *upstream = request->route.upstream;
    relay->magic = RELAY_BLOB_MAGIC;
    relay->request = proxy_request_ref(request);
    relay->size = size;
    for (size_t i = 0; i < upstream->n_endpoints; i++)
        relay->sources[relay->n_sources++] =
            source_registry_new(&request->proxy->transfer, upstream, &upstream->endpoints[i],
                                request->route.path.repository,
                                &request->route.path.reference.digest, request->authorization);
    dt_timer_init(&relay->deadline, request->loop, on_deadline, relay);
    return relay;
}

void proxy_relay_blob(struct proxy_request *request, uint64_t size)
{
    struct relay_blob *relay = relay_new(request, size);
    request->job = relay;
    request->job_end = relay_blob_end;
    request->freshness = PROXY_MISS;
    dt_timer_set(&relay->deadline, proxy_request_head_left_ms(request));
    if (resolve_range(relay))
        fetch_next(relay);
}

struct relay_blob *proxy_relay_rest(struct proxy_request *request, const struct proxy_rest *rest,
                                    struct dt_hasher **hasher)
{
    struct relay_blob *relay = relay_new(request, rest->size);
    relay->first = relay->pos = rest->at;
    relay->end = rest->end;
    relay->hasher = *hasher;
    *hasher = NULL;
    relay->is_rest = relay->is_replying = true;
    fetch_next(relay);
    return relay;
}

void proxy_relay_free(struct relay_blob **relay)
{
    if (*relay != NULL)
        relay_blob_end(*relay, DT_HTTP_CUT);
    *relay = NULL;
}
