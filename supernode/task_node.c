/*
 * supernode/task_node.c - what the table of nodes tells the tasks: one message to every loop, or to
 * the one loop that a digest is at home on.
 *
 *   loop 0: a node has gone | is banned | was proved to lie | holds, or lost, a blob -> each loop
 *
 * Each loop keeps its own copy of the names that are banned and of the nodes that were proved to
 * serve wrong bytes (id and address), so that a join never has to ask.
 */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "supernode/seed.h"
#include "supernode/task_priv.h"

struct node_message {
    struct supernode *supernode;
    wire_id id;
    wire_name name;
    wire_address address;
    bool is_banned;
    struct dt_digest digest;
    size_t n_holders;
    struct task_holder holders[];
};

static struct node_message *new_message(struct supernode *supernode, const char *id)
{
    struct node_message *message = dt_new(struct node_message);
    message->supernode = supernode;
    (void)strncpy(message->id, id, sizeof(message->id) - 1); /* an id fits by definition */
    return message;
}

static void tell_every_loop(struct dt_loops *loops, dt_loop_f fn, const struct node_message *about)
{
    for (unsigned i = 0; i < dt_loops_count(loops); i++) {
        struct node_message *copy = dt_new(struct node_message);
        *copy = *about;
        dt_loop_post(dt_loops_at(loops, i), fn, copy);
    }
}

/* ---- a node has gone ---- */

/* Who is in a task and talks about it is alive, whatever its hellos do. */
static void on_node_gone(void *arg)
{
    struct node_message *message = arg;
    struct supernode_task *task, *next;
    HASH_ITER (hh, supernode_table(message->supernode)->tasks, task, next) {
        struct task_peer *peer = supernode_peer_find(task, message->id);
        uint64_t now_ms = dt_loop_now_ms(task->loop);
        if (peer != NULL && peer->held == NULL &&
            (peer->is_holder || now_ms - peer->heard_ms >= SUPERNODE_BROKEN_MS))
            supernode_peer_remove(task, peer);
    }
    free(message);
}

void supernode_tasks_node_gone(struct supernode *supernode, const char *id)
{
    struct node_message *about = new_message(supernode, id);
    tell_every_loop(supernode->transfer.loops, on_node_gone, about);
    free(about);
}

/* ---- a proof ---- */

static void make_key(char key[TASK_STRUCK_KEY_MAX], const char *id, const char *address)
{
    DT_ASSERT(dt_text_print(key, TASK_STRUCK_KEY_MAX, "%s %s", id, address));
}

bool supernode_is_struck_here(struct supernode *supernode, const char *id, const char *address)
{
    struct task_struck *struck = NULL;
    char key[TASK_STRUCK_KEY_MAX];
    make_key(key, id, address);
    HASH_FIND_STR(supernode_table(supernode)->struck, key, struck);
    return struck != NULL;
}

static void remember_struck(struct task_table *table, const char *id, const char *address)
{
    if (HASH_COUNT(table->struck) >= TASK_STRUCK_MAX) {
        struct task_struck *oldest = table->struck; /* uthash keeps the order of adding */
        HASH_DEL(table->struck, oldest);
        free(oldest);
    }
    struct task_struck *struck = dt_new(struct task_struck);
    make_key(struck->key, id, address);
    HASH_ADD_STR(table->struck, key, struck);
}

static void on_quarantine(void *arg)
{
    struct node_message *message = arg;
    struct supernode_task *task, *next;
    struct task_table *table = supernode_table(message->supernode);
    if (!supernode_is_struck_here(message->supernode, message->id, message->address))
        remember_struck(table, message->id, message->address);
    HASH_ITER (hh, table->tasks, task, next) {
        struct task_peer *peer = supernode_peer_find(task, message->id);
        if (peer == NULL || task->swarm == NULL || strcmp(peer->address, message->address) != 0)
            continue;
        struct supernode_failure proved = {.to = SUPERNODE_NONE,
                                           .from = peer->handle,
                                           .why = SUPERNODE_WHY_BAD_SUM,
                                           .is_proved = true,
                                           .now_ms = dt_loop_now_ms(task->loop)};
        (void)supernode_swarm_failed(task->swarm, &proved); /* false: it is not in the swarm */
        supernode_seed_reconsider(task->seed);
        supernode_task_plan_soon(task);
    }
    free(message);
}

void supernode_tasks_quarantine(struct supernode *supernode, const char *id, const char *address)
{
    struct node_message *about = new_message(supernode, id);
    DT_ASSERT(dt_text_print(about->address, sizeof(about->address), "%s", address));
    tell_every_loop(supernode->transfer.loops, on_quarantine, about);
    free(about);
}

/* ---- bans ---- */

bool supernode_is_banned_here(struct supernode *supernode, const char *name)
{
    struct task_banned *banned = NULL;
    HASH_FIND_STR(supernode_table(supernode)->banned, name, banned);
    return banned != NULL;
}

static void remove_banned(struct supernode_task *task, const char *name)
{
    struct task_peer *peer, *next;
    HASH_ITER (hh, task->peers, peer, next)
        if (strcmp(peer->name, name) == 0)
            supernode_peer_remove(task, peer); /* its next join hears why */
}

static void on_ban(void *arg)
{
    struct node_message *message = arg;
    struct task_table *table = supernode_table(message->supernode);
    struct task_banned *banned = NULL;
    struct supernode_task *task, *next;
    HASH_FIND_STR(table->banned, message->name, banned);
    if (banned != NULL && !message->is_banned) {
        HASH_DEL(table->banned, banned);
        free(banned);
    } else if (banned == NULL && message->is_banned) {
        banned = dt_new(struct task_banned);
        memcpy(banned->name, message->name, sizeof(banned->name));
        HASH_ADD_STR(table->banned, name, banned);
    }
    HASH_ITER (hh, table->tasks, task, next)
        if (message->is_banned)
            remove_banned(task, message->name);
    free(message);
}

void supernode_tasks_set_banned(struct supernode *supernode, const char *name, bool is_banned)
{
    struct node_message *about = new_message(supernode, "");
    (void)strncpy(about->name, name, sizeof(about->name) - 1); /* a name fits: it was checked */
    about->is_banned = is_banned;
    tell_every_loop(supernode->transfer.loops, on_ban, about);
    free(about);
}

/* ---- who holds what ---- */

static void on_holding_lost(void *arg)
{
    struct node_message *message = arg;
    struct supernode_task *task = supernode_task_find(message->supernode, &message->digest);
    struct task_peer *peer = task != NULL ? supernode_peer_find(task, message->id) : NULL;
    if (peer != NULL && peer->is_holder)
        supernode_peer_remove(task, peer);
    free(message);
}

static struct dt_loop *home_of(struct supernode *supernode, const struct dt_digest *digest)
{
    return dt_loops_home(supernode->transfer.loops, dt_digest_hash(digest));
}

void supernode_tasks_holding_lost(struct supernode *supernode, const char *id,
                                  const struct dt_digest *digest)
{
    struct node_message *message = new_message(supernode, id);
    message->digest = *digest;
    dt_loop_post(home_of(supernode, digest), on_holding_lost, message);
}

/* Returns the task; NULL = there is none. */
static struct supernode_task *add_holders(const struct node_message *message)
{
    struct supernode_task *task = supernode_task_find(message->supernode, &message->digest);
    for (size_t i = 0; task != NULL && i < message->n_holders; i++)
        supernode_peer_add_holder(task, &message->holders[i]);
    return task;
}

static void on_holders_found(void *arg)
{
    struct supernode_task *task = add_holders(arg);
    if (task != NULL)
        supernode_exchanges_released(task);
    free(arg);
}

static void on_holder_announced(void *arg)
{
    (void)add_holders(arg);
    free(arg);
}

static void post_holders(struct supernode *supernode, const struct dt_digest *digest,
                         const struct task_holder *holders, size_t n, dt_loop_f fn)
{
    struct node_message *message = dt_calloc(1, sizeof(*message) + n * sizeof(message->holders[0]));
    message->supernode = supernode;
    message->digest = *digest;
    message->n_holders = n;
    memcpy(message->holders, holders, n * sizeof(message->holders[0]));
    dt_loop_post(home_of(supernode, digest), fn, message);
}

void supernode_tasks_holders_found(struct supernode *supernode, const struct dt_digest *digest,
                                   const struct task_holder *holders, size_t n)
{
    post_holders(supernode, digest, holders, n, on_holders_found);
}

void supernode_tasks_holder_announced(struct supernode *supernode, const struct dt_digest *digest,
                                      const struct task_holder *holder)
{
    if (atomic_load(&supernode->tasks->n_tasks) > 0) /* a new one asks for itself */
        post_holders(supernode, digest, holder, 1, on_holder_announced);
}
