/*
 * supernode/seed.h - the seed of one task: what the supernode itself has of the blob, and the fill
 * that brings it from a registry.
 *
 *   idle -> attached -> FILLING -> SEALED (all of it is here)       FILLING -> failed -> idle
 *
 * A fill is a transfer task like any other (transfer/task.h) with this file as its director: it
 * says which pieces need not be fetched because nodes hold them. A piece is handed out when its
 * bytes are in the file and its sum was computed (on the pool, a few at once). Later joins bring
 * further ways, which the fill tries when one is refused. Credentials are used for the fetch only;
 * the last ones are kept until the task is forgotten, for the case that a node with the only copy
 * of something vanishes.
 *
 * Lives on the task's loop. Counted: jobs on the pool and the fill outlive the task.
 */
#ifndef DARTER_SUPERNODE_SEED_H
#define DARTER_SUPERNODE_SEED_H

#include "supernode/task_priv.h"

#define SEED_WAYS_MAX     16u /* attached and not yet answered; remembered as tried */
#define SEED_SUMS_AT_ONCE 4u
#define SEED_CHUNK_BYTES  (256 * 1024u)
/* While nobody has anything of the blob, a supernode that reaches no registry says so soon: every
 * node may reach one, and they all wait for its word. */
#define SEED_PATIENCE_MS 1500u

struct supernode_seed *supernode_seed_new(struct supernode_task *);
/* The task is forgotten, or its loop ends: tickets and file are let go. *seed = NULL. */
void supernode_seed_leave(struct supernode_seed **);

struct seed_way {
    struct reg_upstream *upstream;
    const char *repository;
    const char *authorization; /* NULL = anonymous */
    uint64_t size;             /* UINT64_MAX = unknown */
    uint64_t want_off;
};
/* Somebody came who knows a way. Starts the fill if it is needed and does not run. */
void supernode_seed_offer(struct supernode_seed *, const struct seed_way *);
/* Somebody left or lost something: perhaps a registry is needed after all. */
void supernode_seed_reconsider(struct supernode_seed *);
/* All of a small blob (WIRE_INLINE_MAX) of one piece, once its sum was computed; NULL: not here,
 * too large, or too many are kept. Borrowed for this turn of the loop. */
uint8_t *supernode_seed_bytes(const struct supernode_seed *);
/* The task's swarm is taken down: no piece is handed out. The fill and the file stay. */
void supernode_seed_anew(struct supernode_seed *);
/* A node was refused a piece here. The blob may have left the cache (removed, or its seal failed on
 * a full disk) while our own descriptor still reads it: then it is fetched again, or is gone. */
void supernode_seed_doubt(struct supernode_seed *);
bool supernode_seed_is_filling(const struct supernode_seed *);
/* All of the blob is here, and was verified. */
bool supernode_seed_is_whole(const struct supernode_seed *);
/* The task's size became known from elsewhere, and its swarm was made. */
void supernode_seed_opened(struct supernode_seed *);

/* The operations of supernode.director; its arg is the supernode. */
extern const struct transfer_director_ops supernode_director_ops;

/* The sum of `len` bytes at `off`, as wire_sum_of() says it; they stay in `keep`, unless that is
 * NULL. 0 or a negative code. Any thread; reads the disk. */
int supernode_seed_sum(struct wire_sum *out, uint8_t *keep, int fd, uint64_t off, uint32_t len);

#endif
