/*
 * transfer/source.h - where the bytes of a blob can come from. One interface for all kinds.
 *
 * An origin, a standby registry, a peer and a seed differ in how they are asked, not in how a task
 * uses them: so falling back is a choice the planner makes, not a second code path.
 *
 *   source:  made by its kind -> fetch()* -> free()           (owned by one task, on its home loop)
 *   fetch:   STARTED -> on_size? -> on_data* -> on_done        any -> cancel()
 *
 * A new kind: fill a `struct source_ops`, give it a row in SOURCE_KINDS, and make its sources where
 * they become known: task_sources_add() for those of a client's way, else a director.
 */
#ifndef DARTER_TRANSFER_SOURCE_H
#define DARTER_TRANSFER_SOURCE_H

#include "base/digest.h"
#include "base/loop.h"

/*  kind          word in X-Darter-Source, logs and metrics */
#define SOURCE_KINDS(X)                                                                            \
    X(SOURCE_DISK, "disk")                                                                         \
    X(SOURCE_PEER, "peer")                                                                         \
    X(SOURCE_SEED, "seed")                                                                         \
    X(SOURCE_MIRROR, "mirror")                                                                     \
    X(SOURCE_ORIGIN, "origin")
enum source_kind {
#define X(name, word) name,
    SOURCE_KINDS(X)
#undef X
        SOURCE_KIND_END
};
const char *source_kind_word(enum source_kind);

struct source;
struct source_fetch;

/* What a fetch tells its caller, on the task's loop. Never from inside fetch() or cancel(). */
struct source_sink_ops {
    /* Once, before any data: how large the whole blob is. Return a negative code to refuse (the
     * size contradicts what is known): on_done() follows with it. UINT64_MAX = the source cannot
     * tell. */
    int (*on_size)(void *arg, uint64_t blob_size);
    /* Bytes in order from the asked offset. true = taken; false = paused, nothing taken: call
     * ops->resume() later. A callee that cancels the fetch returns true. */
    bool (*on_data)(void *arg, const void *bytes, size_t len);
    /* Exactly once unless cancelled; the fetch is freed when it returns. code 0: all asked bytes
     * came. */
    void (*on_done)(void *arg, const struct dt_err *err);
};

/* Which bytes, and how long to wait for the first of them. */
struct source_span {
    uint64_t off, end;        /* [off, end); end = UINT64_MAX means to the blob's end */
    uint64_t head_timeout_ms; /* short while another source stands ready, long for the last one */
    uint64_t again_after_ms;  /* of silence, the same question once more; 0 = never */
};

struct source_ops {
    /* Starts a fetch; it cannot fail by itself: a failure arrives as on_done(). */
    struct source_fetch *(*fetch)(struct source *, const struct source_span *,
                                  const struct source_sink_ops *, void *arg);
    void (*resume)(struct source_fetch *);
    void (*cancel)(struct source_fetch **); /* no callback follows; legal inside callbacks */
    /* Wrong bytes came from here: remember it wherever this kind keeps its health. */
    void (*strike)(struct source *);
    /* May it be asked now? (breaker closed, ticket valid, ...) */
    bool (*is_ready)(struct source *, uint64_t now_ms);
    void (*free)(struct source **); /* after all its fetches ended */
};

/* First member of every kind's own struct. */
struct source {
    const struct source_ops *ops;
    enum source_kind kind;
    char name[96];  /* for logs and /v1/tasks: "https://harbor.test" */
    unsigned order; /* smaller is asked first */
    /* kept by the task */
    unsigned n_active;    /* fetches running now */
    unsigned failures;    /* in this task, in a row */
    uint64_t retry_at_ms; /* not before */
    uint64_t bytes;       /* delivered to this task */
    bool is_excluded;     /* refused us for good, or lied */
    bool ignores_range;   /* answered a Range with the whole blob */
    bool was_held;        /* a limit of ours slowed it since the task last looked */
    uint64_t way;         /* hash of whose credentials and which repository it asks with */
};

/* The registry kind: an endpoint of an upstream, read with the credentials of the caller who asked
 * (or our own, where the config says so). Copies its strings. */
struct transfer;
struct reg_upstream;
struct reg_endpoint;
struct source *source_registry_new(struct transfer *, struct reg_upstream *, struct reg_endpoint *,
                                   const char *repository, const struct dt_digest *,
                                   const char *authorization);

#endif
