/*
 * supernode/seed.c - the fill of one task, its director, and the sums of its pieces. See seed.h.
 *
 * One ticket at least is kept while a fill runs: a fill whose digest proved wrong begins again, and
 * asks for its director only where somebody still waits. Whether the end of a fill was its last
 * word is known a turn later: then either another one has begun, or nobody is left to ask.
 */
#define LOG_COMPONENT "seed"
#include "supernode/seed.h"

#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cache/reader.h"
#include "transfer/task.h"

#define SEED_MAGIC 0x73656564u

enum seed_piece { SEED_MISSING, SEED_SUMMING, SEED_HERE };

struct seed_ticket {
    struct supernode_seed *seed;
    struct task_ticket *ticket; /* owned; NULL = free place */
    bool is_answered;
};

struct supernode_seed {
    unsigned magic;
    unsigned refs; /* the task, the fill, jobs, a deferred look */
    struct supernode *supernode;
    struct supernode_task *task; /* NULL once it is forgotten */
    struct task *fill;           /* running now, or NULL */
    struct seed_ticket tickets[SEED_WAYS_MAX];
    uint64_t tried[SEED_WAYS_MAX]; /* hashes of ways, a ring */
    unsigned n_tried;
    struct reg_upstream *upstream; /* the last way, kept for later */
    char *repository;              /* owned */
    char *authorization;           /* owned; wiped */
    struct cache_reader *reader;   /* owned; NULL while nothing is readable */
    uint8_t *pieces;               /* owned; enum seed_piece */
    uint32_t first_missing;        /* no piece before it is missing */
    uint8_t *bytes;                /* owned: all of a small blob, for answers; or NULL */
    size_t n_bytes;
    unsigned n_summing;
    unsigned generation; /* of the reader: a job of an earlier one is for nothing */
    bool is_look_due, is_settle_due, has_declined;
    struct dt_err err; /* why the last fill failed */
};

static void look(struct supernode_seed *seed);
static void settle_soon(struct supernode_seed *seed);

static void unref(struct supernode_seed *seed)
{
    DT_ASSERT(seed->magic == SEED_MAGIC && seed->refs > 0);
    if (--seed->refs > 0)
        return;
    DT_ASSERT(seed->reader == NULL && seed->n_summing == 0 && seed->fill == NULL);
    DT_ASSERT(seed->bytes == NULL);
    seed->magic = 0;
    free(seed->repository);
    dt_free_secret(&seed->authorization);
    free(seed->pieces);
    free(seed);
}

struct supernode_seed *supernode_seed_new(struct supernode_task *task)
{
    struct supernode_seed *seed = dt_new(struct supernode_seed);
    seed->magic = SEED_MAGIC;
    seed->refs = 1;
    seed->supernode = task->supernode;
    seed->task = task;
    return seed;
}

bool supernode_seed_is_filling(const struct supernode_seed *seed)
{
    return seed->fill != NULL;
}

/* ---- the bytes of a small blob ---- */

uint8_t *supernode_seed_bytes(const struct supernode_seed *seed)
{
    return seed->bytes;
}

static void drop_bytes(struct supernode_seed *seed)
{
    if (seed->bytes == NULL)
        return;
    atomic_fetch_sub(&seed->supernode->tasks->inline_bytes, seed->n_bytes);
    dt_free(&seed->bytes);
}

/* Takes them over. Above the limit of all tasks they are fetched from the file, as large ones. */
static void keep_bytes(struct supernode_seed *seed, uint8_t **bytes, size_t len)
{
    _Atomic uint64_t *all = &seed->supernode->tasks->inline_bytes;
    if (*bytes == NULL || seed->bytes != NULL)
        return;
    if (atomic_fetch_add(all, len) + len > SUPERNODE_INLINE_ALL_MAX) {
        atomic_fetch_sub(all, len);
        return;
    }
    seed->bytes = *bytes;
    seed->n_bytes = len;
    *bytes = NULL;
}

/* ---- the file ---- */

/* Jobs read its descriptor: it is closed when the last one has ended. */
static void close_reader(struct supernode_seed *seed)
{
    seed->generation++;
    drop_bytes(seed);
    if (seed->n_summing == 0)
        cache_reader_close(&seed->reader);
}

/* What was verified has the right size. */
static void look_at_file(const struct supernode_seed *seed)
{
    if (seed->task != NULL && seed->reader != NULL && cache_reader_is_sealed(seed->reader) &&
        cache_reader_size(seed->reader) == seed->task->size)
        supernode_size_confirmed(seed->task);
}

static void open_reader(struct supernode_seed *seed)
{
    struct dt_err err = {0};
    if (seed->task == NULL || seed->reader != NULL)
        return;
    if (cache_reader_open(&seed->reader, seed->supernode->transfer.cache, &seed->task->digest,
                          &err) < 0) {
        dt_log_debug("seed_not_readable", "reason=%s", DT_LOG_Q(err.msg));
        return;
    }
    cache_reader_by_piece(seed->reader);
    uint64_t size = cache_reader_size(seed->reader);
    if (supernode_size_proved(seed->task, size, &err) < 0) {
        close_reader(seed);
        supernode_task_gone(seed->task, &err);
        return;
    }
    look_at_file(seed);
    look(seed);
}

void supernode_seed_anew(struct supernode_seed *seed)
{
    dt_free(&seed->pieces);
    seed->first_missing = 0;
    seed->has_declined = false;
    seed->err = (struct dt_err){0};
}

/* What is not readable any more is nobody's to be sent to. */
static void lose_pieces(struct supernode_seed *seed)
{
    struct supernode_task *task = seed->task;
    close_reader(seed);
    if (task == NULL || task->swarm == NULL)
        return;
    for (uint32_t piece = 0; piece < task->n_pieces; piece++) {
        if (seed->pieces[piece] == SEED_HERE)
            (void)supernode_swarm_lost(task->swarm, task->seed_handle, piece); /* it had it */
        seed->pieces[piece] = SEED_MISSING;
    }
    seed->first_missing = 0;
}

/* ---- sums, on the pool ---- */

struct sum_job {
    struct dt_job job;
    struct supernode_seed *seed; /* counted */
    unsigned generation;
    uint32_t piece, len;
    uint64_t off;
    int fd;         /* of the reader, which stays open while jobs run */
    uint8_t *bytes; /* owned: of a small blob, kept while summed; NULL: only the sum is wanted */
    int rc;
    struct wire_sum sum;
};

int supernode_seed_sum(struct wire_sum *out, uint8_t *keep, int fd, uint64_t off, uint32_t len)
{
    int rc = -DT_EIO;
    struct dt_digest digest;
    struct dt_hasher *hasher = dt_hasher_new(DT_SHA256);
    uint8_t *chunk = keep == NULL ? dt_calloc(1, SEED_CHUNK_BYTES) : NULL;
    while (len > 0) {
        uint8_t *into = keep != NULL ? keep : chunk;
        size_t wanted = len < SEED_CHUNK_BYTES ? len : SEED_CHUNK_BYTES;
        ssize_t n = pread(fd, into, wanted, (off_t)off);
        if (n <= 0)
            goto out;
        dt_hasher_update(hasher, into, (size_t)n);
        keep = keep != NULL ? keep + n : NULL;
        off += (uint64_t)n;
        len -= (uint32_t)n;
    }
    dt_hasher_final(hasher, &digest);
    memcpy(out->bytes, digest.raw, sizeof(out->bytes));
    rc = 0;
out:
    dt_hasher_free(&hasher);
    free(chunk);
    return rc;
}

static void run_sum(struct dt_job *base)
{
    struct sum_job *job = dt_container_of(base, struct sum_job, job);
    job->rc = supernode_seed_sum(&job->sum, job->bytes, job->fd, job->off, job->len);
}

static void damaged_is_gone(void *arg, const struct dt_err *err)
{
    struct supernode_seed *seed = arg;
    (void)err; /* what matters is whether it is still there */
    if (seed->task != NULL)
        supernode_seed_doubt(seed);
    unref(seed);
}

/* The disk has changed the blob since it was verified. */
static void drop_damaged(struct supernode_seed *seed, uint32_t piece)
{
    char name[13];
    dt_log_error("seed_damaged", "blob=%s piece=%u", dt_digest_short(name, &seed->task->digest),
                 piece);
    seed->pieces[piece] = SEED_MISSING;
    seed->refs++;
    cache_remove(seed->supernode->transfer.cache, &seed->task->digest,
                 (struct cache_completion){damaged_is_gone, seed, seed->task->loop});
}

static void take_sum(struct supernode_seed *seed, struct sum_job *job)
{
    struct supernode_task *task = seed->task;
    if (job->rc == 0 && task->are_sums_sure &&
        !wire_sum_equal(&job->sum, &task->sums[job->piece])) {
        job->rc = -DT_EMISMATCH;
        drop_damaged(seed, job->piece);
        return;
    }
    if (job->rc < 0) {
        char name[13];
        seed->pieces[job->piece] = SEED_MISSING;
        dt_log_error("seed_unreadable", "blob=%s piece=%u", dt_digest_short(name, &task->digest),
                     job->piece);
        return;
    }
    seed->pieces[job->piece] = SEED_HERE;
    keep_bytes(seed, &job->bytes, job->len);
    task->sums[job->piece] = job->sum;
    task->sum_states[job->piece] = TASK_SUM_OURS;
    (void)supernode_swarm_gained(task->swarm, task->seed_handle, job->piece); /* false: had it */
    supernode_task_plan_soon(task);
}

static void sum_is_done(struct dt_job *base)
{
    struct sum_job *job = dt_container_of(base, struct sum_job, job);
    struct supernode_seed *seed = job->seed;
    struct supernode *supernode = seed->supernode;
    seed->n_summing--;
    bool is_current = job->generation == seed->generation && seed->task != NULL;
    if (is_current)
        take_sum(seed, job);
    else if (seed->n_summing == 0)
        cache_reader_close(&seed->reader);
    if (is_current && job->rc == 0)
        look(seed);
    else if (!is_current && seed->reader == NULL && seed->task != NULL) {
        open_reader(seed); /* a new fill may have opened while the old file was still read */
        supernode_seed_reconsider(seed);
    }
    free(job->bytes);
    free(job);
    unref(seed);
    supernode_tasks_job_ended(supernode);
}

static void start_sum(struct supernode_seed *seed, uint32_t piece)
{
    struct supernode_task *task = seed->task;
    struct sum_job *job = dt_new(struct sum_job);
    job->job = (struct dt_job){.run = run_sum, .done = sum_is_done, .loop = task->loop};
    job->seed = seed;
    job->generation = seed->generation;
    job->piece = piece;
    job->off = (uint64_t)piece * task->piece_size;
    job->len = supernode_swarm_piece_len(task->swarm, piece);
    job->fd = cache_reader_fd(seed->reader);
    if (job->len == task->size && job->len <= WIRE_INLINE_MAX)
        job->bytes = dt_calloc(job->len, 1);
    seed->pieces[piece] = SEED_SUMMING;
    seed->n_summing++;
    seed->refs++;
    supernode_tasks_job_begins(seed->supernode);
    dt_pool_submit(seed->supernode->transfer.pool, &job->job);
}

/* Is this piece in the file? -1: the file is of no use any more. */
static int is_in_file(struct supernode_seed *seed, uint32_t piece)
{
    struct dt_err err = {0};
    int64_t n =
        cache_reader_available(seed->reader, (uint64_t)piece * seed->task->piece_size, &err);
    if (n < 0)
        return -1;
    return n >= (int64_t)supernode_swarm_piece_len(seed->task->swarm, piece);
}

/* Starts the sums of pieces that are in the file, a few at once. */
static void look(struct supernode_seed *seed)
{
    struct supernode_task *task = seed->task;
    if (task == NULL || task->swarm == NULL || seed->reader == NULL || seed->pieces == NULL)
        return;
    while (seed->first_missing < task->n_pieces && seed->pieces[seed->first_missing] == SEED_HERE)
        seed->first_missing++;
    for (uint32_t piece = seed->first_missing;
         piece < task->n_pieces && seed->n_summing < SEED_SUMS_AT_ONCE; piece++) {
        int is_here = seed->pieces[piece] == SEED_MISSING ? is_in_file(seed, piece) : 0;
        if (is_here < 0)
            return; /* end() of the fill comes, or has come */
        if (is_here > 0)
            start_sum(seed, piece);
    }
}

static void look_again(void *arg)
{
    struct supernode_seed *seed = arg;
    seed->is_look_due = false;
    if (seed->reader == NULL && seed->fill != NULL)
        open_reader(seed);
    look(seed);
    unref(seed);
}

static void look_soon(struct supernode_seed *seed)
{
    if (seed->is_look_due)
        return;
    seed->is_look_due = true;
    seed->refs++;
    dt_loop_defer(look_again, seed);
}

void supernode_seed_opened(struct supernode_seed *seed)
{
    struct supernode_task *task = seed->task;
    DT_ASSERT(task->swarm != NULL && seed->pieces == NULL);
    seed->pieces = dt_new_array(uint8_t, task->n_pieces);
    if (seed->fill != NULL && task_pieces(seed->fill) == NULL &&
        task->size_word != TASK_SIZE_DOUBTED)
        (void)task_know_size(seed->fill, task->size, NULL); /* no: the fill says so when it ends */
    look_soon(seed);
}

/* ---- tickets ---- */

static unsigned count_tickets(const struct supernode_seed *seed, bool is_answered)
{
    unsigned n = 0;
    for (size_t i = 0; i < SEED_WAYS_MAX; i++)
        n += seed->tickets[i].ticket != NULL && seed->tickets[i].is_answered == is_answered;
    return n;
}

/* All but one of those that had their answer: the fill keeps their ways. */
static void drop_answered(struct supernode_seed *seed, unsigned n_kept)
{
    for (size_t i = 0; i < SEED_WAYS_MAX; i++) {
        struct seed_ticket *place = &seed->tickets[i];
        if (place->ticket == NULL || !place->is_answered)
            continue;
        if (n_kept > 0)
            n_kept--;
        else
            transfer_task_detach(&place->ticket);
    }
}

static void drop_tickets(struct supernode_seed *seed)
{
    for (size_t i = 0; i < SEED_WAYS_MAX; i++)
        transfer_task_detach(&seed->tickets[i].ticket);
}

static void on_event(void *arg, const struct task_event *event)
{
    struct seed_ticket *place = arg;
    struct supernode_seed *seed = place->seed;
    place->is_answered = true;
    if (event->news == TASK_READABLE) {
        drop_answered(seed, 1);
        open_reader(seed);
        return;
    }
    seed->err = event->err;
    transfer_task_detach(&place->ticket);
    settle_soon(seed);
}

/* ---- ways ---- */

static uint64_t hash_way(const struct seed_way *way)
{
    const char *authorization = way->authorization != NULL ? way->authorization : "";
    uint64_t parts[] = {(uintptr_t)way->upstream,
                        dt_hash_bytes(way->repository, strlen(way->repository)),
                        dt_hash_bytes(authorization, strlen(authorization))};
    return dt_hash_bytes(parts, sizeof(parts));
}

static bool was_tried(const struct supernode_seed *seed, uint64_t hash)
{
    unsigned n = seed->n_tried < SEED_WAYS_MAX ? seed->n_tried : SEED_WAYS_MAX;
    for (unsigned i = 0; i < n; i++)
        if (seed->tried[i] == hash)
            return true;
    return false;
}

static void attach(struct supernode_seed *seed, const struct seed_way *way)
{
    size_t free_place = 0;
    while (free_place < SEED_WAYS_MAX && seed->tickets[free_place].ticket != NULL)
        free_place++;
    if (free_place == SEED_WAYS_MAX)
        return; /* that many are being tried */
    struct seed_ticket *place = &seed->tickets[free_place];
    *place = (struct seed_ticket){.seed = seed};
    place->ticket = transfer_task_attach(
        &seed->supernode->transfer, &seed->task->digest,
        &(struct task_wish){.upstream = way->upstream,
                            .repository = way->repository,
                            .authorization = way->authorization,
                            .size = way->size,
                            .off = way->want_off != UINT64_MAX ? way->want_off : 0},
        on_event, place);
    seed->tried[seed->n_tried++ % SEED_WAYS_MAX] = hash_way(way);
}

/* One that can store nothing fetches nothing: no registry need hear of the blob twice, and the
 * node may ask another supernode. */
static bool has_room(struct supernode_seed *seed)
{
    struct cache_usage usage;
    cache_usage(&usage, seed->supernode->transfer.cache);
    if (usage.is_usable && !usage.is_full)
        return true;
    (void)dt_err_set(&seed->err, DT_ENOSPACE, "%s", usage.reason);
    settle_soon(seed);
    return false;
}

static bool is_at_work(const struct supernode_seed *seed)
{
    return seed->fill != NULL || count_tickets(seed, false) > 0;
}

bool supernode_seed_is_whole(const struct supernode_seed *seed)
{
    return seed->reader != NULL && cache_reader_is_sealed(seed->reader);
}

/* Is the blob in our cache already? Then no way is needed, and no registry hears of it. */
static bool is_cached(const struct supernode_seed *seed)
{
    struct cache_entry entry;
    struct dt_err ignored;
    return cache_stat(&entry, seed->supernode->transfer.cache, &seed->task->digest, &ignored) ==
               0 &&
           entry.state == CACHE_SEALED;
}

void supernode_seed_offer(struct supernode_seed *seed, const struct seed_way *way)
{
    if (seed->repository == NULL || strcmp(seed->repository, way->repository) != 0) {
        free(seed->repository);
        seed->repository = dt_strdup(way->repository);
    }
    seed->upstream = way->upstream;
    dt_free_secret(&seed->authorization);
    seed->authorization = dt_strdup(way->authorization);
    if (supernode_seed_is_whole(seed))
        return;
    if (seed->reader == NULL && is_cached(seed))
        open_reader(seed);
    if (supernode_seed_is_whole(seed))
        return;
    if (is_at_work(seed) && !was_tried(seed, hash_way(way)))
        attach(seed, way);
    else if (!is_at_work(seed) && supernode_task_needs_registry(seed->task) && has_room(seed))
        attach(seed, way); /* also a way that failed before: things change */
}

void supernode_seed_reconsider(struct supernode_seed *seed)
{
    if (seed->fill != NULL)
        task_step_soon(seed->fill);
    if (supernode_seed_is_whole(seed) || is_at_work(seed) || seed->upstream == NULL ||
        seed->task->state == SUPERNODE_TASK_GONE || seed->task->n_present == 0 ||
        !supernode_task_needs_registry(seed->task) || !has_room(seed))
        return;
    bool is_known = seed->task->size_word != TASK_SIZE_DOUBTED && !seed->task->distrusts_nodes;
    struct seed_way way = {.upstream = seed->upstream,
                           .repository = seed->repository,
                           .authorization = seed->authorization,
                           .size = is_known ? seed->task->size : UINT64_MAX,
                           .want_off = UINT64_MAX};
    attach(seed, &way);
}

void supernode_seed_doubt(struct supernode_seed *seed)
{
    struct cache_reader *reader = NULL;
    struct dt_err err = {0};
    if (!supernode_seed_is_whole(seed) || seed->fill != NULL)
        return; /* the end of the fill says what became of it */
    if (cache_reader_open(&reader, seed->supernode->transfer.cache, &seed->task->digest, &err) ==
        0) {
        cache_reader_close(&reader);
        return;
    }
    char name[13];
    dt_log_warn("seed_lost", "blob=%s reason=%s", dt_digest_short(name, &seed->task->digest),
                DT_LOG_Q(err.msg));
    lose_pieces(seed);
    supernode_seed_reconsider(seed);
    supernode_task_plan_soon(seed->task);
}

/* ---- the end of a fill, and of the seed ---- */

static void end_of_ways(struct supernode_seed *seed)
{
    supernode_size_unanswered(seed->task);
    if (supernode_task_needs_registry(seed->task))
        supernode_task_gone(seed->task, &seed->err);
}

/* A turn later: has another fill begun, or is a way still being tried? */
static void settle(void *arg)
{
    struct supernode_seed *seed = arg;
    seed->is_settle_due = false;
    if (seed->task != NULL && seed->fill == NULL && !supernode_seed_is_whole(seed)) {
        drop_answered(seed, 0);
        if (count_tickets(seed, false) == 0 && seed->err.code != 0)
            end_of_ways(seed);
        else
            supernode_seed_reconsider(seed); /* a task that was begun anew has not asked yet */
    }
    unref(seed);
}

static void settle_soon(struct supernode_seed *seed)
{
    if (seed->is_settle_due || seed->task == NULL)
        return;
    seed->is_settle_due = true;
    seed->refs++;
    dt_loop_defer(settle, seed);
}

void supernode_seed_leave(struct supernode_seed **seed_ptr)
{
    struct supernode_seed *seed = *seed_ptr;
    *seed_ptr = NULL;
    if (seed == NULL)
        return;
    /* A fill that is waiting for what nodes have would wait for ever; one that is fetching
     * everything goes on: the cache wants it. */
    if (seed->fill != NULL && seed->has_declined)
        task_give_up(seed->fill);
    drop_tickets(seed);
    close_reader(seed);
    seed->task = NULL;
    unref(seed);
}

/* ---- the director ---- */

static void *begin(void *director, struct task *fill, const struct task_wish *wish)
{
    struct supernode_task *task = supernode_task_find(director, task_digest(fill));
    (void)wish; /* the ways are the task's; a director needs none */
    if (task == NULL || task->seed->fill != NULL)
        return NULL;
    struct supernode_seed *seed = task->seed;
    seed->fill = fill;
    seed->has_declined = false;
    seed->refs++;
    if (task->size != UINT64_MAX && task->size_word != TASK_SIZE_DOUBTED)
        (void)task_know_size(fill, task->size, NULL); /* no: it ends, and says why */
    return seed;
}

static void opened(void *object)
{
    look_soon(object); /* the reader is opened there: not from inside the writer's opening */
}

/* A registry gives bytes after it has told the size. One that tells another size is asked again,
 * with the others, also where nodes hold all there is to be fetched. */
static void look_at_size(const struct supernode_seed *seed)
{
    if (seed->task != NULL && task_is_size_contradicted(seed->fill))
        supernode_size_contradicted(seed->task);
    if (seed->task != NULL && task_pieces(seed->fill) != NULL &&
        task_size(seed->fill) == seed->task->size && task_registry_bytes(seed->fill) > 0)
        supernode_size_confirmed(seed->task);
}

static bool may_ask_registries(void *object)
{
    look_at_size(object);
    return true;
}

static bool wants_from_registry(void *object, uint32_t piece)
{
    struct supernode_seed *seed = object;
    struct supernode_task *task = seed->task;
    if (task == NULL || task->swarm == NULL)
        return true;
    const struct cache_pieces *pieces = task_pieces(seed->fill);
    if (pieces == NULL || pieces->piece_size != task->piece_size)
        return true;
    /* One piece is enough to hear the size; whoever has begun it already hears it with the rest. */
    if (task->size_word == TASK_SIZE_DOUBTED && (piece == 0 || cache_pieces_is_complete(pieces, 0)))
        return true;
    bool is_elsewhere = supernode_swarm_copies(task->swarm, piece) > 0 &&
                        !supernode_row_test(task->troubled, piece);
    seed->has_declined |= is_elsewhere;
    return !is_elsewhere;
}

static uint64_t patience_ms(void *object)
{
    struct supernode_seed *seed = object;
    bool is_all_there_is = seed->task != NULL && seed->task->swarm == NULL;
    return is_all_there_is ? SEED_PATIENCE_MS : TRANSFER_GIVE_UP_MS;
}

static void landed(void *object)
{
    look_soon(object);
}

/* Every registry contradicts it, or the cache has no room for what is perhaps a lie. */
static bool is_told_size_wrong(const struct supernode_seed *seed, enum task_state state)
{
    const struct supernode_task *task = seed->task;
    return task != NULL && task->swarm != NULL && task->size_word != TASK_SIZE_PROVED &&
           (task_is_size_contradicted(seed->fill) || state == TASK_NEW);
}

static void end(void *object, enum task_state state, const struct dt_err *err)
{
    struct supernode_seed *seed = object;
    bool was_wrong = is_told_size_wrong(seed, state);
    seed->fill = NULL;
    if (state == TASK_DONE) {
        open_reader(seed); /* a small one may be done before anybody looked */
        look_at_file(seed);
        look(seed);
    } else if (seed->task != NULL) {
        seed->err = *err;
        lose_pieces(seed);
        if (was_wrong && state == TASK_NEW)
            drop_tickets(seed); /* they are about to hear of room for what was no size */
        if (was_wrong)
            supernode_task_anew(seed->task);
        settle_soon(seed);
    }
    unref(seed);
}

const struct transfer_director_ops supernode_director_ops = {
    .begin = begin,
    .opened = opened,
    .may_ask_registries = may_ask_registries,
    .wants_from_registry = wants_from_registry,
    .patience_ms = patience_ms,
    .landed = landed,
    .end = end,
};
