/*
 * proxy/account.h - our own accounts at upstreams' endpoints (mode B), as request headers.
 *
 * One token cache per loop and endpoint, made on first use, on that loop.
 */
#ifndef DARTER_PROXY_ACCOUNT_H
#define DARTER_PROXY_ACCOUNT_H

#include "proxy/proxy.h"
#include "registry-client/token.h"

int proxy_accounts_new(struct proxy *, struct dt_err *err);
void proxy_accounts_free(struct proxy *);
/* The calling loop's token cache for this endpoint. Borrowed. For an endpoint without credentials
 * it fetches anonymous tokens (used to learn whether a repository is public). */
struct reg_tokens *proxy_account_tokens(struct proxy *, struct reg_endpoint *);

#endif
