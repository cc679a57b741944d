/*
 * supernode/node_holding.c - which nodes hold which whole blobs. On loop 0.
 *
 * Every holding is in two lists: its node's and its blob's. Of one blob no more holders are
 * remembered than a task can use, so a search through them is short, and of all together no more
 * than SUPERNODE_HOLDINGS_MAX; what is above is forgotten: it is a hint, not a promise.
 */
#include <string.h>

#include "base/mem.h"
#include "supernode/node_priv.h"

static struct node_blob *find_blob(struct supernode_nodes *nodes, const struct dt_digest *digest)
{
    struct node_blob *blob = NULL;
    HASH_FIND(hh, nodes->blobs, digest, sizeof(*digest), blob);
    return blob;
}

static struct node_holding *find_holding(struct node_blob *blob, const struct node *node)
{
    struct node_holding *holding = blob != NULL ? blob->first : NULL;
    while (holding != NULL && holding->node != node)
        holding = holding->next_of_blob;
    return holding;
}

static struct task_holder describe(const struct node_holding *holding)
{
    const struct node *node = holding->node;
    struct task_holder holder = {.size = holding->size};
    memcpy(holder.id, node->id, sizeof(holder.id));
    memcpy(holder.name, node->name, sizeof(holder.name));
    memcpy(holder.rack, node->rack, sizeof(holder.rack));
    memcpy(holder.address, node->address, sizeof(holder.address));
    return holder;
}

void supernode_node_add_holding(struct supernode *supernode, struct node *node,
                                const struct wire_holding *told)
{
    struct supernode_nodes *nodes = supernode->nodes;
    struct node_blob *blob = find_blob(nodes, &told->digest);
    if (find_holding(blob, node) != NULL || (blob != NULL && blob->n >= SUPERNODE_HOLDERS_MAX) ||
        atomic_load(&nodes->n_holdings) >= SUPERNODE_HOLDINGS_MAX)
        return;
    if (blob == NULL) {
        blob = dt_new(struct node_blob);
        blob->digest = told->digest;
        HASH_ADD(hh, nodes->blobs, digest, sizeof(blob->digest), blob);
    }
    struct node_holding *holding = dt_new(struct node_holding);
    *holding = (struct node_holding){.blob = blob,
                                     .node = node,
                                     .size = told->size,
                                     .next_of_blob = blob->first,
                                     .next_of_node = node->holdings};
    if (node->holdings != NULL)
        node->holdings->prev_of_node = holding;
    node->holdings = holding;
    node->n_holdings++;
    blob->first = holding;
    blob->n++;
    atomic_fetch_add(&nodes->n_holdings, 1);
    struct task_holder holder = describe(holding);
    supernode_tasks_holder_announced(supernode, &told->digest, &holder);
}

static void drop(struct supernode *supernode, struct node_holding *holding)
{
    struct supernode_nodes *nodes = supernode->nodes;
    struct node_blob *blob = holding->blob;
    struct node *node = holding->node;
    struct node_holding **link = &blob->first;
    while (*link != holding)
        link = &(*link)->next_of_blob;
    *link = holding->next_of_blob;
    if (holding->prev_of_node != NULL)
        holding->prev_of_node->next_of_node = holding->next_of_node;
    else
        node->holdings = holding->next_of_node;
    if (holding->next_of_node != NULL)
        holding->next_of_node->prev_of_node = holding->prev_of_node;
    node->n_holdings--;
    atomic_fetch_sub(&nodes->n_holdings, 1);
    free(holding);
    if (--blob->n > 0)
        return;
    HASH_DEL(nodes->blobs, blob);
    free(blob);
}

void supernode_node_drop_holding(struct supernode *supernode, struct node *node,
                                 const struct dt_digest *digest)
{
    struct node_holding *holding = find_holding(find_blob(supernode->nodes, digest), node);
    if (holding != NULL)
        drop(supernode, holding);
}

void supernode_node_drop_holdings(struct supernode *supernode, struct node *node)
{
    while (node->holdings != NULL)
        drop(supernode, node->holdings);
}

/* ---- the question of a task ---- */

struct question {
    struct supernode *supernode;
    struct dt_digest digest;
};

static void on_question(void *arg)
{
    struct question *question = arg;
    struct supernode *supernode = question->supernode;
    struct node_blob *blob = find_blob(supernode->nodes, &question->digest);
    struct task_holder *found = dt_new_array(struct task_holder, SUPERNODE_HOLDERS_MAX);
    size_t n = 0;
    for (struct node_holding *h = blob != NULL ? blob->first : NULL; h != NULL; h = h->next_of_blob)
        if (h->node->is_here && n < SUPERNODE_HOLDERS_MAX)
            found[n++] = describe(h);
    supernode_tasks_holders_found(supernode, &question->digest, found, n);
    free(found);
    free(question);
}

void supernode_nodes_ask_holders(struct supernode *supernode, const struct dt_digest *digest)
{
    struct question *question = dt_new(struct question);
    *question = (struct question){.supernode = supernode, .digest = *digest};
    dt_loop_post(dt_loops_at(supernode->transfer.loops, 0), on_question, question);
}
