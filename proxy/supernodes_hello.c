/*
 * proxy/supernodes_hello.c - the hellos of this node: it is here, and what it holds.
 *
 *   (timer -> hello on its way -> answered | failed -> timer)*  -> bye
 *
 * What a supernode was not told yet is kept apart for each of them, and kept until it answered: a
 * lost hello is followed by the full list, because nobody knows whether it was heard. All on loop
 * 0; the list of the cache is read on the pool.
 */
#define LOG_COMPONENT "supernodes"
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "proxy/supernodes_priv.h"

static uint32_t random32(void)
{
    uint32_t random;
    dt_random_bytes(&random, sizeof random);
    return random;
}

/* ---- sending ---- */

/* The news go over to the message; what is told is forgotten, and on failure told again in full. */
static void take_news(struct supernode_link *supernode, struct wire_hello *hello)
{
    struct supernodes *all = supernode->all;
    if (!all->has_holdings) /* the supernode will ask for them */
        return;
    hello->is_full = supernode->news.is_full;
    if (hello->is_full) {
        hello->n_have = all->holdings.n;
        hello->have = dt_new_array(struct wire_holding, all->holdings.n + 1);
        if (all->holdings.n > 0)
            memcpy(hello->have, all->holdings.rows, all->holdings.n * sizeof *hello->have);
        holdings_news_fini(&supernode->news);
        return;
    }
    hello->have = supernode->news.have;
    hello->n_have = supernode->news.n_have;
    hello->lost = supernode->news.lost;
    hello->n_lost = supernode->news.n_lost;
    supernode->news = (struct holdings_news){0};
}

static void on_answer(void *arg, const struct dt_err *err, struct dt_fetch *fetch, int status,
                      const char *body, size_t len);

static char *encode(struct supernode_link *supernode)
{
    struct supernodes *all = supernode->all;
    const struct proxy_options *options = all->opts.options;
    struct wire_hello hello = {
        .is_bye = supernode->is_bye,
        .up_bytes = all->served != NULL ? all->served(all->served_arg) : 0,
        .down_bytes = atomic_load(&all->down_bytes),
        .bad_pieces = atomic_load(&all->bad_pieces),
    };
    memcpy(hello.node, all->node, sizeof hello.node);
    memcpy(hello.address, all->address, sizeof hello.address);
    wire_name_copy(hello.name, options->node_name);
    wire_name_copy(hello.site, options->site);
    wire_name_copy(hello.rack, options->rack);
    if (!hello.is_bye)
        take_news(supernode, &hello);
    char *body = wire_hello_encode(&hello);
    wire_hello_fini(&hello);
    return body;
}

static int post(struct supernode_link *supernode, struct dt_err *err)
{
    struct supernodes *all = supernode->all;
    uint64_t deadline_ms = supernode->is_bye ? SUPERNODE_BYE_MS : SUPERNODE_DEADLINE_MS;
    char *body = encode(supernode);
    int rc = message_send(&supernode->hello,
                          &(struct message_opts){
                              .keys = all->opts.keys,
                              .url = supernode->url,
                              .path = WIRE_PATH_HELLO,
                              .body = body,
                              .ca_file = all->opts.options->supernode_ca,
                              .connect_ms = deadline_ms,
                              .total_ms = deadline_ms,
                          },
                          on_answer, supernode, err);
    free(body);
    return rc;
}

static void wait_for_next(struct supernode_link *supernode)
{
    struct supernode_view view;
    supernodes_view(&view, supernode->all, (size_t)(supernode - supernode->all->list));
    dt_timer_set(&supernode->timer,
                 supernode_pause_ms(view.failures, supernode->interval_ms, random32()));
}

static void fail(struct supernode_link *supernode, const struct dt_err *err)
{
    holdings_news_fini(&supernode->news);
    supernode->news.is_full = true; /* what it heard of us is not known */
    supernode_link_note_failure(supernode, true, err);
    wait_for_next(supernode);
}

void supernode_on_time(void *arg)
{
    struct supernode_link *supernode = arg;
    struct dt_err err = {0};
    dt_loop_assert_mine(supernode->all->loop);
    if (supernode->hello.fetch == NULL && !supernode->all->is_stopping && post(supernode, &err) < 0)
        fail(supernode, &err);
}

void supernode_link_hurry(struct supernode_link *supernode)
{
    if (supernode->all->is_stopping || supernode->hello.fetch != NULL)
        return;
    dt_timer_set(&supernode->timer, supernode_pause_ms(1, 0, random32()));
}

/* ---- answers ---- */

static void bye_is_over(struct supernodes *all)
{
    DT_ASSERT(all->n_byes > 0);
    if (--all->n_byes == 0)
        (void)sem_post(&all->stopped);
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a + b; /* 0 is no limit */
    return a < b ? a : b;
}

/* Several supernodes may limit the node: the lowest holds, also while its supernode is away. */
static void take_limits(struct supernode_link *supernode, const struct wire_hello_reply *reply)
{
    struct supernodes *all = supernode->all;
    uint64_t up = 0, down = 0;
    supernode->up_limit = reply->up_limit;
    supernode->down_limit = reply->down_limit;
    for (size_t i = 0; i < all->n; i++) {
        up = lower(up, all->list[i].up_limit);
        down = lower(down, all->list[i].down_limit);
    }
    proxy_limits_set_told(all->opts.limits, up, down);
}

static void take_reply(struct supernode_link *supernode, const struct wire_hello_reply *reply)
{
    struct supernodes *all = supernode->all;
    struct supernode_view *view = &supernode->view;
    const char *site = all->opts.options->site;
    bool is_other_site = strcmp(reply->site, site) != 0;
    (void)pthread_mutex_lock(&all->lock);
    bool was_up = view->state == SUPERNODE_UP, was_banned = view->is_banned;
    memcpy(view->name, reply->supernode, sizeof view->name);
    view->state = SUPERNODE_UP;
    view->is_banned = reply->is_banned;
    view->is_draining = reply->is_draining;
    view->is_other_site = is_other_site;
    view->failures = 0;
    view->last_ok_ms = dt_wall_ms();
    (void)pthread_mutex_unlock(&all->lock);
    supernode->interval_ms = reply->interval_ms;
    if (!was_up)
        dt_log_info("supernode_up", "supernode=%s name=%s site=%s", supernode->url,
                    reply->supernode, reply->site);
    if (reply->is_banned && !was_banned)
        dt_log_warn("node_banned", "supernode=%s do=%s", supernode->url,
                    DT_LOG_Q("an operator banned this node, or it served wrong pieces"));
    if (is_other_site && !supernode->is_refused_told)
        dt_log_error("supernode_of_another_site", "supernode=%s its_site=%s ours=%s do=%s",
                     supernode->url, reply->site, site, DT_LOG_Q("correct supernode or site"));
    supernode->is_refused_told = is_other_site;
    if (!is_other_site)
        take_limits(supernode, reply);
    if (reply->wants_full) {
        holdings_news_fini(&supernode->news);
        supernode->news.is_full = true;
    }
}

static void on_answer(void *arg, const struct dt_err *fetch_err, struct dt_fetch *fetch, int status,
                      const char *body, size_t len)
{
    struct supernode_link *supernode = arg;
    struct supernodes *all = supernode->all;
    struct wire_hello_reply reply = {0};
    struct dt_err err = *fetch_err;
    supernode->hello.fetch = NULL;
    if (supernode->is_bye) {
        bye_is_over(all);
        return;
    }
    if (err.code == 0 && message_check(&supernode->hello, fetch, status, body, len, &err) == 0)
        (void)wire_hello_reply_decode(&reply, body, len, &err); /* err says it */
    if (err.code != 0) {
        fail(supernode, &err);
        return;
    }
    take_reply(supernode, &reply);
    if (reply.wants_full && all->has_holdings)
        dt_timer_set(&supernode->timer, random32() % SUPERNODE_RETRY_MS);
    else
        wait_for_next(supernode);
}

/* ---- what is held ---- */

static void run_list(struct dt_job *job)
{
    struct supernodes *all = dt_container_of(job, struct supernodes, list_job);
    holdings_read(&all->listed, all->opts.transfer->cache);
}

static void list_done(struct dt_job *job)
{
    struct supernodes *all = dt_container_of(job, struct supernodes, list_job);
    all->is_listing = false;
    for (size_t i = 0; i < all->n; i++) {
        holdings_news_add(&all->list[i].news, &all->holdings, &all->listed);
        /* The first hellos went without it. */
        if (!all->has_holdings && !all->is_stopping && all->list[i].hello.fetch == NULL)
            dt_timer_set(&all->list[i].timer, random32() % SUPERNODE_RETRY_MS);
    }
    holdings_fini(&all->holdings);
    all->holdings = all->listed;
    all->listed = (struct holdings){0};
    all->has_holdings = true;
    if (all->is_stopping)
        bye_is_over(all);
    else
        dt_timer_set(&all->list_timer, supernode_pause_ms(0, SUPERNODES_LIST_MS, random32()));
}

void supernodes_list_begin(void *arg)
{
    struct supernodes *all = arg;
    if (all->is_listing || all->is_stopping)
        return;
    all->is_listing = true;
    all->list_job = (struct dt_job){.run = run_list, .done = list_done, .loop = all->loop};
    dt_pool_submit(all->opts.transfer->pool, &all->list_job);
}

struct new_holding {
    struct supernodes *all;
    struct wire_holding row;
};

static void on_have(void *arg)
{
    struct new_holding *message = arg;
    struct supernodes *all = message->all;
    if (holdings_add(&all->holdings, &message->row))
        for (size_t i = 0; i < all->n; i++)
            holdings_news_have(&all->list[i].news, &message->row);
    free(message);
}

void supernodes_have(struct supernodes *all, const struct dt_digest *digest, uint64_t size)
{
    struct new_holding *message = dt_new(struct new_holding);
    message->all = all;
    message->row = (struct wire_holding){*digest, size};
    dt_loop_post(all->loop, on_have, message);
}

/* ---- the end ---- */

void supernodes_say_bye(struct supernodes *all)
{
    struct dt_err err = {0};
    all->is_stopping = true;
    /* Ours, so that the last answer cannot come before the last question; and the list's, because
     * the cache is closed next. */
    all->n_byes = 1 + all->is_listing;
    dt_timer_clear(&all->list_timer);
    for (size_t i = 0; i < all->n; i++) {
        struct supernode_link *supernode = &all->list[i];
        struct supernode_view view;
        supernodes_view(&view, all, i);
        dt_timer_clear(&supernode->timer);
        dt_fetch_cancel(&supernode->hello.fetch);
        supernode->is_bye = true;
        if (view.state == SUPERNODE_UP && post(supernode, &err) == 0)
            all->n_byes++;
    }
    bye_is_over(all);
}
