/*
 * cache/writer.c - the one writer of one blob, the side that lives on its loop; contract in
 * writer.h. What touches the disk is in store.c, what computes the digest in digester.c.
 *
 *   OPEN (waits for room) -> STARTED -> FINISHING -> freed        any -> LEAVING -> freed
 *
 * Calls become jobs, in order. A job passes two strands: the store's, and behind it the digester's,
 * which so sees what the store wrote in the order in which it was there, while the store goes on.
 * Each job holds a reference and comes back to the loop when it is done; the last one frees the
 * writer. After finish or abort the owner hears nothing more (but finish's own done). While
 * eviction makes room, jobs wait in `parked`.
 */
#include "cache/writer.h"

#include "cache/digester_priv.h"
#include "cache/store_priv.h"
#include "base/mem.h"

enum job_kind { JOB_START, JOB_WRITE, JOB_WORK, JOB_FLUSH, JOB_FINISH, JOB_CLOSE };

struct cache_writer {
    unsigned magic;
    struct cache *cache;     /* borrowed */
    struct cache_blob *blob; /* a reference, until finish or close hands it on */
    struct dt_loop *loop;
    const struct cache_writer_ops *ops;
    void *arg;
    struct cache_pieces pieces; /* what is here or queued */
    uint64_t in_flight;
    bool is_started; /* room was granted: jobs go to the strand */
    bool is_left;    /* finish or abort was called: the owner is gone */
    bool is_error_told;
    unsigned n_jobs; /* owner's hand counts as one */
    struct dt_timer flush_timer;
    struct room_request room;
    struct dt_err room_err; /* why there is no room; read on the loop after the post */
    struct writer_job *parked, **parked_last;
    struct dt_strand *strand;        /* owned */
    struct store store;              /* the strand's; the other's once it has nothing more to do */
    struct dt_strand *digest_strand; /* owned */
    struct digester digester;        /* that strand's */
    bool is_work_queued;
    cache_done_f done;
    void *done_arg;
};

struct writer_job {
    struct dt_job job;        /* on the store's strand */
    struct dt_job digest_job; /* then on the digester's */
    struct cache_writer *writer;
    enum job_kind kind;
    uint64_t off;
    void *bytes; /* owned */
    size_t len;
    uint64_t front;        /* between the strands: so far the blob is there without a gap */
    bool is_finish_failed; /* CLOSE: drop the bytes, and tell finish's done() when they are gone */
    bool has_work;         /* out: the store has promises left to check */
    int64_t bad_piece;     /* out: a resumed piece that is not what the index promised; or -1 */
    struct dt_err err;     /* out: state of the store after this job */
    struct writer_job *next;
};

static void job_done(struct dt_job *);
static void job_run(struct dt_job *);
static void digest_run(struct dt_job *);
static void store_is_through(struct dt_job *);

/* Nothing follows it on the store's strand. It crosses over by way of the loop: once the digester's
 * strand is done with it the writer may go, and the store's strand must not be in use then. */
static bool is_last(enum job_kind kind)
{
    return kind == JOB_FINISH || kind == JOB_CLOSE;
}

static struct writer_job *job_new(struct cache_writer *writer, enum job_kind kind)
{
    struct writer_job *job = dt_new(struct writer_job);
    job->job.run = job_run;
    job->job.loop = writer->loop;
    if (is_last(kind))
        job->job.done = store_is_through;
    job->digest_job.run = digest_run;
    job->digest_job.done = job_done;
    job->digest_job.loop = writer->loop;
    job->writer = writer;
    job->kind = kind;
    job->bad_piece = -1;
    return job;
}

static void job_submit(struct cache_writer *writer, struct writer_job *job)
{
    writer->n_jobs++;
    if (writer->is_started) {
        dt_strand_submit(writer->strand, &job->job);
        return;
    }
    *writer->parked_last = job;
    writer->parked_last = &job->next;
}

/* ---- on the store's strand ---- */

static void write_run(struct store *store, struct writer_job *job)
{
    bool is_next = job->off == store->front_bytes;
    store_write(store, job->off, job->bytes, job->len);
    if (!is_next)
        dt_free(&job->bytes); /* the digester reads it back when its turn has come */
}

static void job_run(struct dt_job *base)
{
    struct writer_job *job = dt_container_of(base, struct writer_job, job);
    struct cache_writer *writer = job->writer;
    struct store *store = &writer->store;
    switch (job->kind) {
    case JOB_START:
        store_start(store);
        break;
    case JOB_WRITE:
        write_run(store, job);
        break;
    case JOB_WORK:
        job->bad_piece = store_work(store);
        break;
    case JOB_FLUSH:
        store_flush(store);
        break;
    case JOB_FINISH:
        store_settle(store);
        break;
    case JOB_CLOSE:
        break; /* nothing follows here; it ends behind what the digester has left to do */
    }
    job->err = store->err;
    job->has_work = store_has_work(store);
    job->front = store_advance(store);
    if (!is_last(job->kind))
        dt_strand_submit(writer->digest_strand, &job->digest_job); /* which may be faster than we */
}

/* ---- on the digester's strand ---- */

/* What was given up is kept to be resumed; what proved wrong is not. */
static void close_run(struct cache_writer *writer, const struct writer_job *job)
{
    struct store *store = &writer->store;
    pthread_mutex_lock(&writer->cache->lock);
    writer->blob->state = BLOB_CLOSING;
    pthread_mutex_unlock(&writer->cache->lock);
    if (job->is_finish_failed)
        cache_discard(writer->cache, &writer->blob,
                      (struct cache_completion){writer->done, writer->done_arg, writer->loop},
                      &store->err);
    else
        store_keep(store, &writer->blob);
    cache_background_end(writer->cache); /* what follows has counted itself */
}

static void finish_run(struct cache_writer *writer)
{
    struct store *store = &writer->store;
    struct dt_err err;
    if (store->err.code == 0 && digester_compare(&writer->digester, &err) < 0)
        store_fail(store, &err);
    if (store->err.code != 0)
        return;
    store_seal(store, &writer->blob);
    cache_background_end(writer->cache);
}

static void digest_run(struct dt_job *base)
{
    struct writer_job *job = dt_container_of(base, struct writer_job, digest_job);
    struct cache_writer *writer = job->writer;
    struct digester *digester = &writer->digester;
    base->again = false;
    if (job->bytes != NULL && job->err.code == 0)
        digester_bytes(digester, job->bytes, job->len);
    dt_free(&job->bytes); /* here and not on the loop: big buffers are munmapped */
    if (job->err.code == 0 && digester_read_back(digester, job->front)) {
        base->again = true;
        return;
    }
    if (job->err.code == 0)
        job->err = digester->err;
    if (job->kind == JOB_FINISH) {
        finish_run(writer);
        job->err = writer->store.err;
    } else if (job->kind == JOB_CLOSE) {
        close_run(writer, job);
    }
}

/* ---- back on the loop ---- */

static void writer_unref(struct cache_writer *writer)
{
    DT_ASSERT(writer->n_jobs > 0);
    if (--writer->n_jobs > 0)
        return;
    dt_timer_clear(&writer->flush_timer);
    dt_strand_free(&writer->strand);
    dt_strand_free(&writer->digest_strand);
    store_fini(&writer->store);
    digester_fini(&writer->digester);
    cache_pieces_fini(&writer->pieces);
    writer->magic = 0;
    free(writer);
}

static void store_is_through(struct dt_job *base)
{
    struct writer_job *job = dt_container_of(base, struct writer_job, job);
    DT_ASSERT(job->writer->magic == WRITER_MAGIC);
    dt_strand_submit(job->writer->digest_strand, &job->digest_job);
}

static void tell_error(struct cache_writer *writer, const struct dt_err *err)
{
    if (err->code == 0 || writer->is_error_told || writer->is_left)
        return;
    writer->is_error_told = true;
    writer->ops->on_error(writer->arg, err);
}

/* Told after a failure only when the bytes are gone: a new writer may then begin at once. */
static void finish_done(struct cache_writer *writer, const struct dt_err *err)
{
    if (err->code == 0) {
        writer->done(writer->done_arg, err);
        return;
    }
    struct writer_job *job = job_new(writer, JOB_CLOSE);
    job->is_finish_failed = true;
    job_submit(writer, job);
}

static void arm_flush(struct cache_writer *writer)
{
    if (!writer->is_left && !dt_timer_is_armed(&writer->flush_timer))
        dt_timer_set(&writer->flush_timer, writer->cache->flush_interval_ms);
}

static void flush_due(void *arg)
{
    struct cache_writer *writer = arg;
    DT_ASSERT(writer->magic == WRITER_MAGIC);
    if (!writer->is_left)
        job_submit(writer, job_new(writer, JOB_FLUSH));
}

static void piece_was_bad(struct cache_writer *writer, uint32_t piece)
{
    if (writer->is_left)
        return;
    cache_pieces_reset(&writer->pieces, piece);
    writer->ops->on_written(writer->arg, writer->in_flight);
}

static void job_done(struct dt_job *base)
{
    struct writer_job *job = dt_container_of(base, struct writer_job, digest_job);
    struct cache_writer *writer = job->writer;
    struct dt_err err = job->err;
    enum job_kind kind = job->kind;
    size_t len = job->len;
    int64_t bad_piece = job->bad_piece;
    bool has_work = job->has_work;
    DT_ASSERT(writer->magic == WRITER_MAGIC);
    free(job);
    if (kind == JOB_WORK)
        writer->is_work_queued = false;
    if (has_work && !writer->is_left && !writer->is_work_queued) {
        writer->is_work_queued = true;
        job_submit(writer, job_new(writer, JOB_WORK));
    }
    if (kind == JOB_FINISH) {
        finish_done(writer, &err);
    } else if (kind == JOB_WRITE) {
        writer->in_flight -= len;
        arm_flush(writer);
        tell_error(writer, &err);
        if (err.code == 0 && !writer->is_left)
            writer->ops->on_written(writer->arg, writer->in_flight);
    } else {
        tell_error(writer, &err);
        if (bad_piece >= 0)
            piece_was_bad(writer, (uint32_t)bad_piece);
    }
    writer_unref(writer);
}

/* ---- opening ---- */

/* Room was granted or refused; from now on the strand runs. */
static void room_decided_on_loop(void *arg)
{
    struct cache_writer *writer = arg;
    DT_ASSERT(writer->magic == WRITER_MAGIC);
    dt_loop_assert_mine(writer->loop);
    writer->is_started = true;
    struct writer_job *job = writer->parked;
    writer->parked = NULL;
    while (job != NULL) {
        struct writer_job *next = job->next;
        job->next = NULL;
        dt_strand_submit(writer->strand, &job->job);
        job = next;
    }
    tell_error(writer, &writer->room_err);
    writer_unref(writer);
}

static void blob_count(struct cache_writer *writer)
{
    pthread_mutex_lock(&writer->cache->lock);
    writer->blob->counted_bytes = writer->blob->size;
    cache_room_hold_locked(writer->cache, writer->blob);
    pthread_mutex_unlock(&writer->cache->lock);
    writer->store.is_reserved = !writer->store.is_resumed;
}

static void room_decided(struct room_request *request, const struct dt_err *err)
{
    struct cache_writer *writer = dt_container_of(request, struct cache_writer, room);
    if (err->code == 0) {
        blob_count(writer);
    } else { /* the strand has not started: its store may be told from here */
        writer->room_err = writer->store.err = *err;
        cache_blob_fail(writer->cache, writer->blob, err);
    }
    dt_loop_post(writer->loop, room_decided_on_loop, writer);
}

/* What the index knows about this digest: 0 = nothing, 1 = a part to resume, negative = no. */
static int lookup_part(struct index_entry *entry, struct index_pieces *pieces, struct cache *cache,
                       const struct dt_digest *digest, struct dt_err *err)
{
    struct index_view view;
    char name[13];
    int rc = index_view_begin(&view, cache->index, err);
    if (rc < 0)
        return rc;
    rc = index_entry_get(entry, &view, digest, err);
    if (rc == 0 && entry->pub.state == CACHE_PARTIAL)
        (void)index_pieces_get(pieces, &view, digest, NULL); /* none: a part without promises */
    index_view_end(&view);
    if (rc == -DT_ENOTFOUND)
        return 0;
    if (rc == 0 && entry->pub.state == CACHE_SEALED)
        return dt_err_set(err, DT_ECONFLICT, "blob %s is in the cache already",
                          dt_digest_short(name, digest));
    return rc < 0 ? rc : 1;
}

static int claim(struct cache_blob **out, struct cache *cache, const struct dt_digest *digest,
                 uint64_t size, struct dt_err *err)
{
    static const char *const texts[] = {
#define X(state, text) text,
        BLOB_STATES(X)
#undef X
    };
    char name[13];
    enum blob_state state = BLOB_WRITING;
    pthread_mutex_lock(&cache->lock);
    struct cache_blob *blob = cache_blob_find_locked(cache, digest);
    *out = NULL;
    if (blob != NULL)
        state = blob->state;
    else
        *out = cache_blob_add_locked(cache, digest, size, BLOB_WRITING);
    if (*out != NULL)
        cache_pieces_init(&(*out)->landed, size, cache_pieces_choose_size(size));
    pthread_mutex_unlock(&cache->lock);
    if (*out != NULL)
        return 0;
    bool is_brief = state == BLOB_CLOSING || state == BLOB_LEAVING;
    return dt_err_set(err, is_brief ? DT_EBUSY : DT_ECONFLICT, "blob %s: %s",
                      dt_digest_short(name, digest), texts[state]);
}

static struct cache_writer *writer_new(struct cache *cache, struct cache_blob *blob,
                                       struct dt_loop *loop)
{
    struct cache_writer *writer = dt_new(struct cache_writer);
    uint32_t piece_size = cache_pieces_choose_size(blob->size);
    writer->magic = WRITER_MAGIC;
    writer->cache = cache;
    writer->blob = blob;
    writer->loop = loop;
    writer->n_jobs = 1;
    writer->parked_last = &writer->parked;
    writer->room.bytes = blob->size;
    writer->room.is_file = true;
    writer->room.decided = room_decided;
    writer->strand = dt_strand_new(cache->pool);
    writer->digest_strand = dt_strand_new(cache->pool);
    cache_pieces_init(&writer->pieces, blob->size, piece_size);
    store_init(&writer->store, cache, blob, piece_size);
    digester_init(&writer->digester, cache, blob, &writer->store.is_cancelled);
    dt_timer_init(&writer->flush_timer, loop, flush_due, writer);
    return writer;
}

/* The index promises pieces of an earlier run: ours until their checksum says otherwise. */
static void take_promises(struct cache_writer *writer, struct index_pieces *promised)
{
    struct cache_pieces *pieces = &writer->pieces;
    writer->store.is_resumed = writer->blob->has_record = true;
    if (promised->n != pieces->n || promised->piece_size != pieces->piece_size)
        return;
    for (uint32_t piece = 0; piece < promised->n; piece++)
        if (promised->is_present[piece])
            (void)cache_pieces_add(pieces, cache_pieces_start(pieces, piece),
                                   cache_pieces_len(pieces, piece));
    writer->store.resume = *promised;
    *promised = (struct index_pieces){0};
}

/* A part of another size (a lying descriptor, once): its record and file go first. */
static int refuse_other_size(struct cache *cache, const struct index_entry *entry, uint64_t size,
                             struct dt_err *err)
{
    char name[13];
    if (entry->pub.size == size)
        return 0;
    cache_remove(cache, &entry->pub.digest, (struct cache_completion){0});
    return dt_err_set(err, DT_EBUSY, "blob %s: a part of another size is being removed",
                      dt_digest_short(name, &entry->pub.digest));
}

static int writer_make_room(struct cache_writer *writer, bool is_resumed, struct dt_err *err)
{
    int rc = 0;
    if (!is_resumed) {
        writer->n_jobs++; /* for decided(), which may come before reserve() returns */
        rc = cache_room_reserve(writer->cache, &writer->room, err);
        if (rc != 1)
            writer->n_jobs--;
    }
    if (rc == 0) {
        writer->is_started = true;
        blob_count(writer);
    }
    return rc < 0 ? rc : 0;
}

static int check_open(struct cache *cache, uint64_t size, struct dt_err *err)
{
    int rc = cache_check_usable(cache, err);
    if (rc < 0)
        return rc;
    if (size > CACHE_BLOB_SIZE_MAX)
        return dt_err_set(err, DT_ETOOBIG, "blob of %llu bytes is over the limit of 1 TiB",
                          (unsigned long long)size);
    if (cache_is_full(cache))
        return dt_err_set(err, DT_ENOSPACE, "the cache's disk is full");
    return 0;
}

/* Undoes claim(): readers that came in between are failed. */
static void unclaim(struct cache *cache, struct cache_blob **blob, const struct dt_err *why)
{
    cache_blob_fail(cache, *blob, why);
    pthread_mutex_lock(&cache->lock);
    cache_blob_detach_locked(cache, *blob);
    pthread_mutex_unlock(&cache->lock);
    cache_blob_unref(cache, blob);
}

static int open_claimed(struct cache_writer **out, struct cache *cache, struct cache_blob *blob,
                        struct dt_loop *loop, struct dt_err *err)
{
    struct index_entry entry = {0};
    struct index_pieces promised = {0};
    int found = lookup_part(&entry, &promised, cache, &blob->digest, err);
    int rc = found;
    if (found == 1)
        rc = refuse_other_size(cache, &entry, blob->size, err);
    if (rc == 0) {
        *out = writer_new(cache, blob, loop);
        if (found == 1)
            take_promises(*out, &promised);
        rc = writer_make_room(*out, found == 1, err);
    }
    index_pieces_fini(&promised);
    return rc;
}

int cache_writer_open(struct cache_writer **out, struct cache *cache,
                      const struct dt_digest *digest, uint64_t size, struct dt_loop *loop,
                      const struct cache_writer_ops *ops, void *arg, struct dt_err *err)
{
    struct cache_blob *blob = NULL;
    struct cache_writer *writer = NULL;
    struct dt_err why = {0};
    *out = NULL;
    dt_loop_assert_mine(loop);
    int rc = check_open(cache, size, &why);
    if (rc == 0)
        rc = claim(&blob, cache, digest, size, &why);
    if (rc == 0)
        rc = open_claimed(&writer, cache, blob, loop, &why);
    if (rc < 0) {
        if (err != NULL)
            *err = why;
        if (blob != NULL)
            unclaim(cache, &blob, &why);
        if (writer != NULL)
            writer_unref(writer);
        return rc;
    }
    writer->ops = ops;
    writer->arg = arg;
    job_submit(writer, job_new(writer, JOB_START));
    *out = writer;
    return 0;
}

/* ---- writing ---- */

const struct cache_pieces *cache_writer_pieces(const struct cache_writer *writer)
{
    return &writer->pieces;
}

void cache_writer_note_unproved(struct cache_writer *writer)
{
    dt_loop_assert_mine(writer->loop);
    atomic_store(&writer->blob->is_unproved, true);
}

void cache_writer_write(struct cache_writer *writer, uint64_t off, void **bytes, size_t len)
{
    DT_ASSERT(writer->magic == WRITER_MAGIC && !writer->is_left);
    dt_loop_assert_mine(writer->loop);
    struct writer_job *job = job_new(writer, JOB_WRITE);
    (void)cache_pieces_add(&writer->pieces, off, len); /* asserts that it continues its pieces */
    job->off = off;
    job->len = len;
    job->bytes = *bytes;
    *bytes = NULL;
    writer->in_flight += len;
    job_submit(writer, job);
}

void cache_writer_finish(struct cache_writer **writer_in, cache_done_f done, void *arg)
{
    struct cache_writer *writer = *writer_in;
    *writer_in = NULL;
    DT_ASSERT(writer->magic == WRITER_MAGIC && !writer->is_left);
    dt_loop_assert_mine(writer->loop);
    writer->is_left = true;
    writer->done = done;
    writer->done_arg = arg;
    dt_timer_clear(&writer->flush_timer);
    cache_background_begin(writer->cache); /* until the blob is handed on: cache_close() waits */
    job_submit(writer, job_new(writer, JOB_FINISH));
    writer_unref(writer);
}

void cache_writer_abort(struct cache_writer **writer_in, const struct dt_err *reason)
{
    struct cache_writer *writer = *writer_in;
    *writer_in = NULL;
    if (writer == NULL)
        return;
    DT_ASSERT(writer->magic == WRITER_MAGIC && !writer->is_left);
    dt_loop_assert_mine(writer->loop);
    struct dt_err err = {.code = DT_ECANCELLED, .msg = "the writer stopped"};
    if (reason != NULL && reason->code != 0)
        err = *reason;
    cache_blob_fail(writer->cache, writer->blob, &err);
    pthread_mutex_lock(&writer->cache->lock);
    writer->blob->state = BLOB_CLOSING; /* a new writer hears "in a moment" from now on */
    pthread_mutex_unlock(&writer->cache->lock);
    writer->is_left = true;
    atomic_store(&writer->store.is_cancelled, true);
    dt_timer_clear(&writer->flush_timer);
    cache_background_begin(writer->cache);
    job_submit(writer, job_new(writer, JOB_CLOSE));
    writer_unref(writer);
}
