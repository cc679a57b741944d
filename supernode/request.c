/*
 * supernode/request.c - one request from its first byte to its answer. See request.h.
 *
 * A new path: a row in PATHS, and what arrives at home.
 */
#define LOG_COMPONENT "request"
#include "supernode/request.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "transfer/piece_server.h"

#define REQUEST_MAGIC      0x73726571u
#define STRANGERS_PAUSE_US (60 * 1000000u)

static DT_DEFINE_COUNTER(metric_strangers, "darter_supernode_unauthentic_total", NULL,
                         "Messages refused for their key or clock.");

void supernode_request_register_metrics(void)
{
    dt_metric_register(&metric_strangers);
}

/* ---- failures ---- */

/* A problem document. The detail is ours or a decoder's and may quote a stranger: what JSON would
 * have to escape is replaced. */
static void reply_problem(struct dt_http_req *http, int status, const struct dt_err *err)
{
    char detail[sizeof(err->msg)];
    size_t len = 0;
    for (; err->msg[len] != '\0'; len++) {
        unsigned char c = (unsigned char)err->msg[len];
        detail[len] = c == '"' || c == '\\' || c < 0x20 || c > 0x7e ? '\'' : (char)c;
    }
    detail[len] = '\0';
    struct dt_text text = {0};
    dt_text_addf(&text,
                 "{\"type\":\"about:blank\",\"status\":%d,\"code\":\"%s\",\"detail\":\"%s\"}\n",
                 status, dt_code_name(err->code), detail);
    dt_http_add_header(http, "Content-Type", "application/problem+json");
    if (status == 405)
        dt_http_add_header(http, "Allow", "POST");
    dt_http_reply(http, status, text.data, text.len);
    dt_text_fini(&text);
}

static void nothing_held(void *arg, const struct dt_http_summary *summary)
{
    (void)arg;
    (void)summary;
}

static void refuse_at_once(struct dt_http_req *http, int status, const struct dt_err *err)
{
    dt_log_debug("request_refused", "from=%s status=%d reason=%s", dt_http_peer(http), status,
                 DT_LOG_Q(err->msg));
    dt_http_on_end(http, nothing_held, NULL);
    reply_problem(http, status, err);
}

/* One with another key or a wrong clock asks for ever, and its own log is far away: said here too,
 * once a minute, because whoever reaches the port could write the log full. */
static void note_stranger(struct supernode *supernode, const struct dt_http_req *http,
                          const struct dt_err *err)
{
    uint64_t now_us = dt_mono_us(), due_us = atomic_load(&supernode->say_strangers_us);
    dt_metric_add(&metric_strangers, 1);
    if (now_us >= due_us && atomic_compare_exchange_strong(&supernode->say_strangers_us, &due_us,
                                                           now_us + STRANGERS_PAUSE_US))
        dt_log_warn("not_authentic", "from=%s reason=%s what=%s", dt_http_peer(http),
                    DT_LOG_Q(err->msg),
                    DT_LOG_Q("refused, and so will be its next messages; said once a minute"));
}

/* ---- the answer, back on the connection's loop ---- */

static void unref(struct supernode_request *request)
{
    DT_ASSERT(request->magic == REQUEST_MAGIC && request->holders > 0);
    if (--request->holders > 0)
        return;
    request->magic = 0;
    wire_exchange_fini(&request->exchange);
    wire_hello_fini(&request->hello);
    dt_free_secret(&request->authorization);
    free(request->body);
    free(request);
}

static void send_answer(void *arg)
{
    struct supernode_request *request = arg;
    DT_ASSERT(request->magic == REQUEST_MAGIC);
    if (request->http != NULL && request->body == NULL) {
        struct dt_err err = {0};
        (void)dt_err_set(&err, DT_EUNAVAILABLE, "this supernode takes no part: ask the next one");
        reply_problem(request->http, request->status, &err);
    } else if (request->http != NULL) {
        char auth[WIRE_AUTH_MAX];
        size_t len = strlen(request->body);
        wire_auth_reply(auth, request->supernode->keys, request->nonce, request->body, len);
        dt_http_add_header(request->http, WIRE_HEADER_AUTH, auth);
        dt_http_add_header(request->http, "Content-Type", "application/json");
        dt_http_reply(request->http, request->status, request->body, len);
    }
    unref(request);
}

static void answer(struct supernode_request *request, int status, char *body)
{
    DT_ASSERT(request->magic == REQUEST_MAGIC && !request->is_answered);
    dt_loop_assert_mine(request->home);
    request->is_answered = true;
    request->status = status;
    request->body = body;
    dt_loop_post(request->loop, send_answer, request);
}

void supernode_request_answer(struct supernode_request *request, char *body)
{
    answer(request, 200, body);
}

void supernode_request_refuse(struct supernode_request *request)
{
    answer(request, 503, NULL);
}

/* ---- a client that leaves ---- */

static void gone_is_known(void *arg)
{
    unref(arg);
}

static void client_has_gone(void *arg)
{
    struct supernode_request *request = arg;
    supernode_exchange_broke(request);
    DT_ASSERT(request->is_answered);
    dt_loop_post(request->loop, gone_is_known, request);
}

static void on_end(void *arg, const struct dt_http_summary *summary)
{
    struct supernode_request *request = arg;
    DT_ASSERT(request->magic == REQUEST_MAGIC);
    request->http = NULL;
    if (summary->end != DT_HTTP_COMPLETE && !wire_id_is_valid(request->hello.node)) {
        request->holders++;
        dt_loop_post(request->home, client_has_gone, request);
    }
    unref(request);
}

/* ---- arrival ---- */

static void arrive(void *arg)
{
    struct supernode_request *request = arg;
    if (wire_id_is_valid(request->hello.node))
        supernode_hello_arrived(request);
    else
        supernode_exchange_arrived(request);
}

/* "192.0.2.7:51234" -> "192.0.2.7", "[2001:db8::1]:51234" -> "[2001:db8::1]". */
static void note_where_from(struct supernode_request *request)
{
    const char *peer = dt_http_peer(request->http);
    const char *colon = strrchr(peer, ':');
    size_t len = colon != NULL ? (size_t)(colon - peer) : 0;
    if (len < sizeof(request->seen_from))
        memcpy(request->seen_from, peer, len);
}

static bool is_from_here(const struct supernode_request *request)
{
    struct dt_addr addr;
    char text[WIRE_ADDRESS_MAX + 8];
    return dt_text_print(text, sizeof(text), "%s:1", request->seen_from) &&
           dt_addr_parse(&addr, text, NULL) == 0 && dt_addr_is_local(&addr);
}

int supernode_request_address(wire_address out, const struct supernode_request *request,
                              const char *told, struct dt_err *err)
{
    struct dt_addr addr;
    const char *host = told[0] == ':' ? request->seen_from : "";
    if (!dt_text_print(out, sizeof(wire_address), "%s%s", host, told))
        return dt_err_set(err, DT_EINVAL, "the address of a node is too long");
    if (out[0] == ':' || !wire_address_is_valid(out))
        return dt_err_set(err, DT_EINVAL, "%.80s is no address of a node", out);
    int rc = dt_addr_parse(&addr, out, err);
    if (rc == 0 && (addr.unix_path[0] != '\0' || addr.port == 0))
        rc = dt_err_set(err, DT_EINVAL, "a node is found at a numeric address and a port");
    /* Everybody else's loopback is another one, with other doors than a piece port. */
    if (rc == 0 && dt_addr_is_local(&addr) && !is_from_here(request))
        rc = dt_err_set(err, DT_EINVAL, "%.80s is nothing that others reach", out);
    return rc;
}

/* The caller's credentials travel sealed, so that no log, core or proxy between sees them. */
static int open_authorization(struct supernode_request *request, struct dt_err *err)
{
    const struct wire_join *join = request->exchange.join;
    if (join == NULL || join->sealed_authorization == NULL)
        return 0;
    char digest[DT_DIGEST_TEXT_MAX];
    char *context = dt_asprintf("%s %s %s", join->upstream, join->repository,
                                dt_digest_format(digest, &request->exchange.digest));
    int rc = dt_keys_open(&request->authorization, request->supernode->keys, context,
                          join->sealed_authorization, err);
    free(context);
    return rc;
}

static int decode_hello(struct supernode_request *request, const void *body, size_t len,
                        struct dt_err *err)
{
    request->home = dt_loops_at(request->supernode->transfer.loops, 0);
    return wire_hello_decode(&request->hello, body, len, err);
}

static int decode_exchange(struct supernode_request *request, const void *body, size_t len,
                           struct dt_err *err)
{
    int rc = wire_exchange_decode(&request->exchange, body, len, err);
    if (rc < 0)
        return rc;
    request->home = dt_loops_home(request->supernode->transfer.loops,
                                  dt_digest_hash(&request->exchange.digest));
    return open_authorization(request, err);
}

static const struct path {
    const char *path;
    int (*decode)(struct supernode_request *, const void *body, size_t len, struct dt_err *);
} PATHS[] = {
    {WIRE_PATH_HELLO, decode_hello},
    {WIRE_PATH_EXCHANGE, decode_exchange},
};

static const struct path *find_path(const char *target)
{
    for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++)
        if (strcmp(PATHS[i].path, target) == 0)
            return &PATHS[i];
    return NULL;
}

static void take(struct supernode *supernode, struct dt_http_req *http, const struct path *path)
{
    struct dt_err err = {0};
    size_t len;
    const void *body = dt_http_body(http, &len);
    struct supernode_request *request = dt_new(struct supernode_request);
    request->magic = REQUEST_MAGIC;
    request->supernode = supernode;
    request->http = http;
    request->loop = dt_http_loop(http);
    request->holders = 1;
    note_where_from(request);
    int status = 401;
    int rc = wire_auth_check_request(request->nonce, supernode->keys,
                                     dt_http_header(http, "darter-auth"), path->path,
                                     (struct dt_key_part){body, len}, dt_wall_ms(), &err);
    if (rc < 0)
        note_stranger(supernode, http, &err);
    if (rc == 0) {
        rc = path->decode(request, body, len, &err);
        status = rc == -DT_EDENIED ? 401 : 400;
    }
    if (rc < 0) {
        refuse_at_once(http, status, &err);
        unref(request);
        return;
    }
    request->holders++; /* home owes an answer */
    dt_http_on_end(http, on_end, request);
    dt_loop_post(request->home, arrive, request);
}

void supernode_request_handle(void *arg, struct dt_http_req *http)
{
    struct supernode *supernode = arg;
    struct dt_err err = {0};
    if (piece_server_handle(supernode->pieces, http))
        return;
    const struct path *path = find_path(dt_http_target(http));
    if (path == NULL) {
        (void)dt_err_set(&err, DT_ENOTFOUND, "nothing is here");
        refuse_at_once(http, 404, &err);
    } else if (dt_http_method(http) != DT_POST) {
        (void)dt_err_set(&err, DT_EMETHOD, "%s takes POST", path->path);
        refuse_at_once(http, 405, &err);
    } else if (atomic_load(&supernode->is_stopping)) {
        (void)dt_err_set(&err, DT_EUNAVAILABLE, "stopping: ask the next supernode");
        refuse_at_once(http, 503, &err);
    } else {
        take(supernode, http, path);
    }
}
