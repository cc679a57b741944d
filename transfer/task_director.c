/*
 * transfer/task_director.c - who else has a say in a task: the calls to its director, and what the
 * director may do with it (transfer/director.h).
 *
 *   begin -> (opened | wish | step | landed | fetched)* -> end      end -> begin, after wrong bytes
 *
 * A task without a director comes through here too, and is told: ask whom you like. What a director
 * orders is a fetch of one piece in a slot of its own; its failures stay here and never count
 * against a registry.
 */
#include "transfer/task_priv.h"

#include "base/mem.h"

uint64_t task_peer_bytes(const struct task *task)
{
    return task->kind_bytes[SOURCE_PEER] + task->kind_bytes[SOURCE_SEED];
}

/* ---- the task speaks ---- */

static const struct transfer_director_ops *ops_of(const struct task *task)
{
    DT_ASSERT(task->director != NULL);
    return task->transfer->director->ops;
}

static struct task_wish wish_of(const struct task_ticket *ticket)
{
    return (struct task_wish){.upstream = ticket->upstream,
                              .repository = ticket->repository,
                              .authorization = ticket->authorization,
                              .size = ticket->size,
                              .off = ticket->off};
}

void task_director_begin(struct task *task, const struct task_ticket *ticket)
{
    const struct transfer_director *director = task->transfer->director;
    if (director == NULL)
        return;
    struct task_wish wish = wish_of(ticket);
    task->director = director->ops->begin(director->arg, task, &wish);
    if (task->writer != NULL)
        task_director_opened(task); /* begin() has told the size */
}

void task_director_wish(struct task *task, const struct task_ticket *ticket)
{
    struct task_wish wish = wish_of(ticket);
    if (task->director != NULL && ops_of(task)->wish != NULL)
        ops_of(task)->wish(task->director, &wish);
}

void task_director_opened(struct task *task)
{
    if (task->director != NULL && ops_of(task)->opened != NULL)
        ops_of(task)->opened(task->director);
}

void task_director_step(struct task *task)
{
    if (task->director != NULL && ops_of(task)->step != NULL)
        ops_of(task)->step(task->director);
}

bool task_director_may_ask(struct task *task)
{
    return task->director == NULL || ops_of(task)->may_ask_registries(task->director);
}

uint64_t task_director_patience_ms(struct task *task)
{
    if (task->director == NULL || ops_of(task)->patience_ms == NULL)
        return TRANSFER_GIVE_UP_MS;
    return ops_of(task)->patience_ms(task->director);
}

bool *task_director_list_elsewhere(struct task *task)
{
    const struct cache_pieces *pieces = cache_writer_pieces(task->writer);
    if (task->director == NULL || ops_of(task)->wants_from_registry == NULL || pieces->n == 0)
        return NULL;
    bool *elsewhere = dt_new_array(bool, pieces->n);
    for (uint32_t i = 0; i < pieces->n; i++)
        elsewhere[i] = !cache_pieces_is_complete(pieces, i) &&
                       !ops_of(task)->wants_from_registry(task->director, i);
    return elsewhere;
}

void task_director_landed(struct task *task)
{
    if (task->director != NULL && ops_of(task)->landed != NULL)
        ops_of(task)->landed(task->director);
}

void task_director_fetched(struct task_stream *stream, const struct dt_err *err)
{
    struct task *task = stream->task;
    uint32_t piece = stream->piece;
    struct source *source = task_stream_clear(stream);
    if (task->director != NULL && ops_of(task)->fetched != NULL)
        ops_of(task)->fetched(task->director, source, piece, err);
    source->ops->free(&source);
}

void task_director_end(struct task *task, enum task_state how, const struct dt_err *err)
{
    void *object = task->director;
    if (object == NULL)
        return;
    task->director = NULL; /* whatever end() calls, it is not the task's director any more */
    task->transfer->director->ops->end(object, how, err);
}

/* Which of the nodes lied cannot be told (each piece was what its sum said), so none is asked
 * again: the next attempt is a registry's alone. Where no node gave a byte the director did no
 * wrong, and begins anew with the task. */
void task_director_restart(struct task *task, const struct dt_err *err)
{
    bool is_theirs = task_peer_bytes(task) > 0;
    bool had_one = task->director != NULL;
    task->told_size = UINT64_MAX;
    task_director_end(task, TASK_FAILED, err);
    if (had_one && !is_theirs && task->tickets != NULL)
        task_director_begin(task, task->tickets);
}

/* ---- the director speaks ---- */

const struct dt_digest *task_digest(const struct task *task)
{
    return &task->digest;
}

struct dt_loop *task_loop(const struct task *task)
{
    return task->loop;
}

const struct cache_pieces *task_pieces(const struct task *task)
{
    bool is_open = task->writer != NULL && task->state == TASK_FETCHING;
    return is_open ? cache_writer_pieces(task->writer) : NULL;
}

uint64_t task_size(const struct task *task)
{
    if (task->size != UINT64_MAX)
        return task->size;
    return task->is_hint_doubted ? UINT64_MAX : task->size_hint;
}

bool task_is_size_contradicted(const struct task *task)
{
    return task->is_size_contradicted;
}

uint64_t task_registry_bytes(const struct task *task)
{
    return task->kind_bytes[SOURCE_MIRROR] + task->kind_bytes[SOURCE_ORIGIN];
}

uint64_t task_wanted(const struct task *task)
{
    const struct cache_pieces *pieces = task_pieces(task);
    uint64_t wanted = UINT64_MAX;
    for (const struct task_ticket *t = task->tickets; t != NULL; t = t->next) {
        uint64_t start = t->off, end;
        if (pieces != NULL && !cache_pieces_next_gap(pieces, t->off, &start, &end))
            continue;
        wanted = start < wanted ? start : wanted;
    }
    return wanted;
}

int task_know_size(struct task *task, uint64_t size, struct dt_err *err)
{
    dt_loop_assert_mine(task->loop);
    uint64_t known = task_size(task);
    if (size > CACHE_BLOB_SIZE_MAX || (known != UINT64_MAX && size != known))
        return dt_err_set(err, DT_EPROTO, "a size of %llu contradicts what is known",
                          (unsigned long long)size);
    if (task->writer != NULL || task->state == TASK_VERIFYING || task->is_ending)
        return 0;
    task->told_size = size;
    task_writer_open(task, size);
    task_step_soon(task);
    if (task->writer != NULL)
        return 0;
    /* Busy: the ticks try again. Anything else: the next step turns the clients away. */
    task->is_uncacheable = task->err.code != DT_EBUSY;
    if (err != NULL)
        *err = task->err;
    return -task->err.code;
}

static bool comes_from_registry(const struct task *task, uint64_t start, uint64_t end)
{
    for (size_t i = 0; i < TASK_SLOTS; i++) {
        const struct task_stream *stream = &task->streams[i];
        if (stream->source != NULL && !stream->is_ordered && stream->pos < end &&
            stream->end > start)
            return true;
    }
    return false;
}

bool task_fetch_piece(struct task *task, struct source **source, uint32_t piece)
{
    dt_loop_assert_mine(task->loop);
    const struct cache_pieces *pieces = task_pieces(task);
    if (pieces == NULL || task->is_ending || task->is_write_broken || piece >= pieces->n ||
        cache_pieces_is_complete(pieces, piece))
        return false;
    uint64_t start = cache_pieces_start(pieces, piece);
    if (comes_from_registry(task, start, start + cache_pieces_len(pieces, piece)) ||
        task_stream_order(task, *source, piece) == NULL)
        return false;
    *source = NULL;
    return true;
}

void task_note_unproved(struct task *task)
{
    if (task->writer != NULL)
        cache_writer_note_unproved(task->writer);
}

void task_drop_fetch(struct task *task, const struct source *source, uint32_t piece)
{
    for (size_t i = 0; i < TASK_SLOTS; i++) {
        struct task_stream *stream = &task->streams[i];
        if (stream->is_ordered && stream->source == source && stream->piece == piece)
            task_stream_stop(stream);
    }
}

/* The piece it is in is completed: half a piece is worth little to others. */
static void leave(struct task_stream *stream)
{
    const struct cache_pieces *pieces = task_pieces(stream->task);
    uint64_t piece_size = pieces != NULL ? pieces->piece_size : 0;
    if (pieces == NULL || stream->pos >= stream->end || stream->pos % piece_size == 0) {
        task_stream_stop(stream); /* between two pieces, or before the first byte */
        return;
    }
    task_stream_keep_to_piece(stream);
}

bool task_leave_registries(struct task *task)
{
    dt_loop_assert_mine(task->loop);
    for (size_t i = 0; i < TASK_SLOTS; i++) {
        struct task_stream *stream = &task->streams[i];
        if (stream->source != NULL && !stream->is_ordered && !stream->is_leaving)
            leave(stream);
    }
    return task->n_streams == 0;
}

void task_give_up(struct task *task)
{
    dt_loop_assert_mine(task->loop);
    task->is_given_up = true;
    task_step_soon(task);
}
