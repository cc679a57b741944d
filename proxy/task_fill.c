/*
 * proxy/task_fill.c - how a task gets its bytes: sources in, streams running, repair, verification.
 *
 *   begin -> step -> (start streams | open the writer | wait) -> ... -> every byte here -> verify
 *
 * step() is the only place that starts streams; every event (a head, an end, a failure, a new
 * client, a tick) ends in task_step_soon(). What to start is decided by proxy/plan.c. A stream that
 * breaks gives its remaining range back by ending; the next step hands it to the next source.
 */
#define LOG_COMPONENT "task"
#include "proxy/task_priv.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <string.h>

static DT_DEFINE_COUNTER(metric_origin_bytes, "darter_source_bytes_total", "source=\"origin\"",
                         "Bytes of blobs received, by kind of source.");
static DT_DEFINE_COUNTER(metric_mirror_bytes, "darter_source_bytes_total", "source=\"mirror\"",
                         "Bytes of blobs received, by kind of source.");
static DT_DEFINE_COUNTER(metric_repairs, "darter_repairs_total", NULL,
                         "Streams that broke and were continued from another place.");
static DT_DEFINE_COUNTER(metric_mismatches, "darter_digest_mismatches_total", NULL,
                         "Blobs whose bytes did not hash to their digest.");

/* Received and not yet written, over all loops. */
static _Atomic uint64_t in_flight_all;

/* ---- sources ---- */

static bool has_way(const struct proxy_task *task, const struct task_ticket *ticket)
{
    for (const struct task_ticket *t = task->tickets; t != NULL; t = t->next) {
        if (t == ticket || t->upstream != ticket->upstream ||
            strcmp(t->repository, ticket->repository) != 0)
            continue;
        bool both = t->authorization != NULL && ticket->authorization != NULL;
        if (t->authorization == ticket->authorization ||
            (both && strcmp(t->authorization, ticket->authorization) == 0))
            return true;
    }
    return false;
}

bool task_add_sources(struct proxy_task *task, const struct task_ticket *ticket)
{
    if (has_way(task, ticket))
        return false;
    bool has_added = false;
    for (size_t i = 0; i < ticket->upstream->n_endpoints; i++) {
        if (task->n_sources >= TASK_SOURCES_MAX)
            break; /* the ways that are there must do */
        task->sources[task->n_sources++] =
            source_registry_new(task->proxy, ticket->upstream, &ticket->upstream->endpoints[i],
                                ticket->repository, &task->digest, ticket->authorization);
        has_added = true;
    }
    return has_added;
}

static bool is_usable(const struct proxy_task *task, const struct source *source, uint64_t now_ms)
{
    if (source->is_excluded || now_ms < source->retry_at_ms)
        return false;
    if (task->alone != NULL && task->alone != source)
        return false;
    return true;
}

/* With every breaker open the first attempt is made all the same: a last resort is better than a
 * refusal. */
static void list_sources(struct proxy_task *task, struct plan_source *out)
{
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    bool any_ready = false;
    for (size_t i = 0; i < task->n_sources; i++) {
        struct source *s = task->sources[i];
        out[i] = (struct plan_source){.is_usable =
                                          is_usable(task, s, now_ms) && s->ops->is_ready(s, now_ms),
                                      .can_range = !s->ignores_range,
                                      .order = s->order};
        any_ready |= out[i].is_usable;
    }
    if (any_ready || task->n_streams > 0)
        return;
    for (size_t i = 0; i < task->n_sources; i++)
        out[i].is_usable =
            task->sources[i]->failures == 0 && is_usable(task, task->sources[i], now_ms);
}

static size_t count_ready(struct proxy_task *task, const struct source *except)
{
    size_t n = 0;
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    for (size_t i = 0; i < task->n_sources; i++) {
        struct source *s = task->sources[i];
        n += s != except && is_usable(task, s, now_ms) && s->ops->is_ready(s, now_ms);
    }
    return n;
}

/* ---- streams: bytes in, chunks to the writer ---- */

static void flush(struct task_stream *stream)
{
    if (stream->chunk_len == 0)
        return;
    void *bytes = stream->chunk;
    size_t len = stream->chunk_len;
    stream->chunk = NULL;
    stream->chunk_len = stream->chunk_capacity = 0;
    stream->task->in_flight += len;
    atomic_fetch_add(&in_flight_all, len);
    cache_writer_write(stream->task->writer, stream->pos - len, &bytes, len);
}

static void append(struct task_stream *stream, const char *bytes, size_t len)
{
    while (len > 0) {
        if (stream->chunk == NULL) {
            stream->chunk_capacity = len > TASK_CHUNK_BYTES / 4 ? TASK_CHUNK_BYTES : 64 * 1024;
            stream->chunk = dt_realloc(NULL, stream->chunk_capacity);
        } else if (stream->chunk_len == stream->chunk_capacity &&
                   stream->chunk_capacity < TASK_CHUNK_BYTES) {
            stream->chunk_capacity = TASK_CHUNK_BYTES;
            stream->chunk = dt_realloc(stream->chunk, stream->chunk_capacity);
        }
        size_t n = stream->chunk_capacity - stream->chunk_len;
        n = n < len ? n : len;
        memcpy(stream->chunk + stream->chunk_len, bytes, n);
        stream->chunk_len += n;
        stream->pos += n;
        bytes += n;
        len -= n;
        if (stream->chunk_len == TASK_CHUNK_BYTES)
            flush(stream);
    }
}

/* Takes what is new of `bytes` at stream->pos; what an earlier run or another stream has already
 * brought is skipped. Chunks never reach over a piece that is already there. */
static void take(struct task_stream *stream, const char *bytes, size_t len)
{
    const struct cache_pieces *pieces = cache_writer_pieces(stream->task->writer);
    while (len > 0 && stream->pos < stream->end) {
        uint64_t here = cache_pieces_available(pieces, stream->pos);
        uint32_t piece = cache_pieces_at(pieces, stream->pos);
        uint64_t piece_end = cache_pieces_start(pieces, piece) + cache_pieces_len(pieces, piece);
        uint64_t n = here > 0 ? here : piece_end - stream->pos;
        n = n < len ? n : len;
        n = n < stream->end - stream->pos ? n : stream->end - stream->pos;
        if (here > 0) {
            flush(stream);
            stream->pos += n;
        } else {
            append(stream, bytes, (size_t)n);
        }
        bytes += n;
        len -= (size_t)n;
    }
}

static void flush_later(void *arg)
{
    struct proxy_task *task = arg;
    task->is_flush_scheduled = false;
    if (task->is_ending || task->writer == NULL)
        return;
    for (size_t i = 0; i < TASK_STREAMS_MAX; i++)
        if (task->streams[i].source != NULL)
            flush(&task->streams[i]);
}

/* Bytes go to the file at the end of this turn of the loop: readers wait for them. While the writer
 * is busy anyway they are gathered into larger chunks. */
static void flush_soon(struct proxy_task *task)
{
    if (task->is_flush_scheduled || task->in_flight > 4 * TASK_CHUNK_BYTES)
        return;
    task->is_flush_scheduled = true;
    dt_loop_defer(flush_later, task);
}

static bool must_pause(const struct proxy_task *task)
{
    uint64_t mine = task->in_flight;
    if (mine > CACHE_WRITER_HIGH_WATER)
        return true;
    return mine > TASK_IN_FLIGHT_MIN && atomic_load(&in_flight_all) > TASK_IN_FLIGHT_ALL;
}

static void close_stream(struct task_stream *stream)
{
    if (stream->source == NULL)
        return;
    if (stream->task->writer != NULL)
        flush(stream);
    free(stream->chunk);
    if (stream->fetch != NULL)
        stream->source->ops->cancel(&stream->fetch);
    struct proxy_task *task = stream->task;
    *stream = (struct task_stream){.task = task};
    task->n_streams--;
}

void task_fill_stop(struct proxy_task *task)
{
    for (size_t i = 0; i < TASK_STREAMS_MAX; i++)
        close_stream(&task->streams[i]);
}

static void count_bytes(struct proxy_task *task, const struct task_stream *stream, size_t len)
{
    dt_metric_add(stream->source->kind == SOURCE_ORIGIN ? &metric_origin_bytes
                                                        : &metric_mirror_bytes,
                  (int64_t)len);
    task->total_bytes += len;
    task->rate_bytes += len;
    task->progress_ms = dt_loop_now_ms(task->loop);
}

/* Nearly done: the next segment may begin, so that the link does not fall idle. */
static void step_for_tail(struct task_stream *stream)
{
    if (stream->is_tail_told)
        return;
    stream->is_tail_told = true;
    task_step_soon(stream->task);
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct task_stream *stream = arg;
    struct proxy_task *task = stream->task;
    if (must_pause(task)) {
        stream->is_paused = true;
        flush(stream);
        return false;
    }
    count_bytes(task, stream, len);
    stream->window_bytes += len;
    take(stream, bytes, len);
    if (stream->pos >= stream->end)
        flush(stream);
    else
        flush_soon(task);
    if (stream->end - stream->pos <= PLAN_TAIL_BYTES)
        step_for_tail(stream);
    return true;
}

void task_fill_settle(struct proxy_task *task, uint64_t in_flight)
{
    DT_ASSERT(in_flight <= task->in_flight);
    atomic_fetch_sub(&in_flight_all, task->in_flight - in_flight);
    task->in_flight = in_flight;
}

static void on_written(void *arg, uint64_t in_flight)
{
    struct proxy_task *task = arg;
    task_fill_settle(task, in_flight);
    if (in_flight < CACHE_WRITER_HIGH_WATER / 2)
        for (size_t i = 0; i < TASK_STREAMS_MAX; i++) {
            struct task_stream *stream = &task->streams[i];
            if (stream->source == NULL || !stream->is_paused || must_pause(task))
                continue;
            stream->is_paused = false;
            stream->source->ops->resume(stream->fetch);
        }
    if (in_flight == 0)
        flush_later(task);
}

static void fail_later(void *arg)
{
    struct proxy_task *task = arg;
    if (!task->is_ending)
        task_fail(task, &task->err);
}

static void on_write_error(void *arg, const struct dt_err *err)
{
    struct proxy_task *task = arg;
    task->err = *err;
    dt_log_error("cache_write_failed", "reason=%s", DT_LOG_Q(err->msg));
    task_fill_stop(task);
    dt_loop_defer(fail_later, task);
}

static const struct cache_writer_ops WRITER_OPS = {on_written, on_write_error};

/* ---- the writer ---- */

static void open_writer(struct proxy_task *task, uint64_t size)
{
    struct dt_err err = {0};
    int rc = cache_writer_open(&task->writer, task->proxy->cache, &task->digest, size, task->loop,
                               &WRITER_OPS, task, &err);
    if (rc < 0) {
        char name[13];
        task->err = err;
        if (rc == -DT_EBUSY)
            return; /* an earlier writer is just letting go: the next step tries again */
        task->size = size;
        dt_log_warn("stream_through", "blob=%s size=%llu reason=%s",
                    dt_digest_short(name, &task->digest), (unsigned long long)size,
                    DT_LOG_Q(err.msg));
        return;
    }
    task->size = size;
    task->resumed_bytes = cache_writer_pieces(task->writer)->filled_bytes;
    task->state = TASK_FETCHING;
    task_tell_readable(task);
}

/* The bytes of an earlier run are worth more than a fresh start. */
static bool open_partial(struct proxy_task *task)
{
    struct cache_entry entry;
    struct dt_err ignored;
    if (cache_stat(&entry, task->proxy->cache, &task->digest, &ignored) < 0 ||
        entry.state != CACHE_PARTIAL)
        return false;
    open_writer(task, entry.size);
    return task->writer != NULL;
}

void task_fill_begin(struct proxy_task *task)
{
    for (size_t i = 0; i < TASK_STREAMS_MAX; i++)
        task->streams[i].task = task;
    task->began_while_down = count_ready(task, NULL) == 0;
    (void)open_partial(task); /* else the first answer tells the size */
    task_step_soon(task);
}

/* A size from a manifest is a hint, an answer's Content-Length is a claim: when they differ the
 * next source is asked, and only when all of them contradict the hint is the hint dropped. */
static int on_size(void *arg, uint64_t blob_size)
{
    struct task_stream *stream = arg;
    struct proxy_task *task = stream->task;
    uint64_t known = task->size != UINT64_MAX ? task->size
                     : task->is_hint_doubted  ? UINT64_MAX
                                              : task->size_hint;
    if (blob_size == UINT64_MAX)
        blob_size = known;
    if (known != UINT64_MAX && blob_size != known)
        return -DT_EPROTO;
    if (task->writer != NULL) {
        if (stream->source->ignores_range)
            stream->end = task->size; /* all of it comes, whatever was asked */
        return 0;
    }
    if (blob_size == UINT64_MAX || blob_size > CACHE_BLOB_SIZE_MAX) {
        dt_err_set(&task->err, DT_EUNAVAILABLE, "nobody says how large the blob is");
        return -DT_ECANCELLED;
    }
    open_writer(task, blob_size);
    if (task->writer == NULL)
        return -DT_ECANCELLED; /* the stream's end turns the clients to streaming through */
    if (stream->end > blob_size || stream->source->ignores_range)
        stream->end = blob_size;
    task_step_soon(task);
    return 0;
}

/* ---- the end of a stream ---- */

static bool is_definite(int code)
{
    return code == DT_EUNAUTHORIZED || code == DT_EDENIED || code == DT_ENOTFOUND ||
           code == DT_EMETHOD || code == DT_EINVAL || code == DT_EPOLICY;
}

static void note_failure(struct proxy_task *task, struct source *source, const struct dt_err *err,
                         uint64_t delivered)
{
    char name[13];
    if (delivered >= TASK_PROGRESS_BYTES)
        source->failures = 0;
    unsigned shift = source->failures < 4 ? source->failures : 4;
    uint64_t wait_ms = (uint64_t)TASK_RETRY_BASE_MS << shift;
    source->failures++;
    source->retry_at_ms =
        dt_loop_now_ms(task->loop) + (wait_ms < TASK_RETRY_MAX_MS ? wait_ms : TASK_RETRY_MAX_MS);
    source->is_excluded |= is_definite(err->code);
    task->err = *err;
    dt_metric_add(&metric_repairs, 1);
    dt_log_warn("source_failed", "blob=%s source=%s delivered=%llu excluded=%d code=%s reason=%s",
                dt_digest_short(name, &task->digest), source->name, (unsigned long long)delivered,
                source->is_excluded, dt_code_name(err->code), DT_LOG_Q(err->msg));
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct task_stream *stream = arg;
    struct proxy_task *task = stream->task;
    struct source *source = stream->source;
    stream->fetch = NULL;
    bool is_whole = stream->pos >= stream->end;
    uint64_t delivered = stream->pos - stream->start;
    close_stream(stream);
    if (task->writer == NULL && err->code == DT_ECANCELLED) { /* no writer could be opened */
        if (task->err.code == DT_EBUSY)
            task_step_soon(task);
        else
            task_stream_through(task);
        return;
    }
    if (is_whole) {
        source->failures = 0;
    } else {
        struct dt_err shorter = *err;
        if (shorter.code == 0)
            dt_err_set(&shorter, DT_EPROTO, "%s ended the body early", source->name);
        note_failure(task, source, &shorter, delivered);
    }
    task_step_soon(task);
}

static const struct source_sink_ops SINK_OPS = {on_size, on_data, on_done};

/* ---- verification ---- */

/* A wrong digest: the only source that gave bytes is the liar. With several, or with bytes of an
 * earlier run, the next attempt asks one source alone, so that a liar stands out. */
static void blame(struct proxy_task *task)
{
    struct source *giver = NULL;
    size_t n_givers = 0;
    for (size_t i = 0; i < task->n_sources; i++)
        if (task->sources[i]->bytes > 0) {
            giver = task->sources[i];
            n_givers++;
        }
    task->alone = NULL;
    if (n_givers == 1 && task->resumed_bytes == 0) {
        giver->ops->strike(giver);
        giver->is_excluded = true;
        dt_log_error("source_lied", "source=%s bytes=%llu action=excluded", giver->name,
                     (unsigned long long)giver->bytes);
    }
    for (size_t i = 0; i < task->n_sources; i++)
        if (!task->sources[i]->is_excluded && task->alone == NULL)
            task->alone = task->sources[i];
    for (size_t i = 0; i < task->n_sources; i++) {
        task->sources[i]->bytes = 0;
        task->sources[i]->failures = 0;
        task->sources[i]->retry_at_ms = 0;
    }
}

static void on_finished(void *arg, const struct dt_err *err)
{
    struct proxy_task *task = arg;
    char name[13];
    DT_ASSERT(task->magic == TASK_MAGIC);
    task_fill_settle(task, 0);
    if (err->code == 0) {
        task_done(task);
        return;
    }
    if (err->code != DT_EMISMATCH) {
        task_fail(task, err);
        return;
    }
    dt_metric_add(&metric_mismatches, 1);
    dt_log_error("digest_mismatch", "blob=%s attempt=%u action=fetched_again",
                 dt_digest_short(name, &task->digest), task->attempts + 1);
    blame(task);
    if (++task->attempts >= TASK_ATTEMPTS_MAX || task->alone == NULL) {
        task_fail(task, err);
        return;
    }
    task->err = *err;
    task->state = TASK_NEW;
    task->size = UINT64_MAX;
    task->resumed_bytes = task->total_bytes = 0;
    task->progress_ms = dt_loop_now_ms(task->loop);
    task_step_soon(task);
}

/* ---- step ---- */

static void start_stream(struct proxy_task *task, const struct plan_choice *choice)
{
    struct task_stream *stream = NULL;
    for (size_t i = 0; i < TASK_STREAMS_MAX && stream == NULL; i++)
        if (task->streams[i].source == NULL)
            stream = &task->streams[i];
    DT_ASSERT(stream != NULL);
    struct source *source = task->sources[choice->source];
    bool is_whole = choice->start == 0 && choice->end == task->size;
    struct source_span span = {
        .off = choice->start,
        .end = is_whole ? UINT64_MAX : choice->end, /* no Range where none is needed */
        /* With nobody else to turn to, a slow registry gets all the time the client gives us. */
        .head_timeout_ms = count_ready(task, source) > 0
                               ? task->proxy->options->head_deadline_ms / 5
                               : task->proxy->options->head_deadline_ms,
    };
    *stream = (struct task_stream){.task = task,
                                   .source = source,
                                   .start = choice->start,
                                   .pos = choice->start,
                                   .end = choice->end,
                                   .window_began_ms = dt_loop_now_ms(task->loop)};
    task->n_streams++;
    stream->fetch = source->ops->fetch(source, &span, &SINK_OPS, stream);
}

/* A stream brings everything from where its piece ends, also what it has not given to the writer.
 */
static size_t list_streams(struct proxy_task *task, struct plan_stream *out)
{
    size_t n = 0;
    for (size_t i = 0; i < TASK_STREAMS_MAX; i++)
        if (task->streams[i].source != NULL)
            out[n++] =
                (struct plan_stream){.pos = task->streams[i].pos - task->streams[i].chunk_len,
                                     .end = task->streams[i].end};
    return n;
}

#define WANTED_MAX 64
static size_t list_wanted(const struct proxy_task *task, uint64_t *out)
{
    size_t n = 0;
    for (const struct task_ticket *t = task->tickets; t != NULL && n < WANTED_MAX; t = t->next)
        out[n++] = t->off;
    return n;
}

/* Starts one stream if the plan wants one. */
static bool start_next(struct proxy_task *task)
{
    struct plan_source sources[TASK_SOURCES_MAX];
    struct plan_stream streams[TASK_STREAMS_MAX];
    uint64_t wanted[WANTED_MAX];
    unsigned max = task->proxy->options->streams_per_blob;
    list_sources(task, sources);
    struct plan_input in = {
        .pieces = cache_writer_pieces(task->writer),
        .sources = sources,
        .n_sources = task->n_sources,
        .streams = streams,
        .n_streams = list_streams(task, streams),
        .wanted = wanted,
        .n_wanted = list_wanted(task, wanted),
        .n_streams_max = max < TASK_STREAMS_MAX ? max : TASK_STREAMS_MAX,
        .n_streams_wanted = task->n_streams_wanted,
        .segment_bytes = task->proxy->options->segment_bytes,
    };
    struct plan_choice choice;
    if (!proxy_plan_next(&choice, &in))
        return false;
    start_stream(task, &choice);
    return true;
}

/* Before anybody told the size: one stream from the start. */
static void start_first(struct proxy_task *task)
{
    struct plan_source sources[TASK_SOURCES_MAX];
    if (task->n_streams > 0)
        return;
    list_sources(task, sources);
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < task->n_sources; i++)
        if (sources[i].is_usable && (best == SIZE_MAX || sources[i].order < sources[best].order))
            best = i;
    if (best == SIZE_MAX)
        return;
    uint64_t hint = task->is_hint_doubted ? UINT64_MAX : task->size_hint;
    uint64_t end = proxy_plan_first_end(hint, task->proxy->options->segment_bytes);
    start_stream(task, &(struct plan_choice){.source = best, .end = end});
}

static bool is_hopeless(struct proxy_task *task)
{
    bool all_excluded = true, all_failed = true;
    for (size_t i = 0; i < task->n_sources; i++) {
        bool is_out = task->sources[i]->is_excluded ||
                      (task->alone != NULL && task->alone != task->sources[i]);
        all_excluded &= is_out;
        all_failed &= is_out || task->sources[i]->failures > 0;
    }
    if (all_excluded || (task->began_while_down && all_failed))
        return true;
    if (task->writer == NULL && task->err.code == DT_EPROTO && all_failed)
        return true; /* asked again, they would contradict the size again */
    return dt_loop_now_ms(task->loop) - task->progress_ms > TASK_GIVE_UP_MS && all_failed;
}

/* All sources contradict the manifest's size: believe them, and the digest will tell. */
static bool drop_hint(struct proxy_task *task)
{
    if (task->is_hint_doubted || task->size_hint == UINT64_MAX || task->writer != NULL ||
        task->err.code != DT_EPROTO)
        return false;
    task->is_hint_doubted = true;
    for (size_t i = 0; i < task->n_sources; i++) {
        task->sources[i]->failures = 0;
        task->sources[i]->retry_at_ms = 0;
    }
    task_step_soon(task);
    return true;
}

void task_fill_step(struct proxy_task *task)
{
    dt_loop_assert_mine(task->loop);
    if (task->state == TASK_VERIFYING)
        return;
    if (task->writer == NULL) {
        start_first(task);
    } else if (cache_pieces_is_full(cache_writer_pieces(task->writer))) {
        task_fill_stop(task);
        task->state = TASK_VERIFYING;
        cache_writer_finish(&task->writer, on_finished, task);
        return;
    } else {
        while (start_next(task))
            ;
    }
    if (task->n_streams == 0 && is_hopeless(task) && !drop_hint(task))
        task_fail(task, &task->err);
}

/* ---- tick: rates, more streams, slow sources ---- */

/* More ranges at once only where that is faster: one is added while the last one paid off. */
static void tune_streams(struct proxy_task *task)
{
    uint64_t left = task->size - cache_writer_pieces(task->writer)->filled_bytes;
    if (task->is_rate_settled || task->n_streams == 0 || task->n_streams < task->n_streams_wanted)
        return;
    if (task->n_streams_wanted > 1 &&
        task->rate_bytes_s < task->rate_before + task->rate_before / 5) {
        task->is_rate_settled = true;
        return;
    }
    if (task->n_streams_wanted >= task->proxy->options->streams_per_blob ||
        left < task->proxy->options->segment_bytes || left < 2 * task->rate_bytes_s)
        return;
    task->rate_before = task->rate_bytes_s;
    task->n_streams_wanted++;
    task_step_soon(task);
}

static void drop_slow_streams(struct proxy_task *task)
{
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    uint64_t window_ms = task->proxy->options->stall_timeout_ms;
    for (size_t i = 0; i < TASK_STREAMS_MAX; i++) {
        struct task_stream *stream = &task->streams[i];
        if (stream->source == NULL || now_ms - stream->window_began_ms < window_ms)
            continue;
        uint64_t rate = stream->window_bytes * 1000 / (now_ms - stream->window_began_ms);
        stream->window_began_ms = now_ms;
        stream->window_bytes = 0;
        struct source *source = stream->source;
        if (stream->is_paused || rate >= task->proxy->options->min_rate_bytes ||
            count_ready(task, source) == 0)
            continue;
        struct dt_err err = {0};
        dt_err_set(&err, DT_ETIMEOUT, "%s gives %llu bytes/s, and another source is ready",
                   source->name, (unsigned long long)rate);
        close_stream(stream);
        note_failure(task, source, &err, 0);
        source->retry_at_ms = now_ms + 3 * window_ms;
    }
}

void task_fill_tick(struct proxy_task *task)
{
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    uint64_t elapsed_ms = now_ms - task->rate_began_ms;
    if (elapsed_ms >= 1000) {
        task->rate_bytes_s = task->rate_bytes * 1000 / elapsed_ms;
        task->rate_bytes = 0;
        task->rate_began_ms = now_ms;
        if (task->state == TASK_FETCHING && task->writer != NULL)
            tune_streams(task);
    }
    drop_slow_streams(task);
    if (task->state != TASK_VERIFYING)
        task_step_soon(task);
}
