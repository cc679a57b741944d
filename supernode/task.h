/*
 * supernode/task.h - one blob on its way through the site: the swarm, who is in it, the seed's fill
 * and the exchanges that are held open.
 *
 *   WAITING (for the size) -> OPEN <-> GONE (no way to the bytes that nobody has) -> forgotten
 *
 * Lives on the digest's home loop; one table per loop. Made by the first join, forgotten when
 * nobody has been in it for SUPERNODE_TASK_FORGET_MS, and at once when it is gone: the cache keeps
 * the seed, the nodes keep what they have.
 */
#ifndef DARTER_SUPERNODE_TASK_H
#define DARTER_SUPERNODE_TASK_H

#include "base/wire/exchange.h"
#include "supernode/supernode.h"

#define SUPERNODE_TASKS_MAX 16384u /* per loop */
/* A request of a few bytes may begin a task of 1 TiB. So the blobs of more than SMALL pieces share
 * a number of pieces (about 70 bytes each), and all peers of all tasks a number of cells (pieces x
 * peers, 3 bits each, twice that while a swarm grows). What is above has its registries. */
#define SUPERNODE_SMALL_PIECES   256u
#define SUPERNODE_ALL_PIECES_MAX (4 * 1024 * 1024u)
#define SUPERNODE_ALL_CELLS_MAX  (1ULL << 31)
#define SUPERNODE_TASK_FORGET_MS 30000u
#define SUPERNODE_HOLD_IDLE_MS   500u /* an exchange of a peer with nothing on the way */
#define SUPERNODE_HOLD_BUSY_MS   5000u
#define SUPERNODE_SILENT_MS      10000u /* a peer without any exchange is gone */
#define SUPERNODE_BROKEN_MS      2000u  /* ... and one whose exchange broke */
#define SUPERNODE_TICK_MS        20u    /* of the planner: transfers run, or somebody rests */
/* Of the seed at once. Enough to fill its link; with more, the last first copies would all arrive
 * together at the end instead of one after the other. */
#define SUPERNODE_SEED_SLOTS     12u
#define SUPERNODE_UPKEEP_MS      100u
#define SUPERNODE_HOLDERS_MAX    64u /* nodes that are not in the task and hold its blob */
#define SUPERNODE_INLINE_ALL_MAX (16 * 1024 * 1024u) /* bytes of small blobs kept for answers */
#define SUPERNODE_LIMIT_FLOOR    WIRE_LIMIT_FLOOR    /* of a share, however many share it */

#define SUPERNODE_TASK_STATES(X)                                                                   \
    X(SUPERNODE_TASK_WAITING, "waiting") /* nobody has told the size yet */                        \
    X(SUPERNODE_TASK_OPEN, "open")       /* pieces are handed out */                               \
    X(SUPERNODE_TASK_GONE, "gone")       /* the fill failed: err says why */
enum supernode_task_state {
#define X(name, word) name,
    SUPERNODE_TASK_STATES(X)
#undef X
        SUPERNODE_TASK_STATE_END
};
const char *supernode_task_state_word(enum supernode_task_state);

/* ---- for the admin endpoint ---- */

#define SUPERNODE_VIEWS_MAX      4096u
#define SUPERNODE_VIEW_CELLS_MAX (4 * 1024 * 1024u) /* pieces x peers that are shown one by one */

struct supernode_task_view {
    struct dt_digest digest;
    enum supernode_task_state state;
    struct dt_err err;             /* GONE */
    uint64_t size;                 /* UINT64_MAX = unknown */
    uint32_t piece_size, n_pieces; /* 0 = unknown */
    uint32_t n_seeded;             /* pieces the seed has here */
    bool is_filling;               /* the seed's fetch from a registry runs */
    uint32_t n_peers, n_complete;  /* in the task now; with all pieces */
    uint32_t n_holders;            /* not in the task, and known to hold the blob */
    uint32_t n_held;               /* exchanges held open now */
    uint32_t n_flights;            /* transfers on the way */
    uint64_t n_assigned, n_hedged, n_finished, n_failed;
    uint64_t seed_bytes, peer_bytes; /* finished transfers, by where from */
    uint64_t rate_bytes_s;           /* finished, over the last seconds */
    uint64_t limit_bytes_s;          /* over all nodes, as in force; 0 = none */
    bool has_own_limit;              /* set for this task */
    uint64_t started_ms;             /* wall clock */
};
struct supernode_peer_row {
    wire_id id; /* of the seed: supernode.id */
    wire_name name, rack;
    wire_address address;
    bool is_seed, is_holder, is_listening, is_complete, is_slow, is_quarantined;
    uint32_t n_have, n_up, n_down;
    uint64_t up_bytes_s, down_bytes_s; /* as measured in this task */
    uint64_t want_off;                 /* UINT64_MAX = nobody waits */
    uint64_t silent_ms;                /* since its last exchange; 0 while one is held */
    const char *have;                  /* '1'/'0' per piece; NULL = too much to show */
};
struct supernode_task_detail {
    struct supernode_task_view task;
    const struct supernode_peer_row *peers; /* seed first */
    size_t n_peers;
    const uint32_t *copies; /* per piece, in hands and on the way, without the seed; n_pieces */
};

/* done() once, on the calling loop, never from inside; what is pointed to is valid inside only. */
typedef void (*supernode_task_views_f)(void *arg, const struct supernode_task_view *views,
                                       size_t n);
void supernode_tasks_view(struct supernode *, supernode_task_views_f done, void *arg);
/* detail = NULL: no such task. */
typedef void (*supernode_task_detail_f)(void *arg, const struct supernode_task_detail *detail);
void supernode_task_look(struct supernode *, const struct dt_digest *, supernode_task_detail_f done,
                         void *arg);
/* A limit over all nodes of this task, while it lives; 0 = none, UINT64_MAX = the default again.
 * err: DT_ENOTFOUND. */
typedef void (*supernode_done_f)(void *arg, const struct dt_err *err);
void supernode_task_set_limit(struct supernode *, const struct dt_digest *, uint64_t bytes_s,
                              supernode_done_f done, void *arg);

/* Any thread; since start. For /metrics and /healthz. */
struct supernode_task_counts {
    uint64_t n_tasks, n_peers, n_held; /* now */
    uint64_t n_exchanges, n_joins, n_refused, seed_bytes, peer_bytes, n_failed;
};
void supernode_tasks_count(struct supernode_task_counts *out, struct supernode *);

#endif
