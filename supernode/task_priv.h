/*
 * supernode/task_priv.h - the inside of a task, shared by task.c (life), exchange.c (what is said),
 * task_peer.c (who is in it), task_plan.c (turns of the planner, answers), task_node.c (what the
 * table of nodes tells), trouble.c (nodes that do not bring what they have), task_view.c and seed.c
 * (the fill). All on the task's home loop.
 */
#ifndef DARTER_SUPERNODE_TASK_PRIV_H
#define DARTER_SUPERNODE_TASK_PRIV_H

#include <pthread.h>
#include <uthash.h>

#include "supernode/plan.h"
#include "supernode/request.h"
#include "supernode/task.h"

#define SUPERNODE_TASK_MAGIC 0x7374736bu
#define TASK_PENDING_MAX     16u /* more than a receiver's flights in one turn */
#define TASK_SESSIONS_KEPT   4u  /* earlier ones of a peer, which must not come again */
#define TASK_PEERS_MAX       SUPERNODE_PEERS_MAX
#define TASK_STRUCK_MAX      4096u /* nodes that were proved to serve wrong bytes, per loop */
/* Who was proved to lie: id and address. An id alone is nothing to hold against anybody: everybody
 * hears those of his peers, and can call himself so at an address where lies are served. */
#define TASK_STRUCK_KEY_MAX (sizeof(wire_id) + sizeof(wire_address))
#define TASK_RATE_WINDOW_MS 1000u

struct supernode_seed;

/* A piece's sum: told by nodes until we have computed it. */
enum task_sum_state { TASK_SUM_NONE, TASK_SUM_TOLD, TASK_SUM_DISPUTED, TASK_SUM_OURS };

struct task_peer {
    wire_id id; /* key */
    UT_hash_handle hh;
    wire_name name, rack;
    wire_address address;
    uint32_t handle;   /* in the swarm; SUPERNODE_NONE while there is none */
    bool is_holder;    /* not in the task: holds the blob and may be sent to */
    bool is_gone_due;  /* must hear that the task is gone */
    bool takes_inline; /* a small blob may be inside of its answer; once in a session */
    /* of one who is in the task */
    uint64_t session, seq;
    uint64_t earlier[TASK_SESSIONS_KEPT];
    unsigned n_earlier;
    struct supernode_request *held; /* its exchange, or NULL: then it does not listen */
    uint64_t held_since_ms, heard_ms;
    uint64_t broken_ms;       /* its exchange broke then; 0 = no */
    uint64_t ticket_until_ms; /* wall clock; its ticket is good until then */
    uint64_t told_limit;
    uint64_t want_off;
    unsigned n_busy;        /* times it was sent away by a node, without a piece between them */
    struct wire_join *join; /* owned; until the swarm knows what it has */
    struct supernode_assignment pending[TASK_PENDING_MAX];
    unsigned n_pending;
    struct task_peer *next_pending; /* in the turn's list */
};

enum task_size_word { TASK_SIZE_UNKNOWN, TASK_SIZE_TOLD, TASK_SIZE_DOUBTED, TASK_SIZE_PROVED };

struct supernode_task {
    unsigned magic;
    struct supernode *supernode;
    struct dt_loop *loop;
    struct dt_digest digest; /* key of the loop's table */
    UT_hash_handle hh;
    enum supernode_task_state state;
    struct dt_err err; /* GONE */
    uint64_t size;     /* UINT64_MAX = unknown */
    enum task_size_word size_word;
    bool was_size_doubted;
    bool distrusts_nodes; /* a size they told was wrong: only a registry's opens the swarm */
    uint32_t piece_size, n_pieces;
    struct supernode_swarm *swarm; /* owned; NULL while the size is unknown */
    uint32_t seed_handle;
    struct wire_sum *sums; /* owned; with sum_states, n_pieces long */
    uint64_t *troubled;  /* owned; row of bits: receivers failed to get these from their holders */
    uint8_t *sum_states; /* owned; enum task_sum_state */
    bool are_sums_sure;  /* of a blob whose digest was verified: ours of today may not differ */
    struct task_peer *peers;
    struct task_peer **by_slot; /* owned; borrowed peers by supernode_peer_slot() */
    uint32_t n_by_slot;
    uint32_t n_present, n_holders; /* peers in the task; the others */
    struct supernode_seed *seed;   /* owned by reference */
    uint64_t limit;                /* own; UINT64_MAX = the default */
    bool is_plan_due, is_ending;
    bool is_asking_holders;            /* joins wait: perhaps no registry is needed */
    struct supernode_request *waiting; /* such joins, the last one first */
    struct dt_timer tick, upkeep;
    uint64_t empty_since_ms; /* nobody is in it since then */
    uint64_t started_wall_ms;
    uint64_t n_failed, seed_bytes, peer_bytes;
    uint64_t rate_began_ms, rate_bytes, rate_bytes_s;
};

struct task_banned {
    wire_name name; /* key */
    UT_hash_handle hh;
};
struct task_struck {
    char key[TASK_STRUCK_KEY_MAX]; /* "id address" */
    UT_hash_handle hh;
};
struct task_table {
    struct supernode_task *tasks;
    struct task_banned *banned;
    struct task_struck *struck;
    struct supernode_sums *sums; /* owned; of tasks that were forgotten */
};
struct supernode_tasks {
    struct task_table *tables; /* owned; one per loop */
    pthread_mutex_t lock;      /* of the next two */
    pthread_cond_t jobs_ended;
    unsigned n_jobs; /* sums that are being computed: each holds a reader of the cache */
    _Atomic uint64_t n_tasks, n_peers, n_held;
    _Atomic uint64_t n_pieces, n_cells; /* of large blobs; of all (SUPERNODE_ALL_...) */
    _Atomic uint64_t inline_bytes;      /* of small blobs, kept by their seeds */
    _Atomic uint64_t n_exchanges, n_joins, n_refused, seed_bytes, peer_bytes, n_failed;
};

/* task.c */
struct task_table *supernode_table(struct supernode *); /* of the calling loop */
struct supernode_task *supernode_task_find(struct supernode *, const struct dt_digest *);
/* NULL: too many. */
struct supernode_task *supernode_task_make(struct supernode *, const struct dt_digest *);
/* Who waits may now be given something. */
void supernode_task_plan_soon(struct supernode_task *);
/* The size is known: the swarm begins. Ignored when it is known already and the same. Errors:
 * DT_EINVAL, DT_ETOOBIG, DT_ECONFLICT (another size is known). */
int supernode_task_open(struct supernode_task *, uint64_t size, struct dt_err *err);
/* Those who are in the task and not in its swarm enter it, or hear why not. */
void supernode_task_let_in(struct supernode_task *);
/* The size was wrong: the swarm is taken down, and who was in it has to join again. */
void supernode_task_anew(struct supernode_task *);
/* No way to what nobody holds: everybody who lacks something hears it. */
void supernode_task_gone(struct supernode_task *, const struct dt_err *err);
/* Must the registry be asked: is there a piece that neither the seed nor any node has? */
bool supernode_task_needs_registry(const struct supernode_task *);
uint32_t supernode_hash_name(const char *name);
void supernode_tasks_new(struct supernode *);
void supernode_tasks_stop_loop(void *supernode); /* on each loop: ends every task of it */
void supernode_tasks_free(struct supernode *);
/* Around each job of a seed on the pool; any thread. */
void supernode_tasks_job_begins(struct supernode *);
void supernode_tasks_job_ended(struct supernode *);
/* After every loop was stopped: returns when the last job has ended on its loop. Main only. */
void supernode_tasks_wait_for_jobs(struct supernode *);

/* task_size.c */
/* By a node that has the blob, or a part of it. Errors: as supernode_task_open(). */
int supernode_size_told(struct supernode_task *, uint64_t size, struct dt_err *err);
/* By a node that has read it somewhere; UINT64_MAX = it has not. */
void supernode_size_hinted(struct supernode_task *, uint64_t size);
/* It contradicts, and the registry is being asked. */
bool supernode_size_makes_wait(const struct supernode_task *, const struct task_peer *);
/* By the fill or the cache; errors as supernode_task_open(). All peers may be gone afterwards. */
int supernode_size_proved(struct supernode_task *, uint64_t size, struct dt_err *err);
void supernode_size_contradicted(struct supernode_task *); /* one of them tells another */
void supernode_size_confirmed(struct supernode_task *);    /* bytes of a blob of this size came */
void supernode_size_unanswered(struct supernode_task *);   /* nobody can be asked */

/* task_peer.c */
struct task_peer *supernode_peer_find(struct supernode_task *, const char *id);
struct task_peer *supernode_peer_at(const struct supernode_task *, uint32_t handle);
/* One who joins, or joins again; `join` is taken over from the request's exchange. Errors: why it
 * is not for us (WIRE_GONE). */
int supernode_peer_join(struct task_peer **out, struct supernode_task *, struct supernode_request *,
                        struct dt_err *err);
int supernode_peer_enter_swarm(struct supernode_task *, struct task_peer *, struct dt_err *err);
/* It leaves the table; a held exchange is answered. */
void supernode_peer_remove(struct supernode_task *, struct task_peer *);
/* It says that it has all of it now; it stays as one who may be sent to. */
void supernode_peer_becomes_holder(struct supernode_task *, struct task_peer *);
/* A node that is not in the task and holds all of it. */
struct task_holder {
    wire_id id;
    wire_name name, rack;
    wire_address address;
    uint64_t size;
};
void supernode_peer_add_holder(struct supernode_task *, const struct task_holder *);
void supernode_peer_hear(struct supernode_task *, struct task_peer *,
                         const struct wire_exchange *); /* its reports */
void supernode_peers_upkeep(struct supernode_task *, uint64_t now_ms);

/* trouble.c */
/* A receiver failed to get a piece from a node. True: something changed for the fill. */
bool supernode_trouble_heard(struct supernode_task *, struct task_peer *to,
                             const struct supernode_failure *);
/* Who has been sending to this one for too long? True as above. */
bool supernode_trouble_looked_for(struct supernode_task *, const struct task_peer *to,
                                  uint64_t now_ms);

/* exchange.c */
/* Takes the held exchange from its peer, which listens no more: who takes it answers it. NULL: none
 * is held. */
struct supernode_request *supernode_exchange_unhold(struct supernode_task *, struct task_peer *);
/* Who holds the blob is known: the joins that waited for it go on. */
void supernode_exchanges_released(struct supernode_task *);
/* The task ends: they are refused. */
void supernode_exchanges_refuse(struct supernode_task *);

/* task_plan.c */
void supernode_task_turn(struct supernode_task *);
/* Answers the held exchange with what is pending, perhaps nothing. */
void supernode_peer_answer(struct supernode_task *, struct task_peer *);
/* Answers an exchange that is not (or no longer) the one to be held: OPEN or WAITING, empty. */
void supernode_answer_empty(struct supernode_task *, const struct task_peer *,
                            struct supernode_request *);
/* An answer without a task or a peer. */
void supernode_answer_state(struct supernode_request *, enum wire_state, const struct dt_err *);
uint64_t supernode_task_limit(const struct supernode_task *);
uint64_t supernode_task_share(const struct supernode_task *);

/* task_node.c: from the table of nodes, to the tasks. Any loop. */
void supernode_tasks_node_gone(struct supernode *, const char *id);
void supernode_tasks_quarantine(struct supernode *, const char *id, const char *address);
void supernode_tasks_set_banned(struct supernode *, const char *name, bool is_banned);
void supernode_tasks_holding_lost(struct supernode *, const char *id, const struct dt_digest *);
/* The answer to supernode_nodes_ask_holders(): joins that wait for it go on. */
void supernode_tasks_holders_found(struct supernode *, const struct dt_digest *,
                                   const struct task_holder *, size_t n);
/* One more, while the blob may be on its way. */
void supernode_tasks_holder_announced(struct supernode *, const struct dt_digest *,
                                      const struct task_holder *);
bool supernode_is_banned_here(struct supernode *, const char *name);
bool supernode_is_struck_here(struct supernode *, const char *id, const char *address);

#endif
