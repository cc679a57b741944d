/*
 * transfer/process.c - what both daemons are told, once it was read: defaults, bounds, changes.
 *
 * A new option of both: a row in option_rows.h, a field in process.h, a bound here; when it is
 * reloadable, a line of transfer_process_apply(). Main thread only.
 */
#define LOG_COMPONENT "main"
#include "transfer/process.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "transfer/option_checks.h"

#define LOOPS_MAX       256
#define WORKERS_MAX     256
#define CONNECTIONS_MAX 1000000
#define DRAIN_MAX_MS    (24 * 3600 * 1000ULL)

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

static int check_log(const struct transfer_process_options *options, struct dt_err *err)
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

static int check_bounds(const struct transfer_process_options *options, struct dt_err *err)
{
    if (options->cache_max_bytes < MIB) {
        char text[24];
        return dt_err_set(err, DT_EINVAL,
                          "cache-max: %s is too small for a cache, use 1MiB or more",
                          dt_size_format(text, options->cache_max_bytes));
    }
    int rc = transfer_check_range("loops", options->loops, 0, LOOPS_MAX, err);
    if (rc == 0)
        rc = transfer_check_range("workers", options->workers, 0, WORKERS_MAX, err);
    if (rc == 0)
        rc = transfer_check_range("max-connections", options->max_connections, 1, CONNECTIONS_MAX,
                                  err);
    if (rc == 0)
        rc = transfer_check_duration("drain", options->drain_ms, 0, DRAIN_MAX_MS, err);
    return rc == 0 ? check_log(options, err) : rc;
}

int transfer_process_finish(struct transfer_process_options *options, char **default_upstream,
                            struct dt_err *err)
{
    const struct transfer_required required[] = {
        {"admin-listen", options->admin_listen},
        {"log-level", options->log_level},
        {"log-format", options->log_format},
    };
    int rc = transfer_check_required(required, sizeof required / sizeof required[0], err);
    if (rc < 0)
        return rc;
    if (options->cache_dir == NULL)
        options->cache_dir = default_cache_dir(err);
    if (options->cache_dir == NULL)
        return -DT_EINVAL;
    rc = reg_upstreams_finish(&options->upstreams, &options->upstream_flags, default_upstream, err);
    return rc == 0 ? check_bounds(options, err) : rc;
}

int transfer_process_check_admin(const struct transfer_process_options *options,
                                 const struct dt_addr *listen, struct dt_err *err)
{
    struct dt_addr admin;
    int rc = transfer_check_address(&admin, "admin-listen", options->admin_listen, err);
    if (rc < 0)
        return rc;
    if (strcmp(listen->host, admin.host) == 0 && listen->port == admin.port && admin.port != 0)
        return dt_err_set(err, DT_EINVAL,
                          "listen and admin-listen are both %.80s: use another port",
                          options->admin_listen);
    if (dt_addr_is_local(&admin) || options->admin_token_file != NULL)
        return 0;
    return dt_err_set(err, DT_EINVAL,
                      "admin-listen: %.80s can be reached from other machines, so it needs "
                      "admin-token-file (or listen on 127.0.0.1 or unix:PATH)",
                      options->admin_listen);
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

void transfer_process_warnings(const struct transfer_process_options *options,
                               void (*warn)(void *, const char *), void *arg)
{
    for (size_t i = 0; i < options->upstreams.n; i++)
        warn_upstream(&options->upstreams.list[i], warn, arg);
}

/* ---- SIGHUP ---- */

void transfer_process_apply(struct transfer_process_options *options,
                            const struct transfer_process_options *fresh, struct transfer *transfer)
{
    if (!reg_upstreams_are_same(&options->upstreams, &fresh->upstreams))
        dt_log_warn("restart_needed", "option=upstreams");
    dt_daemon_change_log_level(&options->log_level, fresh->log_level);
    options->cache_max_bytes = fresh->cache_max_bytes;
    options->cache_min_free_bytes = fresh->cache_min_free_bytes;
    cache_set_bounds(transfer->cache, options->cache_max_bytes, options->cache_min_free_bytes);
    options->scrub_interval_ms = fresh->scrub_interval_ms;
    options->scrub_rate_bytes = fresh->scrub_rate_bytes;
    options->drain_ms = fresh->drain_ms;
}

void transfer_process_fini(struct transfer_process_options *options)
{
    reg_upstreams_fini(&options->upstreams);
}
