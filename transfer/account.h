/*
 * transfer/account.h - our own accounts at upstreams' endpoints (mode B), as request headers.
 *
 * One token cache per loop and endpoint, made on first use, on that loop.
 */
#ifndef DARTER_TRANSFER_ACCOUNT_H
#define DARTER_TRANSFER_ACCOUNT_H

#include "transfer/transfer.h"
#include "registry-client/token.h"

void transfer_accounts_new(struct transfer *);
void transfer_accounts_free(struct transfer *);
/* The calling loop's token cache for this endpoint. Borrowed. For an endpoint without credentials
 * it fetches anonymous tokens (used to learn whether a repository is public). */
struct reg_tokens *transfer_account_tokens(struct transfer *, struct reg_endpoint *);

#endif
