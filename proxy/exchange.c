/*
 * proxy/exchange.c - one session of this node with one supernode about one blob.
 *
 *   NEW -> JOINING -> OPEN -> LEAVING -> freed         any -> LOST -> freed by the owner
 *
 * Every request is a message of its own in one of two slots. A lost answer loses nothing: the node
 * joins again and says what it has. The owner's callbacks are the last thing done in a turn,
 * because they may free the exchange.
 */
#define LOG_COMPONENT "exchange"
#include "proxy/exchange.h"

#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proxy/exchange_pace.h"
#include "proxy/message.h"

#define EXCHANGE_MAGIC      0x65786368u
#define EXCHANGE_CONNECT_MS 1000u
#define EXCHANGE_HELD_MS    8000u /* a supernode holds a request for 5 s at most */
#define EXCHANGE_LEAVE_MS   1000u

struct exchange_request {
    struct exchange *exchange;
    struct message message; /* none on its way = free slot */
};

struct exchange {
    unsigned magic;
    struct exchange_opts opts; /* strings owned: url, ca_file */
    wire_id node;
    struct dt_digest digest;
    uint64_t session, seq;
    struct exchange_pace pace;
    struct exchange_request requests[EXCHANGE_OUT_MAX + 1]; /* the last one is for the good-bye */
    struct dt_timer timer;
    bool is_leaving;
    /* what waits to be told; owned */
    struct wire_finished *finished;
    size_t n_finished;
    struct wire_failed *failed;
    size_t n_failed;
    uint32_t *gained;
    size_t n_gained;
    struct exchange *prev, *next;
};

/* ---- sending ---- */

static size_t fewer(size_t n)
{
    return n < WIRE_REPORTS_MAX ? n : WIRE_REPORTS_MAX;
}

/* Takes the first reports out of what waits; the arrays are the message's. */
static void take_reports(struct exchange *exchange, struct wire_exchange *out)
{
    out->n_finished = fewer(exchange->n_finished);
    out->n_failed = fewer(exchange->n_failed);
    out->n_gained = fewer(exchange->n_gained);
    out->finished = dt_new_array(struct wire_finished, out->n_finished + 1);
    out->failed = dt_new_array(struct wire_failed, out->n_failed + 1);
    out->gained = dt_new_array(uint32_t, out->n_gained + 1);
#define TAKE(field)                                                                                \
    do {                                                                                           \
        if (out->n_##field == 0)                                                                   \
            break;                                                                                 \
        memcpy(out->field, exchange->field, out->n_##field * sizeof *out->field);                  \
        exchange->n_##field -= out->n_##field;                                                     \
        memmove(exchange->field, exchange->field + out->n_##field,                                 \
                exchange->n_##field * sizeof *out->field);                                         \
    } while (0)
    TAKE(finished);
    TAKE(failed);
    TAKE(gained);
#undef TAKE
}

static void on_answer(void *arg, const struct dt_err *err, struct dt_fetch *fetch, int status,
                      const char *body, size_t len);

static int post(struct exchange *exchange, struct exchange_request *request, const char *body,
                uint64_t total_ms, struct dt_err *err)
{
    request->exchange = exchange;
    return message_send(&request->message,
                        &(struct message_opts){
                            .keys = exchange->opts.keys,
                            .url = exchange->opts.url,
                            .path = WIRE_PATH_EXCHANGE,
                            .body = body,
                            .ca_file = exchange->opts.ca_file,
                            .connect_ms = EXCHANGE_CONNECT_MS,
                            .total_ms = total_ms,
                        },
                        on_answer, request, err);
}

static struct exchange_request *free_slot(struct exchange *exchange)
{
    for (size_t i = 0; i < EXCHANGE_OUT_MAX; i++)
        if (exchange->requests[i].message.fetch == NULL)
            return &exchange->requests[i];
    return NULL;
}

static int send_next(struct exchange *exchange, struct dt_err *err)
{
    struct wire_exchange message = {
        .digest = exchange->digest,
        .session = exchange->session,
        .seq = ++exchange->seq,
        .want_off = exchange->opts.ops->want(exchange->opts.arg),
    };
    memcpy(message.node, exchange->node, sizeof message.node);
    if (exchange->seq == 1) {
        message.join = dt_new(struct wire_join);
        exchange->opts.ops->fill_join(exchange->opts.arg, message.join);
    }
    take_reports(exchange, &message);
    char *body = wire_exchange_encode(&message);
    wire_exchange_fini(&message);
    int rc = post(exchange, free_slot(exchange), body, EXCHANGE_HELD_MS, err);
    free(body);
    exchange_pace_sent(&exchange->pace, dt_loop_now_ms(exchange->opts.loop));
    exchange->pace.has_news =
        exchange->n_finished + exchange->n_failed + exchange->n_gained > 0; /* the rest */
    return rc;
}

/* ---- time ---- */

static void lose(struct exchange *exchange, const struct dt_err *why)
{
    dt_timer_clear(&exchange->timer);
    for (size_t i = 0; i < EXCHANGE_OUT_MAX; i++)
        dt_fetch_cancel(&exchange->requests[i].message.fetch);
    exchange->opts.ops->on_lost(exchange->opts.arg, why);
}

static void arm(struct exchange *exchange)
{
    uint64_t now_ms = dt_loop_now_ms(exchange->opts.loop);
    uint64_t next_ms = exchange_pace_next_ms(&exchange->pace);
    uint64_t lost_ms = exchange_pace_lost_ms(&exchange->pace);
    uint64_t due_ms = next_ms < lost_ms ? next_ms : lost_ms;
    DT_ASSERT(due_ms != UINT64_MAX); /* something is on the way, or will be */
    dt_timer_set(&exchange->timer, due_ms > now_ms ? due_ms - now_ms : 0);
}

static void on_time(void *arg)
{
    struct exchange *exchange = arg;
    DT_ASSERT(exchange->magic == EXCHANGE_MAGIC);
    uint64_t now_ms = dt_loop_now_ms(exchange->opts.loop);
    struct dt_err err = {0};
    if (exchange_pace_lost_ms(&exchange->pace) <= now_ms) {
        (void)dt_err_set(&err, DT_ETIMEOUT, "%.120s: no answer for %u ms", exchange->opts.url,
                         (unsigned)exchange->pace.patience_ms);
        lose(exchange, &err);
        return;
    }
    if (exchange_pace_next_ms(&exchange->pace) <= now_ms && send_next(exchange, &err) < 0) {
        lose(exchange, &err);
        return;
    }
    arm(exchange);
}

/* ---- answers ---- */

/* One of the last answers came, or none: it matters no more. */
static void on_left(struct exchange *exchange)
{
    for (size_t i = 0; i <= EXCHANGE_OUT_MAX; i++)
        if (exchange->requests[i].message.fetch != NULL)
            return;
    exchange_free(&exchange);
}

static void on_answer(void *arg, const struct dt_err *fetch_err, struct dt_fetch *fetch, int status,
                      const char *body, size_t len)
{
    struct exchange_request *request = arg;
    struct exchange *exchange = request->exchange;
    struct wire_exchange_reply reply = {0};
    struct dt_err err = *fetch_err;
    DT_ASSERT(exchange->magic == EXCHANGE_MAGIC);
    request->message.fetch = NULL;
    if (exchange->is_leaving) {
        on_left(exchange);
        return;
    }
    if (err.code == 0 && message_check(&request->message, fetch, status, body, len, &err) == 0)
        (void)wire_exchange_reply_decode(&reply, body, len, &err); /* err says it */
    if (err.code != 0) {
        lose(exchange, &err);
        return;
    }
    exchange_pace_answered(&exchange->pace, reply.n_assignments == 0,
                           dt_loop_now_ms(exchange->opts.loop));
    arm(exchange);
    exchange->opts.ops->on_reply(exchange->opts.arg, &reply);
    wire_exchange_reply_fini(&reply);
}

/* ---- life ---- */

struct exchange *exchange_new(const struct exchange_opts *opts)
{
    struct exchange *exchange = dt_new(struct exchange);
    uint32_t random;
    dt_loop_assert_mine(opts->loop);
    exchange->magic = EXCHANGE_MAGIC;
    exchange->opts = *opts;
    exchange->opts.url = dt_strdup(opts->url);
    exchange->opts.ca_file = dt_strdup(opts->ca_file);
    exchange->opts.node = NULL;
    exchange->opts.digest = NULL;
    exchange->digest = *opts->digest;
    DT_ASSERT(dt_text_print(exchange->node, sizeof exchange->node, "%s", opts->node));
    dt_random_bytes(&random, sizeof random);
    dt_random_bytes(&exchange->session, sizeof exchange->session);
    exchange->session >>= 1; /* JSON integers are signed */
    exchange_pace_init(&exchange->pace, random);
    dt_timer_init(&exchange->timer, opts->loop, on_time, exchange);
    dt_timer_set(&exchange->timer, 0);
    DL_APPEND(opts->list->first, exchange);
    return exchange;
}

static void tell(struct exchange *exchange)
{
    exchange->pace.has_news = true;
    arm(exchange);
}

#define ADD(field, value)                                                                          \
    do {                                                                                           \
        exchange->field =                                                                          \
            dt_realloc(exchange->field, (exchange->n_##field + 1) * sizeof *exchange->field);      \
        exchange->field[exchange->n_##field++] = (value);                                          \
        tell(exchange);                                                                            \
    } while (0)

void exchange_finished(struct exchange *exchange, const struct wire_finished *finished)
{
    ADD(finished, *finished);
}

void exchange_failed(struct exchange *exchange, const struct wire_failed *failed)
{
    ADD(failed, *failed);
}

void exchange_gained(struct exchange *exchange, uint32_t piece)
{
    ADD(gained, piece);
}
#undef ADD

void exchange_hurry(struct exchange *exchange)
{
    exchange->pace.is_urgent = true;
    tell(exchange);
}

void exchange_heard(struct exchange *exchange)
{
    exchange_pace_heard(&exchange->pace, dt_loop_now_ms(exchange->opts.loop));
}

void exchange_leave(struct exchange **handle, bool keeps)
{
    struct exchange *exchange = *handle;
    struct dt_err err = {0};
    *handle = NULL;
    if (exchange->seq == 0) { /* nobody there knows us yet */
        exchange_free(&exchange);
        return;
    }
    dt_timer_clear(&exchange->timer);
    exchange->is_leaving = true; /* what is on the way carries reports: it is let through */
    struct wire_exchange message = {
        .digest = exchange->digest,
        .session = exchange->session,
        .seq = ++exchange->seq,
        .is_leave = true,
        .keeps = keeps,
        .want_off = UINT64_MAX,
    };
    memcpy(message.node, exchange->node, sizeof message.node);
    take_reports(exchange, &message);
    char *body = wire_exchange_encode(&message);
    wire_exchange_fini(&message);
    if (post(exchange, &exchange->requests[EXCHANGE_OUT_MAX], body, EXCHANGE_LEAVE_MS, &err) < 0)
        on_left(exchange);
    free(body);
}

void exchange_free(struct exchange **handle)
{
    struct exchange *exchange = *handle;
    if (exchange == NULL)
        return;
    DT_ASSERT(exchange->magic == EXCHANGE_MAGIC);
    *handle = NULL;
    dt_timer_clear(&exchange->timer);
    for (size_t i = 0; i <= EXCHANGE_OUT_MAX; i++)
        dt_fetch_cancel(&exchange->requests[i].message.fetch);
    DL_DELETE(exchange->opts.list->first, exchange);
    free(exchange->finished);
    free(exchange->failed);
    free(exchange->gained);
    free((char *)exchange->opts.url);
    free((char *)exchange->opts.ca_file);
    exchange->magic = 0;
    free(exchange);
}

void exchange_list_free(struct exchange_list *list)
{
    while (list->first != NULL) {
        struct exchange *exchange = list->first;
        exchange_free(&exchange);
    }
}
