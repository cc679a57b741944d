/*
 * supernode/options.c - the table of everything darter-supernode can be told, and what may not be
 * told together.
 *
 *   zeroed -> supernode_options_load() -> read-only -> supernode_options_fini()
 *
 * Rows that the node's proxy has too are macros of transfer/option_rows.h, their checks are in
 * transfer/process.c. A new option: a field in options.h, a row here, a check if it has bounds.
 * Main thread only.
 */
#include "supernode/options.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/wire/wire.h"
#include "transfer/option_checks.h"
#include "transfer/option_rows.h"

#define UPLOADS_MAX 65536

#define AT(field) offsetof(struct supernode_options, field)

static const struct dt_option options_table[] = {
    TRANSFER_ROWS_CONFIG(struct supernode_options, SUPERNODE_CONFIG_FILE),
    {"listen", DT_OPT_STRING, AT(listen), "0.0.0.0:65010", "IP:PORT",
     "Where the nodes of the site find this supernode: who takes what from whom, and the pieces it "
     "has itself.",
     false, false},
    {"cluster-key-file", DT_OPT_STRING, AT(cluster_key_file), NULL, "FILE",
     "Secrets of the cluster, one a line, 16 characters or more: the first one signs, all are "
     "accepted. The same as the nodes have; nobody but its owner may read the file. It is read "
     "again on SIGHUP.",
     false, false},
    {"site", DT_OPT_STRING, AT(site), "default", "NAME",
     "The data centre this supernode serves. Nodes of other sites are refused.", false, false},
    {"name", DT_OPT_STRING, AT(name), NULL, "NAME",
     "What nodes choose their supernode by: another one for each, and the same after a restart. "
     "Without it, host name and port.",
     false, false},
    {"peer-supernode", DT_OPT_LIST, AT(peer_supernodes), NULL, "URL",
     "Another supernode of this site: http://HOST:65010. May be repeated. It is asked every second "
     "whether it is there, and the log, /v1/peers and a metric say when it is not: then nothing "
     "stands behind this one.",
     false, false},
    {"supernode-ca", DT_OPT_STRING, AT(supernode_ca), NULL, "FILE",
     "Certificates (PEM) that peer-supernodes at https:// are checked with, instead of the "
     "system's.",
     false, false},
    TRANSFER_ROWS_CONNECTIONS(struct supernode_options, "16384"),

    {"upstream", DT_OPT_LIST, AT(process.upstream_flags), NULL, "NAME=URL[,URL...]",
     "A registry blobs are fetched from: the name images are pulled by, and where it really is, "
     "origin first, standby registries after it. Nodes must have it under the same name. Replaces "
     "an upstream of the same name in the file. May be repeated. Without any, docker.io.",
     false, true},
    TRANSFER_ROWS_CACHE(struct supernode_options, "100GiB"),
    {"head-deadline", DT_OPT_DURATION, AT(transfer.head_deadline_ms), "20s", "DURATION",
     "A registry has to begin its answer within this time; a fifth of it while another endpoint "
     "can be asked.",
     false, false},
    TRANSFER_ROWS_SOURCES(struct supernode_options),
    TRANSFER_ROWS_STREAMS(struct supernode_options),

    {"max-uploads", DT_OPT_UINT, AT(max_uploads), "256", "NUMBER",
     "Pieces this supernode serves at once; who comes then is told to try again.", false, false},
    {"limit-up", DT_OPT_SIZE, AT(limit_up_bytes), "0B", "SIZE",
     "Bytes per second of all pieces this supernode serves itself; 0B = no limit.", true, false},
    {"limit-down", DT_OPT_SIZE, AT(limit_down_bytes), "0B", "SIZE",
     "Bytes per second this supernode takes from registries; 0B = no limit.", true, false},
    {"task-limit", DT_OPT_SIZE, AT(task_limit_bytes), "0B", "SIZE",
     "Bytes per second of one blob, over all nodes of the site together; 0B = no limit.", true,
     false},
    {"node-limit-up", DT_OPT_SIZE, AT(node_limit_up_bytes), "0B", "SIZE",
     "Bytes per second each node may serve to others; 0B = what its own options say.", true, false},
    {"node-limit-down", DT_OPT_SIZE, AT(node_limit_down_bytes), "0B", "SIZE",
     "Bytes per second each node may fetch; 0B = what its own options say.", true, false},

    TRANSFER_ROWS_ADMIN(struct supernode_options, "127.0.0.1:65011"),
    TRANSFER_ROWS_PROCESS(struct supernode_options),
    {.name = NULL},
};

static const char man_tail[] =
    ".Sh SIGNALS\n"
    ".Bl -tag -width SIGTERM\n"
    ".It Dv SIGHUP\n"
    "Reads options, the cluster keys and the admin token again.\n"
    "Options that need a restart are named in the log.\n"
    "A file that is wrong changes nothing.\n"
    ".It Dv SIGTERM , SIGINT\n"
    "Sends the nodes to the next supernode, lets pieces on their way finish until\n"
    ".Fl -drain\n"
    "is over, and exits.\n"
    "Downloads of nodes go on: what a supernode knows, they can tell the next one.\n"
    ".El\n" TRANSFER_MAN_EXIT_STATUS ".Sh EXAMPLES\n"
    "One of the two supernodes of a site, for images of Docker Hub:\n"
    ".Bd -literal -offset indent\n"
    "(umask 077; openssl rand -hex 32 > /etc/darter/cluster.key)\n"
    "darter-supernode --site ams1 --name ams1-a --cluster-key-file /etc/darter/cluster.key\n"
    ".Ed\n"
    ".Sh SEE ALSO\n"
    ".Xr darter 1 ,\n"
    ".Xr darter-supernode.yaml 5 ,\n"
    ".Xr darter-proxy 8\n";

static int take_section(void *config, const char *key, const struct dt_yaml *node,
                        struct dt_err *err)
{
    struct supernode_options *options = config;
    return reg_upstreams_take_section(&options->process.upstreams, key, node, err);
}

const struct dt_config_spec supernode_config_spec = {
    .program = "darter-supernode",
    .summary = "a site's supernode: says which node takes what from whom, and is their seed",
    .options = options_table,
    .env_prefix = "DARTER_SUPERNODE_",
    .on_section = take_section,
    .sections_sample = reg_upstreams_sample,
    .man_tail = man_tail,
};

/* ---- what may not be told ---- */

static int check_required(const struct supernode_options *options, struct dt_err *err)
{
    const struct transfer_required required[] = {
        {"cluster-key-file", options->cluster_key_file},
        {"listen", options->listen},
        {"site", options->site},
    };
    return transfer_check_required(required, sizeof required / sizeof required[0], err);
}

static int check_bounds(const struct supernode_options *options, struct dt_err *err)
{
    int rc = transfer_check_sources(&options->transfer, err);
    if (rc == 0)
        rc = transfer_check_range("max-uploads", options->max_uploads, 1, UPLOADS_MAX, err);
    const struct {
        const char *name;
        uint64_t value;
    } rates[] = {
        {"limit-up", options->limit_up_bytes},
        {"limit-down", options->limit_down_bytes},
        {"task-limit", options->task_limit_bytes},
        {"node-limit-up", options->node_limit_up_bytes},
        {"node-limit-down", options->node_limit_down_bytes},
    };
    for (size_t i = 0; rc == 0 && i < sizeof rates / sizeof rates[0]; i++)
        rc = transfer_check_limit(rates[i].name, rates[i].value, err);
    return rc;
}

static int check_listeners(struct dt_addr *out, const struct supernode_options *options,
                           struct dt_err *err)
{
    int rc = transfer_check_address(out, "listen", options->listen, err);
    if (rc < 0)
        return rc;
    if (out->unix_path[0] != '\0')
        return dt_err_set(err, DT_EINVAL,
                          "listen: %.80s cannot be reached from other machines, use IP:PORT",
                          options->listen);
    return transfer_process_check_admin(&options->process, out, err);
}

/* Host name and port: two supernodes on one machine are two names. */
static char *default_name(const struct dt_addr *listen)
{
    char *host = transfer_default_name("supernode");
    char *name = dt_asprintf("%.*s-%u", WIRE_NAME_MAX - 6, host, (unsigned)listen->port);
    free(host);
    return name;
}

static int options_finish(struct supernode_options *options, struct dt_err *err)
{
    struct dt_addr listen;
    char *first_upstream = NULL; /* a supernode is always told which one is meant */
    int rc = check_required(options, err);
    if (rc < 0)
        return rc;
    rc = transfer_process_finish(&options->process, &first_upstream, err);
    free(first_upstream);
    if (rc == 0)
        rc = check_bounds(options, err);
    if (rc == 0)
        rc = check_listeners(&listen, options, err);
    if (rc == 0)
        rc = transfer_check_name("site", options->site, err);
    if (rc == 0 && options->name == NULL)
        options->name = default_name(&listen);
    if (rc == 0)
        rc = transfer_check_name("name", options->name, err);
    if (rc == 0)
        rc = transfer_check_places("peer-supernode", &options->peer_supernodes, err);
    if (rc == 0)
        rc = transfer_check_range("peer-supernode (how many)", options->peer_supernodes.n, 0,
                                  SUPERNODE_PAIR_MAX, err);
    return rc;
}

/* ---- life ---- */

int supernode_options_load(struct supernode_options *options, int argc, char **argv,
                           struct dt_err *err)
{
    int rc =
        dt_config_load(options, &supernode_config_spec, argc, argv, SUPERNODE_CONFIG_FILE, err);
    if (rc == 0)
        rc = options_finish(options, err);
    if (rc != 0)
        supernode_options_fini(options);
    return rc;
}

void supernode_options_fini(struct supernode_options *options)
{
    transfer_process_fini(&options->process);
    dt_config_fini(options, &supernode_config_spec);
    *options = (struct supernode_options){0};
}

/* ---- what is legal and yet probably a mistake ---- */

void supernode_options_warnings(const struct supernode_options *options,
                                void (*warn)(void *, const char *), void *arg)
{
    struct dt_addr listen;
    transfer_process_warnings(&options->process, warn, arg);
    for (size_t i = 0; i < options->process.upstreams.n; i++)
        if (options->process.upstreams.list[i].own_credentials)
            warn(arg, "upstreams: every node that has the cluster's key reads everything our own "
                      "account can read (own-credentials)");
    if (dt_addr_parse(&listen, options->listen, NULL) == 0 && dt_addr_is_local(&listen))
        warn(arg, "listen: no other machine reaches a loopback address");
}
