/*
 * transfer/task_fill.c - how a task gets all its bytes: what to start next, repair, verification.
 *
 *   begin -> step -> (start streams | open the writer | wait) -> ... -> every byte here -> verify
 *
 * step() is the only place that starts streams; every event (a head, an end, a failure, a new
 * client, a tick) ends in task_step_soon(). What to start is decided by transfer/plan.c, whom to
 * ask is kept by transfer/task_source.c, and the bytes run through transfer/task_stream.c. A stream
 * that breaks gives its remaining range back by ending; the next step hands it to the next source.
 */
#define LOG_COMPONENT "task"
#include "transfer/task_priv.h"

#include "base/log.h"
#include "base/metrics.h"

static DT_DEFINE_COUNTER(metric_mismatches, "darter_digest_mismatches_total", NULL,
                         "Blobs whose bytes did not hash to their digest.");

/* The bytes of an earlier run are worth more than a fresh start. Where there are none, or their
 * writer cannot be opened, the first answer tells the size. */
static void open_partial(struct task *task)
{
    struct cache_entry entry;
    struct dt_err ignored;
    if (cache_stat(&entry, task->transfer->cache, &task->digest, &ignored) == 0 &&
        entry.state == CACHE_PARTIAL)
        task_writer_open(task, entry.size);
}

void task_fill_begin(struct task *task, const struct task_ticket *first)
{
    for (size_t i = 0; i < TASK_SLOTS; i++)
        task->streams[i].task = task;
    task->began_while_down = task_sources_count_ready(task, NULL) == 0;
    task_director_begin(task, first);
    if (task->writer == NULL)
        open_partial(task);
    task_step_soon(task);
}

/* ---- verification ---- */

static void on_finished(void *arg, const struct dt_err *err)
{
    struct task *task = arg;
    char name[13];
    DT_ASSERT(task->magic == TASK_MAGIC);
    task_streams_settle(task, 0);
    if (err->code == 0) {
        task_done(task);
        return;
    }
    if (err->code != DT_EMISMATCH) {
        task_fail(task, err);
        return;
    }
    dt_metric_add(&metric_mismatches, 1);
    task_director_restart(task, err);
    task_sources_blame(task);
    bool is_last = ++task->attempts >= TASK_ATTEMPTS_MAX || task->alone == NULL;
    dt_log_error("digest_mismatch", "blob=%s attempt=%u action=%s",
                 dt_digest_short(name, &task->digest), task->attempts,
                 is_last ? "given_up" : "fetched_again");
    if (is_last) {
        task_fail(task, err);
        return;
    }
    task->err = *err;
    task->state = TASK_NEW;
    task->size = UINT64_MAX;
    task->resumed_bytes = 0;
    task->progress_ms = dt_loop_now_ms(task->loop);
    task_step_soon(task);
}

/* ---- step ---- */

/* A stream brings everything from where its piece ends, also what it has not given to the writer.
 */
static size_t list_streams(struct task *task, struct plan_stream *out, const bool *raced)
{
    size_t n = 0;
    for (size_t i = 0; i < TASK_SLOTS; i++) {
        const struct task_stream *stream = &task->streams[i];
        if (stream->source == NULL ||
            (stream->is_ordered && raced != NULL && !raced[stream->piece]))
            continue;
        out[n++] = (struct plan_stream){.pos = stream->pos - stream->chunk_len,
                                        .end = stream->end,
                                        .is_elsewhere = stream->is_ordered};
    }
    return n;
}

#define WANTED_MAX 64
static size_t list_wanted(const struct task *task, uint64_t *out)
{
    size_t n = 0;
    for (const struct task_ticket *t = task->tickets; t != NULL && n < WANTED_MAX; t = t->next)
        out[n++] = t->off;
    return n;
}

/* Starts one stream if the plan wants one. With `is_race` a piece that is on its way from a node is
 * asked for all the same, unless it is `elsewhere`. NULL: nothing to start. */
static struct task_stream *start_next(struct task *task, const bool *elsewhere, bool is_race)
{
    struct plan_source sources[TASK_SOURCES_MAX];
    struct plan_stream streams[TASK_SLOTS];
    uint64_t wanted[WANTED_MAX];
    task_sources_list(task, sources);
    struct plan_input in = {
        .pieces = cache_writer_pieces(task->writer),
        .elsewhere = elsewhere,
        .sources = sources,
        .n_sources = task->n_sources,
        .streams = streams,
        .n_streams = list_streams(task, streams, is_race ? elsewhere : NULL),
        .wanted = wanted,
        .n_wanted = list_wanted(task, wanted),
        .n_streams_max = task->transfer->options->streams_per_blob,
        .n_streams_wanted = task->n_streams_wanted,
        .segment_bytes = task->transfer->options->segment_bytes,
    };
    struct plan_choice choice;
    return transfer_plan_next(&choice, &in) ? task_stream_start(task, &choice) : NULL;
}

/* Before anybody told the size: one stream from the start. */
static struct task_stream *start_first(struct task *task)
{
    struct plan_source sources[TASK_SOURCES_MAX];
    if (task->n_streams > 0)
        return NULL;
    task_sources_list(task, sources);
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < task->n_sources; i++)
        if (sources[i].is_usable && (best == SIZE_MAX || sources[i].order < sources[best].order))
            best = i;
    if (best == SIZE_MAX)
        return NULL;
    uint64_t hint = task->is_hint_doubted ? UINT64_MAX : task->size_hint;
    uint64_t end = transfer_plan_first_end(hint, task->transfer->options->segment_bytes);
    return task_stream_start(task, &(struct plan_choice){.source = best, .end = end});
}

static bool is_hopeless(struct task *task)
{
    bool all_excluded = true, all_failed = true;
    for (size_t i = 0; i < task->n_sources; i++) {
        bool is_out = task->sources[i]->is_excluded ||
                      (task->alone != NULL && task->alone != task->sources[i]);
        all_excluded &= is_out;
        all_failed &= is_out || task->sources[i]->failures > 0;
    }
    /* A registry that limits its rate asks for patience, and is not down. */
    bool is_asked_to_wait = task->err.code == DT_EBUSY;
    if (all_excluded || (task->began_while_down && all_failed && !is_asked_to_wait))
        return true;
    bool is_size_settled = task->writer != NULL && !task->is_size_contradicted;
    if (!is_size_settled && task->err.code == DT_EPROTO && all_failed)
        return true; /* asked again, they would contradict the size again */
    uint64_t patience_ms = is_asked_to_wait ? TRANSFER_GIVE_UP_MS : task_director_patience_ms(task);
    return all_failed && dt_loop_now_ms(task->loop) - task->progress_ms > patience_ms;
}

/* All sources contradict the manifest's size: believe them, and the digest will tell. */
static bool drop_hint(struct task *task)
{
    if (task->is_hint_doubted || task->size_hint == UINT64_MAX || task->writer != NULL ||
        task->err.code != DT_EPROTO)
        return false;
    task->is_hint_doubted = true;
    task_sources_forgive(task);
    task_step_soon(task);
    return true;
}

/* All sources contradict the size of the part that an earlier run, or one of them, began: that was
 * the lie. Its readers are failed and the blob begins anew; the cache removes the part when it is
 * asked for room of another size. */
static bool leave_part(struct task *task)
{
    if (!task->is_size_contradicted || task->writer == NULL || task->attempts >= TASK_ATTEMPTS_MAX)
        return false;
    char name[13];
    task_director_restart(task, &task->err);
    dt_log_warn("part_left", "blob=%s size=%llu reason=\"every source tells another size\"",
                dt_digest_short(name, &task->digest), (unsigned long long)task->size);
    cache_writer_abort(&task->writer, &task->err);
    task_streams_settle(task, 0);
    task->attempts++;
    task->state = TASK_NEW;
    task->size = UINT64_MAX;
    task->resumed_bytes = 0;
    task->is_size_contradicted = false;
    task->is_hint_doubted = true;
    task_sources_forgive(task);
    task_step_soon(task);
    return true;
}

/* Who is asked alone (transfer/task_source.c, blame) may be dead, and another one honest. */
static void replace_alone(struct task *task)
{
    if (task->n_streams == 0 && task->alone != NULL && task->alone->failures > 1)
        (void)task_sources_next_alone(task);
}

/* Is anything missing that a registry has to bring? */
static bool has_part_in_it(const struct cache_pieces *pieces, const bool *elsewhere)
{
    if (elsewhere == NULL)
        return true;
    for (uint32_t i = 0; i < pieces->n; i++)
        if (!elsewhere[i] && !cache_pieces_is_complete(pieces, i))
            return true;
    return false;
}

static void ask_registries(struct task *task)
{
    bool is_their_turn = true;
    replace_alone(task);
    if (task->writer == NULL) {
        (void)start_first(task); /* NULL: one runs, or nobody is ready */
    } else {
        bool *elsewhere = task_director_list_elsewhere(task);
        is_their_turn = has_part_in_it(cache_writer_pieces(task->writer), elsewhere);
        while (start_next(task, elsewhere, false) != NULL)
            ;
        free(elsewhere);
    }
    if (!is_their_turn || task->n_streams + task->n_fetches > 0 || !is_hopeless(task))
        return;
    if (task_sources_add_waiting(task))
        task_step_soon(task);
    else if (!drop_hint(task) && !leave_part(task))
        task_fail(task, &task->err);
}

/* The director keeps registries closed, and a client waits too long (transfer/task_hunger.c): they
 * are asked for what he waits for. Where that fails the swarm still brings it. */
static void feed_hungry(struct task *task)
{
    struct task_stream *stream;
    if (task->writer == NULL) {
        if (task_hunger_is_any(task) && (stream = start_first(task)) != NULL)
            task_hunger_note(task, stream);
        return;
    }
    bool *elsewhere = task_hunger_list_elsewhere(task);
    while (elsewhere != NULL && (stream = start_next(task, elsewhere, true)) != NULL)
        task_hunger_note(task, stream);
    free(elsewhere);
    task_streams_keep_to_piece(task);
}

void task_fill_step(struct task *task)
{
    dt_loop_assert_mine(task->loop);
    if (task->state == TASK_VERIFYING || task->is_write_broken)
        return;
    if (task->is_uncacheable) {
        task_stream_through(task);
        return;
    }
    if (task->writer != NULL && cache_pieces_is_full(cache_writer_pieces(task->writer))) {
        task->state = TASK_VERIFYING; /* first: nothing new is ordered while they stop */
        task_streams_stop(task);
        cache_writer_finish(&task->writer, on_finished, task);
        return;
    }
    if (task->is_given_up) {
        (void)dt_err_set(&task->err, DT_ECANCELLED, "nobody waits for it any more");
        task_fail(task, &task->err);
        return;
    }
    task_director_step(task);
    if (task_director_may_ask(task)) {
        ask_registries(task);
        return;
    }
    feed_hungry(task);
    task->progress_ms = dt_loop_now_ms(task->loop); /* their patience begins when asked */
}

/* ---- tick: rates, more streams, slow sources ---- */

/* More ranges at once only where that is faster: one is added while the last one paid off. */
static void tune_streams(struct task *task)
{
    uint64_t left = task->size - cache_writer_pieces(task->writer)->filled_bytes;
    if (task->is_rate_settled || task->n_streams == 0 || task->n_streams < task->n_streams_wanted)
        return;
    if (task->n_streams_wanted > 1 &&
        task->rate_bytes_s < task->rate_before + task->rate_before / 5) {
        task->is_rate_settled = true;
        return;
    }
    if (task->n_streams_wanted >= task->transfer->options->streams_per_blob ||
        left < task->transfer->options->segment_bytes || left < 2 * task->rate_bytes_s)
        return;
    task->rate_before = task->rate_bytes_s;
    task->n_streams_wanted++;
    task_step_soon(task);
}

static void drop_slow_streams(struct task *task)
{
    uint64_t now_ms = dt_loop_now_ms(task->loop);
    uint64_t window_ms = task->transfer->options->stall_timeout_ms;
    for (size_t i = 0; i < TASK_SLOTS; i++) {
        struct task_stream *stream = &task->streams[i];
        if (stream->source == NULL || stream->is_ordered ||
            now_ms - stream->window_began_ms < window_ms)
            continue;
        uint64_t rate = stream->window_bytes * 1000 / (now_ms - stream->window_began_ms);
        stream->window_began_ms = now_ms;
        stream->window_bytes = 0;
        struct source *source = stream->source;
        bool was_held = source->was_held; /* by a limit: that is no fault of its own */
        source->was_held = false;
        if (stream->is_paused || was_held || rate >= task->transfer->options->min_rate_bytes ||
            task_sources_count_ready(task, source) == 0)
            continue;
        struct dt_err err = {0};
        dt_err_set(&err, DT_ETIMEOUT, "%s gives %llu bytes/s, and another source is ready",
                   source->name, (unsigned long long)rate);
        task_stream_stop(stream);
        task_source_note_failure(task, source, &err, 0);
        source->retry_at_ms = now_ms + 3 * window_ms;
    }
}

/* The director told a size while the cache was just letting go of an earlier writer. */
static void open_told(struct task *task)
{
    if (task->state != TASK_NEW || task->writer != NULL || task->told_size == UINT64_MAX ||
        task->is_uncacheable)
        return;
    task_writer_open(task, task->told_size);
    task->is_uncacheable =
        task->writer == NULL && (task->err.code != DT_EBUSY || task->n_busy > TASK_BUSY_MAX);
}

void task_fill_tick(struct task *task)
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
    open_told(task);
    drop_slow_streams(task);
    task_streams_reap(task);
    if (task->state != TASK_VERIFYING)
        task_step_soon(task);
}
