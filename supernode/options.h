/*
 * supernode/options.h - everything darter-supernode can be told. The table in options.c feeds the
 * flags, the environment, the file, --help, the man page and the documented sample.
 */
#ifndef DARTER_SUPERNODE_OPTIONS_H
#define DARTER_SUPERNODE_OPTIONS_H

#include "transfer/process.h"

#define SUPERNODE_PAIR_MAX 8

struct supernode_options {
    struct transfer_process_options process;
    struct transfer_options transfer;
    char *listen;                      /* 0.0.0.0:65010 */
    char *cluster_key_file;            /* required */
    char *site;                        /* default */
    char *name;                        /* host name and port */
    struct dt_strings peer_supernodes; /* the others of the site: "http://host:65010" */
    char *supernode_ca;                /* PEM; NULL = the system's */
    unsigned max_uploads;              /* pieces served at once */
    /* bytes per second; 0 = no limit */
    uint64_t limit_down_bytes;                           /* what comes from registries */
    uint64_t limit_up_bytes;                             /* our own uploads together */
    uint64_t task_limit_bytes;                           /* one blob, over all nodes of the site */
    uint64_t node_limit_up_bytes, node_limit_down_bytes; /* each node */
};

extern const struct dt_config_spec supernode_config_spec;
#define SUPERNODE_CONFIG_FILE "/etc/darter/darter-supernode.yaml"

/* As dt_config_load(), plus: upstream flags merged over the file's list, docker.io when none is
 * named, credentials read, bounds checked. */
int supernode_options_load(struct supernode_options *, int argc, char **argv, struct dt_err *err);
void supernode_options_fini(struct supernode_options *);
/* Calls warn() for everything that is legal and yet probably a mistake. `text` is borrowed. */
void supernode_options_warnings(const struct supernode_options *,
                                void (*warn)(void *arg, const char *text), void *arg);

#endif
