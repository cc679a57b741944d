/*
 * registry-client/secret_priv.h - the one way to release a string that holds a secret.
 */
#ifndef DARTER_REGISTRY_CLIENT_SECRET_PRIV_H
#define DARTER_REGISTRY_CLIENT_SECRET_PRIV_H

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

/* Wipes, frees, sets to NULL. Harmless on NULL. */
static inline void reg_secret_free(char **secret)
{
    if (*secret != NULL)
        explicit_bzero(*secret, strlen(*secret));
    dt_free(secret);
}

#endif
