/*
 * supernode/supernode.h - what the whole process shares, and who may touch it.
 *
 *   filled by main -> supernode_core_new -> loops start -> supernode_core_start -> ...
 *      -> supernode_core_stop (loops run) -> loops stop -> supernode_core_free
 *
 * A supernode is two things behind one listener: the one who says which node takes which piece from
 * whom (task.h, node.h), and the seed of its site: it fetches each blob once and serves its pieces
 * (seed.h, transfer/piece_server.h). Made by main before the loops start and read-only afterwards;
 * what changes lives in the objects that are pointed to, each with its own rule: the cache: any
 * thread; a task: the loop its digest hashes to; nodes: loop 0; atomics: any thread. There is no
 * lock around any of it: loops send messages.
 *
 * Soft state: everything here may be lost at any moment. Nodes tell it again to whoever answers.
 */
#ifndef DARTER_SUPERNODE_SUPERNODE_H
#define DARTER_SUPERNODE_SUPERNODE_H

#include <stdatomic.h>

#include "base/bucket.h"
#include "base/key.h"
#include "base/wire/wire.h"
#include "transfer/director.h"
#include "transfer/transfer.h"

#define SUPERNODE_HELLO_INTERVAL_MS 5000u

struct supernode_options; /* supernode/options.h */
struct supernode_tasks;   /* supernode/task.c: one table per loop */
struct supernode_nodes;   /* supernode/node.c: one table on loop 0 */
struct supernode_proofs;  /* supernode/proof.c */
struct piece_server;      /* transfer/piece_server.h */
struct supernode_pair;    /* supernode/pair.c */

/* What an operator may change while it runs (PUT /v1/limits). Bytes per second; 0 = no limit. */
struct supernode_limits {
    _Atomic uint64_t task_down;          /* of one blob, over all nodes of the site */
    _Atomic uint64_t node_up, node_down; /* of each node that has no limit of its own */
};

struct supernode {
    /* by main, before supernode_core_new() */
    const struct supernode_options *options; /* borrowed from main */
    struct transfer transfer;                /* loops, pool, cache, tasks: what brings blobs in */
    struct reg_upstream *upstreams;          /* owned by main; health fields are atomics */
    size_t n_upstreams;
    struct dt_keys *keys;       /* owned by main */
    wire_name name, site;       /* name: what nodes choose their supernode by */
    struct dt_bucket up;        /* of the seed's uploads */
    unsigned max_uploads;       /* pieces served at once */
    uint32_t hello_interval_ms; /* 0 = SUPERNODE_HELLO_INTERVAL_MS */
    struct supernode_limits limits;
    uint64_t started_ms;         /* wall clock */
    struct supernode_pair *pair; /* owned by main; for the admin endpoint */
    /* by supernode_core_new() */
    wire_id id;                        /* of the seed, in assignments */
    struct transfer_director director; /* of the fills; transfer.director points here */
    struct supernode_tasks *tasks;
    struct supernode_nodes *nodes;
    struct supernode_proofs *proofs;
    struct piece_server *pieces;
    /* any thread */
    _Atomic bool is_draining; /* POST /v1/drain: no new tasks here; nodes ask the next one */
    _Atomic bool is_stopping; /* the process ends */
    _Atomic uint64_t say_strangers_us; /* not before: who fails to prove the key (monotonic) */
};

/* Needs `transfer` complete but for `director`. */
void supernode_core_new(struct supernode *);
/* The loops run. */
void supernode_core_start(struct supernode *);
/* Answers everybody who waits (503: they ask the next supernode) and lets go of every fill. Sets
 * is_stopping. From main, while the loops run, before the listener is drained; blocks. */
void supernode_core_stop(struct supernode *);
/* After the loops stopped. Harmless on what was never made. */
void supernode_core_free(struct supernode *);

#endif
