/*
 * supernode/admin.h - the supernode's admin endpoint: the shared rows of transfer/admin.h, and its
 * own: tasks, nodes, limits, drain.
 */
#ifndef DARTER_SUPERNODE_ADMIN_H
#define DARTER_SUPERNODE_ADMIN_H

#include "supernode/options.h"
#include "supernode/supernode.h"
#include "transfer/admin.h"

extern const struct dt_admin_route *const supernode_admin_tables[];

/* Reads the token, opens the listener. Errors: DT_EINVAL (token file), DT_EIO (address). */
int supernode_admin_start(struct transfer_admin **out, struct supernode *, struct dt_err *err);
/* SIGHUP: what /v1/config shows from now on. Copied. */
void supernode_admin_show_options(struct transfer_admin *, const struct supernode_options *);

#endif
