/*
 * cache/index_writer.c - the one thread that changes the index.
 *
 *   submit -> QUEUED -> apply() -> commit -> after()
 *                          commit failed: alone once more -> after(err)
 *
 * What gathers while one commit waits for the disk goes into the next: 1,800 commits a second when
 * each change waits for its own, 13,000 changes a second in groups of a hundred.
 *
 * Uses (touches) are kept in a table and written in bulk, at most once in TOUCH_INTERVAL_MS for one
 * entry: a hit costs no write. Eviction asks for them first, so its order is exact all the same.
 */
#include "cache/index_priv.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "cache/hash_priv.h"
#include "base/mem.h"
#define LOG_COMPONENT "cache"
#include "base/log.h"

#define GROUP_MAX         1024 /* changes in one transaction: bounds its dirty pages */
#define TOUCH_INTERVAL_MS 30000
#define TOUCHES_MAX       16384 /* bounds memory and one commit; more wakes the writer early */

struct touch {
    struct dt_digest digest; /* key */
    uint64_t used_ms;        /* latest use */
    uint64_t n_uses;         /* not yet written */
    UT_hash_handle hh;
};

struct index_writer {
    struct index *index; /* borrowed */
    pthread_t thread;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    struct index_change *first, **last;
    struct touch *touches;
    uint64_t touched_us; /* when touches were last written */
    bool is_stopping;
};

void index_submit(struct index *index, struct index_change *change)
{
    struct index_writer *writer = index_writer_of(index);
    change->next = NULL;
    pthread_mutex_lock(&writer->lock);
    bool is_idle = writer->first == NULL;
    *writer->last = change;
    writer->last = &change->next;
    if (is_idle)
        pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
}

void index_touch(struct index *index, const struct dt_digest *digest)
{
    struct index_writer *writer = index_writer_of(index);
    uint64_t now_ms = dt_wall_ms();
    struct touch *touch = NULL;
    pthread_mutex_lock(&writer->lock);
    HASH_FIND(hh, writer->touches, digest, sizeof(*digest), touch);
    if (touch == NULL) {
        touch = dt_new(struct touch);
        touch->digest = *digest;
        HASH_ADD(hh, writer->touches, digest, sizeof(touch->digest), touch);
        unsigned n_touches = HASH_COUNT(writer->touches);
        if (n_touches == 1 || n_touches == TOUCHES_MAX)
            pthread_cond_signal(&writer->wake);
    }
    touch->used_ms = now_ms;
    touch->n_uses++;
    pthread_mutex_unlock(&writer->lock);
}

uint64_t index_touches_pending(struct index *index, const struct dt_digest *digest)
{
    struct index_writer *writer = index_writer_of(index);
    struct touch *touch = NULL;
    pthread_mutex_lock(&writer->lock);
    HASH_FIND(hh, writer->touches, digest, sizeof(*digest), touch);
    uint64_t n_uses = touch != NULL ? touch->n_uses : 0;
    pthread_mutex_unlock(&writer->lock);
    return n_uses;
}

/* Takes the table when it is due. `all`: the order must be exact, or we are leaving. */
static struct touch *touches_take(struct index_writer *writer, bool all)
{
    struct touch *taken = NULL;
    uint64_t now_us = dt_mono_us();
    pthread_mutex_lock(&writer->lock);
    if (all || HASH_COUNT(writer->touches) >= TOUCHES_MAX ||
        now_us - writer->touched_us >= TOUCH_INTERVAL_MS * 1000) {
        taken = writer->touches;
        writer->touches = NULL;
        writer->touched_us = now_us;
    }
    pthread_mutex_unlock(&writer->lock);
    return taken;
}

static int touch_write(struct index_view *view, const struct touch *touch, struct dt_err *err)
{
    struct index_entry entry;
    int rc = index_entry_get(&entry, view, &touch->digest, err);
    if (rc == -DT_ENOTFOUND)
        return 0;
    if (rc < 0)
        return rc;
    if (touch->used_ms > entry.pub.used_ms)
        entry.pub.used_ms = touch->used_ms;
    entry.pub.hits += touch->n_uses;
    return index_entry_put(view, &entry, err);
}

/* A failure loses some uses and nothing else; the group that follows finds out for itself. */
static void touches_write(struct index_view *view, struct touch **touches)
{
    struct touch *touch, *next;
    struct dt_err err = {0};
    HASH_ITER (hh, *touches, touch, next) {
        if (err.code == 0)
            (void)touch_write(view, touch, &err);
        HASH_DEL(*touches, touch);
        free(touch);
    }
}

/* Applies a list in one transaction. A change that refuses (not found, conflict) does not disturb
 * the others; a failing index does. */
static int group_try(struct index_writer *writer, struct index_change *first, bool all_touches,
                     struct dt_err *err)
{
    struct index_view view;
    int rc = index_write_begin(&view, writer->index, err);
    if (rc < 0)
        return rc;
    struct touch *touches = touches_take(writer, all_touches);
    touches_write(&view, &touches);
    for (struct index_change *change = first; change != NULL; change = change->next) {
        change->err = (struct dt_err){0};
        rc = change->apply(&view, change, &change->err);
        if (rc == 0)
            change->err = (struct dt_err){0}; /* "not there yet" on the way is no failure */
        if (rc == -DT_EIO || rc == -DT_ENOSPACE) {
            *err = change->err;
            index_write_abort(&view);
            return rc;
        }
    }
    return index_write_commit(&view, err);
}

static void group_run(struct index_writer *writer, struct index_change *first, bool is_leaving)
{
    bool all_touches = is_leaving;
    for (struct index_change *change = first; change != NULL; change = change->next)
        all_touches = all_touches || change->wants_touches;
    struct dt_err err = {0};
    bool is_committed = group_try(writer, first, all_touches, &err) == 0;
    for (struct index_change *change = first, *next; change != NULL; change = next) {
        next = change->next;
        change->next = NULL;
        struct dt_err alone = {0};
        if (!is_committed && group_try(writer, change, false, &alone) < 0)
            change->err = alone;
        struct dt_err result = change->err;
        change->after(change, &result);
    }
}

/* Returns the next group, NULL when only touches are due; false when there is nothing left. */
static bool group_wait(struct index_writer *writer, struct index_change **first, bool *is_leaving)
{
    pthread_mutex_lock(&writer->lock);
    while (writer->first == NULL && !writer->is_stopping) {
        if (writer->touches == NULL) {
            pthread_cond_wait(&writer->wake, &writer->lock);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += TOUCH_INTERVAL_MS / 1000;
        if (HASH_COUNT(writer->touches) >= TOUCHES_MAX ||
            pthread_cond_clockwait(&writer->wake, &writer->lock, CLOCK_MONOTONIC, &until) ==
                ETIMEDOUT)
            break;
    }
    bool is_more = writer->first != NULL || writer->touches != NULL;
    *first = writer->first;
    *is_leaving = writer->is_stopping;
    struct index_change **end = &writer->first;
    for (size_t n = 0; n < GROUP_MAX && *end != NULL; n++)
        end = &(*end)->next;
    struct index_change *rest = *end;
    if (*first != NULL) {
        *end = NULL;
        writer->first = rest;
        if (rest == NULL)
            writer->last = &writer->first;
    }
    pthread_mutex_unlock(&writer->lock);
    return is_more;
}

static void *writer_main(void *arg)
{
    struct index_writer *writer = arg;
    struct index_change *first = NULL;
    bool is_leaving = false;
    dt_log_thread_name("index");
    while (!is_leaving || first != NULL) {
        if (group_wait(writer, &first, &is_leaving))
            group_run(writer, first, is_leaving);
    }
    return NULL;
}

struct index_writer *index_writer_start(struct index *index)
{
    struct index_writer *writer = dt_new(struct index_writer);
    writer->index = index;
    writer->last = &writer->first;
    writer->touched_us = dt_mono_us();
    pthread_mutex_init(&writer->lock, NULL);
    pthread_cond_init(&writer->wake, NULL);
    DT_ASSERT(pthread_create(&writer->thread, NULL, writer_main, writer) == 0);
    return writer;
}

void index_writer_stop(struct index_writer **writer_in)
{
    struct index_writer *writer = *writer_in;
    *writer_in = NULL;
    if (writer == NULL)
        return;
    pthread_mutex_lock(&writer->lock);
    writer->is_stopping = true;
    pthread_cond_signal(&writer->wake);
    pthread_mutex_unlock(&writer->lock);
    pthread_join(writer->thread, NULL);
    DT_ASSERT(writer->first == NULL);
    pthread_cond_destroy(&writer->wake);
    pthread_mutex_destroy(&writer->lock);
    free(writer);
}
