/*
 * registry-client/token.h - pull tokens for our own requests, cached per (realm, service, scope).
 *
 * One `struct reg_tokens` per loop and endpoint identity; all calls and callbacks on that loop.
 * Requests for one token are coalesced. The GET form of the token protocol is used everywhere
 * (Harbor has no POST), but for an identity token, which only the POST form carries. A token is
 * renewed at 80 % of its life, and used to its end while the service is down; a token without
 * expires_in lives 60 s (the specification's default).
 */
#ifndef DARTER_REGISTRY_CLIENT_TOKEN_H
#define DARTER_REGISTRY_CLIENT_TOKEN_H

#include "base/fetch.h"
#include "registry-client/challenge.h"
#include "registry-client/credentials.h"

struct reg_tokens;

struct reg_tokens *reg_tokens_new(struct dt_loop *, const struct reg_credentials *borrowed_or_null,
                                  const char *ca_file, bool insecure_tls);
void reg_tokens_free(struct reg_tokens **); /* cancels: no callback follows */

/* done comes exactly once, never from inside: `authorization` is "Bearer ..." or "Basic ...", valid
 * inside the callback; NULL with err (DT_EUNAUTHORIZED, DT_EUNAVAILABLE, ...) on failure. It may
 * call anything here, reg_tokens_free() too, but the handle is dead by then. `scope_hint`
 * ("repository:x/y:pull") is used when the challenge names none. Basic challenges answer at once
 * with the credentials, or DT_EUNAUTHORIZED without any. Returns a handle for cancel; NULL never.
 */
typedef void (*reg_token_f)(void *arg, const char *authorization, const struct dt_err *err);
struct reg_token_request;
struct reg_token_request *reg_tokens_get(struct reg_tokens *, const struct reg_challenge *,
                                         const char *scope_hint, reg_token_f done, void *arg);
void reg_tokens_cancel(struct reg_token_request **); /* harmless on NULL; legal until done came */
/* A cached one without asking anybody, or NULL; borrowed, valid until the next call. */
const char *reg_tokens_peek(struct reg_tokens *, const char *scope_hint);
/* Upstream refused it: forget it. */
void reg_tokens_forget(struct reg_tokens *, const char *scope_hint);

/* Pure: the token service's answer. *expires_s: 60 when absent. Errors: DT_EPROTO. */
int reg_token_parse(char **out_token, uint64_t *expires_s, const char *json, size_t len,
                    struct dt_err *);

#endif
