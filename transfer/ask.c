/*
 * transfer/ask.c - one small question, asked of an upstream's endpoints in order.
 *
 *   ASKING endpoint -> (definite answer) -> DONE
 *      |  ^ `-> 401, our account -> TOKEN -> ASKING the same one, once more
 *      `--' refused, silent, 5xx, 429, lying: the next endpoint;  none left -> DONE(err)
 *
 * Where nobody else can be asked, one that says nothing is asked again (transfer/hedge.h). The
 * time left is shared out among the endpoints that may still be asked, so that a silent origin
 * leaves its standby a chance. Bodies of anything but 2xx are not read: some registries frame them
 * wrongly. Lives on one loop; freed when `done` returns.
 */
#define LOG_COMPONENT "ask"
#include "transfer/ask.h"

#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "transfer/account.h"
#include "transfer/hedge.h"
#include "registry-client/error.h"

#define ASK_MAGIC           0x61736b21U
#define CONNECT_TIMEOUT_MS  5000u
#define RETRY_AFTER_UNKNOWN UINT64_MAX

struct transfer_ask {
    unsigned magic;
    struct dt_loop *loop;
    struct transfer_ask_opts opts; /* its strings are owned copies */
    transfer_ask_f done;
    void *arg;
    struct dt_timer start; /* the first step and nothing else: never from inside start() */
    uint64_t deadline_ms;
    uint32_t tried_mask;
    struct reg_endpoint *endpoint; /* being asked; borrowed */
    bool is_second_try;
    char *account; /* our Authorization for this endpoint; wiped */
    struct reg_token_request *token;
    struct transfer_hedge *fetch;
    /* of the running fetch */
    uint64_t began_us, head_us;
    int status;
    bool has_left_home; /* a redirect led to another server */
    struct dt_text body;
    /* why the first endpoint that failed did so */
    struct dt_err err;
    uint64_t retry_after_ms;
};

static void ask_free(struct transfer_ask *ask)
{
    /* What the options carry is const to users; here the copies are ours. */
    char *path = (char *)(uintptr_t)ask->opts.path;
    char *repository = (char *)(uintptr_t)ask->opts.repository;
    char *accept = (char *)(uintptr_t)ask->opts.accept;
    char *authorization = (char *)(uintptr_t)ask->opts.authorization;

    dt_timer_clear(&ask->start);
    transfer_hedge_cancel(&ask->fetch);
    reg_tokens_cancel(&ask->token);
    dt_free_secret(&ask->account);
    dt_free_secret(&authorization);
    free(path);
    free(repository);
    free(accept);
    dt_text_fini(&ask->body);
    ask->magic = 0;
    free(ask);
}

/* `fetch` may be NULL: an error, or a 401 of the token service in the endpoint's name. */
static void ask_answer(struct transfer_ask *ask, int code, int status, struct dt_fetch *fetch)
{
    struct transfer_ask_answer answer = {
        .status = status,
        .fetch = fetch,
        .body = dt_text_str(&ask->body),
        .len = ask->body.len,
        .endpoint = ask->endpoint != NULL ? ask->endpoint->index : 0,
    };

    ask->fetch = NULL; /* ends by itself */
    if (code != 0) {
        answer.err = ask->err;
        if (ask->retry_after_ms != RETRY_AFTER_UNKNOWN)
            answer.retry_after_ms = ask->retry_after_ms;
    }
    ask->done(ask->arg, &answer);
    ask_free(ask);
}

static void ask_next(struct transfer_ask *);

/* The first failure is the origin's, and the one that people want to read about. */
static void ask_remember(struct transfer_ask *ask, const struct dt_err *err)
{
    if (ask->err.code == 0)
        ask->err = *err;
    dt_log_debug("endpoint_passed_over", "endpoint=%s code=%s reason=%s", ask->endpoint->url,
                 dt_code_name(err->code), DT_LOG_Q(err->msg));
}

static void ask_failed(struct transfer_ask *ask, const struct dt_err *err, uint64_t retry_after_ms)
{
    uint64_t now_us = dt_mono_us();

    if (err->code == DT_EBUSY && retry_after_ms > 0 && retry_after_ms < ask->retry_after_ms)
        ask->retry_after_ms = retry_after_ms;
    ask_remember(ask, err);
    /* While the breaker is closed: a registry that is down says so a few times, not per request. */
    if (reg_endpoint_breaker(ask->endpoint, dt_loop_now_ms(ask->loop)) == REG_BREAKER_CLOSED)
        dt_log_warn("endpoint_failed", "upstream=%s endpoint=%s code=%s reason=%s",
                    ask->opts.upstream->name, ask->endpoint->url, dt_code_name(err->code),
                    DT_LOG_Q(err->msg));
    reg_endpoint_failed(ask->endpoint, err->code, retry_after_ms, dt_loop_now_ms(ask->loop),
                        dt_wall_ms(), (uint32_t)dt_hash_bytes(&now_us, sizeof(now_us)));
    ask_next(ask);
}

/* ---- our own account ---- */

static bool ask_may_use_account(const struct transfer_ask *ask)
{
    if (ask->opts.may_be_anonymous && ask->opts.authorization == NULL)
        return true; /* by the same way; without an account the token is an anonymous one */
    return ask->opts.may_use_account &&
           (ask->endpoint->has_credentials || ask->opts.upstream->own_credentials);
}

static char *ask_scope(const struct transfer_ask *ask)
{
    return ask->opts.repository != NULL ? dt_asprintf("repository:%s:pull", ask->opts.repository)
                                        : NULL;
}

static void ask_send(struct transfer_ask *);

static void on_token(void *arg, const char *authorization, const struct dt_err *err)
{
    struct transfer_ask *ask = arg;

    DT_ASSERT(ask->magic == ASK_MAGIC);
    ask->token = NULL;
    if (authorization != NULL) {
        ask->account = dt_strdup(authorization);
        ask_send(ask);
        return;
    }
    if (err->code == DT_EUNAUTHORIZED) {
        dt_log_warn("account_refused", "endpoint=%s reason=%s", ask->endpoint->url,
                    DT_LOG_Q(err->msg));
        ask_answer(ask, 0, 401, NULL);
        return;
    }
    ask_failed(ask, err, 0);
}

/* A 401 with our account, or without any header yet: true when a token is on its way. */
static bool ask_gets_token(struct transfer_ask *ask, struct dt_fetch *fetch)
{
    const char *text = dt_fetch_header(fetch, "www-authenticate");
    struct reg_tokens *tokens;
    struct reg_challenge challenge;
    char *scope;

    if (!ask_may_use_account(ask) || ask->is_second_try || text == NULL ||
        reg_challenge_parse(&challenge, text, NULL) < 0)
        return false;
    tokens = transfer_account_tokens(ask->opts.transfer, ask->endpoint);
    scope = ask_scope(ask);
    if (ask->account != NULL)
        reg_tokens_forget(tokens, scope);
    dt_free_secret(&ask->account);
    ask->is_second_try = true;
    ask->fetch = NULL;
    ask->token = reg_tokens_get(tokens, &challenge, scope, on_token, ask);
    free(scope);
    return true;
}

/* ---- one endpoint's answer ---- */

/* The same server as the one we meant to ask? */
static bool is_at_home(const struct transfer_ask *ask, const char *effective_url)
{
    char home[300], there[300];
    struct dt_url a, b;
    bool is_same;

    if (effective_url == NULL || dt_url_parse(&a, ask->endpoint->url, NULL) < 0)
        return true;
    if (dt_url_parse(&b, effective_url, NULL) < 0) {
        dt_url_fini(&a);
        return false;
    }
    is_same = strcmp(dt_url_origin(home, &a), dt_url_origin(there, &b)) == 0;
    dt_url_fini(&a);
    dt_url_fini(&b);
    return is_same;
}

static bool on_head(void *arg, const struct dt_fetch_head *head)
{
    struct transfer_ask *ask = arg;

    DT_ASSERT(ask->magic == ASK_MAGIC);
    ask->status = head->status;
    ask->head_us = dt_mono_us() - ask->began_us;
    ask->has_left_home = !is_at_home(ask, head->effective_url);
    return head->status >= 200 && head->status < 300;
}

static bool on_data(void *arg, const void *bytes, size_t len)
{
    struct transfer_ask *ask = arg;
    dt_text_add_len(&ask->body, bytes, len); /* bounded by max_body_bytes in the fetch */
    return true;
}

/* A status that no caller may see as an answer; fills err. */
static int ask_judge_status(struct transfer_ask *ask, struct dt_err *err)
{
    int code = reg_status_code(ask->status);
    bool is_ok = ask->status >= 200 && ask->status < 300;

    code = code < 0 ? -code : code;
    if (!is_ok && ask->has_left_home)
        /* The storage behind a redirect knows nothing of the caller's rights. */
        return dt_err_set(err, DT_EPROTO, "%s redirected to a server that answered %d",
                          ask->endpoint->url, ask->status);
    if (code == DT_EBUSY || code == DT_EUNAVAILABLE || code == DT_EPROTO)
        return dt_err_set(err, (enum dt_code)code, "%s answered %d", ask->endpoint->url,
                          ask->status);
    return 0;
}

static void ask_refused(struct transfer_ask *ask, const struct dt_err *err, struct dt_fetch *fetch)
{
    uint64_t retry_after_ms = 0;

    /* An odd 4xx says more about the question than about the server: its health is untouched. */
    if (err->code == DT_EPROTO) {
        ask_remember(ask, err);
        ask_next(ask);
        return;
    }
    if (ask->status == 429 || ask->status == 503)
        retry_after_ms = dt_retry_after_parse(dt_fetch_header(fetch, "retry-after"), dt_wall_ms(),
                                              REG_RETRY_AFTER_MAX_MS);
    ask_failed(ask, err, retry_after_ms);
}

static void ask_judge(struct transfer_ask *ask, struct dt_fetch *fetch)
{
    struct dt_err err = {0};

    if (ask_judge_status(ask, &err) < 0) {
        ask_refused(ask, &err, fetch);
        return;
    }
    reg_endpoint_ok(ask->endpoint, ask->head_us, dt_wall_ms());
    if (ask->status == 401 && ask_gets_token(ask, fetch))
        return;
    if (ask->status == 404 && ask->endpoint->index > 0) {
        /* A standby lags behind its origin: that it has not heard of something proves nothing. */
        (void)dt_err_set(&err, DT_EUNAVAILABLE, "%s does not have it, and the origin is away",
                         ask->endpoint->url);
        ask_remember(ask, &err);
        ask_next(ask);
        return;
    }
    if (ask->status == 200 && ask->opts.check != NULL && strcmp(ask->opts.method, "GET") == 0 &&
        ask->opts.check(ask->arg, dt_text_str(&ask->body), ask->body.len, fetch, &err) < 0) {
        dt_log_warn("endpoint_lies", "endpoint=%s path=%s reason=%s", ask->endpoint->url,
                    DT_LOG_Q(ask->opts.path), DT_LOG_Q(err.msg));
        reg_endpoint_strike(ask->endpoint, dt_loop_now_ms(ask->loop), dt_wall_ms());
        ask_remember(ask, &err);
        ask_next(ask);
        return;
    }
    ask_answer(ask, 0, ask->status, fetch);
}

static void on_done(void *arg, const struct dt_err *err)
{
    struct transfer_ask *ask = arg;
    struct dt_fetch *fetch = transfer_hedge_fetch(ask->fetch);

    DT_ASSERT(ask->magic == ASK_MAGIC);
    ask->fetch = NULL;
    if (err->code == 0 || (err->code == DT_ECANCELLED && ask->status != 0)) {
        ask_judge(ask, fetch);
    } else if (err->code == DT_ETOOBIG) {
        ask->err = *err; /* no other endpoint has a smaller one */
        ask_answer(ask, DT_ETOOBIG, 0, NULL);
    } else {
        struct dt_err where = {0};
        (void)dt_err_set(&where, (enum dt_code)err->code, "%s: %s", ask->endpoint->url, err->msg);
        ask_failed(ask, &where, 0);
    }
}

static const struct dt_fetch_ops fetch_ops = {
    .on_head = on_head, .on_data = on_data, .on_done = on_done};

/* ---- sending ---- */

/* What this endpoint may take of the time that is left: its share, and while another one stands
 * ready no more than a client's patience has room for. */
static uint64_t ask_share_ms(const struct transfer_ask *ask, uint64_t left_ms, uint64_t *again_ms)
{
    const struct reg_upstream *upstream = ask->opts.upstream;
    uint64_t now_ms = dt_loop_now_ms(ask->loop);
    unsigned n = 1;

    for (size_t i = 0; i < upstream->n_endpoints; i++)
        if (!(ask->tried_mask & 1U << i) &&
            reg_endpoint_breaker(&upstream->endpoints[i], now_ms) == REG_BREAKER_CLOSED)
            n++;
    uint64_t patience_ms = transfer_patience_ms(ask->opts.transfer->options, n > 1);
    uint64_t share_ms = left_ms / n;
    *again_ms = transfer_again_ms(ask->opts.transfer->options, n > 1);
    if (n > 1 && share_ms > patience_ms)
        share_ms = patience_ms;
    return share_ms > 0 ? share_ms : 1;
}

static const char *ask_authorization(struct transfer_ask *ask)
{
    const char *peeked;
    char *scope;

    if (!ask_may_use_account(ask))
        return ask->opts.authorization;
    if (ask->account == NULL) {
        scope = ask_scope(ask);
        peeked =
            scope != NULL
                ? reg_tokens_peek(transfer_account_tokens(ask->opts.transfer, ask->endpoint), scope)
                : NULL;
        ask->account = dt_strdup(peeked);
        free(scope);
    }
    return ask->account;
}

static void ask_send(struct transfer_ask *ask)
{
    uint64_t now_ms = dt_loop_now_ms(ask->loop), again_ms;
    uint64_t share_ms =
        ask_share_ms(ask, ask->deadline_ms > now_ms ? ask->deadline_ms - now_ms : 1, &again_ms);
    const char *authorization = ask_authorization(ask);
    struct dt_header headers[3] = {{"Accept-Encoding", "identity"}};
    size_t n_headers = 1;
    struct dt_err err = {0};
    char *url = dt_asprintf("%s%s", ask->endpoint->url, ask->opts.path);
    int rc;

    if (ask->opts.accept != NULL)
        headers[n_headers++] = (struct dt_header){"Accept", ask->opts.accept};
    if (authorization != NULL)
        headers[n_headers++] = (struct dt_header){"Authorization", authorization};
    ask->status = 0;
    ask->has_left_home = false;
    dt_text_clear(&ask->body);
    ask->began_us = dt_mono_us();
    rc = transfer_hedge_start(
        &ask->fetch,
        &(struct dt_fetch_opts){
            .method = ask->opts.method,
            .url = url,
            .headers = headers,
            .n_headers = n_headers,
            .ca_file = ask->endpoint->ca_file,
            .insecure_tls = ask->endpoint->insecure_tls,
            .follow_redirects = true,
            .connect_timeout_ms = share_ms < CONNECT_TIMEOUT_MS ? share_ms : CONNECT_TIMEOUT_MS,
            .head_timeout_ms = share_ms,
            .stall_timeout_ms = share_ms,
            .total_timeout_ms = share_ms,
            .max_body_bytes = ask->opts.max_body_bytes,
        },
        again_ms < share_ms ? again_ms : 0, &fetch_ops, ask, &err);
    free(url);
    if (rc < 0) {
        ask_remember(ask, &err);
        ask_next(ask);
    }
}

/* Depth: each turn takes one endpoint out, so the recursion through ask_send() is bounded. */
static void ask_next(struct transfer_ask *ask)
{
    struct reg_upstream *upstream = ask->opts.upstream;
    uint64_t now_ms = dt_loop_now_ms(ask->loop);
    int index = -1;

    dt_text_clear(&ask->body);
    dt_free_secret(&ask->account);
    ask->is_second_try = false;
    if (now_ms < ask->deadline_ms)
        index = reg_upstream_pick(upstream, ask->tried_mask, now_ms);
    if (index < 0) {
        if (ask->err.code == 0)
            (void)dt_err_set(&ask->err, DT_EUNAVAILABLE, "no endpoint of %s can be asked now",
                             upstream->name);
        ask_answer(ask, ask->err.code, 0, NULL);
        return;
    }
    ask->tried_mask |= 1U << index;
    ask->endpoint = &upstream->endpoints[index];
    ask_send(ask);
}

static void on_start(void *arg)
{
    struct transfer_ask *ask = arg;

    DT_ASSERT(ask->magic == ASK_MAGIC);
    ask_next(ask);
}

struct transfer_ask *transfer_ask_start(const struct transfer_ask_opts *opts, transfer_ask_f done,
                                        void *arg)
{
    struct transfer_ask *ask = dt_new(struct transfer_ask);

    ask->magic = ASK_MAGIC;
    ask->loop = dt_loop_current();
    DT_ASSERT(ask->loop != NULL);
    ask->opts = *opts;
    ask->opts.path = dt_strdup(opts->path);
    ask->opts.repository = dt_strdup(opts->repository);
    ask->opts.accept = dt_strdup(opts->accept);
    ask->opts.authorization = dt_strdup(opts->authorization);
    ask->done = done;
    ask->arg = arg;
    ask->retry_after_ms = RETRY_AFTER_UNKNOWN;
    ask->deadline_ms = dt_loop_now_ms(ask->loop) + (opts->budget_ms > 0 ? opts->budget_ms : 1);
    dt_timer_init(&ask->start, ask->loop, on_start, ask);
    dt_timer_set(&ask->start, 0);
    return ask;
}

void transfer_ask_cancel(struct transfer_ask **ask)
{
    if (*ask != NULL) {
        DT_ASSERT((*ask)->magic == ASK_MAGIC);
        ask_free(*ask);
    }
    *ask = NULL;
}
