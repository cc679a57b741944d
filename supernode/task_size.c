/*
 * supernode/task_size.c - who says how large a task's blob is, and what follows when they disagree.
 *
 *   UNKNOWN -> TOLD by a node -> DOUBTED -> PROVED by a registry, or TOLD where none answers
 *   UNKNOWN -> PROVED          TOLD, DOUBTED -> wrong: the task begins anew, and is PROVED
 *
 * Who has the blob tells its size, and the swarm begins without any registry. That may be a lie, or
 * the wrong size somebody was told himself. So when anybody contradicts, the seed asks the
 * registry, whose answer to one piece says it. The swarm goes on meanwhile; those who contradict
 * wait outside. Where the told size was wrong the swarm is taken down, and the right one refuses
 * whoever still says otherwise. That is no strike: nobody can tell a liar from one who was lied to.
 * A size is doubted once, so that a lie cannot have the registry asked again and again.
 */
#define LOG_COMPONENT "task"
#include <inttypes.h>

#include "base/log.h"
#include "supernode/node_priv.h"
#include "supernode/seed.h"
#include "supernode/task_priv.h"

static bool contradicts(const struct wire_join *join, uint64_t size)
{
    return join != NULL && join->size != UINT64_MAX && join->size != size;
}

static bool is_contradicted(const struct supernode_task *task, uint64_t size)
{
    const struct task_peer *peer, *next;
    HASH_ITER (hh, task->peers, peer, next)
        if (contradicts(peer->join, size))
            return true;
    return false;
}

static void doubt(struct supernode_task *task, uint64_t size)
{
    char name[13];
    if (task->size_word != TASK_SIZE_TOLD || task->was_size_doubted)
        return;
    task->was_size_doubted = true;
    task->size_word = TASK_SIZE_DOUBTED;
    dt_log_info("size_doubted", "blob=%s size=%" PRIu64, dt_digest_short(name, &task->digest),
                size);
    supernode_seed_reconsider(task->seed);
}

/* ---- what nodes say ---- */

int supernode_size_told(struct supernode_task *task, uint64_t size, struct dt_err *err)
{
    if (task->swarm != NULL) {
        supernode_size_hinted(task, size);
        return supernode_task_open(task, size, err); /* it is open: says whether it is the same */
    }
    if (task->distrusts_nodes)
        return dt_err_set(err, DT_ECONFLICT, "nodes told a wrong size: a registry is asked");
    task->size_word = TASK_SIZE_TOLD;
    if (is_contradicted(task, size))
        doubt(task, size); /* before anybody enters: who contradicts stays outside */
    int rc = supernode_task_open(task, size, err);
    if (rc < 0) {
        task->size_word = TASK_SIZE_UNKNOWN;
        task->was_size_doubted = false;
    }
    return rc;
}

void supernode_size_hinted(struct supernode_task *task, uint64_t size)
{
    if (task->swarm != NULL && size != UINT64_MAX && size != task->size)
        doubt(task, task->size);
}

bool supernode_size_makes_wait(const struct supernode_task *task, const struct task_peer *peer)
{
    return task->size_word == TASK_SIZE_DOUBTED && contradicts(peer->join, task->size);
}

/* ---- what the registry says ---- */

void supernode_size_contradicted(struct supernode_task *task)
{
    doubt(task, task->size);
}

int supernode_size_proved(struct supernode_task *task, uint64_t size, struct dt_err *err)
{
    if (task->swarm != NULL && task->size != size)
        supernode_task_anew(task);
    if (task->swarm == NULL)
        task->size_word = TASK_SIZE_PROVED;
    int rc = supernode_task_open(task, size, err);
    if (rc == 0 && task->distrusts_nodes)
        supernode_nodes_ask_holders(task->supernode, &task->digest); /* not all of them lied */
    return rc;
}

static void settle(struct supernode_task *task, enum task_size_word word)
{
    bool was_doubted = task->size_word == TASK_SIZE_DOUBTED;
    task->size_word = word;
    if (was_doubted)
        supernode_task_let_in(task);
}

void supernode_size_confirmed(struct supernode_task *task)
{
    if (task->size_word == TASK_SIZE_TOLD || task->size_word == TASK_SIZE_DOUBTED)
        settle(task, TASK_SIZE_PROVED);
}

void supernode_size_unanswered(struct supernode_task *task)
{
    if (task->size_word == TASK_SIZE_DOUBTED)
        settle(task, TASK_SIZE_TOLD);
}
