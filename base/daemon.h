/*
 * base/daemon.h - what every daemon does as a process: signals, limits, its log, a reload.
 *
 *   block_signals -> options -> start_log -> start ... wait* ... say_stopping -> stop -> end_log
 *
 * Main thread only.
 */
#ifndef DARTER_BASE_DAEMON_H
#define DARTER_BASE_DAEMON_H

#include <signal.h>

#include "base/config.h"
#include "base/key.h"

/* SIGHUP, SIGTERM and SIGINT are main's alone (every thread made later inherits the mask); SIGPIPE
 * is ignored. */
void dt_daemon_block_signals(sigset_t *out);
/* Waits for one of them; 0 = none came within `timeout_ms`. */
int dt_daemon_wait(const sigset_t *, uint64_t timeout_ms);
/* To the hard limit; warns when that is too little for so many connections, `others` (files and
 * outgoing connections that grow with the load), and what a process always has open. */
void dt_daemon_raise_file_limit(unsigned max_connections, unsigned others);
/* Says on stderr, where there is no log yet, why the options are wrong. Returns the exit status. */
int dt_daemon_refuse(const char *program, const struct dt_err *);
/* `level` and `format` were checked when the options were read. */
void dt_daemon_start_log(const char *level, const char *format);
/* For warnings of options: dt_log_warn("options"). `arg` is not used. */
void dt_daemon_warn(void *arg, const char *text);
/* 0 = one for each core. */
unsigned dt_daemon_loops(unsigned asked);
/* `signal_number` ends us. */
void dt_daemon_say_stopping(int signal_number, uint64_t drain_ms);
/* The last word; nothing is logged after it. `started_ms`: wall clock. */
void dt_daemon_end_log(uint64_t started_ms);

/* SIGHUP: says for each option that differs whether it changes now or needs a restart. */
void dt_daemon_report_changes(const void *before, const void *after, const struct dt_config_spec *);
/* Reads the cluster's keys again and says which they are, or why the old ones stay. */
void dt_daemon_reload_keys(struct dt_keys *, const char *file);
/* Takes the fresh value over and applies it. */
void dt_daemon_change_log_level(char **level, const char *fresh);
/* The file that options are read from: `named` (or NULL), else `default_file` when it is there,
 * else "none". Borrowed. */
const char *dt_daemon_file(const char *named, const char *default_file);

#endif
