/*
 * supernode/node.h - the nodes of the site: who is there, what each holds, who is banned.
 *
 *   unknown -> HERE (hellos) -> gone (silent for three intervals, or said bye) -> forgotten
 *
 * The table lives on loop 0. A ban is by name, so that it survives a node's restart, and is a note
 * in the cache, so that it survives ours. Tasks hear of everything by message.
 */
#ifndef DARTER_SUPERNODE_NODE_H
#define DARTER_SUPERNODE_NODE_H

#include "base/wire/hello.h"
#include "supernode/task.h"

#define SUPERNODE_NODES_MAX        32768u
#define SUPERNODE_HOLDINGS_MAX     (1024 * 1024u) /* of all nodes together */
#define SUPERNODE_BANS_MAX         1024u
#define SUPERNODE_NODE_LIMITS_MAX  1024u /* nodes with limits of their own */
#define SUPERNODE_INTERVALS_MISSED 3u
#define SUPERNODE_NODE_FORGET_MS   3600000u /* a gone node stays in the list that long */

struct supernode_node_view {
    wire_name name, rack;
    wire_id id; /* "" = never seen since the start (a ban or limit is known by name only) */
    wire_address address;
    bool is_here, is_banned;
    char ban_reason[128];
    uint64_t first_seen_ms, last_seen_ms; /* wall clock; 0 = never */
    uint32_t n_holdings;
    uint64_t up_bytes, down_bytes;     /* since the node started */
    uint64_t up_bytes_s, down_bytes_s; /* between its last two hellos */
    uint64_t bad_pieces;               /* it received so many */
    uint32_t strikes;                  /* proved: it served so many wrong pieces */
    uint64_t up_limit, down_limit;     /* bytes/s in force; 0 = none */
    bool has_own_limits;
};

/* done() once, on the calling loop, never from inside; sorted by name; valid inside only. */
typedef void (*supernode_node_views_f)(void *arg, const struct supernode_node_view *views,
                                       size_t n);
void supernode_nodes_view(struct supernode *, supernode_node_views_f done, void *arg);

/* By name; the node need not be known. From the next exchange and hello on it is given nothing and
 * nobody is sent to it. Errors: DT_EINVAL (no name), DT_EBUSY (SUPERNODE_BANS_MAX). */
void supernode_node_ban(struct supernode *, const char *name, const char *reason,
                        supernode_done_f done, void *arg);
/* Errors: DT_ENOTFOUND (not banned). */
void supernode_node_unban(struct supernode *, const char *name, supernode_done_f done, void *arg);
/* Limits of this node alone, told with its next hello; UINT64_MAX = those of all nodes again.
 * Errors: DT_EINVAL, DT_EBUSY. */
void supernode_node_set_limits(struct supernode *, const char *name, uint64_t up_bytes_s,
                               uint64_t down_bytes_s, supernode_done_f done, void *arg);

/* Any thread. */
struct supernode_node_counts {
    uint64_t n_here, n_banned, n_holdings; /* now */
    uint64_t n_hellos, n_strikes;          /* since start */
};
void supernode_nodes_count(struct supernode_node_counts *out, struct supernode *);

#endif
