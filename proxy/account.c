/*
 * proxy/account.c - our own tokens: per loop, one cache for each endpoint that was asked about.
 *
 * The array of loops is made at start; each cache is made on its own loop when first wanted and
 * stays: there are as many as endpoints in the configuration.
 */
#include "proxy/account.h"

#include <stdlib.h>

#include <uthash.h>

#include "base/mem.h"

struct account {
    const struct reg_endpoint *endpoint; /* key */
    struct reg_tokens *tokens;           /* owned */
    UT_hash_handle hh;
};

struct proxy_accounts {
    unsigned n_loops;
    struct account **by_endpoint; /* one table per loop */
};

int proxy_accounts_new(struct proxy *proxy, struct dt_err *err)
{
    struct proxy_accounts *accounts = dt_new(struct proxy_accounts);

    (void)err; /* nothing here fails; the signature is that of its siblings */
    accounts->n_loops = dt_loops_count(proxy->loops);
    accounts->by_endpoint = dt_new_array(struct account *, accounts->n_loops);
    proxy->accounts = accounts;
    return 0;
}

struct reg_tokens *proxy_account_tokens(struct proxy *proxy, struct reg_endpoint *endpoint)
{
    struct dt_loop *loop = dt_loop_current();
    struct account **table, *account;

    DT_ASSERT(loop != NULL);
    table = &proxy->accounts->by_endpoint[dt_loop_index(loop)];
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

void proxy_accounts_free(struct proxy *proxy)
{
    struct proxy_accounts *accounts = proxy->accounts;
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
    dt_free(&proxy->accounts);
}
