/*
 * transfer/account.c - our own tokens: per loop, one cache for each endpoint that was asked about.
 *
 * The array of loops is made at start; each cache is made on its own loop when first wanted and
 * stays: there are as many as endpoints in the configuration.
 */
#include "transfer/account.h"

#include <stdlib.h>

#include <uthash.h>

#include "base/mem.h"

struct account {
    const struct reg_endpoint *endpoint; /* key */
    struct reg_tokens *tokens;           /* owned */
    UT_hash_handle hh;
};

struct transfer_accounts {
    unsigned n_loops;
    struct account **by_endpoint; /* one table per loop */
};

void transfer_accounts_new(struct transfer *transfer)
{
    struct transfer_accounts *accounts = dt_new(struct transfer_accounts);
    accounts->n_loops = dt_loops_count(transfer->loops);
    accounts->by_endpoint = dt_new_array(struct account *, accounts->n_loops);
    transfer->accounts = accounts;
}

struct reg_tokens *transfer_account_tokens(struct transfer *transfer, struct reg_endpoint *endpoint)
{
    struct dt_loop *loop = dt_loop_current();
    struct account **table, *account;

    DT_ASSERT(loop != NULL);
    table = &transfer->accounts->by_endpoint[dt_loop_index(loop)];
    HASH_FIND_PTR(*table, &endpoint, account);
    if (account != NULL)
        return account->tokens;
    account = dt_new(struct account);
    account->endpoint = endpoint;
    account->tokens =
        reg_tokens_new(loop, endpoint->has_credentials ? &endpoint->credentials : NULL,
                       endpoint->ca_file, endpoint->insecure_tls);
    HASH_ADD_PTR(*table, endpoint, account);
    return account->tokens;
}

void transfer_accounts_free(struct transfer *transfer)
{
    struct transfer_accounts *accounts = transfer->accounts;
    struct account *account, *next;

    if (accounts == NULL)
        return;
    for (unsigned i = 0; i < accounts->n_loops; i++) {
        HASH_ITER (hh, accounts->by_endpoint[i], account, next) {
            HASH_DEL(accounts->by_endpoint[i], account);
            reg_tokens_free(&account->tokens);
            free(account);
        }
    }
    free(accounts->by_endpoint);
    dt_free(&transfer->accounts);
}
