/*
 * base/log.h - one event per line, key=value or JSON, for people at 03:00 and for machines.
 *
 *   2026-11-22T20:05:01.123Z WARN loop0 fetch endpoint_down upstream=docker.io endpoint=...
 *
 * Levels: ERROR = a person must act, WARN = we coped, INFO = life cycle, DEBUG = per request.
 * Lines are queued and written by one background thread, so a loop never waits for stderr; when
 * the queue (LOG_QUEUE_MAX lines) is full, lines are counted and dropped and the count is logged.
 * Values are escaped: a stranger's bytes can neither break a line nor forge a key. Any thread.
 */
#ifndef DARTER_BASE_LOG_H
#define DARTER_BASE_LOG_H

#include "base/err.h"

enum dt_log_level { DT_LOG_ERROR, DT_LOG_WARN, DT_LOG_INFO, DT_LOG_DEBUG };
enum dt_log_format { DT_LOG_KV, DT_LOG_JSON };

/* Starts the writer thread on `fd` (borrowed, usually 2). Before it, lines go to stderr at once. */
void dt_log_start(int fd, enum dt_log_level, enum dt_log_format);
/* Writes what is queued and stops the thread. */
void dt_log_stop(void);
/* Writes what is queued on the calling thread, if that is possible within a second or so: the last
 * act before an abort. */
void dt_log_flush(void);
void dt_log_set_level(enum dt_log_level);
int dt_log_level_parse(enum dt_log_level *out, const char *text, struct dt_err *err);
/* Names the calling thread in its lines ("loop0", "pool2"); at most 15 characters. */
void dt_log_thread_name(const char *name);
bool dt_log_enabled(enum dt_log_level);

/* `component` is defined per file: #define LOG_COMPONENT "fetch" before including this header.
 * `event` is a snake_case word; `fmt` prints `key=value key=value`. A value that may hold spaces,
 * quotes or a stranger's bytes is printed with "key=%s" and DT_LOG_Q(value). */
void dt_log_line(enum dt_log_level, const char *component, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Quotes and escapes into a small per-thread ring (8 slots): valid until the 8th next call. */
const char *DT_LOG_Q(const char *value);

#ifndef LOG_COMPONENT
#define LOG_COMPONENT "-"
#endif
#define dt_log_error(event, ...) dt_log_line(DT_LOG_ERROR, LOG_COMPONENT, event, __VA_ARGS__)
#define dt_log_warn(event, ...)  dt_log_line(DT_LOG_WARN, LOG_COMPONENT, event, __VA_ARGS__)
#define dt_log_info(event, ...)  dt_log_line(DT_LOG_INFO, LOG_COMPONENT, event, __VA_ARGS__)
#define dt_log_debug(event, ...)                                                                   \
    do {                                                                                           \
        if (dt_log_enabled(DT_LOG_DEBUG))                                                          \
            dt_log_line(DT_LOG_DEBUG, LOG_COMPONENT, event, __VA_ARGS__);                          \
    } while (0)

#endif
