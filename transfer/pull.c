/*
 * transfer/pull.c - one streaming request to one endpoint: credentials and health book-keeping.
 *
 * The second attempt (with a token) is a new fetch; the caller never sees the first one's 401
 * unless no token could be had, and then he sees exactly that 401.
 */
#define LOG_COMPONENT "pull"
#include "transfer/pull.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "transfer/account.h"
#include "transfer/brake.h"
#include "transfer/hedge.h"
#include "registry-client/challenge.h"
#include "registry-client/error.h"
#include "registry-client/ref.h"

#define PULL_MAGIC 0x70756c6cu
#define SCOPE_MAX  (REG_NAME_MAX + sizeof("repository::pull"))

struct transfer_pull {
    unsigned magic;
    struct transfer_pull_opts opts; /* its strings are the copies below */
    char *url;                      /* owned */
    char *repository;               /* owned or NULL */
    char *caller_authorization;     /* owned or NULL; wiped */
    char *accept;                   /* owned or NULL */
    char *range;                    /* owned or NULL */
    char *account_authorization;    /* owned or NULL; wiped: the token of the second attempt */
    const struct dt_fetch_ops *ops;
    void *arg;
    struct transfer_hedge *fetch;    /* owned while running */
    struct reg_token_request *token; /* owned while waiting */
    struct reg_challenge challenge;
    uint64_t sent_us;
    bool has_retried; /* the second attempt was made or given up */
    bool wants_token; /* the fetch is being stopped to ask for one */
    struct transfer_brake brake;
};

bool transfer_status_is_failure(int status)
{
    return status == 429 || status == 408 || status >= 500;
}

static void pull_free(struct transfer_pull *pull)
{
    pull->magic = 0;
    transfer_brake_release(&pull->brake);
    dt_free_secret(&pull->caller_authorization);
    dt_free_secret(&pull->account_authorization);
    free(pull->url);
    free(pull->repository);
    free(pull->accept);
    free(pull->range);
    free(pull);
}

static void note_failure(struct transfer_pull *pull, int code, uint64_t retry_after_ms)
{
    reg_endpoint_failed(pull->opts.endpoint, code, retry_after_ms,
                        dt_loop_now_ms(dt_loop_current()), dt_wall_ms(),
                        (uint32_t)dt_hash_bytes(&pull->sent_us, sizeof(pull->sent_us)));
}

static void note_head(struct transfer_pull *pull, const struct dt_fetch_head *head)
{
    if (!transfer_status_is_failure(head->status)) {
        reg_endpoint_ok(pull->opts.endpoint, dt_mono_us() - pull->sent_us, dt_wall_ms());
        return;
    }
    uint64_t retry_ms = dt_retry_after_parse(dt_fetch_header(head->fetch, "retry-after"),
                                             dt_wall_ms(), REG_RETRY_AFTER_MAX_MS);
    note_failure(pull, reg_status_code(head->status), retry_ms);
}

/* A 401 that our own (or an anonymous) token may cure: stop this fetch and ask for one. */
static bool wants_second_attempt(struct transfer_pull *pull, const struct dt_fetch_head *head)
{
    if (head->status != 401 || pull->has_retried || !pull->opts.may_use_account)
        return false;
    pull->has_retried = true;
    struct dt_err
        ignored; /* no challenge, or an unreadable one: the caller sees the 401 as it is */
    const char *challenge = dt_fetch_header(head->fetch, "www-authenticate");
    return challenge != NULL && reg_challenge_parse(&pull->challenge, challenge, &ignored) == 0;
}

static bool on_head(void *arg, const struct dt_fetch_head *head)
{
    struct transfer_pull *pull = arg;
    DT_ASSERT(pull->magic == PULL_MAGIC);
    note_head(pull, head);
    if (wants_second_attempt(pull, head)) {
        pull->wants_token = true;
        return false;
    }
    return pull->ops->on_head(pull->arg, head);
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct transfer_pull *pull = arg;
    struct reg_endpoint *endpoint = pull->opts.endpoint; /* the callee may cancel us */
    if (!transfer_brake_pass(&pull->brake, len)) {
        if (pull->opts.was_held != NULL)
            *pull->opts.was_held = true;
        return false;
    }
    if (!pull->ops->on_data(pull->arg, bytes, len)) {
        transfer_brake_unpass(&pull->brake, len);
        return false;
    }
    atomic_fetch_add_explicit(&endpoint->bytes_total, len, memory_order_relaxed);
    return true;
}

static void finish(struct transfer_pull *pull, const struct dt_err *err)
{
    const struct dt_fetch_ops *ops = pull->ops;
    void *owner = pull->arg;
    pull_free(pull);
    ops->on_done(owner, err);
}

static void send_request(struct transfer_pull *pull);

static void on_token(void *arg, const char *authorization, const struct dt_err *err)
{
    struct transfer_pull *pull = arg;
    pull->token = NULL;
    if (authorization == NULL) {
        struct dt_err failed = {0};
        dt_err_set(&failed, DT_EUNAUTHORIZED, "%s wants a token and none could be had: %.120s",
                   pull->opts.endpoint->url, err->msg);
        finish(pull, &failed);
        return;
    }
    pull->account_authorization = dt_strdup(authorization);
    send_request(pull);
}

static void token_scope(const struct transfer_pull *pull, char *out, size_t out_size)
{
    if (pull->repository == NULL || pull->repository[0] == '\0' ||
        !dt_text_print(out, out_size, "repository:%s:pull", pull->repository))
        out[0] = '\0';
}

static void ask_for_token(struct transfer_pull *pull)
{
    char scope[SCOPE_MAX];
    token_scope(pull, scope, sizeof(scope));
    struct reg_tokens *tokens = transfer_account_tokens(pull->opts.transfer, pull->opts.endpoint);
    if (pull->account_authorization != NULL) /* the cached one was refused */
        reg_tokens_forget(tokens, scope);
    dt_free_secret(&pull->account_authorization);
    pull->token = reg_tokens_get(tokens, &pull->challenge, scope, on_token, pull);
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct transfer_pull *pull = arg;
    DT_ASSERT(pull->magic == PULL_MAGIC);
    pull->fetch = NULL;
    if (pull->wants_token) {
        pull->wants_token = false;
        ask_for_token(pull);
        return;
    }
    if (err->code != 0 && err->code != DT_ECANCELLED)
        note_failure(pull, err->code, 0);
    finish(pull, err);
}

static const struct dt_fetch_ops FETCH_OPS = {on_head, on_data, on_done};

/* transfer_hedge_start() refuses only URLs; ours were checked with the config, the path by the
 * router. */
static void fail_later(void *arg)
{
    struct transfer_pull *pull = arg;
    struct dt_err err = {0};
    if (pull->arg == NULL) { /* cancelled meanwhile */
        pull_free(pull);
        return;
    }
    dt_err_set(&err, DT_EINVAL, "cannot ask %s for this path", pull->opts.endpoint->url);
    finish(pull, &err);
}

static void send_request(struct transfer_pull *pull)
{
    const struct transfer_pull_opts *o = &pull->opts;
    struct dt_header headers[3];
    size_t n = 0;
    const char *authorization = pull->account_authorization != NULL ? pull->account_authorization
                                                                    : pull->caller_authorization;
    if (authorization != NULL)
        headers[n++] = (struct dt_header){"Authorization", authorization};
    if (pull->accept != NULL)
        headers[n++] = (struct dt_header){"Accept", pull->accept};
    if (pull->range != NULL)
        headers[n++] = (struct dt_header){"Range", pull->range};
    struct dt_fetch_opts fetch = {
        .method = o->method,
        .url = pull->url,
        .headers = headers,
        .n_headers = n,
        .ca_file = o->endpoint->ca_file,
        .insecure_tls = o->endpoint->insecure_tls,
        .follow_redirects = true,
        .head_timeout_ms = o->head_timeout_ms,
        .stall_timeout_ms = o->stall_timeout_ms,
    };
    struct dt_err err = {0};
    pull->sent_us = dt_mono_us();
    if (transfer_hedge_start(&pull->fetch, &fetch, o->again_after_ms, &FETCH_OPS, pull, &err) < 0)
        dt_loop_defer(fail_later, pull);
}

/* With an account of ours, begin with the token that worked last time. */
static void take_cached_token(struct transfer_pull *pull)
{
    if (!pull->opts.may_use_account || !pull->opts.endpoint->has_credentials)
        return;
    char scope[SCOPE_MAX];
    token_scope(pull, scope, sizeof(scope));
    const char *cached =
        reg_tokens_peek(transfer_account_tokens(pull->opts.transfer, pull->opts.endpoint), scope);
    if (cached != NULL)
        pull->account_authorization = dt_strdup(cached);
    /* The caller's header is for upstream's origin; where we have an account, ours is used. */
    dt_free_secret(&pull->caller_authorization);
}

static void go_on(void *arg)
{
    transfer_pull_resume(arg);
}

struct transfer_pull *transfer_pull_start(const struct transfer_pull_opts *opts,
                                          const struct dt_fetch_ops *ops, void *arg)
{
    struct transfer_pull *pull = dt_new(struct transfer_pull);
    pull->magic = PULL_MAGIC;
    pull->opts = *opts;
    pull->url = dt_asprintf("%s%s", opts->endpoint->url, opts->path);
    pull->repository = dt_strdup(opts->repository);
    pull->caller_authorization = dt_strdup(opts->authorization);
    pull->accept = dt_strdup(opts->accept);
    pull->range = dt_strdup(opts->range);
    pull->ops = ops;
    pull->arg = arg;
    transfer_brake_init(&pull->brake, opts->transfer->down, NULL, go_on, pull);
    take_cached_token(pull);
    send_request(pull);
    return pull;
}

void transfer_pull_resume(struct transfer_pull *pull)
{
    if (pull->fetch != NULL)
        transfer_hedge_resume(pull->fetch);
}

void transfer_pull_cancel(struct transfer_pull **pull_ptr)
{
    struct transfer_pull *pull = *pull_ptr;
    *pull_ptr = NULL;
    if (pull == NULL)
        return;
    DT_ASSERT(pull->magic == PULL_MAGIC);
    if (pull->fetch == NULL && pull->token == NULL) {
        pull->arg = NULL; /* fail_later() is on its way and frees */
        return;
    }
    transfer_hedge_cancel(&pull->fetch);
    reg_tokens_cancel(&pull->token);
    pull_free(pull);
}
