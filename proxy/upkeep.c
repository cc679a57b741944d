/*
 * proxy/upkeep.c - what a SIGHUP changes.
 *
 * SIGHUP: the options are read anew, in the same order of precedence. What only main reads (log
 * level, cache bounds, scrub, drain, limits) is applied; everything else is shared with the loops
 * without a lock and needs a restart, which is said for each changed option. The admin token and
 * the mirror's certificate are read anew, and stay as they were when that fails. Main thread only.
 */
#define LOG_COMPONENT "upkeep"
#include "proxy/upkeep.h"

#include "base/daemon.h"
#include "base/log.h"
#include "base/tls.h"
#include "proxy/swarm.h"

static void apply(struct proxy_options *options, const struct proxy_options *fresh,
                  struct proxy *proxy)
{
    transfer_process_apply(&options->process, &fresh->process, &proxy->transfer);
    options->limit_up_bytes = fresh->limit_up_bytes;
    options->limit_down_bytes = fresh->limit_down_bytes;
    proxy_limits_set_own(&proxy->limits, options->limit_up_bytes, options->limit_down_bytes);
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

void proxy_upkeep_reload(struct proxy_options *options, const struct proxy_parts *parts, int argc,
                         char **argv)
{
    struct proxy_options fresh = {0};
    struct dt_err err = {0};
    if (proxy_options_load(&fresh, argc, argv, &err) != 0) {
        dt_log_error("reload_refused", "keeping=\"the old options\" err=%s", DT_LOG_Q(err.msg));
        return;
    }
    dt_daemon_report_changes(options, &fresh, &proxy_config_spec);
    apply(options, &fresh, parts->proxy);
    proxy_options_fini(&fresh);
    proxy_admin_show_options(parts->admin, options);
    if (transfer_admin_read_token(parts->admin, &err) < 0)
        dt_log_error("token_kept", "err=%s", DT_LOG_Q(err.msg));
    reload_tls(options, parts->mirror);
    proxy_swarm_reload_keys(parts->proxy->swarm);
    dt_log_info("reloaded", "file=%s",
                DT_LOG_Q(dt_daemon_file(options->process.config_file, PROXY_CONFIG_FILE)));
}
