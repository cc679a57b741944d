/*
 * supernode/admin_metrics.c - the supernode's numbers on /metrics.
 *
 * They are counted where they arise and copied into gauges just before printing: a row here for
 * each. What it serves as a seed is counted by transfer/piece_server.c, as on a node. Any thread.
 */
#include "supernode/admin_priv.h"

#include "base/metrics.h"
#include "supernode/node.h"
#include "supernode/task.h"

#define TASK_ROW(name, kind, help, field)                                                          \
    DT_METRIC_FIELD("darter_supernode_" name, kind, help, struct supernode_task_counts, field)
static struct dt_metric_field task_rows[] = {
    TASK_ROW("tasks", DT_GAUGE, "Blobs on their way through the site.", n_tasks),
    TASK_ROW("task_nodes", DT_GAUGE, "Nodes in them, counted per blob.", n_peers),
    TASK_ROW("exchanges_held", DT_GAUGE, "Exchanges held open.", n_held),
    TASK_ROW("exchanges_total", DT_COUNTER, "Exchanges that arrived.", n_exchanges),
    TASK_ROW("joins_total", DT_COUNTER, "Nodes that joined a blob.", n_joins),
    TASK_ROW("refused_total", DT_COUNTER, "Joins that were refused.", n_refused),
    TASK_ROW("seed_bytes_total", DT_COUNTER, "Bytes nodes fetched from this supernode.",
             seed_bytes),
    TASK_ROW("peer_bytes_total", DT_COUNTER, "Bytes nodes fetched from one another.", peer_bytes),
    TASK_ROW("transfers_failed_total", DT_COUNTER, "Transfers of pieces that failed.", n_failed),
};

#define NODE_ROW(name, kind, help, field)                                                          \
    DT_METRIC_FIELD("darter_supernode_" name, kind, help, struct supernode_node_counts, field)
static struct dt_metric_field node_rows[] = {
    NODE_ROW("nodes", DT_GAUGE, "Nodes of the site that are here.", n_here),
    NODE_ROW("nodes_banned", DT_GAUGE, "Banned nodes.", n_banned),
    NODE_ROW("holdings", DT_GAUGE, "Whole blobs known to be at nodes.", n_holdings),
    NODE_ROW("hellos_total", DT_COUNTER, "Hellos that arrived.", n_hellos),
    NODE_ROW("strikes_total", DT_COUNTER, "Proofs that a node served wrong bytes.", n_strikes),
};

static DT_DEFINE_GAUGE(draining, "darter_supernode_draining", NULL, "1 = takes no new tasks.");

#define N_ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

void supernode_admin_metrics_register(void)
{
    dt_metric_fields_register(task_rows, N_ROWS(task_rows));
    dt_metric_fields_register(node_rows, N_ROWS(node_rows));
    dt_metric_register(&draining);
}

void supernode_admin_metrics_refresh(void *arg)
{
    struct supernode *supernode = arg;
    struct supernode_task_counts tasks;
    struct supernode_node_counts nodes;
    supernode_tasks_count(&tasks, supernode);
    supernode_nodes_count(&nodes, supernode);
    dt_metric_fields_set(task_rows, N_ROWS(task_rows), &tasks);
    dt_metric_fields_set(node_rows, N_ROWS(node_rows), &nodes);
    dt_metric_set(&draining, atomic_load(&supernode->is_draining));
}
