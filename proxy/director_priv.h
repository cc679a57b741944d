/*
 * proxy/director_priv.h - the inside of a task's director, shared by director.c (life, modes,
 * sessions) and director_piece.c (orders, fetches, what was told). All on the task's home loop.
 */
#ifndef DARTER_PROXY_DIRECTOR_PRIV_H
#define DARTER_PROXY_DIRECTOR_PRIV_H

#include <pthread.h>

#include "proxy/director.h"
#include "proxy/director_mode.h"
#include "proxy/exchange.h"
#include "transfer/source_peer.h"

#define DIRECTED_MAGIC 0x64697263u
/* Sums of larger blobs are not told at a take-over: a message has a limit. */
#define DIRECTED_SUMS_MAX 8192u

struct directed_flight {
    const struct source *source; /* the task's */
    uint32_t piece;
    wire_id from;
    bool is_seed;
    bool is_supernode; /* from the supernode itself */
};

struct directed {
    unsigned magic;
    struct proxy_director *director;
    struct task *task;
    struct dt_digest digest;
    enum director_mode mode;
    struct exchange *exchange; /* owned; NULL while there is no session */
    size_t supernode;          /* of the session, or of the last one */
    bool has_joined;           /* logged once per session */
    bool has_passed;           /* the session took the place of one that failed; not open yet */
    uint32_t sent_away;        /* a bit per supernode that cannot help this task: never again */
    bool is_takeover;          /* a session was lost before */
    bool is_leaving_registries;
    unsigned n_unknown;           /* sessions that were forgotten since the last piece */
    char ticket[WIRE_TICKET_MAX]; /* the last one given */
    char *upstream, *repository;  /* owned */
    char *authorization;          /* owned secret or NULL */
    uint64_t size;                /* from the wish; UINT64_MAX = unknown */
    uint64_t began_ms, progress_ms;
    unsigned n_failed_in_a_row; /* fetches, since a piece came */
    struct dt_timer timer;
    struct dt_bucket bucket; /* this task's share of a limit */
    /* director_piece.c */
    struct wire_assignment *orders; /* owned; not begun yet */
    size_t n_orders;
    uint8_t *inline_bytes; /* owned: all of a small blob, came with its order; or NULL */
    size_t inline_len;
    struct directed_flight flights[TRANSFER_FETCHES_MAX];
    size_t n_flights;
    uint64_t
        *told; /* owned; a bit per piece the supernode knows to be here; NULL before opened() */
    uint32_t n_pieces, n_told;
    struct wire_sum *sums; /* owned; all zero = not known; NULL = none is */
    uint32_t wanted;       /* the piece readers wait for, as it was told last */
    /* under the director's lock */
    struct director_view view;
    struct directed *prev, *next;
};

struct proxy_director {
    struct proxy_director_opts opts;
    struct transfer_director of_tasks;
    struct exchange_list *lists; /* owned; one per loop */
    pthread_mutex_t lock;
    struct directed *all; /* under the lock, for the admin endpoint */
};

/* director.c: the supernode spoke nonsense, or nobody can be heard. */
void directed_lose(struct directed *, const struct dt_err *why);

/* director_piece.c */
void directed_pieces_fini(struct directed *);
/* The writer is open: what is here already is told. */
void directed_pieces_opened(struct directed *);
/* What is here goes into a join; from now on it counts as told. */
void directed_pieces_join(struct directed *, struct wire_join *out);
/* Takes the orders of an answer over. Errors: DT_EPROTO. */
int directed_order(struct directed *, struct wire_exchange_reply *reply, struct dt_err *err);
void directed_begin_orders(struct directed *);
void directed_tell_gained(struct directed *);
void directed_fetched(struct directed *, struct source *, uint32_t piece, const struct dt_err *err);
/* The supernode is away: what was ordered and not begun is forgotten, what comes from it too. */
void directed_drop_orders(struct directed *, bool with_its_flights);
/* Every fetch borrows from the director: none outlives it. */
void directed_drop_flights(struct directed *);
/* Pure: the word for a report. */
enum wire_why directed_why(int code);

#endif
