/*
 * supernode/admin_priv.h - the handlers of the supernode's own rows. Private to
 * supernode/admin*.c.
 */
#ifndef DARTER_SUPERNODE_ADMIN_PRIV_H
#define DARTER_SUPERNODE_ADMIN_PRIV_H

#include "supernode/admin.h"

struct supernode *supernode_of(const struct dt_admin_call *);
/* Reads a rate of the query: "10MiB", "0B", or `default` where that is allowed (UINT64_MAX). 1 =
 * given, 0 = not given; errors: DT_EINVAL. */
int supernode_admin_rate(uint64_t *out, const struct dt_admin_call *, const char *key,
                         bool may_be_default, struct dt_err *err);
/* Bytes per second; null = no limit. */
json_t *supernode_admin_json_rate(uint64_t bytes_s);

void supernode_admin_get_tasks(struct dt_admin_call *);
void supernode_admin_get_task(struct dt_admin_call *);
void supernode_admin_put_task_limit(struct dt_admin_call *);
void supernode_admin_delete_task_limit(struct dt_admin_call *);
void supernode_admin_get_nodes(struct dt_admin_call *);
void supernode_admin_post_ban(struct dt_admin_call *);
void supernode_admin_delete_ban(struct dt_admin_call *);
void supernode_admin_put_node_limits(struct dt_admin_call *);
void supernode_admin_delete_node_limits(struct dt_admin_call *);
void supernode_admin_get_peers(struct dt_admin_call *);
void supernode_admin_get_limits(struct dt_admin_call *);
void supernode_admin_put_limits(struct dt_admin_call *);
void supernode_admin_post_drain(struct dt_admin_call *);
void supernode_admin_delete_drain(struct dt_admin_call *);

void supernode_admin_metrics_register(void);
void supernode_admin_metrics_refresh(void *supernode); /* any thread */

#endif
