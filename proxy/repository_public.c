/*
 * proxy/repository_public.c - may anybody read here?
 *
 *   (HEAD without a header) -> yes | 401 -> (anonymous token) -> (HEAD with it) -> yes | no
 *
 * Asked in the background, at most once per life of a grant. A yes counts as everybody's grant for
 * that long; and while upstream is away it lets everybody have what is cached. It is noted in the
 * cache, so that a node which restarts during an outage still serves public images.
 */
#define LOG_COMPONENT "repository"
#include "proxy/repository_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "transfer/account.h"
#include "registry-client/manifest.h"

#define CHECK_MAGIC     0x7075626cU
#define CHECK_BUDGET_MS 10000u
#define CHECK_NO_MS     300000u /* a private repository is not asked about again for so long */

struct repository_public_check {
    unsigned magic;
    struct repository *repository;
    char *path;
    bool is_manifest;
    bool is_there;
    bool has_token;
    struct transfer_ask *ask;
    struct reg_token_request *token;
};

static char *note_key(const struct repository *repository)
{
    return dt_asprintf("public/%s", repository->key);
}

void repository_public_load(struct repository *repository)
{
    struct proxy *proxy = repository->table->proxy;
    uint64_t stale_ms = proxy->options->tag_stale_ms, now_ms = dt_wall_ms();
    char *key = note_key(repository), *note = NULL;
    unsigned long long noted_ms = 0;

    if (cache_note_get(&note, proxy->transfer.cache, key, NULL) == 0 &&
        dt_text_parse_u64(&noted_ms, note, strlen(note)) && noted_ms > 0 && noted_ms <= now_ms &&
        now_ms - noted_ms < stale_ms)
        proxy_grants_set_public(&repository->grants, repository_now_ms(repository), 0,
                                stale_ms - (now_ms - noted_ms));
    free(note);
    free(key);
}

static void note_write(struct repository *repository, uint64_t wall_ms)
{
    char *key = note_key(repository), *value = dt_asprintf("%llu", (unsigned long long)wall_ms);

    cache_note_put(repository->table->proxy->transfer.cache, key, value);
    free(value);
    free(key);
}

void repository_public_set(struct repository *repository)
{
    const struct proxy_options *options = repository->table->proxy->options;
    uint64_t now_ms = repository_now_ms(repository);

    /* Once per life is enough: every anonymous request would write a note else. */
    if (repository->grants.public_until_ms > now_ms)
        return;
    proxy_grants_set_public(&repository->grants, now_ms, options->grant_ttl_ms,
                            options->tag_stale_ms);
    repository->next_check_ms = now_ms + options->grant_ttl_ms;
    note_write(repository, dt_wall_ms());
}

static void check_free(struct repository_public_check *check)
{
    check->repository->check = NULL;
    transfer_ask_cancel(&check->ask);
    reg_tokens_cancel(&check->token);
    free(check->path);
    check->magic = 0;
    free(check);
}

void repository_public_free(struct repository *repository)
{
    if (repository->check != NULL)
        check_free(repository->check);
}

/* A definite no. What was believed before is taken back. */
static void check_says_no(struct repository *repository)
{
    const struct proxy_grant_key anonymous = proxy_grant_key_of(NULL);

    if (repository->grants.public_grace_until_ms != 0) {
        dt_log_info("no_longer_public", "repository=%s", DT_LOG_Q(repository->key));
        note_write(repository, 0);
    }
    proxy_grants_forget_public(&repository->grants);
    proxy_grants_forget(&repository->grants, &anonymous);
    repository->next_check_ms = repository_now_ms(repository) + CHECK_NO_MS;
}

static void check_ask(struct repository_public_check *, const char *authorization);

static void on_token(void *arg, const char *authorization, const struct dt_err *err)
{
    struct repository_public_check *check = arg;

    DT_ASSERT(check->magic == CHECK_MAGIC);
    check->token = NULL;
    if (authorization != NULL) {
        check->has_token = true;
        check_ask(check, authorization);
        return;
    }
    if (err->code == DT_EUNAUTHORIZED)
        check_says_no(check->repository);
    check_free(check);
}

/* Where anonymous callers need a token, we get one like any client. An endpoint with an account of
 * ours cannot tell us what strangers may do. */
static bool check_gets_token(struct repository_public_check *check,
                             const struct transfer_ask_answer *answer)
{
    struct repository *repository = check->repository;
    struct reg_endpoint *endpoint = &repository->upstream->endpoints[answer->endpoint];
    const char *text =
        answer->fetch != NULL ? dt_fetch_header(answer->fetch, "www-authenticate") : NULL;
    struct reg_challenge challenge;
    char *scope;

    if (check->has_token || endpoint->has_credentials || text == NULL ||
        reg_challenge_parse(&challenge, text, NULL) < 0 || challenge.scheme != REG_AUTH_BEARER)
        return false;
    scope = dt_asprintf("repository:%s:pull", repository->name);
    check->token =
        reg_tokens_get(transfer_account_tokens(&repository->table->proxy->transfer, endpoint),
                       &challenge, scope, on_token, check);
    free(scope);
    return true;
}

static bool is_no(const struct repository_public_check *check, int status)
{
    /* Some registries hide what is private behind a 404. */
    return status == 401 || status == 403 || (status == 404 && check->is_there);
}

static void on_checked(void *arg, const struct transfer_ask_answer *answer)
{
    struct repository_public_check *check = arg;

    DT_ASSERT(check->magic == CHECK_MAGIC);
    check->ask = NULL;
    if (answer->err.code == 0 && answer->status >= 200 && answer->status < 300)
        repository_public_set(check->repository);
    else if (answer->err.code == 0 && answer->status == 401 && check_gets_token(check, answer))
        return;
    else if (answer->err.code == 0 && is_no(check, answer->status))
        check_says_no(check->repository);
    check_free(check);
}

static void check_ask(struct repository_public_check *check, const char *authorization)
{
    struct repository *repository = check->repository;

    check->ask = transfer_ask_start(
        &(struct transfer_ask_opts){
            .transfer = &repository->table->proxy->transfer,
            .upstream = repository->upstream,
            .method = "HEAD",
            .path = check->path,
            .repository = repository->name,
            .accept = check->is_manifest ? REG_ACCEPT_ALL_MANIFESTS : NULL,
            .authorization = authorization,
            .budget_ms = CHECK_BUDGET_MS,
        },
        on_checked, check);
}

void repository_public_check(struct repository_call *call, bool is_there)
{
    struct repository *repository = call->repository;
    struct repository_public_check *check;
    uint64_t now_ms = repository_now_ms(repository);

    if (call->upstream->own_credentials || repository->check != NULL ||
        repository->next_check_ms > now_ms)
        return;
    check = dt_new(struct repository_public_check);
    check->magic = CHECK_MAGIC;
    check->repository = repository;
    check->is_manifest = call->kind == CALL_MANIFEST;
    check->is_there = is_there;
    check->path = dt_asprintf("/v2/%s/%s/%s", repository->name,
                              check->is_manifest ? "manifests" : "blobs", call->reference.text);
    repository->check = check;
    repository->next_check_ms = now_ms + call->proxy->options->grant_ttl_ms;
    check_ask(check, NULL);
}
