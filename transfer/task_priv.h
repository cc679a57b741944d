/*
 * transfer/task_priv.h - the inside of a task, shared by task.c (life, clients), task_fill.c (what
 * to start next, verification), task_source.c (whom to ask), task_stream.c (bytes on their way),
 * task_director.c (who else has a say), task_hunger.c (who waits too long for the swarm) and
 * task_view.c (what the admin endpoint sees). All on the task's home loop.
 */
#ifndef DARTER_TRANSFER_TASK_PRIV_H
#define DARTER_TRANSFER_TASK_PRIV_H

#include <stdatomic.h>
#include <uthash.h>

#include "cache/writer.h"
#include "transfer/director.h"
#include "transfer/plan.h"
#include "transfer/task.h"

#define TASK_MAGIC           0x7461736bu
#define TASK_SOURCES_MAX     32 /* endpoints x ways of different callers */
#define TASK_CHUNK_BYTES     (256 * 1024u)
#define TASK_TICK_MS         250u
#define TASK_RETRY_BASE_MS   250u
#define TASK_RETRY_DOUBLINGS 4u /* a source that fails again waits 4 s at most */
/* A stream that gave less before it broke made no progress. */
#define TASK_PROGRESS_BYTES (64 * 1024u)
#define TASK_ATTEMPTS_MAX   4  /* whole-blob attempts after a wrong digest or size */
#define TASK_BUSY_MAX       20 /* ticks that the cache may need to let go of an earlier writer */
/* Bytes received and not yet written, over all tasks of the process: memory has a limit. Each task
 * may have the smaller figure whatever the others do. */
#define TASK_IN_FLIGHT_ALL (64 * 1024 * 1024ull)
#define TASK_IN_FLIGHT_MIN (512 * 1024ull)

#define TASK_SLOTS (TRANSFER_STREAMS_MAX + TRANSFER_FETCHES_MAX)

struct task_stream {
    struct task *task;
    struct source *source;      /* NULL = this slot is free; of an ordered fetch: owned */
    bool is_ordered;            /* by the director: one piece from one source */
    uint32_t piece;             /* of an ordered fetch */
    struct source_fetch *fetch; /* owned; NULL once it ended */
    uint64_t start;             /* where it began */
    uint64_t pos;               /* next byte to come */
    uint64_t end;               /* where it stops; UINT64_MAX until the size is known */
    char *chunk; /* owned: bytes [pos - chunk_len, pos), not yet given to the writer */
    size_t chunk_len, chunk_capacity;
    bool is_paused, is_tail_told, is_end_seen;
    bool is_leaving;                        /* stops at once where it ends */
    uint64_t window_began_ms, window_bytes; /* for the slow-source rule */
};

struct task_ticket {
    unsigned magic;
    /* the client's side: touched on `loop` only */
    struct transfer *transfer;
    struct dt_loop *loop;
    task_event_f event;
    void *arg;
    bool is_detached;
    /* written before the attach message, then the home loop's */
    struct dt_loop *home;
    struct dt_digest digest;
    struct reg_upstream *upstream;
    char *repository;    /* owned */
    char *authorization; /* owned or NULL; wiped */
    uint64_t size, off;
    struct task *task;              /* NULL = not on a task */
    uint64_t front, waits_since_ms; /* task_hunger.c: the byte it waits for */
    bool has_event;                 /* its one event is on the way */
    bool is_way_known;              /* his credentials are, or were, among the task's sources */
    struct task_ticket *prev, *next;
    /* told by the home loop, read by the client's: enum source_kind of the first bytes, -1 = none
     */
    atomic_int source;
};

struct task {
    unsigned magic;
    struct transfer *transfer;
    struct dt_loop *loop;
    struct dt_digest digest; /* key of the loop's table */
    UT_hash_handle hh;
    enum task_state state;
    struct dt_err err;           /* why it failed, or the last failure of a source */
    uint64_t size, size_hint;    /* UINT64_MAX = unknown */
    bool is_hint_doubted;        /* every source contradicted it */
    bool is_size_contradicted;   /* a source contradicted the size the writer was opened with */
    bool is_write_broken;        /* the cache failed; the task is about to */
    unsigned n_busy;             /* times in a row the cache had to be asked again */
    struct cache_writer *writer; /* owned; NULL while the size is unknown and while verifying */
    uint64_t resumed_bytes;      /* came from an earlier run */
    uint64_t in_flight;          /* given to the writer, not yet in the file */
    struct source *sources[TASK_SOURCES_MAX]; /* owned */
    size_t n_sources;
    struct source *alone; /* after a wrong digest of mixed origin: only this one is asked */
    unsigned attempts;
    bool began_while_down; /* every breaker was open: one try, then say so */
    struct task_stream streams[TASK_SLOTS];
    unsigned n_streams;                   /* from registries */
    unsigned n_fetches;                   /* ordered by the director */
    void *director;                       /* its object for this task; NULL = there is none */
    uint64_t told_size;                   /* by the director; UINT64_MAX = nothing */
    bool is_given_up;                     /* by its director: ends at the next step */
    bool is_uncacheable;                  /* the size is told, and the cache cannot take it */
    uint64_t kind_bytes[SOURCE_KIND_END]; /* received in this attempt */
    unsigned n_streams_wanted;
    bool is_rate_settled; /* more streams did not help */
    struct task_ticket *tickets;
    unsigned n_tickets;
    struct dt_timer tick;
    bool is_step_scheduled, is_flush_scheduled, is_ending;
    uint64_t started_wall_ms, progress_ms; /* progress: monotonic */
    uint64_t rate_began_ms, rate_bytes;    /* the window that is being measured */
    uint64_t rate_bytes_s;                 /* of the last full window */
    uint64_t rate_before;                  /* the same, when the last stream was added */
};

/* task.c */
void task_fail(struct task *, const struct dt_err *err);
void task_tell_readable(struct task *);
void task_tell_source(struct task *, enum source_kind); /* the first bytes of this kind came */
void task_stream_through(struct task *);
void task_done(struct task *);
struct task *task_table_first(struct transfer_tasks *, unsigned loop_index);

/* task_fill.c */
void task_fill_begin(struct task *, const struct task_ticket *first);
void task_fill_step(struct task *);
void task_fill_tick(struct task *);

/* task_source.c */
bool task_sources_add(struct task *, struct task_ticket *); /* false: nothing new */
bool task_sources_add_waiting(struct task *);
/* For the planner: one row for each source, in the order of task->sources. */
void task_sources_list(struct task *, struct plan_source *out);
size_t task_sources_count_ready(struct task *, const struct source *except);
void task_source_note_failure(struct task *, struct source *, const struct dt_err *,
                              uint64_t delivered_bytes);
void task_sources_forgive(struct task *); /* asks them all again, at once */
void task_sources_blame(struct task *);   /* the whole digest was wrong */
/* The one that is asked alone does not answer: another one instead. false: there is none. */
bool task_sources_next_alone(struct task *);

/* task_stream.c */
/* Opens task->writer. Where the cache cannot take the blob it stays NULL and task->err says why:
 * DT_EBUSY will pass, anything else means streaming through. */
void task_writer_open(struct task *, uint64_t size);
struct task_stream *task_stream_start(struct task *, const struct plan_choice *);
/* Exactly one piece, for the director; the source is the slot's now. NULL: no slot is free. */
struct task_stream *task_stream_order(struct task *, struct source *, uint32_t piece);
void task_stream_stop(struct task_stream *); /* harmless on a free slot */
/* What was received is the writer's, the slot is free, and the source the caller's to free if it
 * was an ordered fetch. */
struct source *task_stream_clear(struct task_stream *);
/* Once a tick: stops streams that have given all they were asked for and go on giving. */
void task_streams_reap(struct task *);
/* It ends with the piece it is in; the writer is open, and not every byte is here. */
void task_stream_keep_to_piece(struct task_stream *);
void task_streams_keep_to_piece(struct task *); /* all from registries */
void task_streams_stop(struct task *);
void task_streams_register_metrics(void);
void task_streams_settle(struct task *, uint64_t in_flight); /* that much is still queued */

/* task_hunger.c: clients for whom the swarm is too slow */
void task_hunger_register_metrics(void);
void task_hunger_begin(const struct task *, struct task_ticket *);
bool task_hunger_is_any(struct task *);
/* Per piece whether no client waits for it too long; NULL: none does. Caller frees. */
bool *task_hunger_list_elsewhere(struct task *);
void task_hunger_note(const struct task *, const struct task_stream *); /* begun because of one */

/* task_director.c; all harmless on a task that has none */
void task_director_begin(struct task *, const struct task_ticket *);
void task_director_wish(struct task *, const struct task_ticket *);
void task_director_opened(struct task *);
void task_director_step(struct task *);
bool task_director_may_ask(struct task *);         /* registries, now */
uint64_t task_director_patience_ms(struct task *); /* with registries that all fail */
/* Per piece whether it comes from elsewhere than registries; NULL: none does. Caller frees. */
bool *task_director_list_elsewhere(struct task *);
void task_director_landed(struct task *);
/* Frees the slot and the source; the director hears of it in between. */
void task_director_fetched(struct task_stream *, const struct dt_err *err);
void task_director_end(struct task *, enum task_state, const struct dt_err *err);
/* The bytes of this attempt were wrong. Before they are forgotten. */
void task_director_restart(struct task *, const struct dt_err *err);
uint64_t task_peer_bytes(const struct task *);

#endif
