/*
 * base/daemon.c - a daemon as a process: signals, limits, its log, what a reload says.
 *
 * Every daemon has a main.c of its own that makes its parts in order; what is the same in all of
 * them is here. Main thread only.
 */
#define LOG_COMPONENT "main"
#include "base/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"

/* Listeners, loops, the cache's index, fetches and files of what runs in the background. */
#define OWN_FILES 1024u

#define EXIT_OPTIONS 2

/* ---- the process ---- */

void dt_daemon_block_signals(sigset_t *out)
{
    (void)sigemptyset(out);
    (void)sigaddset(out, SIGHUP);
    (void)sigaddset(out, SIGTERM);
    (void)sigaddset(out, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, out, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

int dt_daemon_wait(const sigset_t *signals, uint64_t timeout_ms)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    int number = sigtimedwait(signals, NULL, &timeout);
    return number > 0 ? number : 0;
}

void dt_daemon_raise_file_limit(unsigned max_connections, unsigned others)
{
    struct rlimit limit;
    uint64_t wanted = (uint64_t)max_connections + others + OWN_FILES;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        dt_log_warn("file_limit", "err=%s", DT_LOG_Q(strerror(errno)));
    if (limit.rlim_cur < wanted)
        dt_log_warn("file_limit_low",
                    "limit=%" PRIu64 " wanted=%" PRIu64 " max_connections=%u "
                    "do=\"raise LimitNOFILE= or lower max-connections\"",
                    (uint64_t)limit.rlim_cur, wanted, max_connections);
}

int dt_daemon_refuse(const char *program, const struct dt_err *err)
{
    (void)fprintf(stderr, "%s: %s\n", program, err->msg);
    return EXIT_OPTIONS;
}

void dt_daemon_start_log(const char *level_text, const char *format)
{
    enum dt_log_level level = DT_LOG_INFO;
    DT_ASSERT(dt_log_level_parse(&level, level_text, NULL) == 0);
    dt_log_start(STDERR_FILENO, level, strcmp(format, "json") == 0 ? DT_LOG_JSON : DT_LOG_KV);
    dt_log_thread_name("main");
}

void dt_daemon_warn(void *arg, const char *text)
{
    (void)arg;
    dt_log_warn("options", "warning=%s", DT_LOG_Q(text));
}

unsigned dt_daemon_loops(unsigned asked)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (asked != 0)
        return asked;
    return cores > 0 ? (unsigned)cores : 1;
}

void dt_daemon_say_stopping(int signal_number, uint64_t drain_ms)
{
    dt_log_info("stopping", "signal=%s drain_ms=%" PRIu64,
                signal_number == SIGINT ? "SIGINT" : "SIGTERM", drain_ms);
}

void dt_daemon_end_log(uint64_t started_ms)
{
    dt_log_info("stopped", "uptime_s=%" PRIu64, (dt_wall_ms() - started_ms) / 1000);
    dt_log_stop();
}

/* ---- a reload ---- */

/* Option values as text, in the order of the table. */
struct texts {
    char **values; /* owned */
    size_t n;
};

static void collect(void *arg, const char *name, const char *value)
{
    struct texts *texts = arg;
    (void)name;
    texts->values = dt_realloc(texts->values, (texts->n + 1) * sizeof texts->values[0]);
    texts->values[texts->n++] = dt_strdup(value);
}

static void texts_fini(struct texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        free(texts->values[i]);
    free(texts->values);
}

void dt_daemon_report_changes(const void *before, const void *after,
                              const struct dt_config_spec *spec)
{
    struct texts was = {0}, is = {0};
    dt_config_each(before, spec, collect, &was);
    dt_config_each(after, spec, collect, &is);
    for (size_t i = 0; i < was.n; i++) {
        const struct dt_option *row = &spec->options[i];
        if (strcmp(was.values[i], is.values[i]) == 0)
            continue;
        if (row->is_reloadable)
            dt_log_info("option_changed", "option=%s from=%s to=%s", row->name,
                        DT_LOG_Q(was.values[i]), DT_LOG_Q(is.values[i]));
        else
            dt_log_warn("restart_needed", "option=%s running=%s file=%s", row->name,
                        DT_LOG_Q(was.values[i]), DT_LOG_Q(is.values[i]));
    }
    texts_fini(&was);
    texts_fini(&is);
}

void dt_daemon_reload_keys(struct dt_keys *keys, const char *file)
{
    struct dt_err err = {0};
    char text[DT_KEYS_TEXT_MAX];
    if (dt_keys_reload(keys, &err) < 0)
        dt_log_error("cluster_key_kept", "keeping=%s err=%s", DT_LOG_Q(dt_keys_print(text, keys)),
                     DT_LOG_Q(err.msg));
    else
        dt_log_info("cluster_key_read", "file=%s keys=%s", DT_LOG_Q(file),
                    DT_LOG_Q(dt_keys_print(text, keys)));
}

void dt_daemon_change_log_level(char **level_text, const char *fresh)
{
    enum dt_log_level level;
    free(*level_text);
    *level_text = dt_strdup(fresh);
    if (dt_log_level_parse(&level, *level_text, NULL) == 0)
        dt_log_set_level(level);
}

const char *dt_daemon_file(const char *named, const char *default_file)
{
    if (named != NULL)
        return named;
    return access(default_file, F_OK) == 0 ? default_file : "none";
}
