/*
 * proxy/repository_manifest.c - question 2: this manifest, please.
 *
 *   tag:     fresh and granted -> cache
 *            HEAD TAG -> same digest -> cache | other digest -> GET DIGEST
 *                     -> answer of little use (405, 404, no digest, ...) -> GET TAG
 *   digest:  cached, linked and granted -> cache
 *            cached -> HEAD DIGEST -> cache;  else GET DIGEST
 *
 * A GET of a manifest counts against upstream's rate limit, a HEAD does not: so a GET goes out only
 * for bytes that are not here. Nobody answers: what is cached is served stale, to those who may.
 */
#include "proxy/repository_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/http.h"
#include "base/mem.h"
#include "transfer/source.h"

/* ---- answers ---- */

static void answer_object(struct repository_call *call, struct cache_object **object,
                          enum proxy_freshness freshness, int source, const char *warning)
{
    struct proxy_manifest *manifest = &call->manifest;

    manifest->freshness = freshness;
    manifest->source = source;
    if (dt_accept_admits(call->accept, (*object)->media_type)) {
        if (freshness != PROXY_STALE) /* upstream is away */
            repository_touch(call, &(*object)->digest, freshness == PROXY_MISS);
        manifest->object = *object;
    } else {
        manifest->must_relay = true;
        free(*object);
    }
    *object = NULL;
    if (warning != NULL)
        manifest->warning = dt_strdup(warning);
    repository_call_answer(call);
}

static void answer_cached(struct repository_call *call, enum proxy_freshness freshness)
{
    uint64_t now_ms = dt_wall_ms();

    if (call->has_tag && freshness != PROXY_MISS && now_ms > call->tag.checked_ms)
        call->manifest.age_s = (now_ms - call->tag.checked_ms) / 1000;
    answer_object(call, &call->cached, freshness, SOURCE_DISK, NULL);
}

static void answer_refused(struct repository_call *call, const struct flight_result *result)
{
    repository_refuse(call, &call->manifest.refusal, result);
    /* A tag that is gone is gone, also for the day when upstream is away. */
    if (result->status == 404 && !call->reference.is_digest)
        cache_tag_drop(call->proxy->transfer.cache, call->upstream->name, call->name,
                       call->reference.text);
    repository_call_answer(call);
}

/* Is there something here that this caller may have when upstream is away? */
static bool may_be_stale(const struct repository_call *call)
{
    uint64_t stale_ms = call->proxy->options->tag_stale_ms;

    if (call->cached == NULL || repository_grant(call) == PROXY_GRANT_NONE)
        return false;
    if (call->reference.is_digest)
        return call->is_linked;
    return call->has_tag && call->tag.checked_ms + stale_ms > dt_wall_ms();
}

static void answer_failed(struct repository_call *call, const struct flight_result *result)
{
    if (dt_code_is_retryable(result->err.code) && may_be_stale(call)) {
        repository_note_away(call);
        answer_cached(call, PROXY_STALE);
        return;
    }
    repository_fail(&call->manifest.refusal, &result->err, result->retry_after_ms);
    repository_call_answer(call);
}

/* Upstream gave the bytes. */
static void answer_fetched(struct repository_call *call, const struct flight_result *result)
{
    struct cache_object *object = repository_object_copy(result->object);

    if (result->is_own)
        repository_grant_add(call);
    if (!call->reference.is_digest)
        repository_store_tag(call->repository, call->reference.text, object);
    answer_object(call, &object, PROXY_MISS, result->source, result->warning);
}

/* Upstream said that what is cached is still right. */
static void answer_confirmed(struct repository_call *call, const struct flight_result *result)
{
    struct repository *repository = call->repository;

    repository_ensure_links(repository, call->cached);
    if (!call->reference.is_digest)
        repository_store_tag(repository, call->reference.text, call->cached);
    else if (call->upstream->revalidate_ms > 0)
        repository_store_link(repository, &call->wanted, call->cached->len);
    call->has_tag = false; /* its age starts again */
    answer_object(call, &call->cached, PROXY_HIT, SOURCE_DISK, result->warning);
}

/* ---- steps ---- */

static void call_board(struct repository_call *call, enum flight_kind kind, const char *reference,
                       const struct dt_digest *digest, flight_landed_f landed)
{
    char *path = dt_asprintf("/v2/%s/manifests/%s", call->repository->name, reference);
    bool is_quick = kind == FLIGHT_HEAD && may_be_stale(call);

    repository_flight_board(call, kind, path, digest, repository_budget_ms(call, is_quick), landed);
    free(path);
}

/* A shared flight came home without the bytes: it travelled with another caller's header, which
 * may be the reason. Once more with this one's. */
static bool call_retries(struct repository_call *call, const struct flight_result *result)
{
    if (result->is_own || call->has_retried || result->object != NULL ||
        result->err.code == DT_ETOOBIG)
        return false;
    call->has_retried = true;
    return true;
}

static void on_tag_got(struct repository_call *call, const struct flight_result *result)
{
    if (result->err.code != 0)
        answer_failed(call, result);
    else if (result->object != NULL)
        answer_fetched(call, result);
    else
        answer_refused(call, result);
}

/* The last way to learn what a tag means: the document itself, hashed here. */
static void tag_get(struct repository_call *call)
{
    call_board(call, FLIGHT_GET, call->reference.text, NULL, on_tag_got);
}

static void tag_get_digest(struct repository_call *call);

static void on_tag_digest_got(struct repository_call *call, const struct flight_result *result)
{
    if (call_retries(call, result))
        tag_get_digest(call);
    else if (result->err.code == 0 && result->status == 404)
        tag_get(call); /* HEAD told a digest that nobody has */
    else
        on_tag_got(call, result);
}

static void tag_get_digest(struct repository_call *call)
{
    char text[DT_DIGEST_TEXT_MAX];
    call_board(call, FLIGHT_GET_SHARED, dt_digest_format(text, &call->wanted), &call->wanted,
               on_tag_digest_got);
}

/* Some registries cannot do HEAD, or say too little: no digest, length 0, text/plain. */
static bool head_is_useful(const struct flight_result *result)
{
    return result->status == 200 && result->has_digest && result->length != 0 &&
           result->media_type[0] != '\0';
}

static void on_tag_headed(struct repository_call *call, const struct flight_result *result)
{
    bool is_yes = result->status >= 200 && result->status < 300;

    if (result->err.code != 0) {
        answer_failed(call, result);
        return;
    }
    if (!is_yes && result->status != 404 && result->status != 405) {
        answer_refused(call, result);
        return;
    }
    if (is_yes)
        repository_grant_add(call);
    if (!head_is_useful(result)) {
        tag_get(call);
        return;
    }
    if (!dt_accept_admits(call->accept, result->media_type)) {
        call->manifest.must_relay = true;
        repository_call_answer(call);
        return;
    }
    if (call->cached == NULL || !dt_digest_equal(&call->cached->digest, &result->digest)) {
        struct cache_object *held = repository_object_find(call->repository, &result->digest);
        call->wanted = result->digest;
        if (held == NULL) {
            tag_get_digest(call);
            return;
        }
        free(call->cached);
        call->cached = held;
    }
    answer_confirmed(call, result);
}

/* What needs no question: the cache where it is fresh, a 404 of a moment ago, and what is here
 * while upstream is away. A probe goes upstream whatever there is. */
static bool answers_at_once(struct repository_call *call, bool is_fresh)
{
    if (call->is_probe)
        return false;
    if (is_fresh)
        answer_cached(call, PROXY_HIT);
    else if (repository_is_negative(call, &call->manifest.refusal))
        repository_call_answer(call);
    else if (may_be_stale(call) && repository_is_away(call))
        answer_cached(call, PROXY_STALE);
    else
        return false;
    return true;
}

static bool tag_is_fresh(const struct repository_call *call)
{
    uint64_t fresh_ms = call->proxy->options->tag_fresh_ms;
    uint64_t revalidate_ms = call->upstream->revalidate_ms, now_ms = dt_wall_ms();

    if (call->cached == NULL || repository_grant(call) != PROXY_GRANT_VALID)
        return false;
    if (revalidate_ms > 0 && revalidate_ms < fresh_ms)
        fresh_ms = revalidate_ms;
    return call->tag.checked_ms <= now_ms && now_ms - call->tag.checked_ms < fresh_ms &&
           call->tag.checked_ms > call->repository->changed_wall_ms;
}

static void tag_begin(struct repository_call *call)
{
    call->has_tag = repository_tag_find(&call->tag, call->repository, call->reference.text);
    if (call->has_tag)
        call->cached = repository_object_find(call->repository, &call->tag.digest);
    if (!answers_at_once(call, tag_is_fresh(call)))
        call_board(call, FLIGHT_HEAD, call->reference.text, NULL, on_tag_headed);
}

static void digest_get_shared(struct repository_call *call);

static void on_digest_got(struct repository_call *call, const struct flight_result *result)
{
    if (call_retries(call, result))
        digest_get_shared(call);
    else
        on_tag_got(call, result);
}

static void digest_get_shared(struct repository_call *call)
{
    call_board(call, FLIGHT_GET_SHARED, call->reference.text, &call->wanted, on_digest_got);
}

static void on_digest_headed(struct repository_call *call, const struct flight_result *result)
{
    bool is_yes = result->status >= 200 && result->status < 300;
    bool is_lie = result->has_digest && !dt_digest_equal(&result->digest, &call->wanted);

    if (result->err.code != 0) {
        answer_failed(call, result);
    } else if ((is_yes && is_lie) || result->status == 404 || result->status == 405) {
        /* Only a GET with his own header can tell now whether he may. */
        call_board(call, FLIGHT_GET, call->reference.text, &call->wanted, on_tag_got);
    } else if (!is_yes) {
        answer_refused(call, result);
    } else {
        repository_grant_add(call);
        if (call->cached != NULL)
            answer_confirmed(call, result);
        else
            digest_get_shared(call);
    }
}

static bool digest_is_fresh(const struct repository_call *call)
{
    uint64_t revalidate_ms = call->upstream->revalidate_ms, now_ms = dt_wall_ms();

    if (call->cached == NULL || !call->is_linked || repository_grant(call) != PROXY_GRANT_VALID)
        return false;
    return revalidate_ms == 0 ||
           (call->link.proved_ms <= now_ms && now_ms - call->link.proved_ms < revalidate_ms);
}

static void digest_begin(struct repository_call *call)
{
    char *path = dt_asprintf("/v2/%s/manifests/%s", call->name, call->reference.text);
    /* Bytes already on their way for somebody else: he may have them once he may read at all. */
    bool is_foreign = repository_flight_is_foreign(call, path);

    free(path);
    call->wanted = call->reference.digest;
    call->cached = repository_object_find(call->repository, &call->wanted);
    call->is_linked = repository_link_find(&call->link, call->repository, &call->wanted);
    bool is_fresh = digest_is_fresh(call);
    if (is_fresh)
        repository_ensure_links(call->repository, call->cached);
    if (answers_at_once(call, is_fresh))
        return;
    if (call->cached != NULL || (is_foreign && repository_grant(call) != PROXY_GRANT_VALID))
        call_board(call, FLIGHT_HEAD, call->reference.text, NULL, on_digest_headed);
    else
        digest_get_shared(call); /* his own GET says whether he may; a VALID one may join */
}

void repository_manifest_begin(struct repository_call *call)
{
    if (call->reference.is_digest)
        digest_begin(call);
    else
        tag_begin(call);
}
