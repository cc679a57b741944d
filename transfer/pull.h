/*
 * transfer/pull.h - one streaming request to one endpoint: credentials and health book-keeping
 * included.
 *
 *   STARTED -> (TOKEN -> STARTED again, once) -> HEAD -> BODY -> DONE      any -> cancelled
 *
 * What a task's registry source and the relay have in common. The caller's Authorization travels as
 * it came; when the endpoint refuses it (or there is none) and `may_use_account` allows, the
 * request is repeated once with a token of our own account, or an anonymous one where we have no
 * account. All on the calling loop; the endpoint's breaker and health numbers are kept here.
 */
#ifndef DARTER_TRANSFER_PULL_H
#define DARTER_TRANSFER_PULL_H

#include "transfer/transfer.h"

struct transfer_pull;

struct transfer_pull_opts {
    struct transfer *transfer;
    struct reg_upstream *upstream;
    struct reg_endpoint *endpoint;
    const char *method;        /* "GET" or "HEAD" */
    const char *path;          /* "/v2/..." with query */
    const char *repository;    /* for the token's scope; NULL or "" = none */
    const char *authorization; /* the caller's; NULL = none */
    const char *accept;        /* NULL = none */
    const char *range;         /* "bytes=1-2" or NULL */
    bool may_use_account; /* see transfer/ask.h: never where the answer decides a caller's rights */
    uint64_t head_timeout_ms;
    uint64_t again_after_ms; /* of silence, the same question once more; 0 = never */
    uint64_t stall_timeout_ms;
    bool *was_held; /* set when a limit held the body back; NULL = of no interest */
};

/* The callbacks of base/fetch.h with the same promises; `on_head` sees the answer that counts. */
struct transfer_pull *transfer_pull_start(const struct transfer_pull_opts *,
                                          const struct dt_fetch_ops *, void *arg);
void transfer_pull_resume(struct transfer_pull *);
void transfer_pull_cancel(struct transfer_pull **); /* harmless on NULL; legal inside callbacks */

/* A registry's HTTP status as failure of its endpoint? 429 and 5xx are; other answers are definite.
 */
bool transfer_status_is_failure(int status);

#endif
