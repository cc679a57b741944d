/*
 * proxy/options.h - everything darter-proxy can be told. The table in options.c feeds the flags,
 * the environment, the file, --help, the man page and the documented sample.
 */
#ifndef DARTER_PROXY_OPTIONS_H
#define DARTER_PROXY_OPTIONS_H

#include "transfer/process.h"

#define PROXY_SUPERNODES_MAX 16

struct proxy_options {
    struct transfer_process_options process;
    struct transfer_options transfer;
    char *listen;                 /* 127.0.0.1:65001 */
    char *peer_listen;            /* 0.0.0.0:65002; opened with a cluster key only */
    char *advertise;              /* IP of peer_listen for others; NULL = as it is seen */
    struct dt_strings supernodes; /* "http://host:65010" */
    char *supernode_ca;           /* PEM; NULL = the system's */
    char *cluster_key_file;       /* NULL = no P2P */
    char *site, *rack, *node_name;
    char *default_upstream;
    char *tls_cert, *tls_key;
    uint64_t tag_fresh_ms;   /* 60s: a tag is not asked for again */
    uint64_t tag_stale_ms;   /* 7d: served when upstream is away */
    uint64_t tag_budget_ms;  /* 3s: how long upstream may think when a stale copy is here */
    uint64_t grant_ttl_ms;   /* 60s */
    uint64_t grant_grace_ms; /* 1h: after expiry, only while upstream is away */
    uint64_t limit_up_bytes, limit_down_bytes; /* per second; 0 = none */
    uint64_t verify_first_bytes; /* 4MiB: smaller blobs are verified before their first byte */
};

extern const struct dt_config_spec proxy_config_spec;
#define PROXY_CONFIG_FILE "/etc/darter/darter-proxy.yaml"

/* As dt_config_load(), plus: upstream flags merged over the file's list, docker.io as the default
 * when none is named, credentials read, bounds checked. */
int proxy_options_load(struct proxy_options *, int argc, char **argv, struct dt_err *err);
void proxy_options_fini(struct proxy_options *);
/* Names, URLs and the key they need; fills in the node's name. A part of load. */
int proxy_options_check_swarm(struct proxy_options *, struct dt_err *err);
/* Calls warn() for everything that is legal and yet probably a mistake. `text` is borrowed. */
void proxy_options_warnings(const struct proxy_options *, void (*warn)(void *arg, const char *text),
                            void *arg);

#endif
