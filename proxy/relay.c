/*
 * proxy/relay.c - pass-through: upstream's answer to one client, as it came.
 *
 *   ASKING endpoint 0, 1, ... -> REPLYING -> ENDED
 *
 * Endpoints are tried in order until one gives a definite answer. Bodies of 2xx answers are
 * streamed with back-pressure; a refusal's body is not read (its framing may be wrong), the client
 * gets our own error body with upstream's status and challenge. A registry without the referrers
 * API (404) is answered for from the fallback tag, else with an empty index (distribution-spec
 * v1.1, "Listing Referrers"). Lives on the request's loop.
 */
#define LOG_COMPONENT "relay"
#include "proxy/relay.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "transfer/pull.h"
#include "proxy/relay_buffer.h"
#include "registry-client/error.h"

#define RELAY_MAGIC 0x72656c79u
#define INDEX_TYPE  "application/vnd.oci.image.index.v1+json"

static const char EMPTY_INDEX[] =
    "{\"schemaVersion\":2,\"mediaType\":\"" INDEX_TYPE "\",\"manifests\":[]}";

/* What of upstream's response head goes to the client; the rest is between us and upstream. */
static const char *const PASSED_HEADERS[] = {
    "Content-Type",
    "Docker-Content-Digest",
    "ETag",
    "Link",
    "OCI-Filters-Applied",
    "Warning",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "Docker-RateLimit-Source",
    "OCI-Subject",
    "Last-Modified",
    "Cache-Control",
};

struct proxy_relay {
    unsigned magic;
    struct proxy_request *request; /* a counted reference */
    struct transfer_pull *pull;    /* owned while running */
    uint32_t tried;                /* bit per endpoint */
    unsigned endpoint;
    char *path;       /* owned */
    bool is_fallback; /* asking for the referrers' tag */
    bool is_paused, is_replying;
    struct relay_buffer buffer;
    struct dt_timer deadline; /* over all endpoints; armed until there is an answer */
    struct dt_err err;        /* the last failure */
};

static void ask_next(struct proxy_relay *relay);

static void relay_end(void *arg, enum dt_http_end how)
{
    struct proxy_relay *relay = arg;
    (void)how; /* the request logs it */
    DT_ASSERT(relay->magic == RELAY_MAGIC);
    relay->magic = 0;
    dt_timer_clear(&relay->deadline);
    transfer_pull_cancel(&relay->pull);
    relay_buffer_fini(&relay->buffer);
    free(relay->path);
    proxy_request_unref(&relay->request);
    free(relay);
}

/* ---- the body ---- */

static enum dt_http_next body_next(void *arg, uint64_t off, size_t max_len,
                                   struct dt_http_span *span)
{
    struct proxy_relay *relay = arg;
    const void *bytes;
    bool has_room;
    size_t len = relay_buffer_span(&relay->buffer, off, max_len, &bytes, &has_room);
    if (relay->is_paused && has_room) {
        relay->is_paused = false;
        transfer_pull_resume(
            relay->pull); /* may put more: the span stays, it is in the other half */
    }
    return relay_buffer_next(&relay->buffer, bytes, len, span);
}

/* The end of the request releases everything. */
static const struct dt_http_body_ops BODY_OPS = {.next = body_next};

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct proxy_relay *relay = arg;
    if (!relay_buffer_put(&relay->buffer, bytes, len)) {
        relay->is_paused = true;
        return false;
    }
    dt_http_body_wake(relay->request->http);
    return true;
}

/* ---- the head ---- */

/* A Link that names upstream itself is made relative: the client goes on asking us. */
static const char *relative_link(const struct proxy_relay *relay, const char *value, char **copy)
{
    const char *url = relay->request->route.upstream->endpoints[relay->endpoint].url;
    size_t len = strlen(url);
    if (value[0] != '<' || strncmp(value + 1, url, len) != 0)
        return value;
    *copy = dt_asprintf("<%s", value + 1 + len);
    return *copy;
}

static void pass_headers(struct proxy_relay *relay, struct dt_fetch *fetch)
{
    for (size_t i = 0; i < sizeof(PASSED_HEADERS) / sizeof(PASSED_HEADERS[0]); i++) {
        const char *value = dt_fetch_header(fetch, PASSED_HEADERS[i]);
        char *copy = NULL;
        if (value == NULL || !dt_http_value_is_clean(value))
            continue;
        if (strcmp(PASSED_HEADERS[i], "Link") == 0)
            value = relative_link(relay, value, &copy);
        dt_http_add_header(relay->request->http, PASSED_HEADERS[i], value);
        free(copy);
    }
}

/* May end the request, and so the relay, before it returns. */
static void fail(struct proxy_relay *relay, const struct dt_err *err)
{
    dt_timer_clear(&relay->deadline);
    proxy_request_fail(relay->request, err, NULL);
}

/* Ends the pull first: its headers are read before, and the answer may end the relay. */
static void refuse(struct proxy_relay *relay, int status, struct dt_fetch *fetch)
{
    struct proxy_refusal refusal = {.status = status};
    const char *challenge = dt_fetch_header(fetch, "www-authenticate");
    enum dt_code code = (enum dt_code)abs(reg_status_code(status));
    dt_err_set(&refusal.err, code != DT_OK ? code : DT_EPROTO, "the registry answered %d", status);
    if (status >= 300 && status < 400)
        refusal.status = 502; /* a redirect we could not follow is no answer for a client */
    if (challenge != NULL && dt_http_value_is_clean(challenge))
        refusal.www_authenticate = dt_strdup(challenge);
    dt_timer_clear(&relay->deadline);
    transfer_pull_cancel(&relay->pull);
    proxy_request_refuse(relay->request, &refusal);
    proxy_refusal_fini(&refusal);
}

static void reply_empty_index(struct proxy_relay *relay)
{
    struct proxy_request *request = relay->request;
    dt_timer_clear(&relay->deadline);
    proxy_request_add_common_headers(request);
    dt_http_add_header(request->http, "Content-Type", INDEX_TYPE);
    dt_http_reply(request->http, 200, EMPTY_INDEX, sizeof(EMPTY_INDEX) - 1);
}

/* 404 for referrers: first the fallback tag, then the empty list. */
static bool answers_referrers(struct proxy_relay *relay, int status)
{
    if (relay->request->route.path.kind != REG_REFERRERS || status != 404)
        return false;
    transfer_pull_cancel(&relay->pull);
    if (relay->is_fallback) {
        reply_empty_index(relay);
        return true;
    }
    char text[DT_DIGEST_TEXT_MAX];
    dt_digest_format(text, &relay->request->route.path.reference.digest);
    *strchr(text, ':') = '-';
    free(relay->path);
    relay->path = dt_asprintf("/v2/%s/manifests/%s", relay->request->route.path.repository, text);
    relay->is_fallback = true;
    relay->tried = 0;
    ask_next(relay);
    return true;
}

static void reply(struct proxy_relay *relay, const struct dt_fetch_head *head)
{
    struct proxy_request *request = relay->request;
    request->source = relay->endpoint == 0 ? SOURCE_ORIGIN : SOURCE_MIRROR;
    relay->is_replying = true;
    dt_timer_clear(&relay->deadline);
    proxy_request_add_common_headers(request);
    pass_headers(relay, head->fetch);
    if (request->is_head)
        dt_http_reply_head(request->http, head->status,
                           head->content_length != UINT64_MAX ? head->content_length : 0);
    else if (head->content_length == 0)
        dt_http_reply(request->http, head->status, "", 0);
    else
        dt_http_reply_stream(request->http, head->status,
                             head->content_length != UINT64_MAX ? head->content_length
                                                                : DT_HTTP_LENGTH_UNKNOWN,
                             &BODY_OPS, relay);
}

static bool on_head(void *arg, const struct dt_fetch_head *head)
{
    struct proxy_relay *relay = arg;
    struct proxy_request *request = relay->request;
    if (transfer_status_is_failure(head->status)) {
        dt_err_set(&relay->err, (enum dt_code)abs(reg_status_code(head->status)),
                   "the registry answered %d", head->status);
        return false; /* on_done asks the next endpoint */
    }
    if (head->status >= 200 && head->status < 300) {
        bool has_body = !request->is_head && head->content_length != 0;
        reply(relay, head); /* without a body this may end the request, and the relay */
        return has_body;
    }
    if (!answers_referrers(relay, head->status))
        refuse(relay, head->status, head->fetch);
    return true; /* cancelled: nothing follows */
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct proxy_relay *relay = arg;
    relay->pull = NULL;
    if (relay->is_replying) {
        if (err->code == 0)
            relay_buffer_finish(&relay->buffer);
        else
            relay_buffer_fail(&relay->buffer);
        dt_http_body_wake(relay->request->http);
        return;
    }
    if (relay->err.code == 0)
        relay->err = *err;
    ask_next(relay);
}

static void on_deadline(void *arg)
{
    struct proxy_relay *relay = arg;
    struct dt_err err = {0};
    DT_ASSERT(relay->magic == RELAY_MAGIC);
    transfer_pull_cancel(&relay->pull);
    dt_err_set(&err, DT_ETIMEOUT, "no registry of %s answered in time",
               relay->request->route.upstream->name);
    fail(relay, &err);
}

static const struct dt_fetch_ops PULL_OPS = {on_head, on_data, on_done};

static unsigned endpoints_left(const struct proxy_relay *relay)
{
    unsigned n_left = 0;
    for (size_t i = 0; i < relay->request->route.upstream->n_endpoints; i++)
        n_left += (relay->tried >> i & 1) == 0;
    return n_left;
}

/* Of what is left, so much that those after this one get theirs. */
static uint64_t head_share_ms(const struct proxy_relay *relay)
{
    unsigned n = endpoints_left(relay) + 1;
    return (proxy_request_head_left_ms(relay->request) + n - 1) / n;
}

static void ask_next(struct proxy_relay *relay)
{
    struct proxy_request *request = relay->request;
    struct reg_upstream *upstream = request->route.upstream;
    int picked = reg_upstream_pick(upstream, relay->tried, dt_loop_now_ms(request->loop));
    if (picked < 0) {
        if (relay->err.code == 0)
            dt_err_set(&relay->err, DT_EUNAVAILABLE, "no registry of %s is in use now",
                       upstream->name);
        fail(relay, &relay->err);
        return;
    }
    relay->endpoint = (unsigned)picked;
    relay->tried |= 1u << picked;
    struct transfer_pull_opts opts = {
        .transfer = &request->proxy->transfer,
        .upstream = upstream,
        .endpoint = &upstream->endpoints[picked],
        .method = request->is_head ? "HEAD" : "GET",
        .path = relay->path,
        .repository = request->route.path.repository,
        .authorization = request->authorization,
        .accept = relay->is_fallback ? INDEX_TYPE : request->accept,
        .may_use_account = upstream->own_credentials,
        .head_timeout_ms = head_share_ms(relay),
        .again_after_ms =
            transfer_again_ms(&request->proxy->options->transfer, endpoints_left(relay) > 0),
        .stall_timeout_ms = request->proxy->options->transfer.stall_timeout_ms,
    };
    relay->pull = transfer_pull_start(&opts, &PULL_OPS, relay);
}

void proxy_relay_serve(struct proxy_request *request)
{
    struct proxy_relay *relay = dt_new(struct proxy_relay);
    relay->magic = RELAY_MAGIC;
    relay->request = proxy_request_ref(request);
    relay->path = dt_strdup(request->route.upstream_path);
    request->job = relay;
    request->job_end = relay_end;
    request->freshness = PROXY_MISS;
    dt_timer_init(&relay->deadline, request->loop, on_deadline, relay);
    dt_timer_set(&relay->deadline, proxy_request_head_left_ms(request));
    ask_next(relay);
}
