/*
 * cache/index.c - the LMDB environment: opening, look-ups, and the write transaction.
 *
 * Threads: read views on any thread; each takes an idle read transaction from a list (renew, copy,
 * reset), so that a look-up costs about a microsecond and reader slots stay few. The write
 * transaction belongs to the index writer's thread alone (index_writer.c).
 *
 * Durability: LMDB's default sync mode. Measured under power cuts it lost nothing that was
 * acknowledged; NOSYNC and MAPASYNC left unreadable files.
 */
#include "cache/index_priv.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/statvfs.h>

#include "cache/record_priv.h"
#include "base/mem.h"

#define INDEX_MAP_BYTES       (16 * GIB) /* address space, not disk: the file stays as small as it is */
#define INDEX_MAP_BYTES_SMALL (1 * GIB) /* where address space is limited (ulimit -v) */
#define INDEX_READERS_MAX     512
#define INDEX_IDLE_MAX        64 /* read transactions kept for the next look-up */
#define INDEX_FORMAT          1
#define INDEX_ROOM_BYTES      (1 * MIB) /* less is a full disk: a commit writes some dozen pages */

struct index {
    MDB_env *env;
    MDB_dbi dbi[INDEX_DB_COUNT];
    struct index_writer *writer; /* owned */
    _Atomic bool is_broken;

    pthread_mutex_t lock; /* what follows; held for a few instructions */
    MDB_txn *idle[INDEX_IDLE_MAX];
    size_t n_idle;
    struct index_totals totals; /* as of the last commit */
};

static const char *const db_names[INDEX_DB_COUNT] = {
#define X(name, text) [INDEX_##name] = text,
    INDEX_DBS(X)
#undef X
};

/* Has the file system of the index no room for another commit? */
static bool disk_is_full(const struct index *index)
{
    int fd = -1;
    struct statvfs fs;
    return index != NULL && mdb_env_get_fd(index->env, &fd) == 0 && fstatvfs(fd, &fs) == 0 &&
           (uint64_t)fs.f_bavail * fs.f_frsize < INDEX_ROOM_BYTES;
}

/* Every result of LMDB becomes one of ours here, and damage is remembered. */
static int index_result(struct index *index, int rc, const char *what, struct dt_err *err)
{
    /* A write of several pages of which the first still fitted is EIO in LMDB's words. */
    if (rc == EIO && disk_is_full(index))
        rc = ENOSPC;
    switch (rc) {
    case MDB_SUCCESS:
        return 0;
    case MDB_NOTFOUND:
        return -DT_ENOTFOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
    case ENOSPC:
    case EDQUOT:
        return dt_err_set(err, DT_ENOSPACE, "index %s: %s; free some disk space", what,
                          mdb_strerror(rc));
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_INVALID:
        if (index != NULL)
            atomic_store(&index->is_broken, true);
        return dt_err_set(err, DT_EIO, "index %s: %s; a restart rebuilds the index", what,
                          mdb_strerror(rc));
    case EIO: /* also LMDB's word for a write that was cut short */
        return dt_err_set(err, DT_EIO,
                          "index %s: %s; look for the disk's errors in the kernel's log", what,
                          mdb_strerror(rc));
    default:
        return dt_err_set(err, DT_EIO, "index %s: %s", what, mdb_strerror(rc));
    }
}

/* ---- totals ---- */

static const char totals_key[] = "totals";

static void totals_encode(struct dt_text *out, const struct index_totals *totals)
{
    record_put_u32(out, INDEX_FORMAT);
    record_put_u64(out, totals->used_bytes);
    record_put_u64(out, totals->pinned_bytes);
    record_put_u64(out, totals->n_sealed);
    record_put_u64(out, totals->n_partial);
    record_put_u64(out, totals->n_objects);
    record_put_u64(out, totals->n_tags);
    record_put_u64(out, totals->n_links);
}

static bool totals_decode(struct index_totals *out, struct index_slice value)
{
    struct record_in in;
    record_in_init(&in, value.data, value.len);
    bool is_known = record_get_u32(&in) == INDEX_FORMAT;
    out->used_bytes = record_get_u64(&in);
    out->pinned_bytes = record_get_u64(&in);
    out->n_sealed = record_get_u64(&in);
    out->n_partial = record_get_u64(&in);
    out->n_objects = record_get_u64(&in);
    out->n_tags = record_get_u64(&in);
    out->n_links = record_get_u64(&in);
    return is_known && !in.is_bad;
}

static struct index_slice totals_slice(void)
{
    return (struct index_slice){totals_key, sizeof(totals_key) - 1};
}

void index_totals_now(struct index_totals *out, struct index *index)
{
    pthread_mutex_lock(&index->lock);
    *out = index->totals;
    pthread_mutex_unlock(&index->lock);
}

/* ---- opening ---- */

static int env_open(MDB_env **out, const char *dir, unsigned flags, size_t map_bytes)
{
    MDB_env *env = NULL;
    int rc = mdb_env_create(&env);
    if (rc == 0)
        rc = mdb_env_set_mapsize(env, map_bytes);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(env, INDEX_DB_COUNT);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(env, INDEX_READERS_MAX);
    if (rc == 0)
        rc = mdb_env_open(env, dir, flags, 0600);
    if (rc != 0 && env != NULL) {
        mdb_env_close(env);
        env = NULL;
    }
    *out = env;
    return rc;
}

static int open_databases(struct index *index, struct dt_err *err)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(index->env, NULL, 0, &txn);
    for (int db = 0; rc == 0 && db < INDEX_DB_COUNT; db++)
        rc = mdb_dbi_open(txn, db_names[db], MDB_CREATE, &index->dbi[db]);
    if (rc == 0) {
        rc = mdb_txn_commit(txn);
        txn = NULL;
    }
    if (txn != NULL)
        mdb_txn_abort(txn);
    return index_result(index, rc, "open", err);
}

static int load_totals(struct index *index, struct dt_err *err)
{
    struct index_view view;
    struct index_slice value;
    int rc = index_view_begin(&view, index, err);
    if (rc < 0)
        return rc;
    rc = index_get(&view, INDEX_META, totals_slice(), &value, err);
    if (rc == -DT_ENOTFOUND)
        rc = 0; /* a new index */
    else if (rc == 0 && !totals_decode(&index->totals, value))
        rc = dt_err_set(err, DT_EIO, "index totals are damaged; a restart rebuilds the index");
    index_view_end(&view);
    return rc;
}

int index_open(struct index **out, const char *dir, struct dt_err *err)
{
    struct index *index = dt_new(struct index);
    pthread_mutex_init(&index->lock, NULL);
    int dead = 0;
    int rc = env_open(&index->env, dir, MDB_NOTLS, INDEX_MAP_BYTES);
    if (rc == ENOMEM)
        rc = env_open(&index->env, dir, MDB_NOTLS, INDEX_MAP_BYTES_SMALL);
    rc = index_result(index, rc, "open", err);
    if (rc == 0)
        rc = index_result(index, mdb_reader_check(index->env, &dead), "reader check", err);
    if (rc == 0)
        rc = open_databases(index, err);
    if (rc == 0)
        rc = load_totals(index, err);
    if (rc == 0) {
        index->writer = index_writer_start(index);
        *out = index;
        return 0;
    }
    index_close(&index);
    return rc;
}

void index_close(struct index **index_in)
{
    struct index *index = *index_in;
    *index_in = NULL;
    if (index == NULL)
        return;
    index_writer_stop(&index->writer);
    for (size_t i = 0; i < index->n_idle; i++)
        mdb_txn_abort(index->idle[i]);
    if (index->env != NULL)
        mdb_env_close(index->env);
    pthread_mutex_destroy(&index->lock);
    free(index);
}

bool index_is_broken(struct index *index)
{
    return atomic_load(&index->is_broken);
}

struct index_writer *index_writer_of(struct index *index)
{
    return index->writer;
}

/* ---- views ---- */

int index_view_begin(struct index_view *out, struct index *index, struct dt_err *err)
{
    *out = (struct index_view){.index = index};
    MDB_txn *txn = NULL;
    pthread_mutex_lock(&index->lock);
    if (index->n_idle > 0)
        txn = index->idle[--index->n_idle];
    pthread_mutex_unlock(&index->lock);
    int rc = txn != NULL ? mdb_txn_renew(txn) : mdb_txn_begin(index->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0 && txn != NULL) {
        mdb_txn_abort(txn);
        txn = NULL;
    }
    out->txn = txn;
    return index_result(index, rc, "read", err);
}

void index_view_end(struct index_view *view)
{
    DT_ASSERT(!view->is_write);
    struct index *index = view->index;
    MDB_txn *txn = view->txn;
    view->txn = NULL;
    if (txn == NULL)
        return;
    mdb_txn_reset(txn);
    pthread_mutex_lock(&index->lock);
    if (index->n_idle < INDEX_IDLE_MAX) {
        index->idle[index->n_idle++] = txn;
        txn = NULL;
    }
    pthread_mutex_unlock(&index->lock);
    if (txn != NULL)
        mdb_txn_abort(txn);
}

int index_write_begin(struct index_view *out, struct index *index, struct dt_err *err)
{
    *out = (struct index_view){.index = index, .is_write = true};
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(index->env, NULL, 0, &txn);
    out->txn = txn;
    index_totals_now(&out->totals, index);
    return index_result(index, rc, "write", err);
}

int index_write_commit(struct index_view *view, struct dt_err *err)
{
    struct index *index = view->index;
    struct dt_text text = {0};
    totals_encode(&text, &view->totals);
    int rc =
        index_put(view, INDEX_META, totals_slice(), (struct index_slice){text.data, text.len}, err);
    dt_text_fini(&text);
    if (rc < 0) {
        index_write_abort(view);
        return rc;
    }
    rc = index_result(index, mdb_txn_commit(view->txn), "commit", err);
    view->txn = NULL;
    if (rc == 0) {
        pthread_mutex_lock(&index->lock);
        index->totals = view->totals;
        pthread_mutex_unlock(&index->lock);
    }
    return rc;
}

void index_write_abort(struct index_view *view)
{
    mdb_txn_abort(view->txn);
    view->txn = NULL;
}

/* LMDB's values are not const; it does not write to them. */
static MDB_val to_val(struct index_slice slice)
{
    union {
        const void *in;
        void *out;
    } cast = {.in = slice.data};
    return (MDB_val){.mv_size = slice.len, .mv_data = cast.out};
}

static struct index_slice from_val(MDB_val val)
{
    return (struct index_slice){val.mv_data, val.mv_size};
}

int index_get(struct index_view *view, enum index_db db, struct index_slice key,
              struct index_slice *value, struct dt_err *err)
{
    MDB_val mdb_key = to_val(key), mdb_value = {0};
    int rc = mdb_get(view->txn, view->index->dbi[db], &mdb_key, &mdb_value);
    *value = from_val(mdb_value);
    return index_result(view->index, rc, "read", err);
}

int index_put(struct index_view *view, enum index_db db, struct index_slice key,
              struct index_slice value, struct dt_err *err)
{
    DT_ASSERT(view->is_write);
    MDB_val mdb_key = to_val(key), mdb_value = to_val(value);
    int rc = mdb_put(view->txn, view->index->dbi[db], &mdb_key, &mdb_value, 0);
    return index_result(view->index, rc, "write", err);
}

int index_del(struct index_view *view, enum index_db db, struct index_slice key, struct dt_err *err)
{
    DT_ASSERT(view->is_write);
    MDB_val mdb_key = to_val(key);
    int rc = mdb_del(view->txn, view->index->dbi[db], &mdb_key, NULL);
    return index_result(view->index, rc, "delete", err);
}

int index_cursor_open(struct index_cursor *out, struct index_view *view, enum index_db db,
                      struct dt_err *err)
{
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(view->txn, view->index->dbi[db], &cursor);
    *out = (struct index_cursor){.view = view, .cursor = cursor};
    return index_result(view->index, rc, "scan", err);
}

static int cursor_step(struct index_cursor *cursor, MDB_cursor_op op, struct index_slice *key,
                       struct index_slice *value, struct dt_err *err)
{
    MDB_val mdb_key = to_val(*key), mdb_value = {0};
    int rc = mdb_cursor_get(cursor->cursor, &mdb_key, &mdb_value, op);
    *key = from_val(mdb_key);
    *value = from_val(mdb_value);
    return index_result(cursor->view->index, rc, "scan", err);
}

int index_cursor_seek(struct index_cursor *cursor, struct index_slice at, struct index_slice *key,
                      struct index_slice *value, struct dt_err *err)
{
    *key = at;
    return cursor_step(cursor, at.len > 0 ? MDB_SET_RANGE : MDB_FIRST, key, value, err);
}

int index_cursor_next(struct index_cursor *cursor, struct index_slice *key,
                      struct index_slice *value, struct dt_err *err)
{
    *key = (struct index_slice){0};
    return cursor_step(cursor, MDB_NEXT, key, value, err);
}

void index_cursor_close(struct index_cursor *cursor)
{
    if (cursor->cursor != NULL)
        mdb_cursor_close(cursor->cursor);
    cursor->cursor = NULL;
}
