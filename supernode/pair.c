/*
 * supernode/pair.c - asks the other supernodes of the site whether they are there.
 *
 *   per other: armed -> asked -> answered (any HTTP answer will do: up) | error, deadline (down)
 *           -> armed ...
 *
 * The question is a GET of the path of hellos, which is refused with 405 by whoever serves it: it
 * needs no key, says nothing and makes nobody a node. Lives on loop 0; what others see are atomics.
 */
#define LOG_COMPONENT "pair"
#include "supernode/pair.h"

#include <stdlib.h>

#include "base/fetch.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#define PAIR_BODY_MAX 4096u

struct other {
    struct supernode_pair *pair;
    const char *place;      /* borrowed from the options */
    char *url;              /* owned */
    struct dt_timer timer;  /* loop 0, as the fetch */
    struct dt_fetch *fetch; /* the question on its way, or NULL */
    struct dt_metric *up;   /* as every metric, it stays until the process ends */
    _Atomic bool is_up;
    _Atomic uint64_t since_ms; /* wall clock; 0 = never asked */
};

struct supernode_pair {
    struct supernode *supernode;
    struct dt_loop *loop;
    size_t n;
    struct other *others; /* owned */
};

static void note(struct other *other, bool is_up, const char *why)
{
    bool is_first = atomic_load(&other->since_ms) == 0;
    if (!is_first && atomic_load(&other->is_up) == is_up)
        return;
    atomic_store(&other->is_up, is_up);
    atomic_store(&other->since_ms, dt_wall_ms());
    dt_metric_set(other->up, is_up);
    if (is_up)
        dt_log_info("peer_up", "supernode=%s", DT_LOG_Q(other->place));
    else
        dt_log_warn("peer_down", "supernode=%s err=%s", DT_LOG_Q(other->place), DT_LOG_Q(why));
}

static void on_answer(void *arg, const struct dt_err *err, struct dt_fetch *fetch, int status,
                      const char *body, size_t len)
{
    struct other *other = arg;
    (void)fetch;
    (void)body;
    (void)len;
    other->fetch = NULL;
    note(other, status != 0, err->msg);
    dt_timer_set(&other->timer, PAIR_INTERVAL_MS);
}

static void ask(void *arg)
{
    struct other *other = arg;
    struct dt_err err = {0};
    struct dt_fetch_opts opts = {
        .url = other->url,
        .ca_file = other->pair->supernode->options->supernode_ca,
        .connect_timeout_ms = PAIR_DEADLINE_MS,
        .head_timeout_ms = PAIR_DEADLINE_MS,
        .total_timeout_ms = PAIR_DEADLINE_MS,
        .max_body_bytes = PAIR_BODY_MAX,
    };
    if (dt_fetch_whole(&other->fetch, &opts, on_answer, other, &err) < 0) {
        note(other, false, err.msg);
        dt_timer_set(&other->timer, PAIR_INTERVAL_MS);
    }
}

/* ---- life ---- */

struct supernode_pair *supernode_pair_new(struct supernode *supernode)
{
    const struct dt_strings *places = &supernode->options->peer_supernodes;
    struct supernode_pair *pair = dt_new(struct supernode_pair);
    pair->supernode = supernode;
    pair->loop = dt_loops_at(supernode->transfer.loops, 0);
    pair->n = places->n;
    pair->others = dt_new_array(struct other, places->n);
    for (size_t i = 0; i < pair->n; i++) {
        struct other *other = &pair->others[i];
        other->pair = pair;
        other->place = places->items[i];
        other->url = dt_asprintf("%s%s", other->place, WIRE_PATH_HELLO);
    }
    return pair;
}

static void start_on_loop(void *arg)
{
    struct supernode_pair *pair = arg;
    for (size_t i = 0; i < pair->n; i++) {
        struct other *other = &pair->others[i];
        other->up = dt_new(struct dt_metric);
        other->up->name = "darter_supernode_peer_up";
        other->up->help = "1 = the other supernode of the site answers.";
        other->up->kind = DT_GAUGE;
        other->up->labels = dt_asprintf("supernode=\"%s\"", other->place);
        dt_metric_register(other->up);
        dt_timer_init(&other->timer, pair->loop, ask, other);
        ask(other);
    }
}

void supernode_pair_start(struct supernode_pair *pair)
{
    dt_loop_post(pair->loop, start_on_loop, pair);
}

static void stop_on_loop(void *arg)
{
    struct supernode_pair *pair = arg;
    for (size_t i = 0; i < pair->n; i++) {
        dt_timer_clear(&pair->others[i].timer);
        dt_fetch_cancel(&pair->others[i].fetch);
    }
}

void supernode_pair_stop(struct supernode_pair *pair)
{
    dt_loop_call(pair->loop, stop_on_loop, pair);
}

void supernode_pair_free(struct supernode_pair **pair)
{
    if (*pair == NULL)
        return;
    for (size_t i = 0; i < (*pair)->n; i++)
        free((*pair)->others[i].url);
    free((*pair)->others);
    dt_free(pair);
}

size_t supernode_pair_look(struct supernode_pair_view out[SUPERNODE_PAIR_MAX],
                           const struct supernode_pair *pair)
{
    for (size_t i = 0; i < pair->n; i++)
        out[i] = (struct supernode_pair_view){
            .url = pair->others[i].place,
            .is_up = atomic_load(&pair->others[i].is_up),
            .since_ms = atomic_load(&pair->others[i].since_ms),
        };
    return pair->n;
}
