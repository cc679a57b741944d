/*
 * registry-client/upstreams.h - the list of registries a daemon knows: from the file's `upstreams:`
 * and from --upstream flags.
 *
 *   zeroed -> reg_upstreams_take_section()? -> reg_upstreams_finish() -> read-only -> fini()
 *
 * Main thread only; read-only once the loops run (but for the endpoints' health, which is atomic).
 */
#ifndef DARTER_REGISTRY_CLIENT_UPSTREAMS_H
#define DARTER_REGISTRY_CLIENT_UPSTREAMS_H

#include "base/config.h"
#include "registry-client/endpoint.h"

#define REG_UPSTREAMS_MAX 1024

struct reg_upstreams {
    struct reg_upstream *list; /* owned */
    size_t n;
};

/* For on_section of a daemon's options: 1 = taken (the key is `upstreams`), 0 = another key,
 * negative = err says what is wrong and on which line. */
int reg_upstreams_take_section(struct reg_upstreams *, const char *key, const struct dt_yaml *node,
                               struct dt_err *err);
extern const char reg_upstreams_sample[]; /* the section, documented, for a sample file */

/* Merges --upstream flags (NAME=URL[,URL...]) over the list, takes Docker Hub when nothing is
 * named, and checks *default_name: NULL becomes the first upstream's name. Owned string. */
int reg_upstreams_finish(struct reg_upstreams *, const struct dt_strings *flags,
                         char **default_name, struct dt_err *err);
/* Names, endpoints and how they are used; health is no part of it. */
bool reg_upstreams_are_same(const struct reg_upstreams *, const struct reg_upstreams *);
void reg_upstreams_fini(struct reg_upstreams *);

#endif
