/*
 * transfer/piece_server.c - see piece_server.h.
 *
 *   PARSED -> ADMITTED -> (WAITING for the bytes, shortly) -> REPLYING -> ENDED
 *
 * A piece is asked for when its holder has announced it, so what is not here yet is on its way from
 * the writer to the file: worth a moment, not more. The head goes out when every byte of the range
 * is readable; so no receiver's slot is held up by a piece that never comes.
 */
#define LOG_COMPONENT "pieces"
#include "transfer/piece_server.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "cache/pieces.h"
#include "cache/reader.h"
#include "transfer/blob_body.h"

#define PIECE_SERVER_MAGIC 0x70737276u

static DT_DEFINE_COUNTER(metric_bytes, "darter_upload_bytes_total", NULL,
                         "Bytes of pieces sent to other nodes.");
static DT_DEFINE_GAUGE(metric_uploads, "darter_uploads_running", NULL,
                       "Pieces being sent to other nodes now.");
static DT_DEFINE_COUNTER(metric_refused, "darter_uploads_refused_total", "why=\"denied\"",
                         "Requests for pieces that were refused.");
static DT_DEFINE_COUNTER(metric_busy, "darter_uploads_refused_total", "why=\"busy\"",
                         "Requests for pieces that were refused.");

struct piece_server {
    unsigned magic;
    struct transfer *transfer;
    struct dt_keys *keys;
    char *site; /* owned */
    unsigned max_uploads;
    struct dt_bucket *up;
    _Atomic unsigned uploads;
    _Atomic uint64_t served, refused, busy, bytes;
};

struct upload {
    struct piece_server *server;
    struct dt_http_req *req;
    struct cache_reader *reader; /* owned */
    struct blob_body body;
    struct dt_timer deadline;
    bool has_slot;
};

struct piece_server *piece_server_new(const struct piece_server_opts *opts)
{
    struct piece_server *server = dt_new(struct piece_server);
    server->magic = PIECE_SERVER_MAGIC;
    server->transfer = opts->transfer;
    server->keys = opts->keys;
    server->site = dt_strdup(opts->site);
    server->max_uploads = opts->max_uploads;
    server->up = opts->up;
    dt_metric_register(&metric_bytes);
    dt_metric_register(&metric_uploads);
    dt_metric_register(&metric_refused);
    dt_metric_register(&metric_busy);
    return server;
}

void piece_server_free(struct piece_server **server_ptr)
{
    struct piece_server *server = *server_ptr;
    *server_ptr = NULL;
    if (server == NULL)
        return;
    DT_ASSERT(server->magic == PIECE_SERVER_MAGIC && atomic_load(&server->uploads) == 0);
    server->magic = 0;
    free(server->site);
    free(server);
}

void piece_server_count(struct piece_server_counts *out, struct piece_server *server)
{
    *out = (struct piece_server_counts){.served = atomic_load(&server->served),
                                        .refused = atomic_load(&server->refused),
                                        .busy = atomic_load(&server->busy),
                                        .bytes = atomic_load(&server->bytes),
                                        .uploads = atomic_load(&server->uploads)};
}

/* ---- inside of a message ---- */

bool piece_server_count_inline(struct piece_server *server, uint64_t len)
{
    DT_ASSERT(server->magic == PIECE_SERVER_MAGIC);
    size_t taken = server->up != NULL ? dt_bucket_take(server->up, len, dt_mono_us()) : len;
    if (taken < len) {
        dt_bucket_give_back(server->up, taken);
        return false;
    }
    atomic_fetch_add(&server->served, 1);
    atomic_fetch_add(&server->bytes, len);
    dt_metric_add(&metric_bytes, (int64_t)len);
    return true;
}

/* ---- the end ---- */

static void count_sent(struct piece_server *server, const struct dt_http_summary *summary)
{
    atomic_fetch_add(&server->bytes, summary->body_bytes);
    dt_metric_add(&metric_bytes, (int64_t)summary->body_bytes);
    if (summary->end == DT_HTTP_COMPLETE)
        atomic_fetch_add(&server->served, 1);
}

static void on_end(void *arg, const struct dt_http_summary *summary)
{
    struct upload *upload = arg;
    struct piece_server *server = upload->server;
    dt_timer_clear(&upload->deadline);
    blob_body_fini(&upload->body);
    cache_reader_close(&upload->reader);
    if (upload->has_slot) {
        atomic_fetch_sub(&server->uploads, 1);
        dt_metric_add(&metric_uploads, -1);
        if (summary->status == 206)
            count_sent(server, summary);
    }
    free(upload);
}

static void refuse(struct upload *upload, int status, const char *why)
{
    atomic_fetch_add(&upload->server->refused, 1);
    dt_metric_add(&metric_refused, 1);
    dt_log_debug("piece_refused", "peer=%s status=%d reason=%s", dt_http_peer(upload->req), status,
                 DT_LOG_Q(why));
    dt_timer_clear(&upload->deadline);
    dt_http_add_header(upload->req, "Content-Type", "text/plain");
    dt_http_reply(upload->req, status, why, strlen(why));
}

/* ---- the bytes ---- */

static enum dt_http_next body_next(void *arg, uint64_t off, size_t max_len,
                                   struct dt_http_span *span)
{
    struct upload *upload = arg;
    enum dt_http_next next = blob_body_next(&upload->body, off, max_len, span);
    if (next == DT_HTTP_FAIL)
        dt_log_warn("piece_cut", "peer=%s at=%llu code=%s reason=%s", dt_http_peer(upload->req),
                    (unsigned long long)(upload->body.first + off),
                    dt_code_name(upload->body.err.code), DT_LOG_Q(upload->body.err.msg));
    return next;
}

/* The end of the request releases everything. */
static const struct dt_http_body_ops BODY_OPS = {.next = body_next};

static void reply(struct upload *upload)
{
    struct blob_body *body = &upload->body;
    dt_timer_clear(&upload->deadline);
    dt_http_add_header(upload->req, "Content-Type", "application/octet-stream");
    dt_http_add_headerf(upload->req, "Content-Range", "bytes %llu-%llu/%llu",
                        (unsigned long long)body->first,
                        (unsigned long long)(body->first + body->len - 1),
                        (unsigned long long)cache_reader_size(upload->reader));
    dt_http_reply_stream(upload->req, 206, body->len, &BODY_OPS, upload);
}

static void wait_for_bytes(void *arg)
{
    struct upload *upload = arg;
    const struct blob_body *body = &upload->body;
    struct dt_err err = {0};
    uint64_t have = 0;
    int64_t n = 0;
    while (have < body->len &&
           (n = cache_reader_available(upload->reader, body->first + have, &err)) > 0)
        have += (uint64_t)n;
    if (have >= body->len)
        reply(upload);
    else if (n < 0)
        refuse(upload, 404, "not here");
    else
        cache_reader_wait(upload->reader, body->first + have, dt_http_loop(upload->req),
                          wait_for_bytes, upload);
}

static void on_deadline(void *arg)
{
    struct upload *upload = arg;
    cache_reader_close(&upload->reader);
    refuse(upload, 404, "not here soon enough");
}

/* ---- the question ---- */

static bool take_slot(struct upload *upload)
{
    struct piece_server *server = upload->server;
    if (atomic_fetch_add(&server->uploads, 1) >= server->max_uploads) {
        atomic_fetch_sub(&server->uploads, 1);
        atomic_fetch_add(&server->busy, 1);
        dt_metric_add(&metric_busy, 1);
        dt_http_add_header(upload->req, "Retry-After", "1");
        dt_http_reply(upload->req, 503, "no free slot", strlen("no free slot"));
        return false;
    }
    upload->has_slot = true;
    dt_metric_add(&metric_uploads, 1);
    return true;
}

static void serve_get(struct upload *upload)
{
    uint64_t size = cache_reader_size(upload->reader);
    struct dt_range range = dt_range_parse(dt_http_header(upload->req, "range"), size);
    if (range.kind == DT_RANGE_UNSATISFIABLE) {
        dt_http_add_headerf(upload->req, "Content-Range", "bytes */%llu", (unsigned long long)size);
        refuse(upload, 416, "beyond the end");
        return;
    }
    if (range.kind == DT_RANGE_NONE || range.last - range.first >= CACHE_PIECE_SIZE_MAX) {
        refuse(upload, 400, "ask for one piece, by Range");
        return;
    }
    if (!take_slot(upload))
        return;
    upload->body.first = range.first;
    upload->body.len = range.last - range.first + 1;
    dt_timer_set(&upload->deadline, PIECE_SERVER_WAIT_MS);
    wait_for_bytes(upload);
}

static void serve(struct upload *upload, const struct dt_digest *digest)
{
    struct dt_err err = {0};
    if (cache_reader_open(&upload->reader, upload->server->transfer->cache, digest, &err) < 0) {
        refuse(upload, 404, "not here");
        return;
    }
    if (dt_http_method(upload->req) == DT_HEAD) {
        dt_http_reply_head(upload->req, 200, cache_reader_size(upload->reader));
        return;
    }
    cache_reader_by_piece(upload->reader);
    blob_body_init(&upload->body, upload->req, upload->reader, upload->server->up);
    serve_get(upload);
}

bool piece_server_handle(struct piece_server *server, struct dt_http_req *req)
{
    DT_ASSERT(server->magic == PIECE_SERVER_MAGIC);
    const char *target = dt_http_target(req);
    if (!dt_text_has_prefix(target, WIRE_PATH_BLOBS))
        return false;
    struct upload *upload = dt_new(struct upload);
    upload->server = server;
    upload->req = req;
    dt_timer_init(&upload->deadline, dt_http_loop(req), on_deadline, upload);
    dt_http_on_end(req, on_end, upload);

    const char *name = target + strlen(WIRE_PATH_BLOBS);
    struct dt_digest digest;
    struct dt_err err = {0};
    if (dt_http_method(req) != DT_GET && dt_http_method(req) != DT_HEAD) {
        dt_http_add_header(req, "Allow", "GET, HEAD");
        refuse(upload, 405, "GET or HEAD");
    } else if (dt_digest_parse(&digest, name, strlen(name), &err) < 0) {
        refuse(upload, 400, "not a digest");
    } else if (wire_ticket_check(server->keys, dt_http_header(req, "darter-ticket"), &digest,
                                 server->site, dt_wall_ms(), &err) < 0) {
        refuse(upload, dt_code_http_status(err.code), err.msg);
    } else {
        serve(upload, &digest);
    }
    return true;
}
