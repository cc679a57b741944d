/*
 * proxy/repository.c - the tables of repositories, and a call's way to its home loop and back.
 *
 *   call: NEW -> (posted) -> BEGUN on the home loop -> steps -> ANSWERED -> (posted) -> done()
 *
 * A repository is made by the first call for it and forgotten when the table is full and nothing
 * is going on in it: what must last is in the cache. Story of the rules: proxy/repository.h.
 */
#define LOG_COMPONENT "repository"
#include "proxy/repository.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proxy/repository_priv.h"

#define REPOSITORY_MAGIC 0x7265706fU
#define CALL_MAGIC       0x63616c6cU

struct proxy_repositories {
    unsigned n_loops;
    struct repository_table *tables; /* one per loop */
};

const char *proxy_freshness_word(enum proxy_freshness freshness)
{
    static const char *const words[] = {
        [PROXY_HIT] = "HIT", [PROXY_MISS] = "MISS", [PROXY_STALE] = "STALE"};
    return words[freshness];
}

void proxy_refusal_fini(struct proxy_refusal *refusal)
{
    dt_free(&refusal->www_authenticate);
}

void proxy_repositories_new(struct proxy *proxy)
{
    struct proxy_repositories *repositories = dt_new(struct proxy_repositories);
    repositories->n_loops = dt_loops_count(proxy->transfer.loops);
    repositories->tables = dt_new_array(struct repository_table, repositories->n_loops);
    for (unsigned i = 0; i < repositories->n_loops; i++) {
        repositories->tables[i].proxy = proxy;
        repositories->tables[i].loop = dt_loops_at(proxy->transfer.loops, i);
    }
    proxy->repositories = repositories;
}

static void repository_free(struct repository *repository)
{
    HASH_DEL(repository->table->by_key, repository);
    repository_flights_free(repository);
    repository_public_free(repository);
    repository_touches_free(repository);
    repository_pending_free(repository);
    proxy_grants_fini(&repository->grants);
    free(repository->negatives);
    free(repository->name);
    free(repository->key);
    repository->magic = 0;
    free(repository);
}

void proxy_repositories_free(struct proxy *proxy)
{
    struct proxy_repositories *repositories = proxy->repositories;
    struct repository *repository, *next;

    if (repositories == NULL)
        return;
    for (unsigned i = 0; i < repositories->n_loops; i++)
        HASH_ITER (hh, repositories->tables[i].by_key, repository, next)
            repository_free(repository);
    free(repositories->tables);
    dt_free(&proxy->repositories);
}

/* ---- finding a repository ---- */

static bool repository_is_idle(const struct repository *repository)
{
    return repository->flights == NULL && repository->pending == NULL &&
           repository->check == NULL && repository->n_touching == 0 && repository->n_calls == 0;
}

/* Room for one more: the least recently used one that is idle goes. */
static bool table_make_room(struct repository_table *table)
{
    struct repository *repository, *next;

    if (HASH_COUNT(table->by_key) < PROXY_REPOSITORIES_MAX)
        return true;
    HASH_ITER (hh, table->by_key, repository, next) {
        if (!repository_is_idle(repository))
            continue;
        repository_free(repository);
        return true;
    }
    return false;
}

static char *repository_key(const struct reg_upstream *upstream, const char *name)
{
    return dt_asprintf("%s/%s", upstream->name, name);
}

/* NULL = the table is full of busy ones. */
static struct repository *table_get(struct repository_table *table, struct reg_upstream *upstream,
                                    const char *name)
{
    char *key = repository_key(upstream, name);
    struct repository *repository;

    HASH_FIND_STR(table->by_key, key, repository);
    if (repository != NULL) {
        /* To the end of the order: the first is the least recently used. */
        HASH_DEL(table->by_key, repository);
        HASH_ADD_KEYPTR(hh, table->by_key, repository->key, strlen(repository->key), repository);
        free(key);
        return repository;
    }
    if (!table_make_room(table)) {
        free(key);
        return NULL;
    }
    repository = dt_new(struct repository);
    repository->magic = REPOSITORY_MAGIC;
    repository->table = table;
    repository->upstream = upstream;
    repository->name = dt_strdup(name);
    repository->key = key;
    HASH_ADD_KEYPTR(hh, table->by_key, repository->key, strlen(repository->key), repository);
    repository_public_load(repository);
    return repository;
}

/* ---- grants and refusals ---- */

enum proxy_grant_state repository_grant(const struct repository_call *call)
{
    if (call->upstream->own_credentials)
        return PROXY_GRANT_VALID; /* mode B: what our account reads, everybody may */
    return proxy_grants_look(&call->repository->grants, &call->key,
                             repository_now_ms(call->repository));
}

void repository_grant_add(struct repository_call *call)
{
    const struct proxy_options *options = call->proxy->options;
    struct repository *repository = call->repository;

    if (call->upstream->own_credentials)
        return;
    proxy_grants_add(&repository->grants, &call->key, repository_now_ms(repository),
                     proxy_grant_life_ms(call->authorization, dt_wall_ms(), options->grant_ttl_ms),
                     options->grant_grace_ms);
    if (call->authorization == NULL)
        repository_public_set(repository);
    else
        repository_public_check(call, true);
}

static void negative_add(struct repository_call *call)
{
    struct repository *repository = call->repository;
    struct repository_negative *negative;

    if (repository->negatives == NULL)
        repository->negatives = dt_new_array(struct repository_negative, NEGATIVES_MAX);
    negative = &repository->negatives[repository->next_negative++ % NEGATIVES_MAX];
    negative->key = call->key;
    negative->until_ms = repository_now_ms(repository) + NEGATIVE_MS;
    negative->is_blob = call->kind == CALL_BLOB;
    memcpy(negative->reference, call->reference.text, sizeof(negative->reference));
}

static const char *call_unknown_code(const struct repository_call *call)
{
    return call->kind == CALL_BLOB ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN";
}

bool repository_is_negative(struct repository_call *call, struct proxy_refusal *refusal)
{
    struct repository *repository = call->repository;

    for (unsigned i = 0; repository->negatives != NULL && i < NEGATIVES_MAX; i++) {
        const struct repository_negative *negative = &repository->negatives[i];
        if (negative->until_ms <= repository_now_ms(repository) ||
            negative->is_blob != (call->kind == CALL_BLOB) ||
            strcmp(negative->reference, call->reference.text) != 0 ||
            !proxy_grant_key_equal(&negative->key, &call->key))
            continue;
        (void)dt_err_set(&refusal->err, DT_ENOTFOUND, "%s did not have it a moment ago",
                         call->upstream->name);
        refusal->status = 404;
        refusal->registry_code = call_unknown_code(call);
        return true;
    }
    return false;
}

/* Upstream's definite statuses and how they are told. Anything else definite is a 502 of ours. */
static const struct {
    int status;
    enum dt_code code;
    const char *registry_code; /* NULL = unknown manifest or blob */
} definite[] = {
    {401, DT_EUNAUTHORIZED, "UNAUTHORIZED"},
    {403, DT_EDENIED, "DENIED"},
    {404, DT_ENOTFOUND, NULL},
    {405, DT_EMETHOD, "UNSUPPORTED"},
    {412, DT_EPOLICY, "DENIED"},
    {416, DT_ERANGE, "UNSUPPORTED"},
};

/* Mode B: that our own account was turned away is our trouble, and never a challenge for clients.
 */
static int status_for_client(const struct repository_call *call, int status)
{
    if (!call->upstream->own_credentials)
        return status;
    return status == 401 ? 502 : status == 403 ? 404 : status;
}

void repository_refuse(struct repository_call *call, struct proxy_refusal *refusal,
                       const struct flight_result *result)
{
    int status = status_for_client(call, result->status);

    proxy_grants_forget(&call->repository->grants, &call->key);
    if ((result->status == 401 || result->status == 403) && call->authorization != NULL)
        repository_public_check(call, false); /* is it still public? */
    if (result->status == 404)
        negative_add(call);
    refusal->status = status;
    (void)dt_err_set(&refusal->err, DT_EPROTO, "%s answered %d for %s %s", call->upstream->name,
                     result->status, call->repository->name, call->reference.text);
    for (size_t i = 0; i < sizeof(definite) / sizeof(definite[0]); i++) {
        if (definite[i].status != status)
            continue;
        refusal->err.code = (int)definite[i].code;
        refusal->registry_code =
            definite[i].registry_code != NULL ? definite[i].registry_code : call_unknown_code(call);
    }
    if (refusal->err.code == DT_EPROTO)
        refusal->status = 502;
    if (status == 401 && result->www_authenticate != NULL)
        refusal->www_authenticate = dt_strdup(result->www_authenticate);
}

void repository_fail(struct proxy_refusal *refusal, const struct dt_err *err,
                     uint64_t retry_after_ms)
{
    refusal->err = *err;
    refusal->status = dt_code_http_status(err->code);
    refusal->retry_after_s = (unsigned)((retry_after_ms + 999) / 1000);
}

/* ---- upstream is away ---- */

void repository_note_away(struct repository_call *call)
{
    call->repository->away_ms = repository_now_ms(call->repository);
}

uint64_t repository_budget_ms(const struct repository_call *call, bool has_stale)
{
    uint64_t now_ms = repository_now_ms(call->repository);
    uint64_t left_ms = call->deadline_ms > now_ms ? call->deadline_ms - now_ms : 1;
    uint64_t budget_ms = call->proxy->options->tag_budget_ms;

    return has_stale && budget_ms < left_ms ? budget_ms : left_ms;
}

static struct repository_call *call_new(struct proxy *, struct reg_upstream *, const char *name,
                                        const char *authorization);
static void call_begin(void *arg);

/* The same question once more, with nobody waiting for its answer. */
static void repository_probe(const struct repository_call *call)
{
    struct repository_call *probe =
        call_new(call->proxy, call->upstream, call->name, call->authorization);

    probe->kind = call->kind;
    probe->reference = call->reference;
    probe->is_probe = true;
    dt_loop_defer(call_begin, probe);
}

bool repository_is_away(struct repository_call *call)
{
    struct repository *repository = call->repository;
    uint64_t now_ms = repository_now_ms(repository);

    if (call->is_probe || repository->away_ms == 0 || repository->away_ms + AWAY_MS <= now_ms)
        return false;
    if (repository->away_ms + PROBE_PAUSE_MS <= now_ms &&
        repository->probed_ms + PROBE_PAUSE_MS <= now_ms) {
        repository->probed_ms = now_ms;
        repository_probe(call);
    }
    return true;
}

/* ---- a call's way ---- */

static struct repository_call *call_new(struct proxy *proxy, struct reg_upstream *upstream,
                                        const char *name, const char *authorization)
{
    struct repository_call *call = dt_new(struct repository_call);

    call->magic = CALL_MAGIC;
    call->proxy = proxy;
    call->upstream = upstream;
    call->name = dt_strdup(name);
    /* In mode B the caller's header is of no use to anybody and stays here. */
    if (authorization != NULL && authorization[0] != '\0' && !upstream->own_credentials)
        call->authorization = dt_strdup(authorization);
    call->key = proxy_grant_key_of(call->authorization);
    call->permit.size = UINT64_MAX;
    call->manifest.source = -1;
    return call;
}

static void call_free(struct repository_call *call)
{
    dt_free_secret(&call->authorization);
    free(call->name);
    free(call->accept);
    free(call->cached);
    proxy_refusal_fini(&call->permit.refusal);
    proxy_refusal_fini(&call->manifest.refusal);
    free(call->manifest.object);
    free(call->manifest.warning);
    call->magic = 0;
    free(call);
}

static void call_deliver(void *arg)
{
    struct repository_call *call = arg;

    DT_ASSERT(call->magic == CALL_MAGIC);
    if (call->kind == CALL_BLOB)
        call->permit_done(call->arg, &call->permit);
    else
        call->manifest_done(call->arg, &call->manifest);
    call_free(call);
}

/* On one's own loop a message needs no waking up. */
static void call_post(struct dt_loop *loop, dt_loop_f fn, struct repository_call *call)
{
    if (loop == dt_loop_current())
        dt_loop_defer(fn, call);
    else
        dt_loop_post(loop, fn, call);
}

void repository_call_answer(struct repository_call *call)
{
    if (call->repository != NULL) {
        DT_ASSERT(call->repository->n_calls > 0);
        call->repository->n_calls--;
        call->repository = NULL;
    }
    if (call->loop == NULL)
        call_free(call);
    else
        call_post(call->loop, call_deliver, call);
}

void repository_call_drop(struct repository_call *call)
{
    struct dt_err err = {0};

    (void)dt_err_set(&err, DT_ECANCELLED, "shutting down");
    repository_fail(call->kind == CALL_BLOB ? &call->permit.refusal : &call->manifest.refusal, &err,
                    0);
    if (call->loop == NULL)
        call_free(call);
    else
        call_deliver(call);
}

/* No room for this call: told at once, in whichever answer it expects. */
static void call_turn_away(struct repository_call *call)
{
    struct proxy_refusal *refusal =
        call->kind == CALL_BLOB ? &call->permit.refusal : &call->manifest.refusal;
    struct dt_err err = {0};

    (void)dt_err_set(&err, DT_EBUSY, "too many requests wait for %s", call->name);
    repository_fail(refusal, &err, 1000);
    dt_log_warn("too_many_waiting", "upstream=%s repository=%s", call->upstream->name,
                DT_LOG_Q(call->name));
    repository_call_answer(call);
}

static void tag_changed(struct repository_call *call)
{
    struct repository *repository = call->repository;
    struct cache_tag tag;
    uint64_t now_ms = dt_wall_ms(), fresh_ms = call->proxy->options->tag_fresh_ms;

    repository->changed_wall_ms = now_ms;
    for (unsigned i = 0; repository->negatives != NULL && i < NEGATIVES_MAX; i++)
        repository->negatives[i].until_ms = 0;
    /* Also for the day when this repository was forgotten: old enough to be asked for again, young
     * enough to be served when upstream is away. */
    if (repository_tag_find(&tag, repository, call->reference.text) &&
        tag.checked_ms + fresh_ms > now_ms) {
        tag.checked_ms = now_ms > fresh_ms ? now_ms - fresh_ms : 0;
        cache_tag_put(call->proxy->transfer.cache, call->upstream->name, call->name,
                      call->reference.text, &tag, (struct cache_completion){0});
    }
    repository_call_answer(call);
}

static void call_begin(void *arg)
{
    struct repository_call *call = arg;
    struct dt_loop *loop = dt_loop_current();
    struct repository *repository;

    DT_ASSERT(call->magic == CALL_MAGIC);
    repository = table_get(&call->proxy->repositories->tables[dt_loop_index(loop)], call->upstream,
                           call->name);
    if (repository == NULL || repository->n_calls >= PROXY_REPOSITORY_WAITING_MAX) {
        call_turn_away(call);
        return;
    }
    call->repository = repository;
    call->deadline_ms = dt_loop_now_ms(loop) + call->proxy->options->transfer.head_deadline_ms;
    repository->n_calls++;
    if (call->kind == CALL_BLOB)
        repository_permit_begin(call);
    else if (call->kind == CALL_MANIFEST)
        repository_manifest_begin(call);
    else
        tag_changed(call);
}

static void call_send(struct repository_call *call)
{
    char *key = repository_key(call->upstream, call->name);
    struct dt_loop *home =
        dt_loops_home(call->proxy->transfer.loops, dt_hash_bytes(key, strlen(key)));

    free(key);
    call_post(home, call_begin, call);
}

void proxy_repository_permit_blob(struct proxy *proxy, struct reg_upstream *upstream,
                                  const char *repository, const struct dt_digest *digest,
                                  const char *authorization, proxy_permit_f done, void *arg)
{
    struct repository_call *call = call_new(proxy, upstream, repository, authorization);

    call->kind = CALL_BLOB;
    call->loop = dt_loop_current();
    DT_ASSERT(call->loop != NULL);
    call->reference.is_digest = true;
    call->reference.digest = *digest;
    (void)dt_digest_format(call->reference.text, digest);
    call->permit_done = done;
    call->arg = arg;
    call_send(call);
}

void proxy_repository_get_manifest(struct proxy *proxy, const struct proxy_manifest_wish *wish,
                                   proxy_manifest_f done, void *arg)
{
    struct repository_call *call =
        call_new(proxy, wish->upstream, wish->repository, wish->authorization);

    call->kind = CALL_MANIFEST;
    call->loop = dt_loop_current();
    DT_ASSERT(call->loop != NULL);
    call->reference = *wish->reference;
    call->accept = dt_strdup(wish->accept);
    call->is_pull = wish->is_pull;
    call->manifest_done = done;
    call->arg = arg;
    call_send(call);
}

void proxy_repository_tag_changed(struct proxy *proxy, struct reg_upstream *upstream,
                                  const char *repository, const char *tag)
{
    struct repository_call *call = call_new(proxy, upstream, repository, NULL);

    call->kind = CALL_TAG_CHANGED;
    (void)dt_text_print(call->reference.text, sizeof(call->reference.text), "%s", tag);
    call_send(call);
}
