/*
 * tests/unit/transfer_lab.h - what the tests of transfer/ share: a cache in a fresh directory, one
 * loop, and a registry in this process that serves one blob and can be told to misbehave.
 *
 * Everything of the tests' own lives on the loop; the main thread speaks to it by lab_call(), which
 * waits, and waits for conditions with lab_until(), which gives up at a deadline.
 */
#ifndef DARTER_TESTS_TRANSFER_LAB_H
#define DARTER_TESTS_TRANSFER_LAB_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/httpd.h"
#include "base/mem.h"
#include "cache/reader.h"
#include "transfer/account.h"
#include "transfer/director.h"

#define LAB_TOOL        __attribute__((unused)) static
#define LAB_DEADLINE_MS 20000
#define LAB_PIECES      8
#define LAB_PIECE       CACHE_PIECE_SIZE_MIN
/* The last piece is short. */
#define LAB_SIZE (LAB_PIECES * (uint64_t)LAB_PIECE - 1000)

struct lab {
    char dir[64];
    unsigned char *blob; /* owned; LAB_SIZE bytes */
    struct dt_digest digest;
    struct transfer_options options;
    struct transfer transfer;
    struct reg_upstream upstream;
    struct dt_httpd *registry;
    struct dt_httpd *node; /* a test's own server, or NULL; lab_close() ends it */
    /* the registry's manners; set on any thread */
    _Atomic int status;                        /* 0 = serve */
    _Atomic uint64_t lie_at;                   /* this byte is wrong; UINT64_MAX = none */
    _Atomic uint64_t hold_at;                  /* gives the bytes before it; UINT64_MAX = all */
    _Atomic uint64_t n_asked, n_served, first; /* first: of the last answer */
    _Atomic unsigned asked_at;                 /* a bit for each piece that an answer began at */
};

/* ---- the loop ---- */

LAB_TOOL struct dt_loop *lab_loop(struct lab *lab)
{
    return dt_loops_at(lab->transfer.loops, 0);
}

/* Runs fn(arg) on the loop and waits for it. */
LAB_TOOL void lab_call(struct lab *lab, void (*fn)(void *), void *arg)
{
    dt_loop_call(lab_loop(lab), fn, arg);
}

struct lab_question {
    bool (*is_true)(void *);
    void *arg;
    bool answer;
};

LAB_TOOL void lab_ask(void *arg)
{
    struct lab_question *question = arg;
    question->answer = question->is_true(question->arg);
}

/* Asks on the loop until it is so. */
LAB_TOOL void lab_until(struct lab *lab, bool (*is_true)(void *), void *arg, const char *what)
{
    uint64_t began_us = dt_mono_us();
    struct lab_question question = {.is_true = is_true, .arg = arg};
    for (;;) {
        lab_call(lab, lab_ask, &question);
        if (question.answer)
            return;
        if (dt_mono_us() - began_us > LAB_DEADLINE_MS * 1000ull)
            fail_msg("never: %s", what);
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* between two questions */
    }
}

/* ---- the registry ---- */

struct lab_answer {
    struct lab *lab;
    struct dt_http_req *req;
    uint64_t first, len;
    struct dt_timer timer;
    unsigned char lie;
};

LAB_TOOL void lab_answer_poll(void *arg)
{
    struct lab_answer *answer = arg;
    dt_http_body_wake(answer->req);
}

LAB_TOOL enum dt_http_next lab_answer_next(void *arg, uint64_t off, size_t max_len,
                                           struct dt_http_span *span)
{
    struct lab_answer *answer = arg;
    struct lab *lab = answer->lab;
    uint64_t at = answer->first + off, end = answer->first + answer->len;
    uint64_t lie_at = atomic_load(&lab->lie_at), hold_at = atomic_load(&lab->hold_at);
    if (at >= hold_at) {
        dt_timer_set(&answer->timer, 5);
        return DT_HTTP_WAIT;
    }
    end = end < hold_at ? end : hold_at;
    uint64_t len = end - at < max_len ? end - at : max_len;
    *span = (struct dt_http_span){.mem = lab->blob + at, .len = (size_t)len};
    if (at == lie_at) {
        answer->lie = (unsigned char)~lab->blob[at];
        *span = (struct dt_http_span){.mem = &answer->lie, .len = 1};
    } else if (at < lie_at && lie_at < at + len) {
        span->len = (size_t)(lie_at - at);
    }
    atomic_fetch_add(&lab->n_served, span->len);
    return DT_HTTP_SPAN;
}

static const struct dt_http_body_ops LAB_BODY_OPS = {.next = lab_answer_next};

LAB_TOOL void lab_answer_end(void *arg, const struct dt_http_summary *summary)
{
    struct lab_answer *answer = arg;
    (void)summary;
    dt_timer_clear(&answer->timer);
    free(answer);
}

LAB_TOOL void lab_registry(void *arg, struct dt_http_req *req)
{
    struct lab *lab = arg;
    struct lab_answer *answer = dt_new(struct lab_answer);
    struct dt_range range = dt_range_parse(dt_http_header(req, "range"), LAB_SIZE);
    bool is_part = range.kind == DT_RANGE_SATISFIABLE;
    answer->lab = lab;
    answer->req = req;
    answer->first = is_part ? range.first : 0;
    answer->len = is_part ? range.last - range.first + 1 : LAB_SIZE;
    dt_timer_init(&answer->timer, dt_http_loop(req), lab_answer_poll, answer);
    dt_http_on_end(req, lab_answer_end, answer);
    atomic_fetch_add(&lab->n_asked, 1);
    atomic_store(&lab->first, answer->first);
    atomic_fetch_or(&lab->asked_at, 1u << answer->first / LAB_PIECE);
    if (atomic_load(&lab->status) != 0) {
        dt_http_reply(req, atomic_load(&lab->status), "no", 2);
        return;
    }
    if (is_part)
        dt_http_add_headerf(req, "Content-Range", "bytes %llu-%llu/%llu",
                            (unsigned long long)range.first, (unsigned long long)range.last,
                            (unsigned long long)LAB_SIZE);
    dt_http_reply_stream(req, is_part ? 206 : 200, answer->len, &LAB_BODY_OPS, answer);
}

/* ---- open and close ---- */

LAB_TOOL void lab_fill_blob(struct lab *lab)
{
    uint32_t x = 2463534242u; /* xorshift: bytes that no run of zeroes could pass for */
    lab->blob = dt_calloc(LAB_SIZE, 1);
    for (size_t i = 0; i < LAB_SIZE; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        lab->blob[i] = (unsigned char)x;
    }
    dt_digest_of(&lab->digest, DT_SHA256, lab->blob, LAB_SIZE);
}

LAB_TOOL struct lab *lab_open(void)
{
    struct lab *lab = dt_new(struct lab);
    struct dt_err err = {0};
    lab_fill_blob(lab);
    atomic_store(&lab->lie_at, UINT64_MAX);
    atomic_store(&lab->hold_at, UINT64_MAX);
    (void)snprintf(lab->dir, sizeof(lab->dir), "/tmp/darter-test-XXXXXX");
    DT_ASSERT(mkdtemp(lab->dir) != NULL);
    lab->options = (struct transfer_options){.head_deadline_ms = 15000,
                                             .stall_timeout_ms = 10000,
                                             .streams_per_blob = 4,
                                             .segment_bytes = 64 * MIB};
    struct transfer *transfer = &lab->transfer;
    transfer->options = &lab->options;
    DT_ASSERT(dt_loops_new(&transfer->loops, 1, &err) == 0);
    DT_ASSERT(dt_pool_new(&transfer->pool, 2, &err) == 0);
    DT_ASSERT(dt_fetcher_new(&transfer->fetcher, transfer->loops,
                             &(struct dt_fetcher_opts){.user_agent = "test"}, &err) == 0);
    struct cache_opts cache = {.dir = lab->dir, .max_bytes = 100 * MIB, .pool = transfer->pool};
    DT_ASSERT(cache_open(&transfer->cache, &cache, &err) == 0);
    transfer_accounts_new(transfer);
    transfer_tasks_new(transfer);
    DT_ASSERT(dt_loops_start(transfer->loops, &err) == 0);
    struct dt_httpd_opts httpd = {
        .name = "registry", .handler = lab_registry, .arg = lab, .pool = transfer->pool};
    DT_ASSERT(dt_addr_parse(&httpd.addr, "127.0.0.1:0", &err) == 0);
    DT_ASSERT(dt_httpd_start(&lab->registry, transfer->loops, &httpd, &err) == 0);
    char url[64];
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", dt_httpd_port(lab->registry));
    lab->upstream.name = dt_strdup("lab");
    lab->upstream.n_endpoints = 1;
    lab->upstream.endpoints = dt_new_array(struct reg_endpoint, 1);
    DT_ASSERT(reg_endpoint_init(&lab->upstream.endpoints[0], url, 0, &err) == 0);
    return lab;
}

LAB_TOOL int lab_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

LAB_TOOL void lab_close(struct lab *lab)
{
    struct transfer *transfer = &lab->transfer;
    transfer_tasks_abort(transfer);
    dt_httpd_drain(lab->registry, 0);
    if (lab->node != NULL)
        dt_httpd_drain(lab->node, 0);
    cache_quiesce(transfer->cache);
    dt_loops_stop(transfer->loops);
    dt_httpd_free(&lab->registry);
    dt_httpd_free(&lab->node);
    transfer_tasks_free(transfer);
    transfer_accounts_free(transfer);
    cache_close(&transfer->cache);
    dt_fetcher_free(&transfer->fetcher);
    dt_pool_free(&transfer->pool);
    dt_loops_free(&transfer->loops);
    reg_upstream_fini(&lab->upstream);
    (void)nftw(lab->dir, lab_remove, 16, FTW_DEPTH | FTW_PHYS); /* what stays is /tmp's */
    free(lab->blob);
    free(lab);
}

/* ---- a client ---- */

struct lab_client {
    struct lab *lab;
    struct task_ticket *ticket;
    struct task_event event;
    unsigned n_events;
    uint64_t size; /* what he believes */
};

LAB_TOOL void lab_client_event(void *arg, const struct task_event *event)
{
    struct lab_client *client = arg;
    client->event = *event;
    client->n_events++;
}

LAB_TOOL void lab_client_attach(void *arg)
{
    struct lab_client *client = arg;
    struct task_wish wish = {
        .upstream = &client->lab->upstream, .repository = "team/app", .size = client->size};
    client->ticket = transfer_task_attach(&client->lab->transfer, &client->lab->digest, &wish,
                                          lab_client_event, client);
}

LAB_TOOL void lab_client_detach(void *arg)
{
    struct lab_client *client = arg;
    transfer_task_detach(&client->ticket);
}

LAB_TOOL bool lab_is_sealed(void *arg)
{
    struct lab *lab = arg;
    struct cache_entry entry;
    return cache_stat(&entry, lab->transfer.cache, &lab->digest, NULL) == 0 &&
           entry.state == CACHE_SEALED;
}

#endif
