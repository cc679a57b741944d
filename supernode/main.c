/*
 * supernode/main.c - starts darter-supernode, waits for signals, ends it.
 *
 *   options -> keys -> parts made, loops not running -> loops run -> listeners open ("ready")
 *           -> signals -> nodes sent on, pieces finish or are cut at the deadline -> exit 0
 *
 * Exit: 0 after SIGTERM or SIGINT, 1 when something could not be started, 2 when the options are
 * wrong. Everything is ended in the opposite order of its start; what never started is NULL.
 */
#define LOG_COMPONENT "main"
#include <stdlib.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/mem.h"
#include "supernode/admin.h"
#include "supernode/options.h"
#include "supernode/pair.h"
#include "supernode/request.h"
#include "supernode/supernode.h"
#include "transfer/life.h"
#include "transfer/task.h"
#include "transfer/upkeep.h"

struct daemon {
    struct supernode_options options;
    struct supernode supernode;
    struct dt_bucket down; /* from registries */
    struct dt_httpd *httpd;
    struct transfer_admin *admin;
    bool is_running; /* the loops */
};

/* ---- start ---- */

static void apply_limits(struct supernode *supernode, const struct supernode_options *options)
{
    dt_bucket_set(&supernode->up, options->limit_up_bytes, dt_mono_us());
    dt_bucket_set(supernode->transfer.down, options->limit_down_bytes, dt_mono_us());
    atomic_store(&supernode->limits.task_down, options->task_limit_bytes);
    atomic_store(&supernode->limits.node_up, options->node_limit_up_bytes);
    atomic_store(&supernode->limits.node_down, options->node_limit_down_bytes);
}

static void fill_in(struct daemon *daemon)
{
    struct supernode *supernode = &daemon->supernode;
    const struct supernode_options *options = &daemon->options;
    supernode->options = options;
    supernode->transfer.options = &options->transfer;
    supernode->upstreams = options->process.upstreams.list;
    supernode->n_upstreams = options->process.upstreams.n;
    wire_name_copy(supernode->name, options->name);
    wire_name_copy(supernode->site, options->site);
    dt_bucket_init(&supernode->up, options->limit_up_bytes, dt_mono_us());
    dt_bucket_init(&daemon->down, options->limit_down_bytes, dt_mono_us());
    supernode->transfer.down = &daemon->down;
    supernode->max_uploads = options->max_uploads;
    apply_limits(supernode, options);
    supernode->started_ms = dt_wall_ms();
}

static int make_parts(struct daemon *daemon, struct dt_err *err)
{
    const struct supernode_options *options = &daemon->options;
    struct supernode *supernode = &daemon->supernode;
    int rc = dt_keys_load(&supernode->keys, options->cluster_key_file, err);
    if (rc == 0)
        rc = transfer_open(&supernode->transfer, &options->process, err);
    if (rc < 0)
        return rc;
    transfer_tasks_new(&supernode->transfer);
    supernode_core_new(supernode);
    supernode->pair = supernode_pair_new(supernode);
    rc = dt_loops_start(supernode->transfer.loops, err);
    if (rc < 0)
        return rc;
    daemon->is_running = true;
    supernode_core_start(supernode);
    supernode_pair_start(supernode->pair);
    return 0;
}

static int open_listeners(struct daemon *daemon, struct dt_err *err)
{
    struct dt_httpd_opts opts = {
        .name = "supernode",
        .handler = supernode_request_handle,
        .arg = &daemon->supernode,
        .pool = daemon->supernode.transfer.pool,
        .max_connections = daemon->options.process.max_connections,
        .max_body_bytes = WIRE_BODY_MAX,
    };
    int rc = dt_addr_parse(&opts.addr, daemon->options.listen, err);
    if (rc == 0)
        rc = dt_httpd_start(&daemon->httpd, daemon->supernode.transfer.loops, &opts, err);
    if (rc == 0)
        rc = supernode_admin_start(&daemon->admin, &daemon->supernode, err);
    return rc;
}

static int start(struct daemon *daemon, struct dt_err *err)
{
    fill_in(daemon);
    /* Most connections are exchanges that wait: only uploads have a file too. */
    dt_daemon_raise_file_limit(daemon->options.process.max_connections,
                               daemon->options.max_uploads);
    int rc = make_parts(daemon, err);
    return rc == 0 ? open_listeners(daemon, err) : rc;
}

static void say_ready(const struct daemon *daemon)
{
    struct dt_addr addr;
    char text[300];
    DT_ASSERT(dt_addr_parse(&addr, daemon->options.listen, NULL) == 0);
    addr.port = dt_httpd_port(daemon->httpd);
    dt_log_info("ready", "listen=%s admin=%s site=%s name=%s upstreams=%zu cache=%s",
                dt_addr_format(text, &addr), transfer_admin_address(daemon->admin),
                daemon->supernode.site, daemon->supernode.name, daemon->supernode.n_upstreams,
                DT_LOG_Q(daemon->options.process.cache_dir));
}

/* ---- end ---- */

static void stop(struct daemon *daemon)
{
    struct supernode *supernode = &daemon->supernode;
    atomic_store(&supernode->is_draining, true);
    if (daemon->is_running) {
        supernode_pair_stop(supernode->pair);
        supernode_core_stop(supernode);
    }
    if (daemon->httpd != NULL)
        dt_httpd_drain(daemon->httpd, daemon->options.process.drain_ms);
    if (daemon->is_running)
        transfer_tasks_abort(&supernode->transfer);
    if (daemon->admin != NULL)
        transfer_admin_stop(daemon->admin);
    if (daemon->is_running)
        transfer_stop(&supernode->transfer);
    transfer_admin_free(&daemon->admin);
    dt_httpd_free(&daemon->httpd);
    supernode_pair_free(&supernode->pair);
    supernode_core_free(supernode);
    transfer_tasks_free(&supernode->transfer);
    transfer_close(&supernode->transfer);
    dt_keys_free(&supernode->keys);
}

/* ---- between ---- */

/* What only main reads, or is an atomic, is applied; the rest was named as needing a restart. */
static void apply(struct daemon *daemon, const struct supernode_options *fresh)
{
    struct supernode_options *options = &daemon->options;
    transfer_process_apply(&options->process, &fresh->process, &daemon->supernode.transfer);
    options->limit_up_bytes = fresh->limit_up_bytes;
    options->limit_down_bytes = fresh->limit_down_bytes;
    options->task_limit_bytes = fresh->task_limit_bytes;
    options->node_limit_up_bytes = fresh->node_limit_up_bytes;
    options->node_limit_down_bytes = fresh->node_limit_down_bytes;
    apply_limits(&daemon->supernode, options);
}

static void reload(struct daemon *daemon, int argc, char **argv)
{
    struct supernode_options fresh = {0};
    struct dt_err err = {0};
    if (supernode_options_load(&fresh, argc, argv, &err) != 0) {
        dt_log_error("reload_refused", "keeping=\"the old options\" err=%s", DT_LOG_Q(err.msg));
        return;
    }
    dt_daemon_report_changes(&daemon->options, &fresh, &supernode_config_spec);
    apply(daemon, &fresh);
    supernode_options_fini(&fresh);
    supernode_admin_show_options(daemon->admin, &daemon->options);
    if (transfer_admin_read_token(daemon->admin, &err) < 0)
        dt_log_error("token_kept", "err=%s", DT_LOG_Q(err.msg));
    dt_daemon_reload_keys(daemon->supernode.keys, daemon->options.cluster_key_file);
    dt_log_info(
        "reloaded", "file=%s",
        DT_LOG_Q(dt_daemon_file(daemon->options.process.config_file, SUPERNODE_CONFIG_FILE)));
}

/* Returns the signal that ends us. */
static int serve(struct daemon *daemon, const sigset_t *signals, int argc, char **argv)
{
    int number;
    while ((number = transfer_upkeep_wait(&daemon->supernode.transfer, &daemon->options.process,
                                          daemon->supernode.started_ms, signals)) == SIGHUP)
        reload(daemon, argc, argv);
    return number;
}

int main(int argc, char **argv)
{
    struct daemon daemon = {0};
    struct dt_err err = {0};
    sigset_t signals;
    dt_daemon_block_signals(&signals);
    int rc = supernode_options_load(&daemon.options, argc, argv, &err);
    if (rc > 0)
        return EXIT_SUCCESS; /* --help and its like were served */
    if (rc < 0)
        return dt_daemon_refuse(supernode_config_spec.program, &err);
    dt_daemon_start_log(daemon.options.process.log_level, daemon.options.process.log_format);
    supernode_options_warnings(&daemon.options, dt_daemon_warn, NULL);
    rc = start(&daemon, &err);
    if (rc < 0) {
        dt_log_error("not_started", "err=%s", DT_LOG_Q(err.msg));
    } else {
        transfer_warn_of_no_room(&daemon.supernode.transfer);
        say_ready(&daemon);
        int number = serve(&daemon, &signals, argc, argv);
        dt_daemon_say_stopping(number, daemon.options.process.drain_ms);
    }
    stop(&daemon);
    dt_daemon_end_log(daemon.supernode.started_ms);
    supernode_options_fini(&daemon.options);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
