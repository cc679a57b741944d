/*
 * supernode/trouble.c - nodes that do not bring what they say they have.
 *
 * The seed does not fetch from the registry what a present node holds. Whether such a node serves
 * shows only when others are sent to it: it may refuse, break, stall, be busy for ever or send a
 * byte now and then. As soon as one receiver has had that trouble, all that node's pieces may come
 * from the registry too: the worst that a lie about a good node can do is one fetch of the blob,
 * and the worst that a bad node can do is a short wait.
 */
#include "supernode/task_priv.h"

#define TROUBLE_BUSY_MAX 6u /* in a row: one whose slots are in use gives a piece now and then */
#define TROUBLE_LATE_MAX 16u

/* This node does not bring what it has: from now on its pieces are the registry's too. False: it
 * was known, or there is nothing that only nodes have. */
static bool note_trouble(struct supernode_task *task, uint32_t from)
{
    bool is_news = false;
    if (task->swarm == NULL || from == SUPERNODE_NONE || from == task->seed_handle)
        return false;
    for (uint32_t piece = 0; piece < task->n_pieces; piece++) {
        if (supernode_row_test(task->troubled, piece) ||
            !supernode_swarm_has(task->swarm, from, piece) ||
            supernode_swarm_has(task->swarm, task->seed_handle, piece))
            continue;
        supernode_row_set(task->troubled, piece);
        is_news = true;
    }
    return is_news;
}

bool supernode_trouble_heard(struct supernode_task *task, struct task_peer *to,
                             const struct supernode_failure *failure)
{
    bool is_busy = failure->why == SUPERNODE_WHY_BUSY;
    if (failure->from == task->seed_handle || (is_busy && ++to->n_busy < TROUBLE_BUSY_MAX))
        return false;
    supernode_row_set(task->troubled, failure->piece);
    /* Wrong bytes of one piece say nothing of the others. */
    if (failure->why != SUPERNODE_WHY_BAD_SUM)
        (void)note_trouble(task, failure->from); /* something changed in any case */
    return true;
}

bool supernode_trouble_looked_for(struct supernode_task *task, const struct task_peer *to,
                                  uint64_t now_ms)
{
    uint32_t from[TROUBLE_LATE_MAX];
    bool is_news = false;
    if (task->swarm == NULL || to->is_holder)
        return false;
    size_t n = supernode_swarm_overdue(from, TROUBLE_LATE_MAX, task->swarm, to->handle, now_ms);
    for (size_t i = 0; i < n; i++)
        is_news |= note_trouble(task, from[i]);
    return is_news;
}
