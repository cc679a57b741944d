/*
 * registry-client/host_priv.h - "host[:port]" as it stands in image names, URLs and upstream names.
 *
 * Pure. DNS names, IPv4 and bracketed IPv6 addresses; the result is lower case, because names of
 * registries are compared byte by byte from there on.
 */
#ifndef DARTER_REGISTRY_CLIENT_HOST_PRIV_H
#define DARTER_REGISTRY_CLIENT_HOST_PRIV_H

#include <stddef.h>

#include "base/err.h"

#define REG_HOST_SIZE 262 /* 255 of name, ':' and five digits of port, NUL */

/* Errors: DT_EINVAL. */
int reg_host_parse(char out[REG_HOST_SIZE], const char *text, size_t len, struct dt_err *err);

#endif
