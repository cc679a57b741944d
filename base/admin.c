/*
 * base/admin.c - the admin endpoint's listener: who may ask, which handler answers, how a call
 * ends.
 *
 *   start (token read, listener open) -> calls -> stop (listener drained, calls over) -> free
 *
 * Who may ask: with a token file, whoever shows the token. Without one the listener is on loopback
 * or a unix socket (the daemon sees to it), and what remains is a browser on this machine that a
 * web page sends here: requests that name a foreign host or an origin are refused. Threads: calls
 * live on their connection's loop; the token lies under a lock that is held for a copy only.
 */
#define LOG_COMPONENT "admin"
#include "base/admin.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

#define TOKEN_MAX         1024
#define TOKEN_MIN         12
#define ADMIN_CONNECTIONS 64
#define ADMIN_DRAIN_MS    1000

struct dt_admin {
    struct dt_admin_opts opts; /* strings in it are not used after the start */
    char *token_file;          /* owned or NULL */
    struct dt_httpd *httpd;
    char address[300];
    /* under `lock` */
    pthread_mutex_t lock;
    pthread_cond_t idle;
    unsigned n_calls;
    bool has_token;
    struct dt_digest token; /* sha256 of it: compared in constant time, whatever its length */
};

/* ---- the token ---- */

static int read_token(char out[TOKEN_MAX], const char *file, struct dt_err *err)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, DT_EINVAL, errno, "admin-token-file %s", file);
    ssize_t len = read(fd, out, TOKEN_MAX - 1);
    int saved = errno;
    dt_close(&fd);
    if (len < 0)
        return dt_err_errno(err, DT_EINVAL, saved, "admin-token-file %s", file);
    out[len] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    if (strlen(out) < TOKEN_MIN)
        return dt_err_set(err, DT_EINVAL,
                          "admin-token-file %s: its first line has less than %d characters, put a "
                          "random token there",
                          file, TOKEN_MIN);
    return 0;
}

int dt_admin_read_token(struct dt_admin *admin, struct dt_err *err)
{
    const char *file = admin->token_file;
    char text[TOKEN_MAX];
    if (file == NULL)
        return 0;
    int rc = read_token(text, file, err);
    if (rc == 0) {
        (void)pthread_mutex_lock(&admin->lock);
        dt_digest_of(&admin->token, DT_SHA256, text, strlen(text));
        admin->has_token = true;
        (void)pthread_mutex_unlock(&admin->lock);
    }
    explicit_bzero(text, sizeof text);
    return rc;
}

static bool is_token(const char *authorization, const struct dt_digest *token)
{
    struct dt_digest shown;
    if (authorization == NULL || strncasecmp(authorization, "Bearer ", 7) != 0)
        return false;
    const char *text = authorization + 7 + strspn(authorization + 7, " ");
    dt_digest_of(&shown, DT_SHA256, text, strlen(text));
    uint8_t differs = 0;
    for (size_t i = 0; i < sizeof shown.raw; i++)
        differs |= shown.raw[i] ^ token->raw[i];
    return differs == 0;
}

/* A page on the web can make a browser send requests to loopback (with an Origin), or read the
 * answers by pointing its own name at 127.0.0.1 (with that name as Host). */
static bool is_from_a_web_page(struct dt_http_req *http)
{
    const char *host = dt_http_host(http);
    if (dt_http_header(http, "origin") != NULL)
        return true;
    if (host == NULL || host[0] == '\0')
        return false;
    size_t len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
    bool is_ip = host[0] == '[' || strspn(host, "0123456789.") >= len;
    bool is_localhost = len == strlen("localhost") && strncasecmp(host, "localhost", len) == 0;
    return !is_ip && !is_localhost;
}

/* Answers and returns false when this caller may not. */
static bool authorise(struct dt_admin_call *call)
{
    struct dt_admin *admin = call->admin;
    (void)pthread_mutex_lock(&admin->lock);
    bool has_token = admin->has_token;
    struct dt_digest token = admin->token;
    (void)pthread_mutex_unlock(&admin->lock);
    if (call->match.route != NULL && call->match.route->is_open)
        return true;
    if (has_token && !is_token(dt_http_header(call->http, "authorization"), &token)) {
        dt_http_add_header(call->http, "WWW-Authenticate", "Bearer realm=\"darter\"");
        dt_admin_answer_problem(
            call, 401, "EUNAUTHORIZED",
            "the token of admin-token-file is needed: Authorization: Bearer TOKEN");
        return false;
    }
    if (!has_token && is_from_a_web_page(call->http)) {
        dt_admin_answer_problem(
            call, 403, "EDENIED",
            "requests of web pages are refused; ask by IP address or localhost");
        return false;
    }
    return true;
}

/* ---- a call ---- */

static void let_go(struct dt_admin_call *call)
{
    struct dt_admin *admin = call->admin;
    DT_ASSERT(call->holders > 0);
    if (--call->holders > 0)
        return;
    free(call->body);
    free(call->link);
    free(call->location);
    call->magic = 0;
    free(call);
    (void)pthread_mutex_lock(&admin->lock);
    if (--admin->n_calls == 0)
        (void)pthread_cond_broadcast(&admin->idle);
    (void)pthread_mutex_unlock(&admin->lock);
}

static void on_end(void *arg, const struct dt_http_summary *summary)
{
    struct dt_admin_call *call = arg;
    DT_ASSERT(call->magic == DT_ADMIN_CALL_MAGIC);
    dt_log_debug("request", "method=%s target=%s status=%d us=%llu peer=%s",
                 dt_http_method_name(call->http), DT_LOG_Q(dt_http_target(call->http)),
                 summary->status, (unsigned long long)summary->total_us,
                 DT_LOG_Q(dt_http_peer(call->http)));
    call->http = NULL;
    let_go(call);
}

void dt_admin_call_finish(struct dt_admin_call *call)
{
    DT_ASSERT(call->magic == DT_ADMIN_CALL_MAGIC && call->status != 0);
    dt_loop_assert_mine(call->loop);
    if (call->http != NULL) {
        dt_http_add_header(call->http, "Cache-Control", "no-store");
        if (call->content_type != NULL)
            dt_http_add_header(call->http, "Content-Type", call->content_type);
        if (call->link != NULL)
            dt_http_add_headerf(call->http, "Link", "<%s>; rel=\"next\"", call->link);
        if (call->location != NULL)
            dt_http_add_header(call->http, "Location", call->location);
        if (call->status == 405)
            dt_http_add_header(call->http, "Allow", call->match.allow);
        if (call->body == NULL)
            dt_http_reply_head(call->http, call->status, 0);
        else
            dt_http_reply(call->http, call->status, call->body, strlen(call->body));
    }
    let_go(call);
}

static void run_job(struct dt_job *job)
{
    struct dt_admin_call *call = dt_container_of(job, struct dt_admin_call, job);
    call->match.route->handle(call);
}

static void job_done(struct dt_job *job)
{
    dt_admin_call_finish(dt_container_of(job, struct dt_admin_call, job));
}

static struct dt_admin_call *call_new(struct dt_admin *admin, struct dt_http_req *http)
{
    struct dt_admin_call *call = dt_new(struct dt_admin_call);
    call->magic = DT_ADMIN_CALL_MAGIC;
    call->holders = 2;
    call->admin = admin;
    call->owner = admin->opts.owner;
    call->tables = admin->opts.tables;
    call->loop = dt_http_loop(http);
    call->http = http;
    (void)pthread_mutex_lock(&admin->lock);
    admin->n_calls++;
    (void)pthread_mutex_unlock(&admin->lock);
    dt_http_on_end(http, on_end, call);
    return call;
}

static void match(struct dt_admin_call *call)
{
    const char *target = dt_http_target(call->http);
    size_t path_len = strcspn(target, "?");
    const char *query = target[path_len] == '?' ? target + path_len + 1 : "";
    dt_admin_route_match(&call->match, call->tables, dt_http_method(call->http), target, path_len);
    if (!dt_text_print(call->query, sizeof call->query, "%s", query)) {
        call->match = (struct dt_admin_match){.status = 400};
        (void)dt_text_print(call->match.problem, sizeof call->match.problem,
                            "the query is longer than %d bytes", DT_ADMIN_QUERY_MAX);
    }
}

static void handle(void *arg, struct dt_http_req *http)
{
    struct dt_admin_call *call = call_new(arg, http);
    match(call);
    if (authorise(call) && call->match.route == NULL)
        dt_admin_answer_problem(call, call->match.status, NULL, call->match.problem);
    if (call->status != 0) {
        dt_admin_call_finish(call);
        return;
    }
    if (call->match.route->where == DT_ADMIN_ON_LOOP) {
        call->match.route->handle(call);
        return;
    }
    call->job = (struct dt_job){.run = run_job, .done = job_done, .loop = call->loop};
    dt_pool_submit(call->admin->opts.pool, &call->job);
}

/* ---- life ---- */

int dt_admin_start(struct dt_admin **out, const struct dt_admin_opts *opts, struct dt_err *err)
{
    struct dt_admin *admin = dt_new(struct dt_admin);
    admin->opts = *opts;
    admin->token_file = opts->token_file != NULL ? dt_strdup(opts->token_file) : NULL;
    (void)pthread_mutex_init(&admin->lock, NULL);
    (void)pthread_cond_init(&admin->idle, NULL);
    struct dt_httpd_opts listener = {
        .name = "admin",
        .handler = handle,
        .arg = admin,
        .pool = opts->pool,
        .max_connections = ADMIN_CONNECTIONS,
    };
    int rc = dt_addr_parse(&listener.addr, opts->listen, err);
    if (rc == 0)
        rc = dt_admin_read_token(admin, err);
    if (rc == 0)
        rc = dt_httpd_start(&admin->httpd, opts->loops, &listener, err);
    if (rc < 0) {
        dt_admin_free(&admin);
        return rc;
    }
    if (listener.addr.unix_path[0] == '\0')
        listener.addr.port = dt_httpd_port(admin->httpd);
    (void)dt_addr_format(admin->address, &listener.addr);
    *out = admin;
    return 0;
}

const char *dt_admin_address(const struct dt_admin *admin)
{
    return admin->address;
}

void dt_admin_stop(struct dt_admin *admin)
{
    dt_httpd_drain(admin->httpd, ADMIN_DRAIN_MS);
    (void)pthread_mutex_lock(&admin->lock);
    while (admin->n_calls > 0)
        (void)pthread_cond_wait(&admin->idle, &admin->lock);
    (void)pthread_mutex_unlock(&admin->lock);
}

void dt_admin_free(struct dt_admin **admin)
{
    if (*admin == NULL)
        return;
    if ((*admin)->httpd != NULL)
        dt_httpd_free(&(*admin)->httpd);
    (void)pthread_mutex_destroy(&(*admin)->lock);
    (void)pthread_cond_destroy(&(*admin)->idle);
    free((*admin)->token_file);
    dt_free(admin);
}
