/*
 * registry-client/challenge.h - WWW-Authenticate as registries send it. Pure.
 *
 * RFC 9110 11.6.1; the Bearer parameters realm, service and scope are the distribution token
 * specification's. Several challenges in one header or several headers are understood; Bearer is
 * preferred to Basic.
 */
#ifndef DARTER_REGISTRY_CLIENT_CHALLENGE_H
#define DARTER_REGISTRY_CLIENT_CHALLENGE_H

#include "base/err.h"

enum reg_scheme { REG_AUTH_NONE, REG_AUTH_BASIC, REG_AUTH_BEARER };
struct reg_challenge {
    enum reg_scheme scheme;
    char realm[1024];
    char service[256];
    char scope[512];
    char error[64]; /* "insufficient_scope", "invalid_token" */
};
/* Errors: DT_EPROTO (no challenge understood, or longer than the fields above). */
int reg_challenge_parse(struct reg_challenge *out, const char *www_authenticate, struct dt_err *);

#endif
