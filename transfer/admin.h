/*
 * transfer/admin.h - what the admin APIs of both daemons share: cache, registries, running fills,
 * configuration, metrics, readiness.
 *
 *   transfer_admin_start -> (transfer_admin_show_config | _read_token)* -> _stop -> _free
 *
 * base/admin.h is the endpoint; this is a table of routes over a struct transfer with their
 * handlers. A daemon starts it with its own tables beside this one; its handlers find their way
 * with transfer_admin_of(). Every route is described in docs/api.md. Work that may wait for the
 * disk runs on the pool. All calls from main.
 */
#ifndef DARTER_TRANSFER_ADMIN_H
#define DARTER_TRANSFER_ADMIN_H

#include <stdatomic.h>

#include "base/admin.h"
#include "transfer/process.h"

struct transfer_admin;

/* The rows that are the same in both daemons. */
extern const struct dt_admin_route transfer_admin_routes[];

struct transfer_admin_opts { /* all borrowed, and needed until the endpoint is freed */
    const char *program;     /* "darter-proxy" */
    struct transfer *transfer;
    const struct reg_upstreams *upstreams;
    const char *default_upstream; /* NULL = there is no such thing */
    uint64_t started_ms;          /* wall clock */
    const _Atomic bool *is_draining;
    dt_admin_tables tables;
    void *daemon;                          /* transfer_admin_daemon() */
    void (*refresh_metrics)(void *daemon); /* before /metrics is printed, on a worker; or NULL */
    /* Adds to the document of a running fill; any loop; or NULL. */
    void (*describe_task)(void *daemon, json_t *task, const struct dt_digest *);
};
/* What /v1/config shows, and how fast a scrub without a rate reads. Copied. */
struct transfer_admin_config {
    const void *options; /* of `spec` */
    const struct dt_config_spec *spec;
    const struct transfer_process_options *process; /* of `options` */
};
/* Where `config` says. Errors: those of dt_admin_start(). */
int transfer_admin_start(struct transfer_admin **out, const struct transfer_admin_opts *,
                         const struct transfer_admin_config *config, struct dt_err *err);
const char *transfer_admin_address(const struct transfer_admin *);
/* SIGHUP. */
void transfer_admin_show_config(struct transfer_admin *, const struct transfer_admin_config *);
/* SIGHUP: reads the token file again; on failure the old token stays. */
int transfer_admin_read_token(struct transfer_admin *, struct dt_err *err);
void transfer_admin_stop(struct transfer_admin *);
void transfer_admin_free(struct transfer_admin **); /* after dt_loops_stop(); harmless on NULL */

/* The daemon whose call this is. */
void *transfer_admin_daemon(const struct dt_admin_call *);

/* For the callback of a change: answers 204, or what went wrong, and finishes the call. */
void transfer_admin_changed(void *call, const struct dt_err *err);

/* Handlers for rows of a daemon's own table. */
void transfer_admin_get_tasks(struct dt_admin_call *); /* fills that run now */

#endif
