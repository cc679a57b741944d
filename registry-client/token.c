/*
 * registry-client/token.c - tokens for our own requests; see token.h.
 *
 *   entry:    ASKING -> FRESH -(80 % of its life, and somebody wants it)-> ASKING ...
 *             a failed renewal keeps what is not yet over; without any authorization it is freed
 *   request:  WAITING (in entry->waiters) -> READY (in tokens->ready, timer armed) -> done, freed
 *
 * An answer first makes every waiter READY with its own copy of the outcome; each then fires from
 * its own timer. So no list is being walked while a callback runs, and a callback may do anything.
 *
 * An entry is found by what was asked for (realm, service, scope) and, for peek and forget, by the
 * scope hint that last led to it. Everything lives on one loop.
 */
#include "registry-client/token.h"

#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "base/mem.h"
#include "base/text.h"
#include "registry-client/error.h"

#define TOKENS_MAGIC     0x72746b73u
#define ENTRIES_MAX      1024
#define ANSWER_MAX_BYTES (256 * 1024u)
#define ANSWER_HEAD_MS   5000u /* a runtime waits 30 s for a head in all */
#define ANSWER_TOTAL_MS  10000u
#define RENEW_AGAIN_MS   2000u /* after a renewal that failed */

struct token_entry {
    UT_hash_handle hh;      /* in tokens->entries by key; oldest use first */
    UT_hash_handle by_hint; /* in tokens->hints, when hint is not NULL */
    struct reg_tokens *tokens;
    char *key;                         /* owned */
    char *hint;                        /* owned or NULL */
    char *authorization;               /* owned; NULL = none */
    uint64_t renew_ms;                 /* monotonic: from then on not handed out without asking */
    uint64_t expires_ms;               /* monotonic: not handed out at all */
    struct dt_fetch *fetch;            /* NULL = not asking */
    struct reg_token_request *waiters; /* owned */
};

struct reg_token_request {
    struct reg_token_request *prev, *next;
    struct reg_tokens *tokens;
    struct token_entry *entry; /* NULL once READY */
    struct dt_timer timer;
    char *authorization; /* owned */
    struct dt_err err;
    reg_token_f done;
    void *arg;
};

struct reg_tokens {
    unsigned magic;
    struct dt_loop *loop;
    const struct reg_credentials *credentials; /* borrowed, may be NULL */
    char *ca_file;                             /* owned or NULL */
    bool insecure_tls;
    struct token_entry *entries, *hints;
    struct reg_token_request *ready; /* owned */
};

/* ---- life ---------------------------------------------------------------------------------------
 */

struct reg_tokens *reg_tokens_new(struct dt_loop *loop,
                                  const struct reg_credentials *borrowed_or_null,
                                  const char *ca_file, bool insecure_tls)
{
    struct reg_tokens *tokens = dt_new(struct reg_tokens);
    tokens->magic = TOKENS_MAGIC;
    tokens->loop = loop;
    tokens->credentials = borrowed_or_null;
    tokens->ca_file = ca_file == NULL ? NULL : dt_strdup(ca_file);
    tokens->insecure_tls = insecure_tls;
    return tokens;
}

static void request_free(struct reg_token_request *request)
{
    dt_timer_clear(&request->timer);
    dt_free_secret(&request->authorization);
    free(request);
}

static void requests_free(struct reg_token_request **list)
{
    struct reg_token_request *request = NULL, *next = NULL;
    DL_FOREACH_SAFE(*list, request, next)
    request_free(request);
    *list = NULL;
}

static void entry_set_hint(struct token_entry *entry, const char *hint)
{
    struct reg_tokens *tokens = entry->tokens;
    struct token_entry *other = NULL;

    if (entry->hint != NULL && strcmp(entry->hint, hint) == 0)
        return;
    if (entry->hint != NULL)
        HASH_DELETE(by_hint, tokens->hints, entry);
    dt_free(&entry->hint);
    if (hint[0] == '\0')
        return;
    HASH_FIND(by_hint, tokens->hints, hint, strlen(hint), other);
    if (other != NULL)
        entry_set_hint(other, "");
    entry->hint = dt_strdup(hint);
    HASH_ADD_KEYPTR(by_hint, tokens->hints, entry->hint, strlen(entry->hint), entry);
}

static void entry_free(struct token_entry *entry)
{
    DT_ASSERT(entry->waiters == NULL);
    dt_fetch_cancel(&entry->fetch);
    entry_set_hint(entry, "");
    HASH_DELETE(hh, entry->tokens->entries, entry);
    dt_free_secret(&entry->authorization);
    free(entry->key);
    free(entry);
}

void reg_tokens_free(struct reg_tokens **tokens_ref)
{
    struct reg_tokens *tokens = *tokens_ref;
    struct token_entry *entry = NULL, *next = NULL;

    if (tokens == NULL)
        return;
    dt_loop_assert_mine(tokens->loop);
    HASH_ITER (hh, tokens->entries, entry, next) {
        requests_free(&entry->waiters);
        entry_free(entry);
    }
    requests_free(&tokens->ready);
    free(tokens->ca_file);
    tokens->magic = 0;
    dt_free(tokens_ref);
}

/* ---- outcome ------------------------------------------------------------------------------------
 */

static void request_fire(void *arg)
{
    struct reg_token_request *request = arg;

    DL_DELETE(request->tokens->ready, request);
    request->done(request->arg, request->authorization,
                  request->authorization == NULL ? &request->err : NULL);
    /* request->tokens may be gone. */
    request_free(request);
}

/* `authorization` NULL = failed with *err. */
static void request_ready(struct reg_token_request *request, const char *authorization,
                          const struct dt_err *err)
{
    request->entry = NULL;
    if (authorization != NULL)
        request->authorization = dt_strdup(authorization);
    else
        request->err = *err;
    DL_APPEND(request->tokens->ready, request);
    dt_timer_set(&request->timer, 0);
}

static void entry_settle(struct token_entry *entry, const struct dt_err *err)
{
    struct reg_token_request *request = NULL, *next = NULL;

    DL_FOREACH_SAFE(entry->waiters, request, next)
    {
        DL_DELETE(entry->waiters, request);
        request_ready(request, entry->authorization, err);
    }
    if (entry->authorization == NULL)
        entry_free(entry);
}

/* ---- asking -------------------------------------------------------------------------------------
 */

/* A missing or odd token service must not read as "no such image": only what it says about the
 * account or about load keeps its meaning. */
static int check_status(int status, struct dt_err *err)
{
    int code = reg_status_code(status);
    switch (code) {
    case DT_OK:
        return 0;
    case DT_EUNAUTHORIZED:
    case DT_EDENIED:
    case DT_EBUSY:
    case DT_EUNAVAILABLE:
        break;
    default:
        code = DT_EPROTO;
    }
    return dt_err_set(err, (enum dt_code)code, "token service answered %d", status);
}

static void entry_renew(struct token_entry *entry, const char *token, uint64_t expires_s)
{
    uint64_t now_ms = dt_loop_now_ms(entry->tokens->loop);
    dt_free_secret(&entry->authorization);
    entry->authorization = dt_asprintf("Bearer %s", token);
    entry->renew_ms = now_ms + expires_s * 800; /* 80 % */
    entry->expires_ms = now_ms + expires_s * 1000;
}

/* A service that is down or busy does not end the token we still have; a refusal does. */
static void entry_fall_back(struct token_entry *entry, const struct dt_err *err)
{
    uint64_t now_ms = dt_loop_now_ms(entry->tokens->loop);
    if (dt_code_is_retryable(err->code) && now_ms < entry->expires_ms)
        entry->renew_ms = now_ms + RENEW_AGAIN_MS;
    else
        dt_free_secret(&entry->authorization);
}

static void on_answer(void *arg, const struct dt_err *fetch_err, struct dt_fetch *fetch, int status,
                      const char *body, size_t len)
{
    struct token_entry *entry = arg;
    struct dt_err err = {.code = 0};
    uint64_t expires_s = 0;
    char *token = NULL;

    (void)fetch; /* freed by itself */
    DT_ASSERT(entry->tokens->magic == TOKENS_MAGIC);
    entry->fetch = NULL;
    if (fetch_err->code != 0)
        (void)dt_err_set(&err, (enum dt_code)fetch_err->code, "token service: %s", fetch_err->msg);
    else if (check_status(status, &err) == 0 &&
             reg_token_parse(&token, &expires_s, body, len, &err) == 0)
        entry_renew(entry, token, expires_s);
    if (err.code != 0)
        entry_fall_back(entry, &err);
    dt_free_secret(&token);
    entry_settle(entry, &err);
}

static void add_parameter(struct dt_text *out, char separator, const char *name, const char *value)
{
    char *escaped = dt_percent_encode(value);
    if (value[0] != '\0')
        dt_text_addf(out, "%c%s=%s", separator, name, escaped);
    dt_free_secret(&escaped);
}

static int check_realm(const char *realm, struct dt_err *err)
{
    struct dt_url url = {.path = NULL};
    int rc = strchr(realm, '#') != NULL ? -DT_EINVAL : dt_url_parse(&url, realm, NULL);
    dt_url_fini(&url);
    return rc < 0 ? dt_err_set(err, DT_EPROTO, "the challenge's realm is not an http(s) URL") : 0;
}

/* GET realm?service=..&scope=.., with our account as Basic if there is one. */
static int ask_by_get(struct token_entry *entry, const struct reg_challenge *challenge,
                      const char *scope, struct dt_fetch_opts *opts, struct dt_err *err)
{
    const struct reg_credentials *account = entry->tokens->credentials;
    struct dt_header headers[2] = {{"Accept", "application/json"}};
    struct dt_text url = {0};
    char *basic = account == NULL ? NULL : reg_credentials_basic(account);

    dt_text_add(&url, challenge->realm);
    add_parameter(&url, strchr(challenge->realm, '?') == NULL ? '?' : '&', "service",
                  challenge->service);
    add_parameter(&url, strchr(url.data, '?') == NULL ? '?' : '&', "scope", scope);
    opts->url = url.data;
    opts->headers = headers;
    opts->n_headers = 1;
    opts->follow_redirects = true;
    if (basic != NULL)
        headers[opts->n_headers++] = (struct dt_header){"Authorization", basic};
    int rc = dt_fetch_whole(&entry->fetch, opts, on_answer, entry, err);
    dt_free_secret(&basic);
    dt_text_fini(&url);
    return rc;
}

/* POST with grant_type=refresh_token (distribution's OAuth 2 specification). Redirects are not
 * followed: the secret is in the body. */
static int ask_by_post(struct token_entry *entry, const struct reg_challenge *challenge,
                       const char *scope, struct dt_fetch_opts *opts, struct dt_err *err)
{
    static const struct dt_header HEADERS[] = {
        {"Accept", "application/json"},
        {"Content-Type", "application/x-www-form-urlencoded"},
    };
    struct dt_text form = {0};

    dt_text_add(&form, "grant_type=refresh_token&client_id=darter");
    add_parameter(&form, '&', "service", challenge->service);
    add_parameter(&form, '&', "scope", scope);
    add_parameter(&form, '&', "refresh_token", entry->tokens->credentials->identity_token);
    opts->method = "POST";
    opts->url = challenge->realm;
    opts->headers = HEADERS;
    opts->n_headers = sizeof(HEADERS) / sizeof(HEADERS[0]);
    opts->body = form.data;
    opts->body_len = form.len;
    int rc = dt_fetch_whole(&entry->fetch, opts, on_answer, entry, err);
    explicit_bzero(form.data, form.len);
    dt_text_fini(&form);
    return rc;
}

static int entry_ask(struct token_entry *entry, const struct reg_challenge *challenge,
                     const char *scope, struct dt_err *err)
{
    const struct reg_credentials *account = entry->tokens->credentials;
    struct dt_fetch_opts opts = {
        .ca_file = entry->tokens->ca_file,
        .insecure_tls = entry->tokens->insecure_tls,
        .head_timeout_ms = ANSWER_HEAD_MS,
        .total_timeout_ms = ANSWER_TOTAL_MS,
        .max_body_bytes = ANSWER_MAX_BYTES,
    };
    int rc = check_realm(challenge->realm, err);
    if (rc < 0)
        return rc;
    if (account != NULL && account->identity_token[0] != '\0')
        return ask_by_post(entry, challenge, scope, &opts, err);
    return ask_by_get(entry, challenge, scope, &opts, err);
}

/* ---- getting ------------------------------------------------------------------------------------
 */

/* Room for one more: the longest unused go first. Entries that are being asked for stay; how many
 * of those there can be is bounded by the requests behind them and by ANSWER_TOTAL_MS. */
static void make_room(struct reg_tokens *tokens)
{
    struct token_entry *entry = NULL, *next = NULL;
    HASH_ITER (hh, tokens->entries, entry, next) {
        if (HASH_COUNT(tokens->entries) < ENTRIES_MAX)
            return;
        if (entry->fetch == NULL)
            entry_free(entry);
    }
}

static struct token_entry *find_or_add(struct reg_tokens *tokens, const char *realm,
                                       const char *service, const char *scope)
{
    struct token_entry *entry = NULL;
    char *key = dt_asprintf("%s\n%s\n%s", realm, service, scope);

    HASH_FIND(hh, tokens->entries, key, strlen(key), entry);
    if (entry != NULL) {
        free(key);
        HASH_DELETE(hh, tokens->entries, entry);
    } else {
        make_room(tokens);
        entry = dt_new(struct token_entry);
        entry->tokens = tokens;
        entry->key = key;
    }
    HASH_ADD_KEYPTR(hh, tokens->entries, entry->key, strlen(entry->key), entry);
    return entry;
}

static bool entry_is_fresh(const struct token_entry *entry)
{
    uint64_t now_ms = dt_loop_now_ms(entry->tokens->loop);
    return entry->authorization != NULL && now_ms < entry->renew_ms && now_ms < entry->expires_ms;
}

static void get_basic(struct reg_token_request *request, const char *hint)
{
    const struct reg_credentials *account = request->tokens->credentials;
    struct dt_err err = {.code = 0};

    if (account == NULL || account->password[0] == '\0') {
        (void)dt_err_set(&err, DT_EUNAUTHORIZED, "the registry wants an account and we have none");
        request_ready(request, NULL, &err);
        return;
    }
    struct token_entry *entry = find_or_add(request->tokens, "Basic", "", hint);
    if (entry->authorization == NULL)
        entry->authorization = reg_credentials_basic(account);
    entry->renew_ms = entry->expires_ms = UINT64_MAX;
    entry_set_hint(entry, hint);
    request_ready(request, entry->authorization, NULL);
}

static void get_bearer(struct reg_token_request *request, const struct reg_challenge *challenge,
                       const char *hint)
{
    const char *scope = challenge->scope[0] != '\0' ? challenge->scope : hint;
    struct token_entry *entry =
        find_or_add(request->tokens, challenge->realm, challenge->service, scope);
    struct dt_err err = {.code = 0};

    entry_set_hint(entry, hint);
    if (entry_is_fresh(entry)) {
        request_ready(request, entry->authorization, NULL);
        return;
    }
    request->entry = entry;
    DL_APPEND(entry->waiters, request);
    if (entry->fetch != NULL || entry_ask(entry, challenge, scope, &err) == 0)
        return;
    entry_fall_back(entry, &err);
    entry_settle(entry, &err);
}

struct reg_token_request *reg_tokens_get(struct reg_tokens *tokens,
                                         const struct reg_challenge *challenge,
                                         const char *scope_hint, reg_token_f done, void *arg)
{
    struct reg_token_request *request = dt_new(struct reg_token_request);
    const char *hint = scope_hint == NULL ? "" : scope_hint;
    struct dt_err err = {.code = 0};

    dt_loop_assert_mine(tokens->loop);
    request->tokens = tokens;
    request->done = done;
    request->arg = arg;
    dt_timer_init(&request->timer, tokens->loop, request_fire, request);
    switch (challenge->scheme) {
    case REG_AUTH_BEARER:
        get_bearer(request, challenge, hint);
        break;
    case REG_AUTH_BASIC:
        get_basic(request, hint);
        break;
    case REG_AUTH_NONE:
        (void)dt_err_set(&err, DT_EPROTO, "no challenge to answer");
        request_ready(request, NULL, &err);
        break;
    }
    return request;
}

void reg_tokens_cancel(struct reg_token_request **request_ref)
{
    struct reg_token_request *request = *request_ref;

    if (request == NULL)
        return;
    dt_loop_assert_mine(request->tokens->loop);
    /* The question itself goes on: its answer will serve the next who asks. */
    if (request->entry != NULL)
        DL_DELETE(request->entry->waiters, request);
    else
        DL_DELETE(request->tokens->ready, request);
    request_free(request);
    *request_ref = NULL;
}

const char *reg_tokens_peek(struct reg_tokens *tokens, const char *scope_hint)
{
    struct token_entry *entry = NULL;

    dt_loop_assert_mine(tokens->loop);
    HASH_FIND(by_hint, tokens->hints, scope_hint, strlen(scope_hint), entry);
    return entry != NULL && entry_is_fresh(entry) ? entry->authorization : NULL;
}

void reg_tokens_forget(struct reg_tokens *tokens, const char *scope_hint)
{
    struct token_entry *entry = NULL;

    dt_loop_assert_mine(tokens->loop);
    HASH_FIND(by_hint, tokens->hints, scope_hint, strlen(scope_hint), entry);
    if (entry == NULL)
        return;
    if (entry->fetch == NULL)
        entry_free(entry);
    else
        dt_free_secret(&entry->authorization); /* a new one is on its way */
}
