/*
 * proxy/repository_permit.c - question 1: may this caller read this blob through this repository?
 *
 *   grant and link -> yes;  else HEAD of the blob with his own header -> yes, no, or nobody there
 *
 * The link says that the blob belongs to this repository, the grant that this caller may read it.
 * Either alone proves nothing: storage is shared by digest, permission is not.
 */
#include "proxy/repository_priv.h"

#include "base/mem.h"

static bool may_be_stale(const struct repository_call *call)
{
    return call->is_linked && repository_grant(call) != PROXY_GRANT_NONE;
}

static void permit_stale(struct repository_call *call)
{
    call->permit.size = call->link.size;
    repository_call_answer(call);
}

/* Is it the digest of nothing? Then a length of 0 is an answer, not a missing header. */
static bool is_empty_blob(const struct dt_digest *digest)
{
    struct dt_digest empty;
    dt_digest_of(&empty, (enum dt_digest_algo)digest->algo, "", 0);
    return dt_digest_equal(&empty, digest);
}

static void on_headed(struct repository_call *call, const struct flight_result *result)
{
    const struct dt_digest *digest = &call->reference.digest;
    uint64_t size = result->length;

    if (result->err.code != 0) {
        if (may_be_stale(call) && dt_code_is_retryable(result->err.code)) {
            repository_note_away(call);
            permit_stale(call);
            return;
        }
        repository_fail(&call->permit.refusal, &result->err, result->retry_after_ms);
    } else if (result->status >= 200 && result->status < 300) {
        if (size == 0 && !is_empty_blob(digest))
            size = UINT64_MAX;
        if (size == UINT64_MAX && call->is_linked)
            size = call->link.size;
        repository_grant_add(call);
        repository_store_link(call->repository, digest, size);
        call->permit.size = size;
    } else {
        repository_refuse(call, &call->permit.refusal, result);
    }
    repository_call_answer(call);
}

void repository_permit_begin(struct repository_call *call)
{
    struct repository *repository = call->repository;
    char *path;

    call->is_linked = repository_link_find(&call->link, repository, &call->reference.digest);
    if (!call->is_probe) {
        if (call->is_linked && repository_grant(call) == PROXY_GRANT_VALID) {
            call->permit.size = call->link.size;
            repository_call_answer(call);
            return;
        }
        if (repository_is_negative(call, &call->permit.refusal)) {
            repository_call_answer(call);
            return;
        }
        if (may_be_stale(call) && repository_is_away(call)) {
            permit_stale(call);
            return;
        }
    }
    path = dt_asprintf("/v2/%s/blobs/%s", repository->name, call->reference.text);
    repository_flight_board(call, FLIGHT_HEAD, path, NULL,
                            repository_budget_ms(call, may_be_stale(call)), on_headed);
    free(path);
}
