/*
 * transfer/source_registry.c - an endpoint of an upstream as a source of one blob's bytes.
 *
 * Asks GET /v2/<repository>/blobs/<digest>, with Range unless the whole blob is wanted. What
 * registries do, and what is made of it here:
 *   206 with the asked Content-Range     taken
 *   206 with another range, or none      DT_EPROTO: the bytes would land in the wrong place
 *   200 although a Range was asked       the bytes before it are skipped (and the planner learns
 *                                        that ranges are no use here)
 *   any other status                     its code; the body is never read: its framing may be wrong
 */
#define LOG_COMPONENT "source"
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "transfer/transfer.h"
#include "transfer/pull.h"
#include "transfer/source.h"
#include "registry-client/error.h"

#define REGISTRY_SOURCE_MAGIC 0x73726367u

struct registry_source {
    struct source base; /* first */
    unsigned magic;
    struct transfer *transfer;
    struct reg_upstream *upstream; /* borrowed */
    struct reg_endpoint *endpoint; /* borrowed */
    char *repository;              /* owned */
    char *path;                    /* owned */
    char *authorization;           /* owned or NULL; wiped */
};

struct source_fetch {
    struct registry_source *source;
    struct source_span span;
    const struct source_sink_ops *sink;
    void *arg;
    struct transfer_pull *pull; /* owned */
    uint64_t skip_bytes;        /* of a 200 that ignored our Range */
    uint64_t left_bytes;        /* still wanted; UINT64_MAX = to the end */
    struct dt_err err;          /* why on_head stopped the pull */
};

/* How large the blob is, and whether the answer fits the question. */
static int read_head(struct source_fetch *fetch, const struct dt_fetch_head *head, uint64_t *size)
{
    const char *name = fetch->source->base.name;
    if (head->status == 206) {
        uint64_t first, last;
        const char *value = dt_fetch_header(head->fetch, "content-range");
        if (value == NULL || dt_content_range_parse(&first, &last, size, value, &fetch->err) < 0 ||
            first != fetch->span.off)
            return dt_err_set(&fetch->err, DT_EPROTO,
                              "%s answered 206 without the Content-Range asked for", name);
        return 0;
    }
    if (head->status != 200)
        return dt_err_set(&fetch->err, (enum dt_code)abs(reg_status_code(head->status)),
                          "%s answered %d for a blob", name, head->status);
    *size = head->content_length;
    fetch->skip_bytes = fetch->span.off;
    if (fetch->span.off > 0 || fetch->span.end != UINT64_MAX) {
        fetch->source->base.ignores_range = true;
        fetch->left_bytes = UINT64_MAX; /* all of it comes: the task may as well take it */
    }
    return 0;
}

static bool on_head(void *arg, const struct dt_fetch_head *head)
{
    struct source_fetch *fetch = arg;
    uint64_t size = UINT64_MAX;
    if (read_head(fetch, head, &size) < 0)
        return false;
    int rc = fetch->sink->on_size(fetch->arg, size);
    if (rc < 0)
        dt_err_set(&fetch->err, (enum dt_code) - rc, "%s: its size contradicts what is known",
                   fetch->source->base.name);
    return rc == 0;
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct source_fetch *fetch = arg;
    if (fetch->skip_bytes >= len) {
        fetch->skip_bytes -= len;
        return true;
    }
    size_t skip = (size_t)fetch->skip_bytes;
    size_t n = len - skip;
    if (n > fetch->left_bytes)
        n = (size_t)fetch->left_bytes;
    if (n == 0)
        return true; /* beyond what was asked: the task cancels when it has all */
    struct source *source = &fetch->source->base;
    const uint64_t left_before = fetch->left_bytes;
    /* Counted before the call, because the callee may cancel and free this fetch. */
    fetch->skip_bytes = 0;
    if (left_before != UINT64_MAX)
        fetch->left_bytes -= n;
    source->bytes += n;
    if (fetch->sink->on_data(fetch->arg, (const char *)bytes + skip, n))
        return true;
    fetch->skip_bytes = skip; /* paused: the same bytes come again */
    fetch->left_bytes = left_before;
    source->bytes -= n;
    return false;
}

static void on_done(void *arg, const struct dt_err *pull_err)
{
    struct source_fetch *fetch = arg;
    struct dt_err err = fetch->err.code != 0 ? fetch->err : *pull_err;
    const struct source_sink_ops *sink = fetch->sink;
    void *owner = fetch->arg;
    fetch->source->base.n_active--;
    free(fetch);
    sink->on_done(owner, &err);
}

static const struct dt_fetch_ops PULL_OPS = {on_head, on_data, on_done};

static struct source_fetch *registry_fetch(struct source *base, const struct source_span *span,
                                           const struct source_sink_ops *sink, void *arg)
{
    struct registry_source *source = (struct registry_source *)base;
    DT_ASSERT(source->magic == REGISTRY_SOURCE_MAGIC);
    struct source_fetch *fetch = dt_new(struct source_fetch);
    fetch->source = source;
    fetch->span = *span;
    fetch->sink = sink;
    fetch->arg = arg;
    fetch->left_bytes = span->end == UINT64_MAX ? UINT64_MAX : span->end - span->off;

    char range[64] = "";
    if (span->end != UINT64_MAX)
        (void)dt_text_print(range, sizeof(range), "bytes=%llu-%llu", /* always fits */
                            (unsigned long long)span->off, (unsigned long long)span->end - 1);
    else if (span->off > 0)
        (void)dt_text_print(range, sizeof(range), "bytes=%llu-", (unsigned long long)span->off);
    struct transfer_pull_opts opts = {
        .transfer = source->transfer,
        .upstream = source->upstream,
        .endpoint = source->endpoint,
        .method = "GET",
        .path = source->path,
        .repository = source->repository,
        .authorization = source->authorization,
        .range = range[0] != '\0' ? range : NULL,
        /* Whoever asked was permitted to read this blob before the task began. */
        .may_use_account = true,
        .head_timeout_ms = span->head_timeout_ms,
        .again_after_ms = span->again_after_ms,
        .stall_timeout_ms = source->transfer->options->stall_timeout_ms,
        .was_held = &base->was_held,
    };
    base->n_active++;
    fetch->pull = transfer_pull_start(&opts, &PULL_OPS, fetch);
    return fetch;
}

static void registry_resume(struct source_fetch *fetch)
{
    transfer_pull_resume(fetch->pull);
}

static void registry_cancel(struct source_fetch **fetch_ptr)
{
    struct source_fetch *fetch = *fetch_ptr;
    *fetch_ptr = NULL;
    if (fetch == NULL)
        return;
    fetch->source->base.n_active--;
    transfer_pull_cancel(&fetch->pull);
    free(fetch);
}

static void registry_strike(struct source *base)
{
    struct registry_source *source = (struct registry_source *)base;
    reg_endpoint_strike(source->endpoint, dt_loop_now_ms(dt_loop_current()), dt_wall_ms());
}

static bool registry_is_ready(struct source *base, uint64_t now_ms)
{
    struct registry_source *source = (struct registry_source *)base;
    return reg_endpoint_breaker(source->endpoint, now_ms) != REG_BREAKER_OPEN;
}

static void registry_free(struct source **base_ptr)
{
    struct registry_source *source = (struct registry_source *)*base_ptr;
    *base_ptr = NULL;
    if (source == NULL)
        return;
    DT_ASSERT(source->magic == REGISTRY_SOURCE_MAGIC && source->base.n_active == 0);
    source->magic = 0;
    dt_free_secret(&source->authorization);
    free(source->repository);
    free(source->path);
    free(source);
}

static const struct source_ops REGISTRY_OPS = {
    .fetch = registry_fetch,
    .resume = registry_resume,
    .cancel = registry_cancel,
    .strike = registry_strike,
    .is_ready = registry_is_ready,
    .free = registry_free,
};

struct source *source_registry_new(struct transfer *transfer, struct reg_upstream *upstream,
                                   struct reg_endpoint *endpoint, const char *repository,
                                   const struct dt_digest *digest, const char *authorization)
{
    char text[DT_DIGEST_TEXT_MAX];
    struct registry_source *source = dt_new(struct registry_source);
    source->magic = REGISTRY_SOURCE_MAGIC;
    source->base.ops = &REGISTRY_OPS;
    source->base.kind = endpoint->index == 0 ? SOURCE_ORIGIN : SOURCE_MIRROR;
    source->base.order = endpoint->index;
    /* Long names are cut: they are for people. */
    (void)dt_text_print(source->base.name, sizeof(source->base.name), "%s", endpoint->url);
    source->transfer = transfer;
    source->upstream = upstream;
    source->endpoint = endpoint;
    source->repository = dt_strdup(repository);
    source->path = dt_asprintf("/v2/%s/blobs/%s", repository, dt_digest_format(text, digest));
    source->authorization = dt_strdup(authorization);
    return &source->base;
}
