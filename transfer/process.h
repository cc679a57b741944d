/*
 * transfer/process.h - what both daemons are told: admin port, cache, registries, threads, log.
 *
 *   zeroed -> dt_config_load() -> transfer_process_finish() -> transfer_open(), ...
 *          -> (transfer_process_apply() at SIGHUP)* -> transfer_process_fini(), dt_config_fini()
 *
 * A field `process` of each daemon's struct of options, filled by the rows of option_rows.h. Main
 * changes it at SIGHUP, so nobody else reads what is said to be reloadable. Main thread only.
 */
#ifndef DARTER_TRANSFER_PROCESS_H
#define DARTER_TRANSFER_PROCESS_H

#include "base/httpd.h"
#include "registry-client/upstreams.h"
#include "transfer/transfer.h"

struct transfer_process_options {
    char *config_file;
    char *admin_listen; /* 127.0.0.1:PORT or unix:PATH */
    char *admin_token_file;
    char *cache_dir;
    uint64_t cache_max_bytes, cache_min_free_bytes;
    uint64_t scrub_interval_ms; /* 7d; 0 = only on demand */
    uint64_t scrub_rate_bytes;  /* 50MiB per second */
    char *log_level, *log_format;
    unsigned loops;   /* 0 = one per core */
    unsigned workers; /* pool threads; 0 = 4 */
    unsigned max_connections;
    uint64_t drain_ms;                /* 30s at SIGTERM */
    struct dt_strings upstream_flags; /* NAME=URL[,URL...] */
    /* from the file's `upstreams:` and the flags, merged; owned */
    struct reg_upstreams upstreams;
};

/* After reading: fills in what depends on where we run, merges registries (`default_upstream`: see
 * reg_upstreams_finish()), checks bounds. Errors: DT_EINVAL, with the option's name first. */
int transfer_process_finish(struct transfer_process_options *, char **default_upstream,
                            struct dt_err *err);
/* The admin API has an address of its own, beside `listen`, and a token when other machines reach
 * it. Errors: DT_EINVAL. */
int transfer_process_check_admin(const struct transfer_process_options *,
                                 const struct dt_addr *listen, struct dt_err *err);
/* Calls warn() for what is legal and yet probably a mistake. `text` is borrowed. */
void transfer_process_warnings(const struct transfer_process_options *,
                               void (*warn)(void *arg, const char *text), void *arg);
/* SIGHUP: takes over from `fresh` what may change, and applies it to the running daemon. Other
 * registries are named as needing a restart; other options were (dt_daemon_report_changes()). */
void transfer_process_apply(struct transfer_process_options *,
                            const struct transfer_process_options *fresh, struct transfer *);
/* What is in no row of the table; dt_config_fini() frees the rest. */
void transfer_process_fini(struct transfer_process_options *);

#endif
