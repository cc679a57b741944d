/*
 * proxy/request.c - what every request on the mirror port has, and its one log line.
 */
#define LOG_COMPONENT "access"
#include "proxy/request.h"

#include <stdatomic.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "registry-client/error.h"

#define REQUEST_MAGIC 0x72657175u
#define ALLOWED       "GET, HEAD"

static struct dt_metric metric_first_byte = {
    .name = "darter_first_byte_seconds",
    .help = "Time from a parsed request to the first byte of its answer.",
    .kind = DT_HISTOGRAM,
    .bounds = dt_latency_bounds_s,
};
static DT_DEFINE_COUNTER(metric_requests, "darter_requests_total", NULL,
                         "Requests on the mirror port.");
static DT_DEFINE_COUNTER(metric_errors, "darter_request_errors_total", NULL,
                         "Requests answered with a 5xx status, or cut short by us.");
static DT_DEFINE_COUNTER(metric_sent, "darter_sent_bytes_total", NULL,
                         "Body bytes sent to clients.");
static DT_DEFINE_COUNTER(metric_disk_bytes, "darter_sent_from_disk_bytes_total", NULL,
                         "Body bytes sent to clients from blobs that were cached already.");

static _Atomic uint64_t last_id;

struct proxy_request *proxy_request_ref(struct proxy_request *request)
{
    DT_ASSERT(request->magic == REQUEST_MAGIC);
    dt_loop_assert_mine(request->loop);
    request->refs++;
    return request;
}

void proxy_request_unref(struct proxy_request **request_ptr)
{
    struct proxy_request *request = *request_ptr;
    *request_ptr = NULL;
    DT_ASSERT(request->magic == REQUEST_MAGIC && request->refs > 0);
    if (--request->refs > 0)
        return;
    request->magic = 0;
    dt_free_secret(&request->authorization);
    free(request->accept);
    free(request);
}

bool proxy_request_is_live(const struct proxy_request *request)
{
    return request->http != NULL;
}

uint64_t proxy_request_head_left_ms(const struct proxy_request *request)
{
    uint64_t limit_ms = request->proxy->options->transfer.head_deadline_ms;
    uint64_t waited_ms = (dt_mono_us() - request->began_us) / 1000;
    return waited_ms < limit_ms ? limit_ms - waited_ms : 1;
}

/* ---- answers ---- */

void proxy_request_add_common_headers(struct proxy_request *request)
{
    struct dt_http_req *http = request->http;
    dt_http_add_header(http, "Docker-Distribution-Api-Version", "registry/2.0");
    if (request->source >= 0) {
        dt_http_add_header(http, "X-Darter-Source",
                           source_kind_word((enum source_kind)request->source));
        dt_http_add_header(http, "X-Cache", proxy_freshness_word(request->freshness));
    }
    dt_http_add_headerf(http, "X-Darter-First-Byte-Ms", "%llu",
                        (unsigned long long)(dt_mono_us() - request->began_us) / 1000);
}

void proxy_request_refuse(struct proxy_request *request, const struct proxy_refusal *refusal)
{
    struct dt_text body = {0};
    proxy_request_add_common_headers(request);
    dt_http_add_header(request->http, "Content-Type", "application/json");
    if (refusal->www_authenticate != NULL)
        dt_http_add_header(request->http, "WWW-Authenticate", refusal->www_authenticate);
    if (refusal->retry_after_s > 0)
        dt_http_add_headerf(request->http, "Retry-After", "%u", refusal->retry_after_s);
    int status = refusal->status != 0 ? refusal->status : dt_code_http_status(refusal->err.code);
    if (status == 405)
        dt_http_add_header(request->http, "Allow", ALLOWED);
    reg_error_print(&body, refusal->err.code, refusal->registry_code, refusal->err.msg);
    dt_http_reply(request->http, status, dt_text_str(&body), body.len);
    dt_text_fini(&body);
}

void proxy_request_fail(struct proxy_request *request, const struct dt_err *err,
                        const char *registry_code)
{
    struct proxy_refusal refusal = {.err = *err, .registry_code = registry_code};
    /* Our own disk's state is nobody else's business: to a runtime it is "try elsewhere". */
    if (err->code == DT_ENOSPACE || err->code == DT_EIO)
        refusal.status = 503;
    proxy_request_refuse(request, &refusal);
}

/* ---- the end ---- */

static const char *end_word(enum dt_http_end end)
{
    switch (end) {
    case DT_HTTP_COMPLETE:
        return "complete";
    case DT_HTTP_CUT:
        return "cut";
    case DT_HTTP_CLIENT_GONE:
        return "client_gone";
    }
    return "?";
}

static void log_access(const struct proxy_request *request, const struct dt_http_summary *sum)
{
    const char *method = dt_http_method_name(request->http);
    dt_log_info("request",
                "id=%llu peer=%s method=%s target=%s upstream=%s status=%d bytes=%llu source=%s "
                "cache=%s first_byte_us=%llu total_us=%llu end=%s",
                (unsigned long long)request->id, dt_http_peer(request->http), method,
                DT_LOG_Q(dt_http_target(request->http)),
                request->route.upstream != NULL ? request->route.upstream->name : "-", sum->status,
                (unsigned long long)sum->body_bytes,
                request->source >= 0 ? source_kind_word((enum source_kind)request->source) : "-",
                request->source >= 0 ? proxy_freshness_word(request->freshness) : "-",
                (unsigned long long)sum->first_byte_us, (unsigned long long)sum->total_us,
                end_word(sum->end));
}

static void count(const struct proxy_request *request, const struct dt_http_summary *sum)
{
    dt_metric_add(&metric_requests, 1);
    dt_metric_add(&metric_sent, (int64_t)sum->body_bytes);
    if (request->source == SOURCE_DISK)
        dt_metric_add(&metric_disk_bytes, (int64_t)sum->body_bytes);
    if (request->source >= 0 && sum->status >= 200 && sum->status < 300)
        (request->source == SOURCE_DISK ? cache_count_hit
                                        : cache_count_miss)(request->proxy->transfer.cache);
    if (sum->status >= 500 || sum->end == DT_HTTP_CUT)
        dt_metric_add(&metric_errors, 1);
    if (sum->status != 0)
        dt_metric_observe(&metric_first_byte, (double)sum->first_byte_us / 1e6);
}

static void on_end(void *arg, const struct dt_http_summary *sum)
{
    struct proxy_request *request = arg;
    DT_ASSERT(request->magic == REQUEST_MAGIC);
    count(request, sum);
    log_access(request, sum);
    void *job = request->job;
    request->job = NULL;
    request->http = NULL;
    if (job != NULL)
        request->job_end(job, sum->end);
    proxy_request_unref(&request);
}

/* ---- the beginning ---- */

struct proxy_request *proxy_request_new(struct proxy *proxy, struct dt_http_req *http)
{
    struct proxy_request *request = dt_new(struct proxy_request);
    request->magic = REQUEST_MAGIC;
    request->refs = 1;
    request->proxy = proxy;
    request->loop = dt_http_loop(http);
    request->http = http;
    request->id = atomic_fetch_add(&last_id, 1) + 1;
    request->began_us = dt_mono_us();
    request->source = -1;
    request->is_head = dt_http_method(http) == DT_HEAD;
    request->authorization = dt_strdup(dt_http_header(http, "authorization"));
    request->accept = dt_strdup(dt_http_header(http, "accept"));
    dt_http_on_end(http, on_end, request);
    return request;
}
