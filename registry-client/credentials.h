/*
 * registry-client/credentials.h - our own accounts for registries, where the config names them.
 *
 * From the config (username + password-file) or a Docker config.json ("auths" with "auth" or
 * "username"/"password"/"identitytoken"; credential helpers are not run and said so). Read on main
 * at start and on SIGHUP; afterwards immutable. Secrets are never logged and are wiped on free.
 */
#ifndef DARTER_REGISTRY_CLIENT_CREDENTIALS_H
#define DARTER_REGISTRY_CLIENT_CREDENTIALS_H

#include "base/err.h"

struct reg_credentials {
    char *username;       /* owned */
    char *password;       /* owned */
    char *identity_token; /* owned; "" = none */
};
/* The first line of the file is the password (mode must not be readable by others: warned). */
int reg_credentials_from_file(struct reg_credentials *out, const char *username,
                              const char *password_file, struct dt_err *);
/* `host` as in the file's keys: "harbor.test:1234", "https://index.docker.io/v1/" for docker.io. */
int reg_credentials_from_docker_config(struct reg_credentials *out, const char *file,
                                       const char *host, struct dt_err *);
int reg_credentials_parse_docker_config(struct reg_credentials *out, const char *json, size_t len,
                                        const char *host, struct dt_err *); /* pure, fuzzed */
void reg_credentials_fini(struct reg_credentials *);
/* "Basic dXNlcjpwYXNz"; caller frees (and wipes). */
char *reg_credentials_basic(const struct reg_credentials *);

#endif
