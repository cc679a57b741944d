/*
 * proxy/rescue.c - the rest of an answer when the cache's disk fails in the middle of its body.
 *
 *   HASHING [0, at) of the file, on the pool -> RELAYING [at, end) -> freed     any -> failed: cut
 *
 * A client that is already in its body has been promised every byte, and podman has no second try.
 * The rest is streamed to him from upstream, as to anybody while the cache cannot be used. The last
 * byte of a blob goes out only when the whole is proved right, and the whole is what he was given:
 * so the front is not fetched again but read again, from the file it was sent from. Nobody changes
 * that file any more: a writer whose disk failed under readers gives it up (cache/store.c), and a
 * later one begins a new file. Should the disk return other bytes than those that were sent, the
 * digest is wrong and the body is cut, as it is where the front was never here. An answer that ends
 * before the last byte of the blob completes nothing and needs no digest.
 */
#define LOG_COMPONENT "rescue"
#include "proxy/rescue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "proxy/relay.h"

static DT_DEFINE_COUNTER(metric_rescues, "darter_rescues_total", NULL,
                         "Bodies that went on from upstream when the cache's disk failed.");

#define RESCUE_MAGIC 0x72657363u
#define READ_BYTES   (256 * 1024u)
#define SLICE_BYTES  (8 * 1024 * 1024u) /* between two jobs: the pool has others to serve */

/* The front on its way through the hash. Outlives a client who leaves, until its job is back. */
struct rescue_front {
    struct dt_job job;
    struct dt_pool *pool;
    struct proxy_rescue *owner; /* NULL = nobody wants it any more; the loop's */
    _Atomic bool is_left;
    struct dt_hasher *hasher; /* owned */
    int fd;                   /* owned: a copy of the reader's */
    uint64_t off, len;
    int failed_errno;
    char *buf; /* owned */
};

struct proxy_rescue {
    unsigned magic;
    struct proxy_request *request; /* borrowed */
    uint64_t size, at, end;
    struct rescue_front *front; /* while it is being hashed */
    struct relay_blob *relay;   /* owned, afterwards */
    bool has_failed;
};

/* ---- the front ---- */

static void front_free(struct rescue_front *front)
{
    dt_hasher_free(&front->hasher);
    dt_close(&front->fd);
    free(front->buf);
    free(front);
}

static void front_run(struct dt_job *job)
{
    struct rescue_front *front = dt_container_of(job, struct rescue_front, job);
    uint64_t stop = front->off + SLICE_BYTES < front->len ? front->off + SLICE_BYTES : front->len;

    while (front->off < stop && !atomic_load(&front->is_left)) {
        uint64_t left = stop - front->off;
        ssize_t n = pread(front->fd, front->buf, left < READ_BYTES ? (size_t)left : READ_BYTES,
                          (off_t)front->off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            front->failed_errno = n < 0 ? errno : EIO; /* 0: the file was cut under us */
            return;
        }
        dt_hasher_update(front->hasher, front->buf, (size_t)n);
        front->off += (uint64_t)n;
    }
}

static void relay_rest(struct proxy_rescue *rescue, struct dt_hasher **hasher)
{
    rescue->relay = proxy_relay_rest(
        rescue->request,
        &(struct proxy_rest){.size = rescue->size, .at = rescue->at, .end = rescue->end}, hasher);
}

static void front_done(struct dt_job *job)
{
    struct rescue_front *front = dt_container_of(job, struct rescue_front, job);
    struct proxy_rescue *rescue = front->owner;

    if (rescue == NULL) {
        front_free(front);
        return;
    }
    DT_ASSERT(rescue->magic == RESCUE_MAGIC);
    if (front->failed_errno == 0 && front->off < front->len) {
        dt_pool_submit(front->pool, &front->job);
        return;
    }
    rescue->front = NULL;
    if (front->failed_errno == 0) {
        relay_rest(rescue, &front->hasher);
    } else {
        dt_log_warn("rescue_failed", "request=%llu at=%llu reason=%s",
                    (unsigned long long)rescue->request->id, (unsigned long long)front->off,
                    DT_LOG_Q(strerrordesc_np(front->failed_errno)));
        rescue->has_failed = true;
    }
    front_free(front);
    dt_http_body_wake(rescue->request->http);
}

/* false = the file cannot be read any more. */
static bool front_begin(struct proxy_rescue *rescue, const struct cache_reader *reader)
{
    struct proxy_request *request = rescue->request;
    int fd = fcntl(cache_reader_fd(reader), F_DUPFD_CLOEXEC, 0);
    struct rescue_front *front;

    if (fd < 0)
        return false;
    front = dt_new(struct rescue_front);
    front->job.run = front_run;
    front->job.done = front_done;
    front->job.loop = request->loop;
    front->pool = request->proxy->transfer.pool;
    front->owner = rescue;
    front->hasher = dt_hasher_new((enum dt_digest_algo)request->route.path.reference.digest.algo);
    front->fd = fd;
    front->len = rescue->at;
    front->buf = dt_calloc(1, READ_BYTES);
    rescue->front = front;
    dt_pool_submit(front->pool, &front->job);
    return true;
}

/* ---- life ---- */

struct proxy_rescue *proxy_rescue_new(struct proxy_request *request, struct cache_reader *reader,
                                      uint64_t at, uint64_t end)
{
    struct proxy_rescue *rescue;
    struct dt_hasher *none = NULL;
    uint64_t size = cache_reader_size(reader);

    /* Whoever began in the middle, with bytes before it that never came, cannot be helped. */
    if (end == size && cache_reader_landed(reader, 0) < at)
        return NULL;
    rescue = dt_new(struct proxy_rescue);
    dt_metric_add(&metric_rescues, 1);
    rescue->magic = RESCUE_MAGIC;
    rescue->request = request;
    rescue->size = size;
    rescue->at = at;
    rescue->end = end;
    if (end < size)
        relay_rest(rescue, &none);
    else if (!front_begin(rescue, reader))
        proxy_rescue_free(&rescue);
    return rescue;
}

void proxy_rescue_free(struct proxy_rescue **rescue_ptr)
{
    struct proxy_rescue *rescue = *rescue_ptr;

    *rescue_ptr = NULL;
    if (rescue == NULL)
        return;
    DT_ASSERT(rescue->magic == RESCUE_MAGIC);
    if (rescue->front != NULL) {
        atomic_store(&rescue->front->is_left, true);
        rescue->front->owner = NULL; /* its job frees it */
    }
    proxy_relay_free(&rescue->relay);
    rescue->magic = 0;
    free(rescue);
}

enum dt_http_next proxy_rescue_next(struct proxy_rescue *rescue, uint64_t off, size_t max_len,
                                    struct dt_http_span *span)
{
    DT_ASSERT(off >= rescue->at);
    if (rescue->has_failed)
        return DT_HTTP_FAIL;
    if (rescue->relay == NULL)
        return DT_HTTP_WAIT;
    return proxy_relay_next(rescue->relay, off - rescue->at, max_len, span);
}
