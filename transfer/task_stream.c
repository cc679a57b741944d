/*
 * transfer/task_stream.c - one range of a blob on its way from a source into the cache's writer.
 *
 *   start -> on_size -> on_data* -> on_done      any -> stopped
 *
 * Bytes are gathered into chunks, chunks are given to the writer, and what was given but is not yet
 * in the file is counted: per task and over all tasks of the process (`in_flight_all`, the only
 * thing here that loops share). Above the marks a stream pauses its source and goes on when the
 * writer has caught up. The first head that tells the size opens the writer.
 */
#define LOG_COMPONENT "task"
#include "transfer/task_priv.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

static struct dt_metric kind_metrics[SOURCE_KIND_END] = {
#define X(kind_name, word)                                                                         \
    [kind_name] = {.name = "darter_source_bytes_total",                                            \
                   .labels = "source=\"" word "\"",                                                \
                   .help = "Bytes of blobs received, by kind of source.",                          \
                   .kind = DT_COUNTER},
    SOURCE_KINDS(X)
#undef X
};

/* Received and not yet written, over all loops. */
static _Atomic uint64_t in_flight_all;

void task_streams_register_metrics(void)
{
    for (size_t kind = SOURCE_PEER; kind < SOURCE_KIND_END; kind++)
        dt_metric_register(&kind_metrics[kind]);
}

/* ---- bytes in, chunks to the writer ---- */

/* Drops from the chunk what somebody else has brought meanwhile: a registry that ignores ranges
 * runs into the ranges of others. false: nothing is left, or what is left continues no piece (one
 * proved bad and begins anew); the planner will ask for that again. */
static bool trim(struct task_stream *stream)
{
    const struct cache_pieces *pieces = cache_writer_pieces(stream->task->writer);
    uint64_t start = stream->pos - stream->chunk_len;
    if (cache_pieces_can_add(pieces, start, stream->chunk_len))
        return true;
    uint64_t here = cache_pieces_available(pieces, start);
    if (here >= stream->chunk_len ||
        !cache_pieces_can_add(pieces, start + here, stream->chunk_len - here))
        return false;
    stream->chunk_len -= (size_t)here;
    memmove(stream->chunk, stream->chunk + here, stream->chunk_len);
    return true;
}

static void flush(struct task_stream *stream)
{
    if (stream->chunk_len == 0)
        return;
    bool has_news = trim(stream);
    void *bytes = stream->chunk;
    size_t len = stream->chunk_len;
    stream->chunk = NULL;
    stream->chunk_len = stream->chunk_capacity = 0;
    if (!has_news) {
        free(bytes);
        return;
    }
    stream->task->in_flight += len;
    atomic_fetch_add(&in_flight_all, len);
    cache_writer_write(stream->task->writer, stream->pos - len, &bytes, len);
}

/* Full chunks end where a multiple of their size does: the page cache then holds the file in large
 * folios, and sending it later costs up to a tenth less. */
static void append(struct task_stream *stream, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t to_boundary = TASK_CHUNK_BYTES - (size_t)(stream->pos % TASK_CHUNK_BYTES);
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
        n = n < to_boundary ? n : to_boundary;
        memcpy(stream->chunk + stream->chunk_len, bytes, n);
        stream->chunk_len += n;
        stream->pos += n;
        bytes += n;
        len -= n;
        if (n == to_boundary)
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
    struct task *task = arg;
    task->is_flush_scheduled = false;
    if (task->is_ending || task->writer == NULL)
        return;
    for (size_t i = 0; i < TASK_SLOTS; i++)
        if (task->streams[i].source != NULL)
            flush(&task->streams[i]);
}

/* Bytes go to the file at the end of this turn of the loop: readers wait for them. While the writer
 * is busy anyway they are gathered into larger chunks. */
static void flush_soon(struct task *task)
{
    if (task->is_flush_scheduled || task->in_flight > 4 * TASK_CHUNK_BYTES)
        return;
    task->is_flush_scheduled = true;
    dt_loop_defer(flush_later, task);
}

static bool must_pause(const struct task *task)
{
    uint64_t mine = task->in_flight;
    if (mine > CACHE_WRITER_HIGH_WATER)
        return true;
    return mine > TASK_IN_FLIGHT_MIN && atomic_load(&in_flight_all) > TASK_IN_FLIGHT_ALL;
}

struct source *task_stream_clear(struct task_stream *stream)
{
    struct task *task = stream->task;
    struct source *source = stream->source;
    if (task->writer != NULL)
        flush(stream);
    free(stream->chunk);
    if (stream->fetch != NULL)
        source->ops->cancel(&stream->fetch);
    if (stream->is_ordered)
        task->n_fetches--;
    else
        task->n_streams--;
    *stream = (struct task_stream){.task = task};
    return source;
}

void task_stream_stop(struct task_stream *stream)
{
    if (stream->source == NULL)
        return;
    bool is_ordered = stream->is_ordered;
    struct source *source = task_stream_clear(stream);
    if (is_ordered)
        source->ops->free(&source);
}

void task_streams_stop(struct task *task)
{
    struct dt_err err = {0};
    dt_err_set(&err, DT_ECANCELLED, "the task needs it no more");
    for (size_t i = 0; i < TASK_SLOTS; i++)
        if (task->streams[i].is_ordered)
            task_director_fetched(&task->streams[i], &err);
        else
            task_stream_stop(&task->streams[i]);
}

/* One tick of patience: what ends in the same moment as its last byte keeps its connection. */
void task_streams_reap(struct task *task)
{
    for (size_t i = 0; i < TASK_SLOTS; i++) {
        struct task_stream *stream = &task->streams[i];
        if (stream->source == NULL || stream->is_ordered || stream->pos < stream->end)
            continue; /* an ordered fetch knows its own end */
        if (stream->is_end_seen)
            task_stream_stop(stream);
        else
            stream->is_end_seen = true;
    }
}

void task_stream_keep_to_piece(struct task_stream *stream)
{
    const struct cache_pieces *pieces = cache_writer_pieces(stream->task->writer);
    uint32_t piece = cache_pieces_at(pieces, stream->pos);
    uint64_t end = cache_pieces_start(pieces, piece) + cache_pieces_len(pieces, piece);
    stream->end = end < stream->end ? end : stream->end;
    stream->is_leaving = true;
}

void task_streams_keep_to_piece(struct task *task)
{
    for (size_t i = 0; i < TASK_SLOTS && task->writer != NULL; i++) {
        struct task_stream *stream = &task->streams[i];
        if (stream->source != NULL && !stream->is_ordered && !stream->is_leaving &&
            stream->pos < stream->end && stream->pos < task->size)
            task_stream_keep_to_piece(stream);
    }
}

static void count_bytes(struct task *task, const struct task_stream *stream, size_t len)
{
    dt_metric_add(&kind_metrics[stream->source->kind], (int64_t)len);
    if (task->kind_bytes[stream->source->kind] == 0)
        task_tell_source(task, stream->source->kind);
    task->kind_bytes[stream->source->kind] += len;
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
    struct task *task = stream->task;
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
    if (stream->is_leaving && stream->pos >= stream->end) {
        task_stream_stop(stream);
        task_step_soon(task);
        return true;
    }
    if (stream->end - stream->pos <= PLAN_TAIL_BYTES)
        step_for_tail(stream);
    return true;
}

void task_streams_settle(struct task *task, uint64_t in_flight)
{
    DT_ASSERT(in_flight <= task->in_flight);
    atomic_fetch_sub(&in_flight_all, task->in_flight - in_flight);
    task->in_flight = in_flight;
}

static void on_written(void *arg, uint64_t in_flight)
{
    struct task *task = arg;
    task_streams_settle(task, in_flight);
    if (in_flight < CACHE_WRITER_HIGH_WATER / 2)
        for (size_t i = 0; i < TASK_SLOTS; i++) {
            struct task_stream *stream = &task->streams[i];
            if (stream->source == NULL || !stream->is_paused || must_pause(task))
                continue;
            stream->is_paused = false;
            stream->source->ops->resume(stream->fetch);
        }
    if (in_flight == 0)
        flush_later(task);
    task_director_landed(task);
}

static void fail_later(void *arg)
{
    struct task *task = arg;
    if (!task->is_ending)
        task_fail(task, &task->err);
}

static void on_write_error(void *arg, const struct dt_err *err)
{
    struct task *task = arg;
    task->err = *err;
    task->is_write_broken = true;
    dt_log_error("cache_write_failed", "reason=%s", DT_LOG_Q(err->msg));
    task_streams_stop(task);
    dt_loop_defer(fail_later, task);
}

static const struct cache_writer_ops WRITER_OPS = {on_written, on_write_error};

/* ---- the writer ---- */

void task_writer_open(struct task *task, uint64_t size)
{
    struct dt_err err = {0};
    int rc = cache_writer_open(&task->writer, task->transfer->cache, &task->digest, size,
                               task->loop, &WRITER_OPS, task, &err);
    if (rc < 0) {
        char name[13];
        task->err = err;
        if (rc == -DT_EBUSY && task->n_busy++ < TASK_BUSY_MAX)
            return; /* an earlier writer is just letting go: the next tick tries again */
        task->size = size;
        dt_log_warn("stream_through", "blob=%s size=%llu reason=%s",
                    dt_digest_short(name, &task->digest), (unsigned long long)size,
                    DT_LOG_Q(err.msg));
        return;
    }
    task->n_busy = 0;
    task->size = size;
    task->resumed_bytes = cache_writer_pieces(task->writer)->filled_bytes;
    task->state = TASK_FETCHING;
    task_tell_readable(task);
    task_director_opened(task);
}

/* ---- what a source tells ---- */

/* A size from a manifest is a hint, an answer's Content-Length is a claim: when they differ the
 * next source is asked, and only when all of them contradict the hint is the hint dropped. */
static int on_size(void *arg, uint64_t blob_size)
{
    struct task_stream *stream = arg;
    struct task *task = stream->task;
    uint64_t known = task->size != UINT64_MAX ? task->size
                     : task->is_hint_doubted  ? UINT64_MAX
                                              : task->size_hint;
    if (blob_size == UINT64_MAX)
        blob_size = known;
    if (known != UINT64_MAX && blob_size != known) {
        /* What a node says of the size is its own affair: registries are believed or doubted. */
        task->is_size_contradicted |= task->writer != NULL && !stream->is_ordered;
        return -DT_EPROTO;
    }
    if (task->writer != NULL) {
        if (stream->source->ignores_range && !stream->is_leaving)
            stream->end = task->size; /* all of it comes, whatever was asked */
        return 0;
    }
    if (blob_size == UINT64_MAX || blob_size > CACHE_BLOB_SIZE_MAX) {
        dt_err_set(&task->err, DT_EUNAVAILABLE, "nobody says how large the blob is");
        return -DT_ECANCELLED;
    }
    task_writer_open(task, blob_size);
    if (task->writer == NULL)
        return -DT_ECANCELLED; /* the stream's end turns the clients to streaming through */
    if (stream->end > blob_size || stream->source->ignores_range)
        stream->end = blob_size;
    task_step_soon(task);
    return 0;
}

/* Its failure is the director's business: no registry is thought the worse of. */
static void ordered_done(struct task_stream *stream, bool is_whole, const struct dt_err *err)
{
    struct task *task = stream->task;
    struct dt_err shorter = *err;
    if (shorter.code == 0 && !is_whole)
        dt_err_set(&shorter, DT_EPROTO, "%s ended the piece early", stream->source->name);
    task_director_fetched(stream, &shorter);
    task_step_soon(task);
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct task_stream *stream = arg;
    struct task *task = stream->task;
    struct source *source = stream->source;
    stream->fetch = NULL;
    bool is_whole = stream->pos >= stream->end;
    uint64_t delivered = stream->pos - stream->start;
    if (stream->is_ordered) {
        ordered_done(stream, is_whole, err);
        return;
    }
    task_stream_stop(stream);
    if (task->writer == NULL && err->code == DT_ECANCELLED) { /* no writer could be opened */
        if (task->err.code != DT_EBUSY || task->n_busy > TASK_BUSY_MAX)
            task_stream_through(task);
        return; /* busy: not at once, or the source would be asked in a circle */
    }
    if (is_whole) {
        source->failures = 0;
    } else {
        struct dt_err shorter = *err;
        if (shorter.code == 0)
            dt_err_set(&shorter, DT_EPROTO, "%s ended the body early", source->name);
        task_source_note_failure(task, source, &shorter, delivered);
    }
    task_step_soon(task);
}

static const struct source_sink_ops SINK_OPS = {on_size, on_data, on_done};

/* ---- start and stop ---- */

static struct task_stream *free_slot(struct task *task)
{
    for (size_t i = 0; i < TASK_SLOTS; i++)
        if (task->streams[i].source == NULL)
            return &task->streams[i];
    return NULL;
}

struct task_stream *task_stream_order(struct task *task, struct source *source, uint32_t piece)
{
    const struct cache_pieces *pieces = cache_writer_pieces(task->writer);
    if (task->n_fetches == TRANSFER_FETCHES_MAX)
        return NULL;
    struct task_stream *stream = free_slot(task);
    uint64_t start = cache_pieces_start(pieces, piece);
    struct source_span span = {.off = start,
                               .end = start + cache_pieces_len(pieces, piece),
                               .head_timeout_ms = task->transfer->options->head_deadline_ms};
    *stream = (struct task_stream){.task = task,
                                   .source = source,
                                   .is_ordered = true,
                                   .piece = piece,
                                   .start = start,
                                   .pos = start,
                                   .end = span.end,
                                   .window_began_ms = dt_loop_now_ms(task->loop)};
    task->n_fetches++;
    stream->fetch = source->ops->fetch(source, &span, &SINK_OPS, stream);
    return stream;
}

struct task_stream *task_stream_start(struct task *task, const struct plan_choice *choice)
{
    struct task_stream *stream = free_slot(task);
    DT_ASSERT(stream != NULL && task->n_streams < TRANSFER_STREAMS_MAX);
    struct source *source = task->sources[choice->source];
    bool is_whole = choice->start == 0 && choice->end == task->size;
    bool has_other = task_sources_count_ready(task, source) > 0;
    struct source_span span = {
        .off = choice->start,
        .end = is_whole ? UINT64_MAX : choice->end, /* no Range where none is needed */
        .head_timeout_ms = transfer_patience_ms(task->transfer->options, has_other),
        .again_after_ms = transfer_again_ms(task->transfer->options, has_other),
    };
    *stream = (struct task_stream){.task = task,
                                   .source = source,
                                   .start = choice->start,
                                   .pos = choice->start,
                                   .end = choice->end,
                                   .window_began_ms = dt_loop_now_ms(task->loop)};
    task->n_streams++;
    stream->fetch = source->ops->fetch(source, &span, &SINK_OPS, stream);
    return stream;
}
