/*
 * supernode/node_priv.h - the inside of the table of nodes, shared by node.c (hellos, who is here),
 * node_holding.c (who holds what), node_ban.c (bans and limits, what survives a restart) and
 * node_view.c. All on loop 0, but for the atomics and the functions that say so.
 */
#ifndef DARTER_SUPERNODE_NODE_PRIV_H
#define DARTER_SUPERNODE_NODE_PRIV_H

#include <uthash.h>

#include "supernode/node.h"
#include "supernode/task_priv.h"

#define NODE_REASON_MAX 128

struct node_blob;

struct node_holding {
    struct node_blob *blob;
    struct node *node;
    uint64_t size;
    struct node_holding *next_of_blob;
    struct node_holding *prev_of_node, *next_of_node;
};
struct node_blob {
    struct dt_digest digest; /* key */
    UT_hash_handle hh;
    struct node_holding *first;
    uint32_t n; /* at most SUPERNODE_HOLDERS_MAX are remembered */
};

struct node {
    wire_id id; /* key */
    UT_hash_handle hh;
    wire_name name, rack;
    wire_address address;
    bool is_here;
    uint64_t first_seen_wall_ms, seen_wall_ms, seen_ms;
    struct node_holding *holdings;
    uint32_t n_holdings;
    uint64_t up_bytes, down_bytes, up_bytes_s, down_bytes_s, bad_pieces;
    uint32_t strikes;
};

/* What an operator said about a name. */
struct node_rule {
    wire_name name; /* key */
    UT_hash_handle hh;
    bool is_banned;
    char reason[NODE_REASON_MAX];
    uint64_t up_limit, down_limit; /* UINT64_MAX = as all */
};

struct supernode_nodes {
    struct node *nodes;
    struct node_blob *blobs;
    struct node_rule *rules;
    uint32_t n_banned_rules, n_limit_rules;
    struct dt_timer sweep;
    _Atomic uint64_t n_here, n_banned, n_holdings, n_hellos, n_strikes;
};

void supernode_nodes_new(struct supernode *);
void supernode_nodes_start(struct supernode *);  /* any thread */
void supernode_nodes_stop_loop(void *supernode); /* on loop 0 */
void supernode_nodes_free(struct supernode *);

/* Any loop. Who holds it is told to its tasks' home, if anybody does. */
void supernode_nodes_ask_holders(struct supernode *, const struct dt_digest *);
/* Any loop. It was proved to have served a wrong piece. */
void supernode_nodes_strike(struct supernode *, const char *id, const char *address);

/* node_holding.c */
void supernode_node_add_holding(struct supernode *, struct node *, const struct wire_holding *);
void supernode_node_drop_holding(struct supernode *, struct node *, const struct dt_digest *);
void supernode_node_drop_holdings(struct supernode *, struct node *);

/* node_ban.c */
struct node_rule *supernode_node_rule(struct supernode *, const char *name); /* NULL = none */
void supernode_node_rules_load(struct supernode *);
void supernode_node_rules_free(struct supernode *);

#endif
