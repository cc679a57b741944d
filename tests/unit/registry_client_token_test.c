/*
 * tests/unit/registry_client_token_test.c - tokens, against a token service on a raw socket.
 *
 * The service is a thread that reads one request per connection, keeps its text, and answers what
 * the request's path names ("/ok", "/401", ...). While its gate is closed it holds answers back.
 */
#include "registry-client/token.h"

#include "base/mem.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define N(a)        (sizeof(a) / sizeof((a)[0]))
#define DEADLINE_S  10
#define HINT        "repository:team/app:pull"
#define REQUEST_MAX 4096

/* ---- the service --------------------------------------------------------------------------------
 */

static struct service {
    int fd;
    unsigned port;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_gate_open, is_stopping;
    unsigned n_requests;
    char last[REQUEST_MAX + 1];
} service = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static const struct answer {
    const char *path;
    int status;
    const char *body; /* %u = number of the request */
} ANSWERS[] = {
    {"/ok", 200, "{\"token\":\"t%u\",\"expires_in\":300}"},
    {"/access", 200, "{\"access_token\":\"a%u\"}"},
    {"/short", 200, "{\"token\":\"t%u\",\"expires_in\":1}"},
    {"/once", 200, "{\"token\":\"t%u\",\"expires_in\":4}"}, /* 503 from the second time on */
    {"/401", 401, "{\"errors\":[]}"},
    {"/403", 403, ""},
    {"/404", 404, "not here"},
    {"/429", 429, ""},
    {"/503", 503, "later"},
    {"/garbage", 200, "<html>"},
    {"/header", 200, "{\"token\":\"a\\r\\nX-Evil: 1\"}"},
};

static void read_request(int fd, char *buf)
{
    size_t len = 0, want = 0;
    while (len < REQUEST_MAX && (want == 0 || len < want)) {
        ssize_t n = read(fd, buf + len, REQUEST_MAX - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        buf[len] = '\0';
        const char *end = strstr(buf, "\r\n\r\n");
        const char *length = strcasestr(buf, "\r\nContent-Length: ");
        if (end != NULL)
            want =
                (size_t)(end - buf) + 4 +
                (length == NULL ? 0 : strtoul(length + strlen("\r\nContent-Length: "), NULL, 10));
    }
    buf[len] = '\0';
}

static void answer_request(int fd, const char *request, unsigned number)
{
    const struct answer *answer = &ANSWERS[0];
    struct dt_text body = {0}, reply = {0};
    const char *path = strchr(request, ' ');

    for (size_t i = 0; i < N(ANSWERS); i++)
        if (path != NULL && dt_text_has_prefix(path + 1, ANSWERS[i].path))
            answer = &ANSWERS[i];
    bool is_down = strcmp(answer->path, "/once") == 0 && number > 1;
    const char *number_at = strstr(answer->body, "%u");
    if (number_at == NULL)
        dt_text_add(&body, answer->body);
    else
        dt_text_addf(&body, "%.*s%u%s", (int)(number_at - answer->body), answer->body, number,
                     number_at + 2);
    dt_text_addf(&reply, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                 is_down ? 503 : answer->status, body.len, dt_text_str(&body));
    (void)!write(fd, reply.data, reply.len); /* a client that went away is part of the tests */
    dt_text_fini(&body);
    dt_text_fini(&reply);
}

static void *serve(void *arg)
{
    (void)arg;
    for (;;) {
        char request[REQUEST_MAX + 1];
        int fd = accept(service.fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        read_request(fd, request);
        pthread_mutex_lock(&service.lock);
        unsigned number = ++service.n_requests;
        memcpy(service.last, request, sizeof(request));
        pthread_cond_broadcast(&service.changed);
        while (!service.is_gate_open && !service.is_stopping)
            pthread_cond_wait(&service.changed, &service.lock);
        pthread_mutex_unlock(&service.lock);
        answer_request(fd, request, number);
        close(fd);
    }
}

static void gate_set(bool is_open)
{
    pthread_mutex_lock(&service.lock);
    service.is_gate_open = is_open;
    pthread_cond_broadcast(&service.changed);
    pthread_mutex_unlock(&service.lock);
}

static unsigned requests_seen(void)
{
    pthread_mutex_lock(&service.lock);
    unsigned n = service.n_requests;
    pthread_mutex_unlock(&service.lock);
    return n;
}

static void wait_for_request(unsigned number)
{
    struct timespec deadline;
    int rc = 0;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_S;
    pthread_mutex_lock(&service.lock);
    while (service.n_requests < number && rc == 0)
        rc = pthread_cond_timedwait(&service.changed, &service.lock, &deadline);
    pthread_mutex_unlock(&service.lock);
    assert_int_equal(rc, 0);
}

/* ---- the loop -----------------------------------------------------------------------------------
 */

static struct dt_loops *loops;
static struct dt_fetcher *fetcher;
static struct reg_tokens *tokens;
static struct reg_credentials account;
static char account_user[] = "robot$p+n", account_password[] = "pw:1", account_identity[64] = "";

static void wait_for(sem_t *sem)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_S;
    assert_int_equal(sem_timedwait(sem, &deadline), 0);
}

/* Runs fn(arg) on the loop and waits for it. */
static void on_loop(dt_loop_f fn, void *arg)
{
    dt_loop_call(dt_loops_at(loops, 0), fn, arg);
}

struct ask {
    struct reg_challenge challenge;
    const char *hint;
    bool frees_all; /* calls reg_tokens_free() from the callback */
    struct reg_token_request *request;
    bool is_inside; /* of reg_tokens_get() */
    unsigned n_done;
    char authorization[128];
    struct dt_err err;
    sem_t is_done;
};

static void on_token(void *arg, const char *authorization, const struct dt_err *err)
{
    struct ask *ask = arg;
    DT_ASSERT(!ask->is_inside);
    DT_ASSERT((authorization == NULL) == (err != NULL));
    ask->request = NULL;
    ask->n_done++;
    if (authorization != NULL)
        DT_ASSERT(
            dt_text_print(ask->authorization, sizeof(ask->authorization), "%s", authorization));
    else
        ask->err = *err;
    if (ask->frees_all)
        reg_tokens_free(&tokens);
    sem_post(&ask->is_done);
}

static void start(void *arg)
{
    struct ask *ask = arg;
    ask->is_inside = true;
    ask->request = reg_tokens_get(tokens, &ask->challenge, ask->hint, on_token, ask);
    ask->is_inside = false;
}

/* A challenge that leads to `path` of the service. */
static void ask_init(struct ask *ask, const char *path, const char *scope)
{
    *ask = (struct ask){.hint = HINT, .challenge = {.scheme = REG_AUTH_BEARER}};
    assert_true(dt_text_print(ask->challenge.realm, sizeof(ask->challenge.realm),
                              "http://127.0.0.1:%u%s", service.port, path));
    assert_true(dt_text_print(ask->challenge.service, sizeof(ask->challenge.service), "reg & co"));
    assert_true(dt_text_print(ask->challenge.scope, sizeof(ask->challenge.scope), "%s", scope));
    sem_init(&ask->is_done, 0, 0);
}

static void ask_run(struct ask *ask)
{
    on_loop(start, ask);
    wait_for(&ask->is_done);
    assert_int_equal(ask->n_done, 1);
}

static void get(struct ask *ask, const char *path, const char *scope)
{
    ask_init(ask, path, scope);
    ask_run(ask);
}

static void cancel(void *arg)
{
    struct ask *ask = arg;
    reg_tokens_cancel(&ask->request);
    DT_ASSERT(ask->request == NULL);
    reg_tokens_cancel(&ask->request); /* harmless on NULL */
}

static void forget(void *arg)
{
    reg_tokens_forget(tokens, arg);
}

struct peek {
    const char *hint;
    char found[128];
};

static void peek(void *arg)
{
    struct peek *p = arg;
    const char *found = reg_tokens_peek(tokens, p->hint);
    DT_ASSERT(dt_text_print(p->found, sizeof(p->found), "%s", found == NULL ? "-" : found));
}

static void assert_peek(const char *hint, const char *expected)
{
    struct peek p = {.hint = hint};
    on_loop(peek, &p);
    assert_string_equal(p.found, expected);
}

static void tokens_make(void *arg)
{
    tokens = reg_tokens_new(dt_loops_at(loops, 0), arg, NULL, false);
}

static void tokens_drop(void *arg)
{
    (void)arg;
    reg_tokens_free(&tokens);
    reg_tokens_free(&tokens); /* harmless on NULL */
}

static void use_account(bool is_identity)
{
    memcpy(account_identity, "id&t", is_identity ? 5 : 0);
    account_identity[is_identity ? 4 : 0] = '\0';
    account = (struct reg_credentials){account_user, account_password, account_identity};
    on_loop(tokens_drop, NULL);
    on_loop(tokens_make, &account);
}

static int set_up(void **state)
{
    (void)state;
    service.n_requests = 0;
    gate_set(true);
    on_loop(tokens_make, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gate_set(true);
    on_loop(tokens_drop, NULL);
    return 0;
}

/* ---- tests --------------------------------------------------------------------------------------
 */

static void token__is_asked_for_once_and_kept(void **state)
{
    struct ask a, b;
    (void)state;
    assert_peek(HINT, "-");
    get(&a, "/ok", "repository:team/app:pull,push");
    assert_string_equal(a.authorization, "Bearer t1");
    assert_non_null(strstr(service.last, "GET /ok?service=reg%20%26%20co&scope=repository%3Ateam"
                                         "%2Fapp%3Apull%2Cpush HTTP/1.1\r\n"));
    assert_null(strcasestr(service.last, "\r\nAuthorization:"));
    get(&b, "/ok", "repository:team/app:pull,push");
    assert_string_equal(b.authorization, "Bearer t1");
    assert_int_equal(requests_seen(), 1);
    assert_peek(HINT, "Bearer t1");
    assert_peek("other", "-");
}

static void scope__comes_from_the_hint_when_the_challenge_has_none(void **state)
{
    struct ask a;
    (void)state;
    get(&a, "/ok?x=1", "");
    assert_non_null(strstr(service.last, "GET /ok?x=1&service=reg%20%26%20co&scope=repository%3A"));
    ask_init(&a, "/access", "");
    a.hint = NULL;
    a.challenge.service[0] = '\0';
    ask_run(&a);
    assert_string_equal(a.authorization, "Bearer a2");
    assert_non_null(strstr(service.last, "GET /access HTTP/1.1\r\n"));
}

static void tokens__differ_by_scope(void **state)
{
    struct ask a, b;
    (void)state;
    get(&a, "/ok", "one");
    ask_init(&b, "/ok", "two");
    b.hint = "hint two";
    ask_run(&b);
    assert_string_equal(b.authorization, "Bearer t2");
    assert_peek(HINT, "Bearer t1");
    assert_peek("hint two", "Bearer t2");
    /* the same hint leads to the newest */
    get(&b, "/ok", "three");
    assert_peek(HINT, "Bearer t3");
}

static void requests__are_coalesced(void **state)
{
    struct ask asks[20];
    (void)state;
    gate_set(false);
    for (size_t i = 0; i < N(asks); i++) {
        ask_init(&asks[i], "/ok", "s");
        on_loop(start, &asks[i]);
    }
    wait_for_request(1);
    on_loop(cancel, &asks[0]);
    on_loop(cancel, &asks[7]);
    gate_set(true);
    for (size_t i = 0; i < N(asks); i++) {
        if (i == 0 || i == 7)
            continue;
        wait_for(&asks[i].is_done);
        assert_string_equal(asks[i].authorization, "Bearer t1");
    }
    assert_peek(HINT, "Bearer t1");
    assert_int_equal(asks[0].n_done + asks[7].n_done, 0);
    assert_int_equal(requests_seen(), 1);
}

static void start_and_cancel(void *arg)
{
    start(arg);
    cancel(arg);
}

static void cancel__works_when_the_answer_is_ready(void **state)
{
    struct ask a, b;
    (void)state;
    get(&a, "/ok", "s");
    ask_init(&b, "/ok", "s");
    on_loop(start_and_cancel, &b);
    get(&a, "/ok", "s"); /* fires after b would have */
    assert_int_equal(b.n_done, 0);
}

static void cancelled_question__still_fills_the_cache(void **state)
{
    struct ask a, b;
    (void)state;
    gate_set(false);
    ask_init(&a, "/ok", "s");
    on_loop(start_and_cancel, &a);
    wait_for_request(1);
    ask_init(&b, "/ok", "s");
    on_loop(start, &b);
    gate_set(true);
    wait_for(&b.is_done);
    assert_string_equal(b.authorization, "Bearer t1");
    assert_int_equal(requests_seen(), 1);
}

static void forgotten_token__is_asked_for_again(void **state)
{
    struct ask a;
    char hint[] = HINT, other[] = "other";
    (void)state;
    get(&a, "/ok", "s");
    on_loop(forget, other);
    assert_peek(HINT, "Bearer t1");
    on_loop(forget, hint);
    assert_peek(HINT, "-");
    get(&a, "/ok", "s");
    assert_string_equal(a.authorization, "Bearer t2");
}

static void forget__while_asking_waits_for_the_new_one(void **state)
{
    struct ask a;
    char hint[] = HINT;
    (void)state;
    gate_set(false);
    ask_init(&a, "/ok", "s");
    on_loop(start, &a);
    wait_for_request(1);
    on_loop(forget, hint);
    gate_set(true);
    wait_for(&a.is_done);
    assert_string_equal(a.authorization, "Bearer t1");
}

static void token__is_renewed_before_it_ends(void **state)
{
    struct ask a;
    uint64_t give_up_us = dt_mono_us() + DEADLINE_S * 1000000ull;
    (void)state;
    get(&a, "/short", "s");
    assert_string_equal(a.authorization, "Bearer t1");
    do {
        assert_true(dt_mono_us() < give_up_us);
        get(&a, "/short", "s");
    } while (strcmp(a.authorization, "Bearer t1") == 0);
    assert_string_equal(a.authorization, "Bearer t2");
}

static void token__is_used_to_its_end_while_the_service_is_down(void **state)
{
    struct ask a;
    unsigned n_used = 0;
    uint64_t give_up_us = dt_mono_us() + DEADLINE_S * 1000000ull;
    (void)state;
    do {
        assert_true(dt_mono_us() < give_up_us);
        get(&a, "/once", "s");
        n_used += requests_seen() > 1 && a.err.code == 0;
    } while (a.err.code == 0);
    assert_int_equal(a.err.code, DT_EUNAVAILABLE);
    assert_true(n_used > 0);
    /* the failed renewal was not repeated for every request */
    assert_in_range(requests_seen(), 2, 4);
}

static void failure__keeps_its_meaning(void **state)
{
    static const struct {
        const char *path;
        int code;
    } ROWS[] = {
        {"/401", DT_EUNAUTHORIZED}, {"/403", DT_EDENIED},      {"/404", DT_EPROTO},
        {"/429", DT_EBUSY},         {"/503", DT_EUNAVAILABLE}, {"/garbage", DT_EPROTO},
        {"/header", DT_EPROTO},
    };
    struct ask a;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        get(&a, ROWS[i].path, "s");
        assert_string_equal(a.authorization, "");
        if (a.err.code != ROWS[i].code)
            fail_msg("%s: %s", ROWS[i].path, dt_code_name(a.err.code));
        assert_peek(HINT, "-");
    }
    assert_int_equal(requests_seen(), N(ROWS));
}

static void realm__must_be_a_url(void **state)
{
    static const char *const ROWS[] = {
        "harbor", "ftp://h/t", "http://u:p@127.0.0.1/t", "http://127.0.0.1/t#f", "http://a b/",
    };
    struct ask a;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        ask_init(&a, "/ok", "s");
        assert_true(dt_text_print(a.challenge.realm, sizeof(a.challenge.realm), "%s", ROWS[i]));
        ask_run(&a);
        assert_int_equal(a.err.code, DT_EPROTO);
    }
    assert_int_equal(requests_seen(), 0);
}

static void service__that_is_down_is_unavailable(void **state)
{
    struct ask a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    (void)state;
    /* bound, not listening: nobody else gets the port, and a connection is refused */
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    ask_init(&a, "/ok", "s");
    assert_true(dt_text_print(a.challenge.realm, sizeof(a.challenge.realm), "http://127.0.0.1:%u/t",
                              ntohs(address.sin_port)));
    ask_run(&a);
    assert_int_equal(a.err.code, DT_EUNAVAILABLE);
    close(fd);
}

static void account__goes_along_as_basic(void **state)
{
    struct ask a;
    (void)state;
    use_account(false);
    get(&a, "/ok", "s");
    assert_string_equal(a.authorization, "Bearer t1");
    assert_non_null(strcasestr(service.last, "\r\nAuthorization: Basic cm9ib3QkcCtuOnB3OjE=\r\n"));
}

static void identity_token__goes_by_post(void **state)
{
    struct ask a;
    (void)state;
    use_account(true);
    get(&a, "/ok", "s");
    assert_string_equal(a.authorization, "Bearer t1");
    assert_true(dt_text_has_prefix(service.last, "POST /ok HTTP/1.1\r\n"));
    assert_non_null(strstr(service.last, "\r\n\r\ngrant_type=refresh_token&client_id=darter&"
                                         "service=reg%20%26%20co&scope=s&refresh_token=id%26t"));
    assert_null(strstr(service.last, "Basic"));
}

static void basic_challenge__needs_an_account(void **state)
{
    struct ask a;
    (void)state;
    ask_init(&a, "", "");
    a.challenge.scheme = REG_AUTH_BASIC;
    ask_run(&a);
    assert_int_equal(a.err.code, DT_EUNAUTHORIZED);
    use_account(false);
    for (int i = 0; i < 2; i++) {
        ask_init(&a, "", "");
        a.challenge.scheme = REG_AUTH_BASIC;
        ask_run(&a);
        assert_string_equal(a.authorization, "Basic cm9ib3QkcCtuOnB3OjE=");
        assert_peek(HINT, a.authorization);
    }
    ask_init(&a, "", "");
    a.challenge.scheme = REG_AUTH_NONE;
    ask_run(&a);
    assert_int_equal(a.err.code, DT_EPROTO);
    assert_int_equal(requests_seen(), 0);
}

static void free__ends_everything_without_callbacks(void **state)
{
    struct ask waiting, ready;
    (void)state;
    get(&ready, "/ok", "s");
    gate_set(false);
    ask_init(&waiting, "/ok", "t");
    waiting.hint = "t";
    on_loop(start, &waiting);
    wait_for_request(2);
    on_loop(tokens_drop, NULL);
    gate_set(true);
    on_loop(tokens_make, NULL);
    get(&ready, "/ok", "s"); /* a whole round later */
    assert_int_equal(waiting.n_done, 0);
}

static void callback__may_free_everything(void **state)
{
    struct ask first, second;
    (void)state;
    gate_set(false);
    ask_init(&first, "/ok", "s");
    first.frees_all = true;
    ask_init(&second, "/ok", "s");
    on_loop(start, &first);
    on_loop(start, &second);
    gate_set(true);
    wait_for(&first.is_done);
    on_loop(tokens_make, NULL);
    get(&first, "/ok", "s");
    assert_int_equal(second.n_done, 0);
}

struct many {
    struct ask asks[1100];
    char hints[1100][16];
};

static void start_many(void *arg)
{
    struct many *many = arg;
    for (size_t i = 0; i < N(many->asks); i++)
        start(&many->asks[i]);
}

static void cache__is_bounded(void **state)
{
    struct many *many = dt_new(struct many);
    (void)state;
    use_account(false);
    for (size_t i = 0; i < N(many->asks); i++) {
        ask_init(&many->asks[i], "", "");
        DT_ASSERT(dt_text_print(many->hints[i], sizeof(many->hints[i]), "h%zu", i));
        many->asks[i].hint = many->hints[i];
        many->asks[i].challenge.scheme = REG_AUTH_BASIC;
    }
    on_loop(start_many, many);
    for (size_t i = 0; i < N(many->asks); i++)
        wait_for(&many->asks[i].is_done);
    assert_peek("h0", "-");
    assert_peek("h75", "-");
    assert_peek("h76", "Basic cm9ib3QkcCtuOnB3OjE=");
    assert_peek("h1099", "Basic cm9ib3QkcCtuOnB3OjE=");
    free(many);
}

static void answer__is_parsed_strictly(void **state)
{
    static const struct {
        const char *json, *token; /* NULL = refused */
        uint64_t expires_s;
    } ROWS[] = {
        {"{\"token\":\"a\",\"access_token\":\"b\",\"expires_in\":300}", "a", 300},
        {"{\"token\":\"\",\"access_token\":\"b\"}", "b", 60},
        {"{\"token\":null,\"access_token\":\"b\",\"expires_in\":null}", "b", 60},
        {"{\"token\":\"a\",\"expires_in\":0}", "a", 60},
        {"{\"token\":\"a\",\"expires_in\":-5}", "a", 60},
        {"{\"token\":\"a\",\"expires_in\":\"300\"}", "a", 60},
        {"{\"token\":\"a\",\"expires_in\":12.9}", "a", 12},
        {"{\"token\":\"a\",\"expires_in\":1e300}", "a", 86400},
        {"{\"token\":\"a\",\"expires_in\":9223372036854775807}", "a", 86400},
        {"{}", NULL, 60},
        {"{\"token\":7}", NULL, 60},
        {"{\"token\":\"\"}", NULL, 60},
        {"{\"token\":\"a b\"}", NULL, 60},
        {"{\"token\":\"a\\r\\nX: y\"}", NULL, 60},
        {"{\"token\":\"\\u00e9\"}", NULL, 60},
        {"{\"token\":\"secret\",\"token\":\"secret\"}", NULL, 60},
        {"{\"token\":\"secret\"", NULL, 60},
        {"[\"secret\"]", NULL, 60},
        {"", NULL, 60},
    };
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        char *token = NULL;
        uint64_t expires_s = 0;
        struct dt_err err;
        int rc = reg_token_parse(&token, &expires_s, ROWS[i].json, strlen(ROWS[i].json), &err);
        assert_int_equal(rc, ROWS[i].token == NULL ? -DT_EPROTO : 0);
        if (rc == 0)
            assert_string_equal(token, ROWS[i].token);
        else
            assert_null(strstr(err.msg, "secret"));
        assert_int_equal(expires_s, ROWS[i].expires_s);
        free(token);
    }
}

static int group_set_up(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct dt_fetcher_opts opts = {.user_agent = "test"};
    socklen_t len = sizeof(address);
    struct dt_err err;
    (void)state;
    service.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(service.fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(service.fd, (struct sockaddr *)&address, &len) < 0 ||
        listen(service.fd, 64) < 0 || pthread_create(&service.thread, NULL, serve, NULL) != 0)
        return -1;
    service.port = ntohs(address.sin_port);
    if (dt_loops_new(&loops, 1, &err) < 0 || dt_fetcher_new(&fetcher, loops, &opts, &err) < 0)
        return -1;
    return dt_loops_start(loops, &err);
}

static int group_tear_down(void **state)
{
    (void)state;
    dt_loops_stop(loops);
    dt_fetcher_free(&fetcher);
    dt_loops_free(&loops);
    pthread_mutex_lock(&service.lock);
    service.is_stopping = true;
    pthread_cond_broadcast(&service.changed);
    pthread_mutex_unlock(&service.lock);
    shutdown(service.fd, SHUT_RDWR); /* wakes accept() */
    pthread_join(service.thread, NULL);
    close(service.fd);
    return 0;
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(token__is_asked_for_once_and_kept),
        TEST(scope__comes_from_the_hint_when_the_challenge_has_none),
        TEST(tokens__differ_by_scope),
        TEST(requests__are_coalesced),
        TEST(cancel__works_when_the_answer_is_ready),
        TEST(cancelled_question__still_fills_the_cache),
        TEST(forgotten_token__is_asked_for_again),
        TEST(forget__while_asking_waits_for_the_new_one),
        TEST(token__is_renewed_before_it_ends),
        TEST(token__is_used_to_its_end_while_the_service_is_down),
        TEST(failure__keeps_its_meaning),
        TEST(realm__must_be_a_url),
        TEST(service__that_is_down_is_unavailable),
        TEST(account__goes_along_as_basic),
        TEST(identity_token__goes_by_post),
        TEST(basic_challenge__needs_an_account),
        TEST(free__ends_everything_without_callbacks),
        TEST(callback__may_free_everything),
        TEST(cache__is_bounded),
        cmocka_unit_test(answer__is_parsed_strictly),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
