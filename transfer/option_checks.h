/*
 * transfer/option_checks.h - what a single value cannot show wrong, for the rows of option_rows.h
 * and their like.
 *
 * All return 0 or -DT_EINVAL with a text that begins with the option's name.
 */
#ifndef DARTER_TRANSFER_OPTION_CHECKS_H
#define DARTER_TRANSFER_OPTION_CHECKS_H

#include "base/config.h"
#include "base/httpd.h"
#include "transfer/transfer.h"

int transfer_check_range(const char *name, uint64_t value, uint64_t min, uint64_t max,
                         struct dt_err *err);
int transfer_check_duration(const char *name, uint64_t ms, uint64_t min_ms, uint64_t max_ms,
                            struct dt_err *err);
/* Bytes per second; 0 = no limit. */
int transfer_check_limit(const char *name, uint64_t bytes, struct dt_err *err);
int transfer_check_sources(const struct transfer_options *, struct dt_err *err);
int transfer_check_address(struct dt_addr *out, const char *name, const char *text,
                           struct dt_err *err);
/* `name` is what `option` was given: a node, a site, a rack. NULL is fine. */
int transfer_check_name(const char *option, const char *name, struct dt_err *err);
/* "http://HOST:PORT": each is replaced by its canonical form; a path and a second naming of the
 * same place are refused. */
int transfer_check_places(const char *option, struct dt_strings *urls, struct dt_err *err);

struct transfer_required {
    const char *name, *value;
};
/* An empty value is "not given", and these have to be. */
int transfer_check_required(const struct transfer_required *, size_t n, struct dt_err *err);

/* The host name, or `other` when that is no name. Owned. */
char *transfer_default_name(const char *other);

#endif
