/*
 * proxy/options_priv.h - the two halves of reading options: scalars (options.c) and the list of
 * upstreams (options_upstreams.c). Private to them.
 */
#ifndef DARTER_PROXY_OPTIONS_PRIV_H
#define DARTER_PROXY_OPTIONS_PRIV_H

#include "proxy/options.h"

#define OPTIONS_UPSTREAMS_MAX 1024

/* on_section of proxy_config_spec: takes `upstreams`. */
int options_take_section(void *options, const char *key, const struct dt_yaml *node,
                         struct dt_err *err);
extern const char options_sections_sample[];

/* Merges --upstream over the file's list; docker.io when nothing is named; checks the default. */
int options_finish_upstreams(struct proxy_options *, struct dt_err *err);
void options_free_upstreams(struct proxy_options *);

#endif
