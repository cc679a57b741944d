/*
 * supernode/supernode.c - the parts of the core, made and ended in order. See supernode.h.
 */
#include "supernode/supernode.h"

#include <errno.h>
#include <semaphore.h>

#include "base/mem.h"
#include "supernode/node_priv.h"
#include "supernode/proof.h"
#include "supernode/seed.h"
#include "supernode/task_priv.h"
#include "transfer/piece_server.h"

void supernode_core_new(struct supernode *supernode)
{
    wire_id_make(supernode->id);
    supernode->director =
        (struct transfer_director){.ops = &supernode_director_ops, .arg = supernode};
    supernode->transfer.director = &supernode->director;
    supernode_nodes_new(supernode);
    supernode_tasks_new(supernode);
    supernode_proofs_new(supernode);
    supernode->pieces =
        piece_server_new(&(struct piece_server_opts){.transfer = &supernode->transfer,
                                                     .keys = supernode->keys,
                                                     .site = supernode->site,
                                                     .max_uploads = supernode->max_uploads,
                                                     .up = &supernode->up});
}

void supernode_core_start(struct supernode *supernode)
{
    supernode_nodes_start(supernode);
}

/* ---- stop: one message visits loop after loop, the last one first ---- */

struct stop_round {
    struct supernode *supernode;
    unsigned n_left;
    sem_t done;
};

/* Loop 0 comes last: it has the nodes, which the tasks ask. */
static void stop_one_loop(void *arg)
{
    struct stop_round *round = arg;
    struct dt_loops *loops = round->supernode->transfer.loops;
    supernode_tasks_stop_loop(round->supernode);
    if (--round->n_left > 0) {
        dt_loop_post(dt_loops_at(loops, round->n_left - 1), stop_one_loop, round);
        return;
    }
    supernode_nodes_stop_loop(round->supernode);
    (void)sem_post(&round->done);
}

void supernode_core_stop(struct supernode *supernode)
{
    atomic_store(&supernode->is_stopping, true);
    struct dt_loops *loops = supernode->transfer.loops;
    struct stop_round round = {.supernode = supernode, .n_left = dt_loops_count(loops)};
    (void)sem_init(&round.done, 0, 0);
    dt_loop_post(dt_loops_at(loops, round.n_left - 1), stop_one_loop, &round);
    while (sem_wait(&round.done) < 0 && errno == EINTR)
        continue;
    (void)sem_destroy(&round.done);
}

void supernode_core_free(struct supernode *supernode)
{
    piece_server_free(&supernode->pieces);
    supernode_proofs_free(supernode);
    supernode_tasks_free(supernode);
    supernode_nodes_free(supernode);
}
