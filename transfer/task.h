/*
 * transfer/task.h - one download per digest, however many clients want it.
 *
 *   NEW -> FETCHING -> VERIFYING -> DONE      any -> FAILED
 *
 * A task lives on its home loop (hash of the digest). Clients on other loops attach by message.
 * Bytes go from sources through the cache's writer into the part file; clients read the file at
 * their own pace with a cache reader, so a slow client never slows a fill, and a client that leaves
 * never stops one. Sources are tried in order and replaced in the middle of the blob, by Range. A
 * new state: add it to TASK_STATES, transfer/task.c and docs/architecture.md.
 */
#ifndef DARTER_TRANSFER_TASK_H
#define DARTER_TRANSFER_TASK_H

#include "transfer/transfer.h"
#include "transfer/source.h"

#define TASK_STATES(X)                                                                             \
    X(TASK_NEW, "new")             /* no source has answered yet; the size may be unknown */       \
    X(TASK_FETCHING, "fetching")   /* pieces on their way */                                       \
    X(TASK_VERIFYING, "verifying") /* whole digest being checked */                                \
    X(TASK_DONE, "done")           /* sealed in the cache */                                       \
    X(TASK_FAILED, "failed")       /* err says why */

enum task_state {
#define X(name, word) name,
    TASK_STATES(X)
#undef X
        TASK_STATE_END
};
const char *task_state_word(enum task_state);

void transfer_tasks_new(struct transfer *);
void transfer_tasks_free(struct transfer *); /* after the loops stopped */
/* For shutdown: ends every task and waits for it; partial blobs stay for a resume. From main, while
 * the loops run. Harmless before transfer_tasks_new(). */
void transfer_tasks_abort(struct transfer *);

/* ---- a client's hold on a task ---- */

struct task_ticket; /* one attached client; owned by the client's loop */

enum task_news {
    TASK_READABLE,       /* the blob is open in the cache: cache_reader_open() works now */
    TASK_STREAM_THROUGH, /* the cache cannot take it: fetch it for yourself (the owner of the wish
                            decides how) */
    TASK_GONE,           /* failed; err says why */
};
struct task_event {
    enum task_news news;
    uint64_t size; /* of the blob, READABLE */
    int source;    /* enum source_kind of who delivers */
    struct dt_err err;
};
/* Comes on the attaching loop, never from inside; exactly one event, unless detached before. */
typedef void (*task_event_f)(void *arg, const struct task_event *);

struct task_wish {
    struct reg_upstream
        *upstream; /* a way to the bytes: the caller was permitted to read this blob */
    const char *repository;
    const char *authorization; /* his; copied; NULL = anonymous */
    uint64_t size;             /* if known, else UINT64_MAX */
    uint64_t off;              /* first byte he wants: fetched first */
};
struct task_ticket *transfer_task_attach(struct transfer *, const struct dt_digest *,
                                         const struct task_wish *, task_event_f event, void *arg);
/* He has what he wanted, or has left. *ticket = NULL; no event follows. Harmless on NULL. */
void transfer_task_detach(struct task_ticket **);

/* The enum source_kind that most bytes came from when he came, else the one of the first that came
 * since; -1 = none has. */
int transfer_task_source(struct task_ticket *);

/* ---- for the admin endpoint ---- */

#define TASK_SOURCES_SHOWN 8
struct task_view {
    struct dt_digest digest;
    enum task_state state;
    uint64_t size, present_bytes, started_ms; /* wall clock */
    uint64_t rate_bytes_s;                    /* over the last seconds */
    unsigned n_clients, n_streams;
    uint64_t kind_bytes[SOURCE_KIND_END]; /* received; of DISK: by an earlier run */
    size_t n_sources;
    struct {
        char name[96];
        int kind;
        uint64_t bytes;
        bool is_excluded;
    } sources[TASK_SOURCES_SHOWN];
};
/* A snapshot of all tasks; done on the calling loop with an array valid inside the callback. */
typedef void (*task_views_f)(void *arg, const struct task_view *views, size_t n);
void transfer_tasks_view(struct transfer *, task_views_f done, void *arg);

#endif
