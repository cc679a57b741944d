/*
 * proxy/upkeep.c - what main does between start and end.
 *
 * SIGHUP: the options are read anew, in the same order of precedence. What only main reads (log
 * level, cache bounds, scrub, drain) is applied; everything else is shared with the loops without a
 * lock and needs a restart, which is said for each changed option. The admin token and the mirror's
 * certificate are read anew, and stay as they were when that fails. Scrub: the time of the last one
 * is a note in the cache, so that a daemon that is restarted daily still scrubs weekly. Main thread
 * only.
 */
#define LOG_COMPONENT "upkeep"
#include "proxy/upkeep.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/tls.h"

#define SCRUB_NOTE "scrub/last-started-ms"
/* Bounds may change under us (SIGHUP, clock set): look again at least so often. */
#define UPKEEP_TICK_MS (60 * 1000u)

/* ---- reload ---- */

static const struct dt_option *find_option(const char *name)
{
    for (const struct dt_option *row = proxy_config_spec.options; row->name != NULL; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

/* Option values as text, in the order of the table. */
struct texts {
    const char *names[64];
    char *values[64];
    size_t n;
};

static void collect(void *arg, const char *name, const char *value)
{
    struct texts *texts = arg;
    DT_ASSERT(texts->n < sizeof texts->names / sizeof texts->names[0]);
    const struct dt_option *row = find_option(name);
    texts->names[texts->n] = row != NULL ? row->name : "";
    texts->values[texts->n++] = dt_strdup(value);
}

static void texts_fini(struct texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        free(texts->values[i]);
}

static bool is_same_upstream(const struct reg_upstream *a, const struct reg_upstream *b)
{
    if (strcmp(a->name, b->name) != 0 || a->n_endpoints != b->n_endpoints ||
        a->own_credentials != b->own_credentials || a->revalidate_ms != b->revalidate_ms ||
        a->touch_ms != b->touch_ms)
        return false;
    for (size_t i = 0; i < a->n_endpoints; i++)
        if (strcmp(a->endpoints[i].url, b->endpoints[i].url) != 0)
            return false;
    return true;
}

static bool has_same_upstreams(const struct proxy_options *a, const struct proxy_options *b)
{
    bool is_same = a->upstreams.n == b->upstreams.n;
    for (size_t i = 0; is_same && i < a->upstreams.n; i++)
        is_same = is_same_upstream(&a->upstreams.list[i], &b->upstreams.list[i]);
    return is_same;
}

static void report_changes(const struct proxy_options *before, const struct proxy_options *after)
{
    struct texts was = {0}, is = {0};
    dt_config_each(before, &proxy_config_spec, collect, &was);
    dt_config_each(after, &proxy_config_spec, collect, &is);
    for (size_t i = 0; i < was.n && i < is.n; i++) {
        if (strcmp(was.values[i], is.values[i]) == 0)
            continue;
        const struct dt_option *row = find_option(was.names[i]);
        if (row != NULL && row->is_reloadable)
            dt_log_info("option_changed", "option=%s from=%s to=%s", row->name,
                        DT_LOG_Q(was.values[i]), DT_LOG_Q(is.values[i]));
        else
            dt_log_warn("restart_needed", "option=%s running=%s file=%s", was.names[i],
                        DT_LOG_Q(was.values[i]), DT_LOG_Q(is.values[i]));
    }
    texts_fini(&was);
    texts_fini(&is);
    if (!has_same_upstreams(before, after))
        dt_log_warn("restart_needed", "option=upstreams");
}

static void apply(struct proxy_options *options, const struct proxy_options *fresh,
                  struct proxy *proxy)
{
    enum dt_log_level level;
    free(options->log_level);
    options->log_level = dt_strdup(fresh->log_level);
    if (dt_log_level_parse(&level, options->log_level, NULL) == 0)
        dt_log_set_level(level);
    options->cache_max_bytes = fresh->cache_max_bytes;
    options->cache_min_free_bytes = fresh->cache_min_free_bytes;
    cache_set_bounds(proxy->transfer.cache, options->cache_max_bytes,
                     options->cache_min_free_bytes);
    options->scrub_interval_ms = fresh->scrub_interval_ms;
    options->scrub_rate_bytes = fresh->scrub_rate_bytes;
    options->drain_ms = fresh->drain_ms;
}

/* A renewed certificate lies where the old one was: other paths need a restart, as every other
 * option of the listener does. */
static void reload_tls(const struct proxy_options *options, struct dt_httpd *mirror)
{
    struct dt_tls *tls = NULL;
    struct dt_err err = {0};
    if (options->tls_cert == NULL)
        return;
    if (dt_tls_server_new(&tls, options->tls_cert, options->tls_key, &err) < 0) {
        dt_log_error("certificate_kept", "keeping=%s err=%s",
                     DT_LOG_Q("the old certificate and key"), DT_LOG_Q(err.msg));
        return;
    }
    dt_httpd_set_tls(mirror, tls);
    dt_tls_free(&tls);
    dt_log_info("certificate_read", "file=%s", DT_LOG_Q(options->tls_cert));
}

static const char *file_of(const struct proxy_options *options)
{
    if (options->config_file != NULL)
        return options->config_file;
    return access(PROXY_CONFIG_FILE, F_OK) == 0 ? PROXY_CONFIG_FILE : "none";
}

void proxy_upkeep_reload(struct proxy_options *options, const struct proxy_parts *parts, int argc,
                         char **argv)
{
    struct proxy_options fresh = {0};
    struct dt_err err = {0};
    if (proxy_options_load(&fresh, argc, argv, &err) != 0) {
        dt_log_error("reload_refused", "keeping=\"the old options\" err=%s", DT_LOG_Q(err.msg));
        return;
    }
    report_changes(options, &fresh);
    apply(options, &fresh, parts->proxy);
    proxy_options_fini(&fresh);
    proxy_admin_show_options(parts->admin, options);
    if (transfer_admin_read_token(parts->admin, &err) < 0)
        dt_log_error("token_kept", "err=%s", DT_LOG_Q(err.msg));
    reload_tls(options, parts->mirror);
    dt_log_info("reloaded", "file=%s", DT_LOG_Q(file_of(options)));
}

/* ---- scrub ---- */

uint64_t proxy_scrub_due_ms(uint64_t last_ms, uint64_t started_ms, uint64_t interval_ms)
{
    uint64_t due_ms, from_ms = last_ms != 0 ? last_ms : started_ms;
    if (interval_ms == 0 || __builtin_add_overflow(from_ms, interval_ms, &due_ms))
        return UINT64_MAX;
    return due_ms;
}

static uint64_t last_scrub_ms(struct proxy *proxy)
{
    char *text = NULL;
    unsigned long long value = 0;
    if (cache_note_get(&text, proxy->transfer.cache, SCRUB_NOTE, NULL) == 0 &&
        !dt_text_parse_u64(&value, text, strlen(text)))
        value = 0;
    free(text);
    return value;
}

uint64_t proxy_upkeep_scrub(struct proxy *proxy, const struct proxy_options *options,
                            uint64_t now_wall_ms)
{
    uint64_t last_ms = last_scrub_ms(proxy);
    if (last_ms > now_wall_ms) /* the clock was set back */
        last_ms = now_wall_ms;
    uint64_t due_ms = proxy_scrub_due_ms(last_ms, proxy->started_ms, options->scrub_interval_ms);
    if (last_ms == 0) { /* count from the first start, not from each */
        char now_text[24];
        (void)dt_text_print(now_text, sizeof now_text, "%" PRIu64, now_wall_ms);
        cache_note_put(proxy->transfer.cache, SCRUB_NOTE, now_text);
    }
    if (due_ms > now_wall_ms)
        return due_ms - now_wall_ms < UPKEEP_TICK_MS ? due_ms - now_wall_ms : UPKEEP_TICK_MS;
    struct dt_err err = {0};
    if (cache_scrub_start(proxy->transfer.cache, options->scrub_rate_bytes, &err) < 0)
        dt_log_debug("scrub_not_started", "err=%s", DT_LOG_Q(err.msg));
    char text[24];
    (void)dt_text_print(text, sizeof text, "%" PRIu64, now_wall_ms);
    cache_note_put(proxy->transfer.cache, SCRUB_NOTE, text);
    return UPKEEP_TICK_MS;
}
