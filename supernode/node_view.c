/*
 * supernode/node_view.c - a snapshot of all nodes, for people: copied on loop 0, shown on the loop
 * that asked. Names an operator has a rule for are shown also while nobody has seen them.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "supernode/node_priv.h"

struct view_round {
    struct supernode *supernode;
    struct dt_loop *asker;
    struct supernode_node_view *views; /* owned */
    size_t n;
    supernode_node_views_f done;
    void *arg;
};

static void hand_over(void *arg)
{
    struct view_round *round = arg;
    round->done(round->arg, round->views, round->n);
    free(round->views);
    free(round);
}

static void copy_rule(struct supernode_node_view *view, const struct supernode *supernode,
                      const struct node_rule *rule)
{
    view->up_limit = atomic_load(&supernode->limits.node_up);
    view->down_limit = atomic_load(&supernode->limits.node_down);
    if (rule == NULL)
        return;
    view->is_banned = rule->is_banned;
    memcpy(view->ban_reason, rule->reason, sizeof(view->ban_reason));
    view->has_own_limits = rule->up_limit != UINT64_MAX || rule->down_limit != UINT64_MAX;
    if (rule->up_limit != UINT64_MAX)
        view->up_limit = rule->up_limit;
    if (rule->down_limit != UINT64_MAX)
        view->down_limit = rule->down_limit;
}

static void copy_node(struct supernode_node_view *view, const struct node *node)
{
    memcpy(view->name, node->name, sizeof(view->name));
    memcpy(view->rack, node->rack, sizeof(view->rack));
    memcpy(view->id, node->id, sizeof(view->id));
    memcpy(view->address, node->address, sizeof(view->address));
    view->is_here = node->is_here;
    view->first_seen_ms = node->first_seen_wall_ms;
    view->last_seen_ms = node->seen_wall_ms;
    view->n_holdings = node->n_holdings;
    view->up_bytes = node->up_bytes;
    view->down_bytes = node->down_bytes;
    view->up_bytes_s = node->is_here ? node->up_bytes_s : 0;
    view->down_bytes_s = node->is_here ? node->down_bytes_s : 0;
    view->bad_pieces = node->bad_pieces;
    view->strikes = node->strikes;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct supernode_node_view *)a)->name,
                  ((const struct supernode_node_view *)b)->name);
}

static bool is_shown(const struct view_round *round, size_t n_nodes, const char *name)
{
    for (size_t i = 0; i < n_nodes; i++)
        if (strcmp(round->views[i].name, name) == 0)
            return true;
    return false;
}

static void copy_all(void *arg)
{
    struct view_round *round = arg;
    struct supernode_nodes *nodes = round->supernode->nodes;
    struct node *node, *next_node;
    struct node_rule *rule, *next_rule;
    round->views = dt_new_array(struct supernode_node_view,
                                HASH_COUNT(nodes->nodes) + HASH_COUNT(nodes->rules) + 1);
    HASH_ITER (hh, nodes->nodes, node, next_node) {
        struct supernode_node_view *view = &round->views[round->n++];
        copy_node(view, node);
        copy_rule(view, round->supernode, supernode_node_rule(round->supernode, node->name));
    }
    size_t n_nodes = round->n;
    HASH_ITER (hh, nodes->rules, rule, next_rule) {
        if (is_shown(round, n_nodes, rule->name))
            continue;
        struct supernode_node_view *view = &round->views[round->n++];
        memcpy(view->name, rule->name, sizeof(view->name));
        copy_rule(view, round->supernode, rule);
    }
    qsort(round->views, round->n, sizeof(*round->views), by_name);
    dt_loop_post(round->asker, hand_over, round);
}

void supernode_nodes_view(struct supernode *supernode, supernode_node_views_f done, void *arg)
{
    struct view_round *round = dt_new(struct view_round);
    *round = (struct view_round){
        .supernode = supernode, .asker = dt_loop_current(), .done = done, .arg = arg};
    dt_loop_post(dt_loops_at(supernode->transfer.loops, 0), copy_all, round);
}
