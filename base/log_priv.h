/*
 * base/log_priv.h - how a log event becomes a line: pure, so that a table can test it.
 */
#ifndef DARTER_BASE_LOG_PRIV_H
#define DARTER_BASE_LOG_PRIV_H

#include <stddef.h>

#include "base/text.h"

#define LOG_QUEUE_MAX 4096
/* With the newline; PIPE_BUF, so that lines of two writers do not mix. */
#define LOG_LINE_MAX 4096

struct log_event {
    const char *time;
    const char *level;
    const char *thread;
    const char *component;
    const char *event;
    const char *body; /* "key=value key=\"quoted value\"" */
};

/* Append one line of at most LOG_LINE_MAX bytes, newline included. */
void dt_log_format_kv(struct dt_text *out, const struct log_event *);
void dt_log_format_json(struct dt_text *out, const struct log_event *);

/* DT_LOG_Q() into a given buffer; a long value ends in "...". Returns out. */
const char *dt_log_quote(char *out, size_t out_size, const char *value);

#endif
