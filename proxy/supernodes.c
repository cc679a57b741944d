/*
 * proxy/supernodes.c - the list of supernodes, and what every loop may know of them.
 *
 * The hellos themselves are in supernodes_hello.c. Here: the lock, the choice, the ends. The lock
 * guards a copyable value per supernode and is never held over a call to anything else.
 */
#define LOG_COMPONENT "supernodes"
#include "proxy/supernodes.h"

#include <errno.h>
#include <semaphore.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proxy/supernodes_priv.h"

static const char *const state_words[] = {
#define X(name, word) [name] = word,
    SUPERNODE_STATES(X)
#undef X
};

const char *supernode_state_word(enum supernode_state state)
{
    DT_ASSERT(state < SUPERNODE_STATE_END);
    return state_words[state];
}

uint64_t supernode_pause_ms(unsigned failures, uint32_t interval_ms, uint32_t random)
{
    uint64_t pause_ms = interval_ms;
    if (failures > 0) {
        unsigned doublings = failures - 1 < 5 ? failures - 1 : 5;
        pause_ms = (uint64_t)SUPERNODE_RETRY_MS << doublings;
        if (pause_ms > SUPERNODE_INTERVAL_MS)
            pause_ms = SUPERNODE_INTERVAL_MS;
    }
    uint64_t fifth = pause_ms / 5;
    return pause_ms - fifth + random % (2 * fifth + 1);
}

/* ---- what every loop may know ---- */

size_t supernodes_count(const struct supernodes *supernodes)
{
    return supernodes->n;
}

void supernodes_view(struct supernode_view *out, struct supernodes *supernodes, size_t index)
{
    DT_ASSERT(index < supernodes->n);
    (void)pthread_mutex_lock(&supernodes->lock);
    *out = supernodes->list[index].view;
    (void)pthread_mutex_unlock(&supernodes->lock);
}

bool supernode_is_usable(const struct supernode_view *view)
{
    return view->state != SUPERNODE_DOWN && !view->is_banned && !view->is_draining &&
           !view->is_other_site;
}

bool supernodes_pick(size_t *out, struct supernodes *supernodes, const struct dt_digest *digest,
                     uint32_t skip)
{
    char texts[PROXY_SUPERNODES_MAX][300];
    const char *names[PROXY_SUPERNODES_MAX];
    bool is_usable[PROXY_SUPERNODES_MAX];
    size_t order[PROXY_SUPERNODES_MAX];
    (void)pthread_mutex_lock(&supernodes->lock);
    for (size_t i = 0; i < supernodes->n; i++) {
        const struct supernode_view *view = &supernodes->list[i].view;
        (void)dt_text_print(texts[i], sizeof texts[i], "%s",
                            view->name[0] != '\0' ? view->name : view->url);
        names[i] = texts[i];
        is_usable[i] = supernode_is_usable(view);
    }
    (void)pthread_mutex_unlock(&supernodes->lock);
    wire_rendezvous(order, digest, names, supernodes->n);
    for (size_t i = 0; i < supernodes->n; i++) {
        if (!is_usable[order[i]] || (skip >> order[i] & 1) != 0)
            continue;
        *out = order[i];
        return true;
    }
    return false;
}

void supernode_link_note_failure(struct supernode_link *supernode, bool is_hello,
                                 const struct dt_err *why)
{
    struct supernodes *supernodes = supernode->all;
    (void)pthread_mutex_lock(&supernodes->lock);
    bool was_down = supernode->view.state == SUPERNODE_DOWN;
    supernode->view.state = SUPERNODE_DOWN;
    /* A thousand tasks that lose it at once are one failure. */
    if (is_hello || !was_down)
        supernode->view.failures++;
    supernode->view.last_fail_ms = dt_wall_ms();
    supernode->view.last_err = *why;
    (void)pthread_mutex_unlock(&supernodes->lock);
    if (!was_down)
        dt_log_warn("supernode_down", "supernode=%s err=%s", supernode->url, DT_LOG_Q(why->msg));
}

static void on_failed(void *arg)
{
    supernode_link_hurry(arg);
}

void supernodes_failed(struct supernodes *supernodes, size_t index, const struct dt_err *why)
{
    DT_ASSERT(index < supernodes->n);
    supernode_link_note_failure(&supernodes->list[index], false, why);
    dt_loop_post(supernodes->loop, on_failed, &supernodes->list[index]);
}

void supernodes_count_piece(struct supernodes *supernodes, uint64_t bytes, bool is_bad)
{
    (void)atomic_fetch_add_explicit(&supernodes->down_bytes, bytes, memory_order_relaxed);
    if (is_bad)
        (void)atomic_fetch_add_explicit(&supernodes->bad_pieces, 1, memory_order_relaxed);
}

void supernodes_count_served(struct supernodes *supernodes, uint64_t (*bytes)(void *arg), void *arg)
{
    supernodes->served = bytes;
    supernodes->served_arg = arg;
}

const char *supernodes_node_id(const struct supernodes *supernodes)
{
    return supernodes->node;
}

const char *supernodes_address(const struct supernodes *supernodes)
{
    return supernodes->address;
}

/* ---- life ---- */

struct supernodes *supernodes_new(const struct supernodes_opts *opts)
{
    struct supernodes *supernodes = dt_new(struct supernodes);
    supernodes->opts = *opts;
    supernodes->loop = dt_loops_at(opts->transfer->loops, 0);
    supernodes->n = opts->options->supernodes.n;
    DT_ASSERT(supernodes->n <= PROXY_SUPERNODES_MAX);
    supernodes->list = dt_new_array(struct supernode_link, supernodes->n + 1);
    (void)pthread_mutex_init(&supernodes->lock, NULL);
    wire_id_make(supernodes->node);
    dt_timer_init(&supernodes->list_timer, supernodes->loop, supernodes_list_begin, supernodes);
    for (size_t i = 0; i < supernodes->n; i++) {
        struct supernode_link *supernode = &supernodes->list[i];
        supernode->all = supernodes;
        supernode->url = opts->options->supernodes.items[i];
        supernode->interval_ms = SUPERNODE_INTERVAL_MS;
        supernode->news.is_full = true;
        DT_ASSERT(dt_text_print(supernode->view.url, sizeof supernode->view.url, "%s",
                                supernode->url)); /* options checked its length */
        dt_timer_init(&supernode->timer, supernodes->loop, supernode_on_time, supernode);
    }
    return supernodes;
}

static void on_start(void *arg)
{
    struct supernodes *supernodes = arg;
    if (supernodes->n == 0)
        return;
    for (size_t i = 0; i < supernodes->n; i++)
        dt_timer_set(&supernodes->list[i].timer, 0);
    supernodes_list_begin(supernodes);
}

/* The IP that others are to fetch from; NULL = the one a supernode sees us from. Whoever listens on
 * one address of many is found at that one only. */
static const char *address_for_others(const struct proxy_options *options,
                                      const struct dt_addr *pieces)
{
    static const char *const vague[] = {"0.0.0.0", "::", "127.0.0.1", "::1"};
    if (options->advertise != NULL)
        return options->advertise;
    for (size_t i = 0; i < sizeof vague / sizeof vague[0]; i++)
        if (strcmp(pieces->host, vague[i]) == 0)
            return NULL;
    return pieces->host;
}

void supernodes_start(struct supernodes *supernodes, const struct dt_addr *pieces)
{
    const char *ip = address_for_others(supernodes->opts.options, pieces);
    bool is_v6 = ip != NULL && strchr(ip, ':') != NULL;
    DT_ASSERT(dt_text_print(supernodes->address, sizeof supernodes->address, "%s%s%s:%u",
                            is_v6 ? "[" : "", ip != NULL ? ip : "", is_v6 ? "]" : "",
                            (unsigned)pieces->port));
    supernodes->is_started = true;
    dt_loop_post(supernodes->loop, on_start, supernodes);
}

static void on_stop(void *arg)
{
    supernodes_say_bye(arg);
}

void supernodes_stop(struct supernodes *supernodes)
{
    if (!supernodes->is_started)
        return;
    (void)sem_init(&supernodes->stopped, 0, 0);
    dt_loop_post(supernodes->loop, on_stop, supernodes);
    while (sem_wait(&supernodes->stopped) < 0 && errno == EINTR)
        continue;
    (void)sem_destroy(&supernodes->stopped);
}

void supernodes_free(struct supernodes **handle)
{
    struct supernodes *supernodes = *handle;
    if (supernodes == NULL)
        return;
    *handle = NULL;
    for (size_t i = 0; i < supernodes->n; i++) {
        dt_timer_clear(&supernodes->list[i].timer);
        dt_fetch_cancel(&supernodes->list[i].hello.fetch);
        holdings_news_fini(&supernodes->list[i].news);
    }
    dt_timer_clear(&supernodes->list_timer);
    holdings_fini(&supernodes->holdings);
    holdings_fini(&supernodes->listed);
    (void)pthread_mutex_destroy(&supernodes->lock);
    free(supernodes->list);
    free(supernodes);
}
