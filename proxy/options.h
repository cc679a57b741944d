/*
 * proxy/options.h - everything darter-proxy can be told. The table in options.c feeds the flags,
 * the environment, the file, --help, the man page and the documented sample.
 */
#ifndef DARTER_PROXY_OPTIONS_H
#define DARTER_PROXY_OPTIONS_H

#include "base/config.h"
#include "registry-client/endpoint.h"

#define PROXY_STREAMS_MAX 8 /* of one blob at once */

struct proxy_options {
    char *config_file;
    char *listen;       /* 127.0.0.1:65001 */
    char *peer_listen;  /* 0.0.0.0:65002; not opened yet: there are no peers */
    char *admin_listen; /* 127.0.0.1:65003 or unix:PATH */
    char *admin_token_file;
    char *cache_dir;
    uint64_t cache_max_bytes;         /* 20GiB */
    uint64_t cache_min_free_bytes;    /* 1GiB */
    struct dt_strings upstream_flags; /* NAME=URL[,URL...] */
    char *default_upstream;
    char *log_level, *log_format;
    char *tls_cert, *tls_key;
    unsigned loops;   /* 0 = one per core */
    unsigned workers; /* pool threads; 0 = 4 */
    unsigned max_connections;
    uint64_t tag_fresh_ms;     /* 60s: a tag is not asked for again */
    uint64_t tag_stale_ms;     /* 7d: served when upstream is away */
    uint64_t tag_budget_ms;    /* 3s: how long upstream may think when a stale copy is here */
    uint64_t grant_ttl_ms;     /* 60s */
    uint64_t grant_grace_ms;   /* 1h: after expiry, only while upstream is away */
    uint64_t head_deadline_ms; /* 20s: to the response head, whatever happens (containerd: 30 s) */
    uint64_t stall_timeout_ms; /* 10s without a byte: the source is replaced */
    uint64_t min_rate_bytes;   /* 64KiB per second, over stall_timeout_ms: a slower source is
                                  replaced; 0 =   never */
    uint64_t verify_first_bytes; /* 4MiB: smaller blobs are verified before their first byte */
    unsigned streams_per_blob;   /* 4: at most so many ranges at once */
    uint64_t segment_bytes;      /* 64MiB: larger blobs are asked for in ranges of this size */
    uint64_t drain_ms;           /* 30s at SIGTERM */
    uint64_t scrub_interval_ms;  /* 7d; 0 = only on demand */
    uint64_t scrub_rate_bytes;   /* 50MiB per second */
    /* from the file's `upstreams:` and the flags, merged; owned */
    struct reg_upstream *upstreams;
    size_t n_upstreams;
};

extern const struct dt_config_spec proxy_config_spec;
#define PROXY_CONFIG_FILE "/etc/darter/darter-proxy.yaml"

/* As dt_config_load(), plus: upstream flags merged over the file's list, docker.io as the default
 * when none is named, credentials read, bounds checked. */
int proxy_options_load(struct proxy_options *, int argc, char **argv, struct dt_err *err);
void proxy_options_fini(struct proxy_options *);
/* How long one source may think about a response head: a fifth of the deadline while another one
 * stands ready, all of it where there is nobody else. */
uint64_t proxy_options_patience_ms(const struct proxy_options *, bool has_other);
/* Calls warn() for everything that is legal and yet probably a mistake. `text` is borrowed. */
void proxy_options_warnings(const struct proxy_options *, void (*warn)(void *arg, const char *text),
                            void *arg);

#endif
