/*
 * proxy/main.c - starts darter-proxy, waits for signals, ends it.
 *
 *   options -> parts made, loops not running -> loops run -> listeners open ("ready") -> signals
 *           -> drain: no new connections, transfers finish or are cut at the deadline -> exit 0
 *
 * Exit: 0 after SIGTERM or SIGINT, 1 when something could not be started, 2 when the options are
 * wrong. Everything is ended in the opposite order of its start; what never started is NULL.
 */
#define LOG_COMPONENT "main"
#include <stdlib.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/tls.h"
#include "proxy/admin.h"
#include "proxy/mirror.h"
#include "proxy/ping.h"
#include "proxy/repository.h"
#include "proxy/swarm.h"
#include "proxy/upkeep.h"
#include "transfer/life.h"
#include "transfer/task.h"
#include "transfer/upkeep.h"

/* Other nodes have other sources: uploads need not end in peace. */
#define SWARM_DRAIN_MS 1000u

struct daemon {
    struct proxy_options options;
    struct proxy proxy;
    struct dt_httpd *mirror;
    struct transfer_admin *admin;
    bool is_running; /* the loops */
};

/* ---- start ---- */

static int make_parts(struct daemon *daemon, struct dt_err *err)
{
    struct proxy *proxy = &daemon->proxy;
    proxy_repositories_new(proxy);
    proxy_pings_new(proxy);
    transfer_tasks_new(&proxy->transfer);
    int rc =
        proxy_swarm_new(&proxy->swarm, &proxy->transfer, &daemon->options, &proxy->limits, err);
    if (rc == 0)
        rc = dt_loops_start(proxy->transfer.loops, err);
    daemon->is_running = rc == 0;
    return rc;
}

static int open_listeners(struct daemon *daemon, struct dt_err *err)
{
    const struct proxy_options *options = &daemon->options;
    struct dt_httpd_opts opts = {
        .name = "mirror",
        .handler = proxy_mirror_handle,
        .arg = &daemon->proxy,
        .pool = daemon->proxy.transfer.pool,
        .max_connections = options->process.max_connections,
    };
    /* Before the first client: a task tells supernodes where our pieces are. */
    int rc = proxy_swarm_open(daemon->proxy.swarm, err);
    if (rc == 0)
        rc = dt_addr_parse(&opts.addr, options->listen, err);
    if (rc == 0 && options->tls_cert != NULL)
        rc = dt_tls_server_new(&opts.tls, options->tls_cert, options->tls_key, err);
    if (rc == 0)
        rc = dt_httpd_start(&daemon->mirror, daemon->proxy.transfer.loops, &opts, err);
    dt_tls_free(&opts.tls); /* the server has its own references */
    if (rc == 0)
        rc = proxy_admin_start(&daemon->admin, &daemon->proxy, err);
    return rc;
}

static void say_ready(const struct daemon *daemon)
{
    struct dt_addr addr;
    char text[300];
    DT_ASSERT(dt_addr_parse(&addr, daemon->options.listen, NULL) == 0);
    if (addr.unix_path[0] == '\0')
        addr.port = dt_httpd_port(daemon->mirror);
    dt_log_info("ready", "listen=%s admin=%s peer=%s upstreams=%zu cache=%s",
                dt_addr_format(text, &addr), transfer_admin_address(daemon->admin),
                proxy_swarm_address(daemon->proxy.swarm), daemon->proxy.n_upstreams,
                DT_LOG_Q(daemon->options.process.cache_dir));
}

static int start(struct daemon *daemon, struct dt_err *err)
{
    struct proxy *proxy = &daemon->proxy;
    proxy->options = &daemon->options;
    proxy->transfer.options = &daemon->options.transfer;
    proxy_limits_init(&proxy->limits, daemon->options.limit_up_bytes,
                      daemon->options.limit_down_bytes);
    proxy->transfer.down = &proxy->limits.down;
    proxy->upstreams = daemon->options.process.upstreams.list;
    proxy->n_upstreams = daemon->options.process.upstreams.n;
    proxy->default_upstream = (size_t)(reg_upstream_find(proxy->upstreams, proxy->n_upstreams,
                                                         daemon->options.default_upstream) -
                                       proxy->upstreams);
    proxy->started_ms = dt_wall_ms();
    /* A client, the part file it reads, and the upstream connection that fills it. */
    dt_daemon_raise_file_limit(daemon->options.process.max_connections,
                               2 * daemon->options.process.max_connections);
    int rc = transfer_open(&proxy->transfer, &daemon->options.process, err);
    if (rc == 0)
        rc = make_parts(daemon, err);
    if (rc == 0)
        rc = open_listeners(daemon, err);
    return rc;
}

/* ---- end ---- */

static void stop(struct daemon *daemon)
{
    struct proxy *proxy = &daemon->proxy;
    atomic_store(&proxy->is_draining, true);
    if (daemon->mirror != NULL)
        dt_httpd_drain(daemon->mirror, daemon->options.process.drain_ms);
    if (daemon->is_running)
        transfer_tasks_abort(&proxy->transfer);
    if (daemon->is_running)
        proxy_swarm_close(proxy->swarm, SWARM_DRAIN_MS);
    if (daemon->admin != NULL)
        transfer_admin_stop(daemon->admin);
    if (daemon->is_running)
        transfer_stop(&proxy->transfer);
    transfer_admin_free(&daemon->admin);
    dt_httpd_free(&daemon->mirror);
    transfer_tasks_free(&proxy->transfer);
    proxy_swarm_free(&proxy->swarm);
    proxy_pings_free(proxy);
    proxy_repositories_free(proxy);
    transfer_close(&proxy->transfer);
}

/* ---- between ---- */

/* Returns the signal that ends us. */
static int serve(struct daemon *daemon, const sigset_t *signals, int argc, char **argv)
{
    int number;
    while ((number = transfer_upkeep_wait(&daemon->proxy.transfer, &daemon->options.process,
                                          daemon->proxy.started_ms, signals)) == SIGHUP)
        proxy_upkeep_reload(&daemon->options,
                            &(struct proxy_parts){.proxy = &daemon->proxy,
                                                  .admin = daemon->admin,
                                                  .mirror = daemon->mirror},
                            argc, argv);
    return number;
}

int main(int argc, char **argv)
{
    struct daemon daemon = {0};
    struct dt_err err = {0};
    sigset_t signals;
    dt_daemon_block_signals(&signals);
    int rc = proxy_options_load(&daemon.options, argc, argv, &err);
    if (rc > 0)
        return EXIT_SUCCESS; /* --help and its like were served */
    if (rc < 0)
        return dt_daemon_refuse(proxy_config_spec.program, &err);
    dt_daemon_start_log(daemon.options.process.log_level, daemon.options.process.log_format);
    proxy_options_warnings(&daemon.options, dt_daemon_warn, NULL);
    rc = start(&daemon, &err);
    if (rc < 0) {
        dt_log_error("not_started", "err=%s", DT_LOG_Q(err.msg));
    } else {
        transfer_warn_of_no_room(&daemon.proxy.transfer);
        say_ready(&daemon);
        int number = serve(&daemon, &signals, argc, argv);
        dt_daemon_say_stopping(number, daemon.options.process.drain_ms);
    }
    stop(&daemon);
    dt_daemon_end_log(daemon.proxy.started_ms);
    proxy_options_fini(&daemon.options);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
