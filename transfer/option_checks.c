/*
 * transfer/option_checks.c - what a single value cannot show wrong, for options of both daemons.
 *
 * Each complaint begins with the option's name and says what would be right. Main thread only.
 */
#include "transfer/option_checks.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/http.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/units.h"
#include "base/wire/wire.h"
#include "cache/pieces.h"

#define LOOPS_MAX       256
#define WORKERS_MAX     256
#define CONNECTIONS_MAX 1000000
#define HOUR_MS         (3600 * 1000ULL)

int transfer_check_range(const char *name, uint64_t value, uint64_t min, uint64_t max,
                         struct dt_err *err)
{
    if (value >= min && value <= max)
        return 0;
    return dt_err_set(err, DT_EINVAL,
                      "%s: %" PRIu64 " is out of bounds, use %" PRIu64 " to %" PRIu64, name, value,
                      min, max);
}

int transfer_check_duration(const char *name, uint64_t ms, uint64_t min_ms, uint64_t max_ms,
                            struct dt_err *err)
{
    if (ms >= min_ms && ms <= max_ms)
        return 0;
    char is[24], min[24], max[24];
    return dt_err_set(err, DT_EINVAL, "%s: %s is out of bounds, use %s to %s", name,
                      dt_duration_format(is, ms), dt_duration_format(min, min_ms),
                      dt_duration_format(max, max_ms));
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

int transfer_check_process(const struct transfer_process_options *options, struct dt_err *err)
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
        rc = transfer_check_duration("drain", options->drain_ms, 0, 24 * HOUR_MS, err);
    return rc == 0 ? check_log(options, err) : rc;
}

int transfer_check_sources(const struct transfer_options *options, struct dt_err *err)
{
    int rc = transfer_check_range("streams-per-blob", options->streams_per_blob, 1,
                                  TRANSFER_STREAMS_MAX, err);
    if (rc == 0)
        rc = transfer_check_range("segment (bytes)", options->segment_bytes, CACHE_PIECE_SIZE_MAX,
                                  CACHE_BLOB_SIZE_MAX, err);
    if (rc == 0)
        rc = transfer_check_duration("head-deadline", options->head_deadline_ms, 100, HOUR_MS, err);
    if (rc == 0)
        rc = transfer_check_duration("stall-timeout", options->stall_timeout_ms, 100, HOUR_MS, err);
    return rc;
}

int transfer_check_address(struct dt_addr *out, const char *name, const char *text,
                           struct dt_err *err)
{
    struct dt_err why = {0};
    if (dt_addr_parse(out, text, &why) < 0)
        return dt_err_set(err, DT_EINVAL, "%s: %.200s", name, why.msg);
    return 0;
}

int transfer_check_admin(const struct dt_addr *addr, const char *text, const char *token_file,
                         struct dt_err *err)
{
    if (dt_addr_is_local(addr) || token_file != NULL)
        return 0;
    return dt_err_set(err, DT_EINVAL,
                      "admin-listen: %.80s can be reached from other machines, so it needs "
                      "admin-token-file (or listen on 127.0.0.1 or unix:PATH)",
                      text);
}

int transfer_check_name(const char *option, const char *name, struct dt_err *err)
{
    if (name == NULL || wire_name_is_valid(name))
        return 0;
    return dt_err_set(err, DT_EINVAL,
                      "%s: \"%.80s\" is no name, use letters, digits, \".\", \"_\" and \"-\", "
                      "%d at most",
                      option, name, WIRE_NAME_MAX);
}

/* A path would be taken for a part of ours, and two spellings of one place for two places. */
static int check_place(const char *option, struct dt_strings *urls, size_t index,
                       struct dt_err *err)
{
    struct dt_url url = {0};
    struct dt_err why = {0};
    char origin[300];
    const char *text = urls->items[index];
    if (dt_url_parse(&url, text, &why) < 0)
        return dt_err_set(err, DT_EINVAL, "%s: %.200s", option, why.msg);
    bool has_path = strcmp(url.path, "/") != 0;
    (void)dt_url_origin(origin, &url);
    dt_url_fini(&url);
    if (has_path)
        return dt_err_set(err, DT_EINVAL,
                          "%s: \"%.120s\" has a path, use http://HOST:PORT or https://HOST:PORT",
                          option, text);
    for (size_t i = 0; i < index; i++)
        if (strcmp(urls->items[i], origin) == 0)
            return dt_err_set(err, DT_EINVAL, "%s: %.120s is named twice", option, origin);
    free(urls->items[index]);
    urls->items[index] = dt_strdup(origin);
    return 0;
}

int transfer_check_places(const char *option, struct dt_strings *urls, struct dt_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < urls->n; i++)
        rc = check_place(option, urls, i, err);
    return rc;
}

int transfer_check_required(const struct transfer_required *required, size_t n, struct dt_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (required[i].value == NULL)
            return dt_err_set(err, DT_EINVAL, "%s: needs a value", required[i].name);
    return 0;
}

/* ---- defaults that depend on where we run ---- */

/* The environment decides, as the XDG base directory specification and systemd.exec(5) say. */
char *transfer_default_cache_dir(struct dt_err *err)
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

char *transfer_default_name(const char *other)
{
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) < 0 || !wire_name_is_valid(host))
        return dt_strdup(other);
    return dt_strdup(host);
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

void transfer_warn_upstreams(const struct reg_upstreams *upstreams,
                             void (*warn)(void *, const char *), void *arg)
{
    for (size_t i = 0; i < upstreams->n; i++)
        warn_upstream(&upstreams->list[i], warn, arg);
}
