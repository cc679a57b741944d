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
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/tls.h"
#include "base/units.h"
#include "base/version.h"
#include "transfer/account.h"
#include "proxy/admin.h"
#include "proxy/ping.h"
#include "proxy/repository.h"
#include "proxy/request.h"
#include "transfer/task.h"
#include "proxy/upkeep.h"

#define WORKERS_DEFAULT 4
#define EXIT_OPTIONS    2

struct daemon {
    struct proxy_options options;
    struct proxy proxy;
    struct dt_httpd *mirror;
    struct transfer_admin *admin;
    bool is_running; /* the loops */
};

/* ---- the process ---- */

/* Every thread inherits the mask: signals are main's alone. */
static void block_signals(sigset_t *out)
{
    (void)sigemptyset(out);
    (void)sigaddset(out, SIGHUP);
    (void)sigaddset(out, SIGTERM);
    (void)sigaddset(out, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, out, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* A connection, its part file and its upstream are three descriptors: the usual 1024 are few. */
static void raise_file_limit(unsigned max_connections)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        dt_log_warn("file_limit", "err=%s", DT_LOG_Q(strerror(errno)));
    if (limit.rlim_cur < 3 * (rlim_t)max_connections)
        dt_log_warn("file_limit_low",
                    "limit=%" PRIu64 " max_connections=%u do=\"raise LimitNOFILE= or lower "
                    "max-connections\"",
                    (uint64_t)limit.rlim_cur, max_connections);
}

static void warn(void *arg, const char *text)
{
    (void)arg;
    dt_log_warn("options", "warning=%s", DT_LOG_Q(text));
}

static void start_log(const struct proxy_options *options)
{
    enum dt_log_level level = DT_LOG_INFO;
    DT_ASSERT(dt_log_level_parse(&level, options->log_level, NULL) == 0); /* load checked it */
    bool is_json = strcmp(options->log_format, "json") == 0;
    dt_log_start(STDERR_FILENO, level, is_json ? DT_LOG_JSON : DT_LOG_KV);
    dt_log_thread_name("main");
    proxy_options_warnings(options, warn, NULL);
}

/* ---- start ---- */

static int make_base(struct daemon *daemon, struct dt_err *err)
{
    const struct proxy_options *options = &daemon->options;
    struct proxy *proxy = &daemon->proxy;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned n_loops = options->loops != 0 ? options->loops : cores > 0 ? (unsigned)cores : 1;
    int rc = dt_loops_new(&proxy->transfer.loops, n_loops, err);
    if (rc == 0)
        rc = dt_pool_new(&proxy->transfer.pool,
                         options->workers != 0 ? options->workers : WORKERS_DEFAULT, err);
    if (rc == 0)
        rc = dt_fetcher_new(&proxy->transfer.fetcher, proxy->transfer.loops,
                            &(struct dt_fetcher_opts){.user_agent = "darter/" DARTER_VERSION}, err);
    if (rc == 0)
        rc = cache_open(&proxy->transfer.cache,
                        &(struct cache_opts){.dir = options->cache_dir,
                                             .max_bytes = options->cache_max_bytes,
                                             .min_free_bytes = options->cache_min_free_bytes,
                                             .pool = proxy->transfer.pool},
                        err);
    return rc;
}

static int make_parts(struct daemon *daemon, struct dt_err *err)
{
    struct proxy *proxy = &daemon->proxy;
    int rc = transfer_accounts_new(&proxy->transfer, err);
    if (rc == 0)
        rc = proxy_repositories_new(proxy, err);
    if (rc == 0)
        rc = proxy_pings_new(proxy, err);
    if (rc == 0)
        rc = transfer_tasks_new(&proxy->transfer, err);
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
        .handler = proxy_request_handle,
        .arg = &daemon->proxy,
        .pool = daemon->proxy.transfer.pool,
        .max_connections = options->max_connections,
    };
    int rc = dt_addr_parse(&opts.addr, options->listen, err);
    if (rc == 0 && options->tls_cert != NULL)
        rc = dt_tls_server_new(&opts.tls, options->tls_cert, options->tls_key, err);
    if (rc == 0)
        rc = dt_httpd_start(&daemon->mirror, daemon->proxy.transfer.loops, &opts, err);
    dt_tls_free(&opts.tls); /* the server has its own references */
    if (rc == 0)
        rc = proxy_admin_start(&daemon->admin, &daemon->proxy, err);
    return rc;
}

/* Legal, and useless: every blob would stream through, one line each, and nobody would see why. */
static void warn_of_no_room(const struct daemon *daemon)
{
    struct cache_usage usage;
    char free_text[24], floor_text[24];
    cache_usage(&usage, daemon->proxy.transfer.cache);
    if (!usage.is_usable || usage.free_bytes + usage.used_bytes > usage.min_free_bytes)
        return;
    dt_log_warn("cache_has_no_room", "free=%s cache_min_free=%s what=%s",
                DT_LOG_Q(dt_size_format(free_text, usage.free_bytes)),
                DT_LOG_Q(dt_size_format(floor_text, usage.min_free_bytes)),
                DT_LOG_Q("nothing will be cached: lower cache-min-free or use a larger disk"));
}

static void say_ready(const struct daemon *daemon)
{
    struct dt_addr addr;
    char text[300];
    DT_ASSERT(dt_addr_parse(&addr, daemon->options.listen, NULL) == 0);
    if (addr.unix_path[0] == '\0')
        addr.port = dt_httpd_port(daemon->mirror);
    dt_log_info("ready", "listen=%s admin=%s upstreams=%zu cache=%s", dt_addr_format(text, &addr),
                transfer_admin_address(daemon->admin), daemon->proxy.n_upstreams,
                DT_LOG_Q(daemon->options.cache_dir));
}

static int start(struct daemon *daemon, struct dt_err *err)
{
    struct proxy *proxy = &daemon->proxy;
    proxy->options = &daemon->options;
    proxy->transfer.options = &daemon->options.transfer;
    proxy->upstreams = daemon->options.upstreams.list;
    proxy->n_upstreams = daemon->options.upstreams.n;
    proxy->default_upstream = (size_t)(reg_upstream_find(proxy->upstreams, proxy->n_upstreams,
                                                         daemon->options.default_upstream) -
                                       proxy->upstreams);
    proxy->started_ms = dt_wall_ms();
    raise_file_limit(daemon->options.max_connections);
    int rc = make_base(daemon, err);
    if (rc == 0)
        rc = make_parts(daemon, err);
    if (rc == 0)
        rc = open_listeners(daemon, err);
    return rc;
}

/* ---- end ---- */

static void tasks_are_gone(void *arg)
{
    (void)sem_post(arg);
}

static void abort_tasks(struct proxy *proxy)
{
    sem_t gone;
    (void)sem_init(&gone, 0, 0);
    transfer_tasks_abort_all(&proxy->transfer, dt_loops_at(proxy->transfer.loops, 0),
                             tasks_are_gone, &gone);
    while (sem_wait(&gone) < 0 && errno == EINTR)
        continue;
    (void)sem_destroy(&gone);
}

static void stop(struct daemon *daemon)
{
    struct proxy *proxy = &daemon->proxy;
    atomic_store(&proxy->is_draining, true);
    if (daemon->mirror != NULL)
        dt_httpd_drain(daemon->mirror, daemon->options.drain_ms);
    if (daemon->is_running && proxy->transfer.tasks != NULL)
        abort_tasks(proxy);
    if (daemon->admin != NULL)
        transfer_admin_stop(daemon->admin);
    if (daemon->is_running && proxy->transfer.cache != NULL)
        cache_quiesce(proxy->transfer.cache); /* aborted writers end on their loops */
    if (daemon->is_running)
        dt_loops_stop(proxy->transfer.loops);
    transfer_admin_free(&daemon->admin);
    dt_httpd_free(&daemon->mirror);
    transfer_tasks_free(&proxy->transfer);
    proxy_pings_free(proxy);
    proxy_repositories_free(proxy);
    transfer_accounts_free(&proxy->transfer);
    cache_close(&proxy->transfer.cache);
    dt_fetcher_free(&proxy->transfer.fetcher);
    dt_pool_free(&proxy->transfer.pool);
    dt_loops_free(&proxy->transfer.loops);
}

/* ---- between ---- */

/* Returns the signal that ends us. */
static int serve(struct daemon *daemon, const sigset_t *signals, int argc, char **argv)
{
    for (;;) {
        uint64_t wait_ms = proxy_upkeep_scrub(&daemon->proxy, &daemon->options, dt_wall_ms());
        struct timespec timeout = {.tv_sec = (time_t)(wait_ms / 1000),
                                   .tv_nsec = (long)(wait_ms % 1000) * 1000000};
        int number = sigtimedwait(signals, NULL, &timeout);
        if (number == SIGHUP)
            proxy_upkeep_reload(&daemon->options,
                                &(struct proxy_parts){.proxy = &daemon->proxy,
                                                      .admin = daemon->admin,
                                                      .mirror = daemon->mirror},
                                argc, argv);
        else if (number > 0)
            return number;
    }
}

int main(int argc, char **argv)
{
    struct daemon daemon = {0};
    struct dt_err err = {0};
    sigset_t signals;
    block_signals(&signals);
    int rc = proxy_options_load(&daemon.options, argc, argv, &err);
    if (rc > 0)
        return EXIT_SUCCESS; /* --help and its like were served */
    if (rc < 0) {
        (void)fprintf(stderr, "darter-proxy: %s\n", err.msg);
        return EXIT_OPTIONS;
    }
    start_log(&daemon.options);
    rc = start(&daemon, &err);
    if (rc < 0) {
        dt_log_error("not_started", "err=%s", DT_LOG_Q(err.msg));
    } else {
        warn_of_no_room(&daemon);
        say_ready(&daemon);
        int number = serve(&daemon, &signals, argc, argv);
        dt_log_info("stopping", "signal=%s drain_ms=%" PRIu64,
                    number == SIGINT ? "SIGINT" : "SIGTERM", daemon.options.drain_ms);
    }
    stop(&daemon);
    dt_log_info("stopped", "uptime_s=%" PRIu64,
                daemon.proxy.started_ms != 0 ? (dt_wall_ms() - daemon.proxy.started_ms) / 1000 : 0);
    dt_log_stop();
    proxy_options_fini(&daemon.options);
    return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
