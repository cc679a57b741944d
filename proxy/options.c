/*
 * proxy/options.c - the table of everything darter-proxy can be told, and what may not be told
 * together.
 *
 *   zeroed -> proxy_options_load() -> read-only -> proxy_options_fini()
 *
 * The table feeds the flags, the environment, the file, --help, the man page and the sample. What a
 * single value cannot show wrong (a certificate without a key) is checked here after everything was
 * read; what is legal and yet probably a mistake is a warning. What both daemons are told is
 * checked in transfer/process.c. A new option: a field in options.h, a row here, a check if it has
 * bounds. Main thread only.
 */
#include "proxy/options.h"

#include "base/http.h"
#include "transfer/option_checks.h"
#include "transfer/option_rows.h"

/* containerd 2.x leaves a mirror that needs 30 s for a response head. */
#define HEAD_DEADLINE_SAFE_MS 28000

#define AT(field) offsetof(struct proxy_options, field)

static const struct dt_option options_table[] = {
    TRANSFER_ROWS_CONFIG(struct proxy_options, PROXY_CONFIG_FILE),
    {"listen", DT_OPT_STRING, AT(listen), "127.0.0.1:65001", "IP:PORT",
     "Where container runtimes find the mirror. Keep it on the node itself: then a stopped proxy "
     "means a refused connection, and the runtime goes to the registry at once.",
     false, false},
    {"peer-listen", DT_OPT_STRING, AT(peer_listen), "0.0.0.0:65002", "IP:PORT",
     "Where other nodes of the site fetch pieces. Opened with cluster-key-file only.", false,
     false},
    {"advertise", DT_OPT_STRING, AT(advertise), NULL, "IP",
     "Where other nodes reach peer-listen. Without it, the address of peer-listen, or for 0.0.0.0 "
     "the one a supernode sees us from.",
     false, false},
    {"supernode", DT_OPT_LIST, AT(supernodes), NULL, "URL",
     "A supernode of this site: http://HOST:65010. May be repeated; all nodes of a site name the "
     "same ones. Without any, blobs come from registries alone.",
     false, false},
    {"supernode-ca", DT_OPT_STRING, AT(supernode_ca), NULL, "FILE",
     "Certificates (PEM) that supernodes at https:// are checked with, instead of the system's.",
     false, false},
    {"cluster-key-file", DT_OPT_STRING, AT(cluster_key_file), NULL, "FILE",
     "Secrets of the cluster, one a line: the first one signs, all are accepted. Without it there "
     "is no P2P. The file is read again on SIGHUP.",
     false, false},
    {"site", DT_OPT_STRING, AT(site), "default", "NAME",
     "The data centre of this node. No piece ever comes from another site, nor goes there.", false,
     false},
    {"rack", DT_OPT_STRING, AT(rack), NULL, "NAME",
     "The rack of this node; nodes of the same rack are preferred.", false, false},
    {"node-name", DT_OPT_STRING, AT(node_name), NULL, "NAME",
     "What this node is called in logs and lists. Without it, the host name.", false, false},
    {"tls-cert", DT_OPT_STRING, AT(tls_cert), NULL, "FILE",
     "Certificate chain (PEM) of the mirror; with it the mirror speaks HTTPS only. It and "
     "its key are read again on SIGHUP.",
     false, false},
    {"tls-key", DT_OPT_STRING, AT(tls_key), NULL, "FILE", "Private key (PEM) of tls-cert.", false,
     false},
    TRANSFER_ROWS_CONNECTIONS(struct proxy_options, "4096"),

    {"upstream", DT_OPT_LIST, AT(process.upstream_flags), NULL, "NAME=URL[,URL...]",
     "A registry to be a mirror of: the name images are pulled by, and where it really is, origin "
     "first, standby registries after it. Replaces an upstream of the same name in the file. May "
     "be repeated. "
     "Without any, docker.io is mirrored.",
     false, true},
    {"default-upstream", DT_OPT_STRING, AT(default_upstream), NULL, "NAME",
     "The upstream of requests that name none (Docker Engine and Podman send no ?ns=). Without it, "
     "the first one.",
     false, false},

    TRANSFER_ROWS_CACHE(struct proxy_options, "20GiB"),

    {"tag-fresh", DT_OPT_DURATION, AT(tag_fresh_ms), "60s", "DURATION",
     "For so long a tag is answered from the cache without asking upstream.", false, false},
    {"tag-stale", DT_OPT_DURATION, AT(tag_stale_ms), "7d", "DURATION",
     "For so long a tag is still answered from the cache while upstream is away.", false, false},
    {"tag-budget", DT_OPT_DURATION, AT(tag_budget_ms), "3s", "DURATION",
     "How long upstream may think about a tag of which a stale copy is here.", false, false},
    {"grant-ttl", DT_OPT_DURATION, AT(grant_ttl_ms), "60s", "DURATION",
     "For so long a caller who was allowed to read a repository is not asked for again upstream.",
     false, false},
    {"grant-grace", DT_OPT_DURATION, AT(grant_grace_ms), "1h", "DURATION",
     "For so long after that he may still read what is cached, only while upstream is away.", false,
     false},

    {"head-deadline", DT_OPT_DURATION, AT(transfer.head_deadline_ms), "20s", "DURATION",
     "A client gets its response head within this time, whatever happens. containerd gives up "
     "after 30s. Where only one endpoint can be asked, what it leaves unanswered for a quarter of "
     "this time is sent again.",
     false, false},
    TRANSFER_ROWS_SOURCES(struct proxy_options),
    {"verify-first", DT_OPT_SIZE, AT(verify_first_bytes), "4MiB", "SIZE",
     "Blobs up to this size are verified before their first byte is sent; larger ones are verified "
     "before their last.",
     false, false},
    TRANSFER_ROWS_STREAMS(struct proxy_options),
    {"limit-up", DT_OPT_SIZE, AT(limit_up_bytes), "0B", "SIZE",
     "Bytes per second that go to other nodes, all uploads together; 0B = no limit. What clients "
     "of this node read is never limited.",
     true, false},
    {"limit-down", DT_OPT_SIZE, AT(limit_down_bytes), "0B", "SIZE",
     "Bytes per second of blobs that come in, from registries and nodes together; 0B = no limit. A "
     "source that a limit holds back is neither stalled nor slow.",
     true, false},

    TRANSFER_ROWS_ADMIN(struct proxy_options, "127.0.0.1:65003"),

    TRANSFER_ROWS_PROCESS(struct proxy_options),
    {.name = NULL},
};

static const char man_tail[] =
    ".Sh SIGNALS\n"
    ".Bl -tag -width SIGTERM\n"
    ".It Dv SIGHUP\n"
    "Reads options, the admin token, certificate and key, and the cluster keys again.\n"
    "Options that need a restart are named in the log.\n"
    "A file that is wrong changes nothing.\n"
    ".It Dv SIGTERM , SIGINT\n"
    "Takes no new connections, lets transfers finish until\n"
    ".Fl -drain\n"
    "is over, and exits.\n"
    "Parts of blobs stay in the cache and are completed later.\n"
    ".El\n" TRANSFER_MAN_EXIT_STATUS ".Sh EXAMPLES\n"
    "A mirror of Docker Hub and of a Harbor with a standby:\n"
    ".Bd -literal -offset indent\n"
    "darter-proxy --upstream docker.io=https://registry-1.docker.io \\e\n"
    "    --upstream harbor.example=https://harbor.example,https://standby.example\n"
    ".Ed\n"
    ".Sh SEE ALSO\n"
    ".Xr darter 1 ,\n"
    ".Xr darter-proxy.yaml 5\n";

static int take_section(void *config, const char *key, const struct dt_yaml *node,
                        struct dt_err *err)
{
    struct proxy_options *options = config;
    return reg_upstreams_take_section(&options->process.upstreams, key, node, err);
}

const struct dt_config_spec proxy_config_spec = {
    .program = "darter-proxy",
    .summary = "a node's registry mirror: pulls each blob once, keeps it, verifies it",
    .options = options_table,
    .env_prefix = "DARTER_",
    .on_section = take_section,
    .sections_sample = reg_upstreams_sample,
    .man_tail = man_tail,
};

/* ---- what may not be told ---- */

static int check_bounds(const struct proxy_options *options, struct dt_err *err)
{
    const uint64_t hour_ms = 3600 * 1000, year_ms = 366 * 24 * hour_ms;
    int rc = transfer_check_sources(&options->transfer, err);
    if (rc == 0)
        rc = transfer_check_limit("limit-up", options->limit_up_bytes, err);
    if (rc == 0)
        rc = transfer_check_limit("limit-down", options->limit_down_bytes, err);
    if (rc == 0)
        rc = transfer_check_duration("tag-budget", options->tag_budget_ms, 10, hour_ms, err);
    if (rc == 0)
        rc = transfer_check_duration("tag-fresh", options->tag_fresh_ms, 0, year_ms, err);
    if (rc == 0)
        rc = transfer_check_duration("tag-stale", options->tag_stale_ms, 0, 100 * year_ms, err);
    if (rc == 0)
        rc = transfer_check_duration("grant-ttl", options->grant_ttl_ms, 0, 24 * hour_ms, err);
    if (rc == 0)
        rc = transfer_check_duration("grant-grace", options->grant_grace_ms, 0, year_ms, err);
    return rc;
}

static int check_listeners(const struct proxy_options *options, struct dt_err *err)
{
    struct dt_addr mirror, peer;
    int rc = transfer_check_address(&mirror, "listen", options->listen, err);
    if (rc == 0)
        rc = transfer_check_address(&peer, "peer-listen", options->peer_listen, err);
    if (rc < 0)
        return rc;
    if ((options->tls_cert == NULL) != (options->tls_key == NULL))
        return dt_err_set(err, DT_EINVAL, "%s is given without %s: give both or none",
                          options->tls_cert != NULL ? "tls-cert" : "tls-key",
                          options->tls_cert != NULL ? "tls-key" : "tls-cert");
    if (options->cluster_key_file != NULL && peer.unix_path[0] != '\0')
        return dt_err_set(err, DT_EINVAL,
                          "peer-listen: %.80s cannot be reached from other machines, use IP:PORT",
                          options->peer_listen);
    return transfer_process_check_admin(&options->process, &mirror, err);
}

static int check_required(const struct proxy_options *options, struct dt_err *err)
{
    const struct transfer_required required[] = {
        {"listen", options->listen},
        {"peer-listen", options->peer_listen},
        {"site", options->site},
    };
    return transfer_check_required(required, sizeof required / sizeof required[0], err);
}

static int options_finish(struct proxy_options *options, struct dt_err *err)
{
    int rc = check_required(options, err);
    if (rc < 0)
        return rc;
    rc = transfer_process_finish(&options->process, &options->default_upstream, err);
    if (rc == 0)
        rc = check_bounds(options, err);
    if (rc == 0)
        rc = check_listeners(options, err);
    if (rc == 0)
        rc = proxy_options_check_swarm(options, err);
    return rc;
}

/* ---- life ---- */

int proxy_options_load(struct proxy_options *options, int argc, char **argv, struct dt_err *err)
{
    int rc = dt_config_load(options, &proxy_config_spec, argc, argv, PROXY_CONFIG_FILE, err);
    if (rc == 0)
        rc = options_finish(options, err);
    if (rc != 0)
        proxy_options_fini(options);
    return rc;
}

void proxy_options_fini(struct proxy_options *options)
{
    transfer_process_fini(&options->process);
    dt_config_fini(options, &proxy_config_spec);
    *options = (struct proxy_options){0};
}

/* ---- what is legal and yet probably a mistake ---- */

void proxy_options_warnings(const struct proxy_options *options, void (*warn)(void *, const char *),
                            void *arg)
{
    struct dt_addr mirror, pieces;
    bool is_local = dt_addr_parse(&mirror, options->listen, NULL) == 0 && dt_addr_is_local(&mirror);
    bool shows_ours = false;
    transfer_process_warnings(&options->process, warn, arg);
    for (size_t i = 0; i < options->process.upstreams.n; i++)
        shows_ours = shows_ours || options->process.upstreams.list[i].own_credentials;
    if (!is_local && options->tls_cert == NULL)
        warn(arg, "listen: other machines reach the mirror without TLS, and callers' tokens travel "
                  "unencrypted: give tls-cert and tls-key, or listen on 127.0.0.1");
    if (!is_local && shows_ours)
        warn(arg, "listen: whoever reaches the mirror from other machines reads everything our own "
                  "account can read (own-credentials)");
    if (options->transfer.head_deadline_ms > HEAD_DEADLINE_SAFE_MS)
        warn(arg, "head-deadline: containerd gives up on a mirror after 30s, use 28s or less");
    if (options->tag_stale_ms < options->tag_fresh_ms)
        warn(arg, "tag-stale is shorter than tag-fresh: no tag is served while upstream is away");
    if (options->cluster_key_file != NULL &&
        dt_addr_parse(&pieces, options->peer_listen, NULL) == 0 && dt_addr_is_local(&pieces))
        warn(arg, "peer-listen: no other machine reaches a loopback address");
}
