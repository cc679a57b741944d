/*
 * supernode/supernode.c - the parts of the core, made and ended in order. See supernode.h.
 */
#include "supernode/supernode.h"

#include "supernode/node_priv.h"
#include "supernode/proof.h"
#include "supernode/request.h"
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
    supernode_request_register_metrics();
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

static void stop_first_loop(void *arg)
{
    supernode_tasks_stop_loop(arg);
    supernode_nodes_stop_loop(arg);
}

/* Loop 0 comes last: it has the nodes, which the tasks ask. */
void supernode_core_stop(struct supernode *supernode)
{
    struct dt_loops *loops = supernode->transfer.loops;
    atomic_store(&supernode->is_stopping, true);
    for (unsigned i = dt_loops_count(loops) - 1; i > 0; i--)
        dt_loop_call(dt_loops_at(loops, i), supernode_tasks_stop_loop, supernode);
    dt_loop_call(dt_loops_at(loops, 0), stop_first_loop, supernode);
    supernode_tasks_wait_for_jobs(supernode);
}

void supernode_core_free(struct supernode *supernode)
{
    piece_server_free(&supernode->pieces);
    supernode_proofs_free(supernode);
    supernode_tasks_free(supernode);
    supernode_nodes_free(supernode);
}
