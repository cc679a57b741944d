/*
 * supernode/node.c - hellos, and who is here. See node.h.
 *
 * A node that was restarted comes with a new id: its old row goes when the new one says hello under
 * the same name and either the old one is silent or the new one is found where the old one was. A
 * node whose full list is not known is asked for it.
 */
#define LOG_COMPONENT "node"
#include "supernode/node.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "supernode/node_priv.h"

#define NODE_SWEEP_MS 500u

/* ---- the table ---- */

void supernode_nodes_new(struct supernode *supernode)
{
    supernode->nodes = dt_new(struct supernode_nodes);
}

static void drop_node(struct supernode *supernode, struct node *node)
{
    supernode_node_drop_holdings(supernode, node);
    HASH_DEL(supernode->nodes->nodes, node);
    free(node);
}

void supernode_nodes_stop_loop(void *arg)
{
    struct supernode *supernode = arg;
    struct node *node, *next;
    dt_timer_clear(&supernode->nodes->sweep);
    HASH_ITER (hh, supernode->nodes->nodes, node, next)
        drop_node(supernode, node);
}

void supernode_nodes_free(struct supernode *supernode)
{
    if (supernode->nodes == NULL)
        return;
    DT_ASSERT(supernode->nodes->nodes == NULL && supernode->nodes->blobs == NULL);
    supernode_node_rules_free(supernode);
    dt_free(&supernode->nodes);
}

static uint32_t interval_ms(const struct supernode *supernode)
{
    return supernode->hello_interval_ms != 0 ? supernode->hello_interval_ms
                                             : SUPERNODE_HELLO_INTERVAL_MS;
}

static void set_gone(struct supernode *supernode, struct node *node, const char *why)
{
    if (!node->is_here)
        return;
    node->is_here = false;
    atomic_fetch_sub(&supernode->nodes->n_here, 1);
    supernode_node_drop_holdings(supernode, node);
    dt_log_info("node_gone", "node=%s id=%s why=%s", DT_LOG_Q(node->name), node->id, why);
    supernode_tasks_node_gone(supernode, node->id);
}

static void on_sweep(void *arg)
{
    struct supernode *supernode = arg;
    struct supernode_nodes *nodes = supernode->nodes;
    struct node *node, *next;
    uint64_t now_ms = dt_loop_now_ms(nodes->sweep.loop);
    uint64_t patience_ms = (uint64_t)interval_ms(supernode) * SUPERNODE_INTERVALS_MISSED;
    HASH_ITER (hh, nodes->nodes, node, next) {
        uint64_t silent_ms = now_ms - node->seen_ms;
        if (silent_ms >= patience_ms)
            set_gone(supernode, node, "silent");
        if (silent_ms >= SUPERNODE_NODE_FORGET_MS)
            drop_node(supernode, node);
    }
    dt_timer_set(&nodes->sweep, NODE_SWEEP_MS);
}

static void start(void *arg)
{
    struct supernode *supernode = arg;
    struct supernode_nodes *nodes = supernode->nodes;
    if (atomic_load(&supernode->is_stopping))
        return;
    dt_timer_init(&nodes->sweep, dt_loop_current(), on_sweep, supernode);
    dt_timer_set(&nodes->sweep, NODE_SWEEP_MS);
    supernode_node_rules_load(supernode);
}

void supernode_nodes_start(struct supernode *supernode)
{
    dt_loop_post(dt_loops_at(supernode->transfer.loops, 0), start, supernode);
}

/* ---- a hello ---- */

static void set_rates(struct node *node, const struct wire_hello *hello, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - node->seen_ms;
    bool has_grown = hello->up_bytes >= node->up_bytes && hello->down_bytes >= node->down_bytes;
    if (node->seen_ms != 0 && passed_ms > 0 && has_grown) {
        node->up_bytes_s = (hello->up_bytes - node->up_bytes) * 1000 / passed_ms;
        node->down_bytes_s = (hello->down_bytes - node->down_bytes) * 1000 / passed_ms;
    }
    node->up_bytes = hello->up_bytes;
    node->down_bytes = hello->down_bytes;
    node->bad_pieces = hello->bad_pieces;
}

/* Of two with one name at one address the earlier one was killed: nobody is sent to it, and nobody
 * counts it, until its three intervals are over. */
static void drop_predecessors(struct supernode *supernode, const struct wire_hello *hello,
                              const char *address)
{
    struct node *node, *next;
    HASH_ITER (hh, supernode->nodes->nodes, node, next) {
        if (strcmp(node->name, hello->name) != 0 || strcmp(node->id, hello->node) == 0)
            continue;
        if (strcmp(node->address, address) == 0)
            set_gone(supernode, node, "restarted");
        if (!node->is_here)
            drop_node(supernode, node);
    }
}

static struct node *make_node(struct supernode *supernode, const struct wire_hello *hello,
                              const char *address)
{
    struct supernode_nodes *nodes = supernode->nodes;
    drop_predecessors(supernode, hello, address);
    if (HASH_COUNT(nodes->nodes) >= SUPERNODE_NODES_MAX)
        return NULL;
    struct node *node = dt_new(struct node);
    memcpy(node->id, hello->node, sizeof(node->id));
    node->first_seen_wall_ms = dt_wall_ms();
    HASH_ADD_STR(nodes->nodes, id, node);
    dt_log_info("node_here", "node=%s id=%s", DT_LOG_Q(hello->name), node->id);
    return node;
}

static void hear_holdings(struct supernode *supernode, struct node *node,
                          const struct wire_hello *hello)
{
    if (hello->is_full)
        supernode_node_drop_holdings(supernode, node);
    for (size_t i = 0; i < hello->n_have; i++)
        supernode_node_add_holding(supernode, node, &hello->have[i]);
    for (size_t i = 0; i < hello->n_lost; i++) {
        supernode_node_drop_holding(supernode, node, &hello->lost[i]);
        supernode_tasks_holding_lost(supernode, node->id, &hello->lost[i]);
    }
}

/* Returns whether its full list is needed. */
static bool hear(struct supernode *supernode, struct supernode_request *request, struct dt_err *err)
{
    const struct wire_hello *hello = &request->hello;
    struct node *node = NULL;
    wire_address address;
    if (supernode_request_address(address, request, hello->address, err) < 0)
        return false;
    HASH_FIND_STR(supernode->nodes->nodes, hello->node, node);
    if (node == NULL && hello->is_bye)
        return false;
    if (node == NULL && (node = make_node(supernode, hello, address)) == NULL) {
        (void)dt_err_set(err, DT_EBUSY, "no more than %u nodes", SUPERNODE_NODES_MAX);
        return false;
    }
    bool was_here = node->is_here;
    uint64_t now_ms = dt_loop_now_ms(request->home);
    set_rates(node, hello, now_ms);
    memcpy(node->name, hello->name, sizeof(node->name));
    memcpy(node->rack, hello->rack, sizeof(node->rack));
    memcpy(node->address, address, sizeof(node->address));
    node->seen_ms = now_ms;
    node->seen_wall_ms = dt_wall_ms();
    if (!was_here)
        atomic_fetch_add(&supernode->nodes->n_here, 1);
    node->is_here = true;
    hear_holdings(supernode, node, hello);
    if (hello->is_bye)
        set_gone(supernode, node, "bye");
    return !was_here && !hello->is_full && !hello->is_bye;
}

static uint64_t own_or(uint64_t own, const _Atomic uint64_t *common)
{
    return own != UINT64_MAX ? own : atomic_load(common);
}

void supernode_hello_arrived(struct supernode_request *request)
{
    struct supernode *supernode = request->supernode;
    const struct node_rule *rule = supernode_node_rule(supernode, request->hello.name);
    struct dt_err err = {0};
    if (atomic_load(&supernode->is_stopping)) { /* the table is empty, and stays so */
        supernode_request_refuse(request);
        return;
    }
    struct wire_hello_reply reply = {
        .interval_ms = interval_ms(supernode),
        .is_banned = rule != NULL && rule->is_banned,
        .is_draining = atomic_load(&supernode->is_draining),
        .up_limit = own_or(rule != NULL ? rule->up_limit : UINT64_MAX, &supernode->limits.node_up),
        .down_limit =
            own_or(rule != NULL ? rule->down_limit : UINT64_MAX, &supernode->limits.node_down),
    };
    memcpy(reply.supernode, supernode->name, sizeof(reply.supernode));
    memcpy(reply.site, supernode->site, sizeof(reply.site));
    atomic_fetch_add(&supernode->nodes->n_hellos, 1);
    /* One of another site is told whose we are, and is not heard. */
    if (strcmp(request->hello.site, supernode->site) == 0)
        reply.wants_full = hear(supernode, request, &err);
    if (err.code != 0)
        dt_log_warn("hello_not_heard", "node=%s code=%s reason=%s", DT_LOG_Q(request->hello.name),
                    dt_code_name(err.code), DT_LOG_Q(err.msg));
    supernode_request_answer(request, wire_hello_reply_encode(&reply));
}

/* ---- strikes ---- */

struct strike_message {
    struct supernode *supernode;
    wire_id id;
    wire_address address;
};

static void on_strike(void *arg)
{
    struct strike_message *message = arg;
    struct node *node = NULL;
    HASH_FIND_STR(message->supernode->nodes->nodes, message->id, node);
    atomic_fetch_add(&message->supernode->nodes->n_strikes, 1);
    if (node != NULL && strcmp(node->address, message->address) == 0)
        node->strikes++; /* else somebody else used its id */
    free(message);
}

void supernode_nodes_strike(struct supernode *supernode, const char *id, const char *address)
{
    struct strike_message *message = dt_new(struct strike_message);
    message->supernode = supernode;
    DT_ASSERT(dt_text_print(message->id, sizeof(message->id), "%s", id));
    DT_ASSERT(dt_text_print(message->address, sizeof(message->address), "%s", address));
    dt_loop_post(dt_loops_at(supernode->transfer.loops, 0), on_strike, message);
}

void supernode_nodes_count(struct supernode_node_counts *out, struct supernode *supernode)
{
    struct supernode_nodes *nodes = supernode->nodes;
    *out = (struct supernode_node_counts){
        .n_here = atomic_load(&nodes->n_here),
        .n_banned = atomic_load(&nodes->n_banned),
        .n_holdings = atomic_load(&nodes->n_holdings),
        .n_hellos = atomic_load(&nodes->n_hellos),
        .n_strikes = atomic_load(&nodes->n_strikes),
    };
}
