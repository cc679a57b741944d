/*
 * transfer/ask.h - one small question to an upstream, asked of its endpoints in order.
 *
 * HEAD or GET of something that fits in memory. Endpoints whose breaker is open are passed over;
 * refused, reset, silent, 5xx and 429 mean the next one; a definite answer (2xx, 401, 403, 404,
 * 405, 412 ...) ends it. A standby's 404 is not definite: it may lag behind the origin. Our own
 * account is used where the endpoint has one (one retry with a fresh token after a 401), else the
 * caller's Authorization travels as it came. Bodies of other answers than 2xx are not read, and an
 * error from where a redirect led, off the endpoint, is nobody's definite answer. All on the
 * calling loop.
 */
#ifndef DARTER_TRANSFER_ASK_H
#define DARTER_TRANSFER_ASK_H

#include "transfer/transfer.h"

struct transfer_ask;

struct transfer_ask_opts {
    struct transfer *transfer;
    struct reg_upstream *upstream;
    const char *method;        /* "GET" or "HEAD" */
    const char *path;          /* "/v2/library/nginx/manifests/1.25" */
    const char *repository;    /* for token scopes; NULL = none */
    const char *accept;        /* NULL = none */
    const char *authorization; /* the caller's; NULL = anonymous */
    /* Use an endpoint's configured account instead of the caller's header. Never set for a question
     * that decides what a caller may read, unless the whole upstream is ours to show
     * (reg_upstream.own_credentials): our account's rights are not his. */
    bool may_use_account;
    /* Where an anonymous caller is sent for a token first, get one as his runtime would. Never set
     * for a question that decides what a caller may read. */
    bool may_be_anonymous;
    size_t max_body_bytes;
    uint64_t budget_ms; /* over all endpoints */
    /* Does the body satisfy? Called for a 200 of GET; negative = this endpoint lies or is broken:
     * struck, and the next one is asked. NULL = anything goes. `arg` is that of done. */
    int (*check)(void *arg, const char *body, size_t len, struct dt_fetch *, struct dt_err *);
};
struct transfer_ask_answer {
    struct dt_err err; /* code 0: `status` is upstream's definite answer */
    int status;
    struct dt_fetch *fetch; /* headers; NULL on error, and when it was the token service that
                               refused our account (status 401) */
    const char *body;
    size_t len;
    unsigned endpoint;       /* index of who answered */
    uint64_t retry_after_ms; /* the smallest one told, when err is DT_EBUSY */
};
/* done comes once, never from inside, unless cancelled; the answer is valid inside only. */
typedef void (*transfer_ask_f)(void *arg, const struct transfer_ask_answer *);
struct transfer_ask *transfer_ask_start(const struct transfer_ask_opts *, transfer_ask_f done,
                                        void *arg);
void transfer_ask_cancel(struct transfer_ask **);

#endif
