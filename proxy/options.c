/*
 * proxy/options.c - the table of everything darter-proxy can be told, and what may not be told
 * together.
 *
 *   zeroed -> proxy_options_load() -> read-only -> proxy_options_fini()
 *
 * The table feeds the flags, the environment, the file, --help, the man page and the sample. What a
 * single value cannot show wrong (a certificate without a key, an open admin port without a token)
 * is checked here after everything was read; what is legal and yet probably a mistake is a warning.
 * A new option: a field in options.h, a row here, a check if it has bounds. Main thread only.
 */
#include "proxy/options.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/http.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "cache/pieces.h"

#define LOOPS_MAX       256
#define WORKERS_MAX     256
#define CONNECTIONS_MAX 1000000
/* containerd 2.x leaves a mirror that needs 30 s for a response head. */
#define HEAD_DEADLINE_SAFE_MS 28000

#define AT(field) offsetof(struct proxy_options, field)

static const struct dt_option options_table[] = {
    {"config", DT_OPT_STRING, AT(config_file), NULL, "FILE",
     "Read options from this file. Without it, " PROXY_CONFIG_FILE " is read if it exists.", false,
     true},
    {"listen", DT_OPT_STRING, AT(listen), "127.0.0.1:65001", "IP:PORT",
     "Where container runtimes find the mirror. Keep it on the node itself: then a stopped proxy "
     "means a refused connection, and the runtime goes to the registry at once.",
     false, false},
    /* The name is taken from the first day, so that a node's start line need not change when it
     * joins a swarm. */
    {"peer-listen", DT_OPT_STRING, AT(peer_listen), "0.0.0.0:65002", "IP:PORT",
     "Where other nodes will fetch pieces. Checked, and not opened: this version has no peers.",
     false, false},
    {"tls-cert", DT_OPT_STRING, AT(tls_cert), NULL, "FILE",
     "Certificate chain (PEM) of the mirror; with it the mirror speaks HTTPS only. It and "
     "its key are read again on SIGHUP.",
     false, false},
    {"tls-key", DT_OPT_STRING, AT(tls_key), NULL, "FILE", "Private key (PEM) of tls-cert.", false,
     false},
    {"max-connections", DT_OPT_UINT, AT(max_connections), "4096", "NUMBER",
     "Client connections at once; more wait in the kernel's queue.", false, false},

    {"upstream", DT_OPT_LIST, AT(upstream_flags), NULL, "NAME=URL[,URL...]",
     "A registry to be a mirror of: the name images are pulled by, and where it really is, origin "
     "first, standby registries after it. Replaces an upstream of the same name in the file. May "
     "be "
     "repeated. Without any, docker.io is mirrored.",
     false, true},
    {"default-upstream", DT_OPT_STRING, AT(default_upstream), NULL, "NAME",
     "The upstream of requests that name none (Docker Engine and Podman send no ?ns=). Without it, "
     "the first one.",
     false, false},

    {"cache-dir", DT_OPT_STRING, AT(cache_dir), NULL, "DIR",
     "Where blobs are kept. Without it: cache below $STATE_DIRECTORY (set by systemd), else "
     "/var/lib/darter/cache for root, else darter/cache below $XDG_STATE_HOME or ~/.local/state.",
     false, false},
    {"cache-max", DT_OPT_SIZE, AT(cache_max_bytes), "20GiB", "SIZE",
     "Room the cache may take. What was not used for longest and is not pinned goes first.", true,
     false},
    {"cache-min-free", DT_OPT_SIZE, AT(cache_min_free_bytes), "1GiB", "SIZE",
     "Room on the file system that is left to others, whatever cache-max says.", true, false},
    {"scrub-interval", DT_OPT_DURATION, AT(scrub_interval_ms), "7d", "DURATION",
     "How often every cached blob is read and hashed again; 0s = only on demand.", true, false},
    {"scrub-rate", DT_OPT_SIZE, AT(scrub_rate_bytes), "50MiB", "SIZE",
     "Bytes per second a scrub may read; 0B = no limit.", true, false},

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
    {"stall-timeout", DT_OPT_DURATION, AT(transfer.stall_timeout_ms), "10s", "DURATION",
     "A source that sends no byte for so long is replaced in the middle of the blob.", false,
     false},
    {"min-rate", DT_OPT_SIZE, AT(transfer.min_rate_bytes), "64KiB", "SIZE",
     "A source slower than so many bytes per second, over stall-timeout, is replaced when another "
     "one is ready; 0B = never.",
     false, false},
    {"verify-first", DT_OPT_SIZE, AT(verify_first_bytes), "4MiB", "SIZE",
     "Blobs up to this size are verified before their first byte is sent; larger ones are verified "
     "before their last.",
     false, false},
    {"streams-per-blob", DT_OPT_UINT, AT(transfer.streams_per_blob), "4", "NUMBER",
     "So many ranges of one blob may be on their way at once.", false, false},
    {"segment", DT_OPT_SIZE, AT(transfer.segment_bytes), "64MiB", "SIZE",
     "Larger blobs are asked for in ranges of about this size.", false, false},

    {"admin-listen", DT_OPT_STRING, AT(admin_listen), "127.0.0.1:65003", "IP:PORT|unix:PATH",
     "Where the admin API and /metrics are. Anything but loopback or a unix socket needs "
     "admin-token-file.",
     false, false},
    {"admin-token-file", DT_OPT_STRING, AT(admin_token_file), NULL, "FILE",
     "The first line of this file, 12 characters or more, is asked for as \"Authorization: Bearer "
     "...\" by the admin API. The file is read again on SIGHUP.",
     false, false},

    {"log-level", DT_OPT_STRING, AT(log_level), "info", "LEVEL", "error, warn, info or debug.",
     true, false},
    {"log-format", DT_OPT_STRING, AT(log_format), "kv", "FORMAT", "kv or json.", false, false},
    {"loops", DT_OPT_UINT, AT(loops), "0", "NUMBER", "Event loops; 0 = one for each core.", false,
     false},
    {"workers", DT_OPT_UINT, AT(workers), "0", "NUMBER", "Threads for disk and hashing; 0 = 4.",
     false, false},
    {"drain", DT_OPT_DURATION, AT(drain_ms), "30s", "DURATION",
     "After SIGTERM, transfers may go on for so long before they are cut.", true, false},
    {.name = NULL},
};

static const char man_tail[] =
    ".Sh SIGNALS\n"
    ".Bl -tag -width SIGTERM\n"
    ".It Dv SIGHUP\n"
    "Reads options, the admin token, certificate and key again.\n"
    "Options that need a restart are named in the log.\n"
    "A file that is wrong changes nothing.\n"
    ".It Dv SIGTERM , SIGINT\n"
    "Takes no new connections, lets transfers finish until\n"
    ".Fl -drain\n"
    "is over, and exits.\n"
    "Parts of blobs stay in the cache and are completed later.\n"
    ".El\n"
    ".Sh EXIT STATUS\n"
    ".Bl -tag -width Ds -compact\n"
    ".It 0\n"
    "ended by a signal\n"
    ".It 1\n"
    "something could not be started; the log says what\n"
    ".It 2\n"
    "an option is wrong\n"
    ".El\n"
    ".Sh EXAMPLES\n"
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
    return reg_upstreams_take_section(&options->upstreams, key, node, err);
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

static int check_range(const char *name, uint64_t value, uint64_t min, uint64_t max,
                       struct dt_err *err)
{
    if (value >= min && value <= max)
        return 0;
    return dt_err_set(err, DT_EINVAL,
                      "%s: %" PRIu64 " is out of bounds, use %" PRIu64 " to %" PRIu64, name, value,
                      min, max);
}

static int check_duration(const char *name, uint64_t ms, uint64_t min_ms, uint64_t max_ms,
                          struct dt_err *err)
{
    if (ms >= min_ms && ms <= max_ms)
        return 0;
    char is[24], min[24], max[24];
    return dt_err_set(err, DT_EINVAL, "%s: %s is out of bounds, use %s to %s", name,
                      dt_duration_format(is, ms), dt_duration_format(min, min_ms),
                      dt_duration_format(max, max_ms));
}

static int check_bounds(const struct proxy_options *options, struct dt_err *err)
{
    const uint64_t hour_ms = 3600 * 1000, year_ms = 366 * 24 * hour_ms;
    if (options->cache_max_bytes < MIB) {
        char text[24];
        return dt_err_set(err, DT_EINVAL,
                          "cache-max: %s is too small for a cache, use 1MiB or more",
                          dt_size_format(text, options->cache_max_bytes));
    }
    int rc = check_range("loops", options->loops, 0, LOOPS_MAX, err);
    if (rc == 0)
        rc = check_range("workers", options->workers, 0, WORKERS_MAX, err);
    if (rc == 0)
        rc = check_range("max-connections", options->max_connections, 1, CONNECTIONS_MAX, err);
    if (rc == 0)
        rc = check_range("streams-per-blob", options->transfer.streams_per_blob, 1,
                         TRANSFER_STREAMS_MAX, err);
    if (rc == 0)
        rc = check_range("segment (bytes)", options->transfer.segment_bytes, CACHE_PIECE_SIZE_MAX,
                         CACHE_BLOB_SIZE_MAX, err);
    if (rc == 0)
        rc = check_duration("head-deadline", options->transfer.head_deadline_ms, 100, hour_ms, err);
    if (rc == 0)
        rc = check_duration("stall-timeout", options->transfer.stall_timeout_ms, 100, hour_ms, err);
    if (rc == 0)
        rc = check_duration("tag-budget", options->tag_budget_ms, 10, hour_ms, err);
    if (rc == 0)
        rc = check_duration("tag-fresh", options->tag_fresh_ms, 0, year_ms, err);
    if (rc == 0)
        rc = check_duration("tag-stale", options->tag_stale_ms, 0, 100 * year_ms, err);
    if (rc == 0)
        rc = check_duration("grant-ttl", options->grant_ttl_ms, 0, 24 * hour_ms, err);
    if (rc == 0)
        rc = check_duration("grant-grace", options->grant_grace_ms, 0, year_ms, err);
    if (rc == 0)
        rc = check_duration("drain", options->drain_ms, 0, 24 * hour_ms, err);
    return rc;
}

static int check_log(const struct proxy_options *options, struct dt_err *err)
{
    enum dt_log_level level;
    struct dt_err why = {0};
    if (dt_log_level_parse(&level, options->log_level, &why) < 0)
        return dt_err_set(err, DT_EINVAL, "log-level: %.200s", why.msg);
    if (strcmp(options->log_format, "kv") != 0 && strcmp(options->log_format, "json") != 0)
        return dt_err_set(err, DT_EINVAL, "log-format: \"%.80s\" is not known, use kv or json",
                          options->log_format);
    return 0;
}

static int check_address(struct dt_addr *out, const char *name, const char *text,
                         struct dt_err *err)
{
    struct dt_err why = {0};
    if (dt_addr_parse(out, text, &why) < 0)
        return dt_err_set(err, DT_EINVAL, "%s: %.200s", name, why.msg);
    return 0;
}

static int check_listeners(const struct proxy_options *options, struct dt_err *err)
{
    struct dt_addr mirror, peer, admin;
    int rc = check_address(&mirror, "listen", options->listen, err);
    if (rc == 0)
        rc = check_address(&peer, "peer-listen", options->peer_listen, err);
    if (rc == 0)
        rc = check_address(&admin, "admin-listen", options->admin_listen, err);
    if (rc < 0)
        return rc;
    if ((options->tls_cert == NULL) != (options->tls_key == NULL))
        return dt_err_set(err, DT_EINVAL, "%s is given without %s: give both or none",
                          options->tls_cert != NULL ? "tls-cert" : "tls-key",
                          options->tls_cert != NULL ? "tls-key" : "tls-cert");
    bool is_same_host = strcmp(mirror.host, admin.host) == 0;
    if (is_same_host && mirror.port == admin.port && mirror.port != 0 &&
        strcmp(mirror.unix_path, admin.unix_path) == 0)
        return dt_err_set(err, DT_EINVAL,
                          "listen and admin-listen are both %.80s: use another port",
                          options->listen);
    if (!dt_addr_is_local(&admin) && options->admin_token_file == NULL)
        return dt_err_set(err, DT_EINVAL,
                          "admin-listen: %.80s can be reached from other machines, so it needs "
                          "admin-token-file (or listen on 127.0.0.1 or unix:PATH)",
                          options->admin_listen);
    return 0;
}

/* ---- defaults that depend on where we run ---- */

/* The environment decides, as the XDG base directory specification and systemd.exec(5) say. */
static char *default_cache_dir(struct dt_err *err)
{
    const char *state = getenv("STATE_DIRECTORY");
    if (state != NULL && state[0] == '/') /* several are separated by colons; the first is ours */
        return dt_asprintf("%.*s/cache", (int)strcspn(state, ":"), state);
    if (geteuid() == 0)
        return dt_strdup("/var/lib/darter/cache");
    const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (xdg != NULL && xdg[0] == '/')
        return dt_asprintf("%s/darter/cache", xdg);
    if (home != NULL && home[0] == '/')
        return dt_asprintf("%s/.local/state/darter/cache", home);
    (void)dt_err_set(
        err, DT_EINVAL,
        "cache-dir: no default, as neither STATE_DIRECTORY, XDG_STATE_HOME nor HOME is "
        "set: give --cache-dir DIR");
    return NULL;
}

/* An empty value is "not given", and these have to be. */
static int check_required(const struct proxy_options *options, struct dt_err *err)
{
    const struct {
        const char *name, *value;
    } required[] = {
        {"listen", options->listen},
        {"peer-listen", options->peer_listen},
        {"admin-listen", options->admin_listen},
        {"log-level", options->log_level},
        {"log-format", options->log_format},
    };
    for (size_t i = 0; i < sizeof required / sizeof required[0]; i++)
        if (required[i].value == NULL)
            return dt_err_set(err, DT_EINVAL, "%s: needs a value", required[i].name);
    return 0;
}

static int options_finish(struct proxy_options *options, struct dt_err *err)
{
    int rc = check_required(options, err);
    if (rc < 0)
        return rc;
    if (options->cache_dir == NULL)
        options->cache_dir = default_cache_dir(err);
    if (options->cache_dir == NULL)
        return -DT_EINVAL;
    rc = reg_upstreams_finish(&options->upstreams, &options->upstream_flags,
                              &options->default_upstream, err);
    if (rc == 0)
        rc = check_bounds(options, err);
    if (rc == 0)
        rc = check_log(options, err);
    if (rc == 0)
        rc = check_listeners(options, err);
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
    reg_upstreams_fini(&options->upstreams);
    dt_config_fini(options, &proxy_config_spec);
    *options = (struct proxy_options){0};
}

/* ---- what is legal and yet probably a mistake ---- */

static void warn_upstream(const struct reg_upstream *upstream, void (*warn)(void *, const char *),
                          void *arg)
{
    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        const struct reg_endpoint *endpoint = &upstream->endpoints[i];
        char text[400];
        if (endpoint->insecure_tls) {
            (void)dt_text_print(text, sizeof text,
                                "upstream %s: certificates of %s are not checked", upstream->name,
                                endpoint->url);
            warn(arg, text);
        }
        if (endpoint->has_credentials && dt_text_has_prefix(endpoint->url, "http://")) {
            (void)dt_text_print(text, sizeof text,
                                "upstream %s: the password for %s travels unencrypted, use https",
                                upstream->name, endpoint->url);
            warn(arg, text);
        }
    }
}

void proxy_options_warnings(const struct proxy_options *options, void (*warn)(void *, const char *),
                            void *arg)
{
    struct dt_addr mirror;
    bool is_local = dt_addr_parse(&mirror, options->listen, NULL) == 0 && dt_addr_is_local(&mirror);
    bool shows_ours = false;
    for (size_t i = 0; i < options->upstreams.n; i++) {
        warn_upstream(&options->upstreams.list[i], warn, arg);
        shows_ours = shows_ours || options->upstreams.list[i].own_credentials;
    }
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
}
