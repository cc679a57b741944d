/*
 * proxy/admin.h - the proxy's admin endpoint: what is here, what goes on, and what an operator may
 * change. All but the table of routes is shared with the supernode: transfer/admin.h.
 */
#ifndef DARTER_PROXY_ADMIN_H
#define DARTER_PROXY_ADMIN_H

#include "proxy/proxy.h"
#include "transfer/admin.h"

extern const struct dt_admin_route *const proxy_admin_tables[];

/* Reads the token, opens the listener. Errors: DT_EINVAL (token file), DT_EIO (address). */
int proxy_admin_start(struct transfer_admin **out, struct proxy *, struct dt_err *err);
/* SIGHUP: what /v1/config shows from now on. Copied. */
void proxy_admin_show_options(struct transfer_admin *, const struct proxy_options *);

#endif
