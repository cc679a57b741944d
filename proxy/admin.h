/*
 * proxy/admin.h - the admin endpoint: what is here, what goes on, and what an operator may change.
 *
 *   proxy_admin_start -> (proxy_admin_show_options | proxy_admin_read_token)* -> _stop -> _free
 *
 * JSON over HTTP on a listener of its own; every route is a row of the table in admin_routes.c and
 * is described in docs/api.md. Work that may wait for the disk runs on the pool. All calls from
 * main.
 */
#ifndef DARTER_PROXY_ADMIN_H
#define DARTER_PROXY_ADMIN_H

#include "proxy/proxy.h"

struct proxy_admin;

/* Reads the token, opens the listener. Errors: DT_EINVAL (token file), DT_EIO (address). */
int proxy_admin_start(struct proxy_admin **out, struct proxy *, struct dt_err *err);
/* Where it listens, with the real port: "127.0.0.1:65003", "unix:/run/darter/admin.sock". Borrowed.
 */
const char *proxy_admin_address(const struct proxy_admin *);
/* SIGHUP: what /v1/config shows from now on. Copied. */
void proxy_admin_show_options(struct proxy_admin *, const struct proxy_options *);
/* SIGHUP: reads the token file again; on failure the old token stays. */
int proxy_admin_read_token(struct proxy_admin *, struct dt_err *err);
/* Stops accepting and waits until every request has ended. The loops and the pool must still run.
 */
void proxy_admin_stop(struct proxy_admin *);
/* After dt_loops_stop(). Harmless on NULL. */
void proxy_admin_free(struct proxy_admin **);

#endif
