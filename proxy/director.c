/*
 * proxy/director.c - what a supernode's word means for a task of this node: modes and sessions.
 *
 * A session that is lost is only an event: the mode says whether registries may be asked, a timer
 * brings the task to the next supernode, and what was on its way from other nodes goes on. Nothing
 * here ends a task: the supernode's word decides where bytes come from, never whether they come.
 */
#define LOG_COMPONENT "director"
#include "proxy/director.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/text.h"
#include "proxy/director_priv.h"
#include "proxy/limits.h"

#define FIRST_PAUSE_MS 100u /* before the next supernode is tried; +- half */
#define PAUSE_MS       500u /* while none is up */
#define STALL_TICK_MS  500u
#define FAILED_MANY    16u /* fetches that fail in a row: a quarter of the patience is enough */
#define UNKNOWN_MAX    2u  /* a supernode may forget us so often without a piece between */

static DT_DEFINE_COUNTER(metric_joined, "darter_swarm_joined_total", NULL,
                         "Tasks that a supernode directed.");
static DT_DEFINE_COUNTER(metric_lost, "darter_swarm_lost_total", NULL,
                         "Times a task left the swarm for its registries.");
static DT_DEFINE_COUNTER(metric_back, "darter_swarm_back_total", NULL,
                         "Times a task came back to the swarm.");

/* ---- modes ---- */

static void show(struct directed *directed, const char *why)
{
    struct proxy_director *director = directed->director;
    struct supernode_view supernode = {0};
    if (directed->exchange != NULL)
        supernodes_view(&supernode, director->opts.supernodes, directed->supernode);
    (void)pthread_mutex_lock(&director->lock);
    directed->view.mode = director_mode_word(directed->mode);
    directed->view.since_ms = dt_wall_ms();
    memcpy(directed->view.supernode, supernode.url, sizeof directed->view.supernode);
    if (why != NULL)
        (void)dt_text_print(directed->view.why, sizeof directed->view.why, "%s", why);
    (void)pthread_mutex_unlock(&director->lock);
}

static uint64_t jittered(uint64_t ms)
{
    uint32_t random;
    dt_random_bytes(&random, sizeof random);
    return ms / 2 + random % (ms + 1);
}

static void note_lost(struct directed *directed, enum director_mode before, const char *why)
{
    struct proxy_director *director = directed->director;
    char task[13];
    if (director_mode_may_ask(before))
        return;
    (void)pthread_mutex_lock(&director->lock);
    directed->view.losses++;
    (void)pthread_mutex_unlock(&director->lock);
    dt_metric_add(&metric_lost, 1);
    dt_log_warn("swarm_lost", "task=%s mode=%s reason=%s", dt_digest_short(task, &directed->digest),
                director_mode_word(directed->mode), DT_LOG_Q(why));
}

static void note_back(struct directed *directed)
{
    struct supernode_view supernode;
    char task[13];
    supernodes_view(&supernode, directed->director->opts.supernodes, directed->supernode);
    dt_metric_add(&metric_back, 1);
    dt_log_info("swarm_back", "task=%s supernode=%s", dt_digest_short(task, &directed->digest),
                supernode.url);
}

/* What the mode needs beside itself: the registries' streams, the timer, the people. */
static void enter(struct directed *directed, enum director_event event, const char *why)
{
    enum director_mode before = directed->mode;
    directed->mode = director_mode_next(before, event);
    if (directed->mode == before)
        return;
    if (directed->mode == DIRECTOR_SWARM && before == DIRECTOR_RETURNING) {
        directed->is_leaving_registries = true;
        note_back(directed);
    }
    if (director_mode_may_ask(directed->mode)) {
        directed->is_leaving_registries = false;
        note_lost(directed, before, why);
    }
    directed->n_failed_in_a_row = 0;
    directed->progress_ms = dt_loop_now_ms(task_loop(directed->task));
    show(directed, why);
    if (directed->mode == DIRECTOR_LOST)
        dt_timer_set(&directed->timer, jittered(FIRST_PAUSE_MS));
    else if (directed->mode == DIRECTOR_GONE)
        dt_timer_clear(&directed->timer);
    else
        dt_timer_set(&directed->timer, STALL_TICK_MS);
    task_step_soon(directed->task);
}

/* ---- sessions ---- */

static const struct exchange_ops session_ops;

static void begin_session(struct directed *directed)
{
    struct proxy_director *director = directed->director;
    struct supernode_view supernode;
    unsigned loop = dt_loop_index(task_loop(directed->task));
    DT_ASSERT(directed->exchange == NULL);
    supernodes_view(&supernode, director->opts.supernodes, directed->supernode);
    directed->has_joined = false;
    directed->exchange = exchange_new(&(struct exchange_opts){
        .loop = task_loop(directed->task),
        .list = &director->lists[loop],
        .keys = director->opts.keys,
        .url = supernode.url,
        .ca_file = director->opts.options->supernode_ca,
        .node = supernodes_node_id(director->opts.supernodes),
        .digest = &directed->digest,
        .ops = &session_ops,
        .arg = directed,
    });
    show(directed, NULL);
}

/* False: no supernode is up. */
static bool join(struct directed *directed)
{
    if (!supernodes_pick(&directed->supernode, directed->director->opts.supernodes,
                         &directed->digest, directed->sent_away))
        return false;
    directed->n_unknown = 0;
    directed->has_passed = false;
    begin_session(directed);
    enter(directed, DIRECTOR_PICKED, NULL);
    return true;
}

static void on_time(void *arg)
{
    struct directed *directed = arg;
    DT_ASSERT(directed->magic == DIRECTED_MAGIC);
    uint64_t now_ms = dt_loop_now_ms(task_loop(directed->task));
    uint64_t limit_ms = directed->director->opts.options->transfer.stall_timeout_ms;
    if (directed->mode == DIRECTOR_LOST) {
        if (!join(directed))
            dt_timer_set(&directed->timer, jittered(PAUSE_MS));
        return;
    }
    if (directed->mode == DIRECTOR_GONE)
        return;
    /* A fetch on its way has a deadline of its own, and a low limit makes it long. */
    if (directed->n_flights > 0 && directed->n_failed_in_a_row == 0)
        directed->progress_ms = now_ms; /* but a new one after each that failed is no progress */
    if (directed->n_failed_in_a_row >= FAILED_MANY)
        limit_ms /= 4;
    if (!director_mode_may_ask(directed->mode) && now_ms - directed->progress_ms >= limit_ms) {
        directed_drop_orders(directed, false);
        exchange_leave(&directed->exchange, false);
        enter(directed, DIRECTOR_STALLED, "the supernode answers, and no piece comes");
        return;
    }
    dt_timer_set(&directed->timer, STALL_TICK_MS);
}

/* A supernode that fails at once cost no time yet: where another one is up, it is asked before the
 * registries are, so that a site asks them once also while a supernode dies. After silence nobody
 * is waited for a second time. */
static bool pass_on(struct directed *directed, const char *why)
{
    struct supernodes *supernodes = directed->director->opts.supernodes;
    struct supernode_view other;
    char task[13];
    if (!supernodes_pick(&directed->supernode, supernodes, &directed->digest, directed->sent_away))
        return false;
    supernodes_view(&other, supernodes, directed->supernode);
    dt_log_info("swarm_passed", "task=%s to=%s reason=%s", dt_digest_short(task, &directed->digest),
                other.url, DT_LOG_Q(why));
    directed->has_passed = true;
    begin_session(directed);
    enter(directed, DIRECTOR_PASSED, why);
    return true;
}

void directed_lose(struct directed *directed, const struct dt_err *why)
{
    exchange_free(&directed->exchange);
    directed_drop_orders(directed, true);
    directed->is_takeover = true;
    supernodes_failed(directed->director->opts.supernodes, directed->supernode, why);
    bool may_pass =
        why->code != DT_ETIMEOUT && !directed->has_passed && !director_mode_may_ask(directed->mode);
    if (!may_pass || !pass_on(directed, why->msg))
        enter(directed, DIRECTOR_SILENT, why->msg);
}

static void refuse(struct directed *directed, const char *why)
{
    exchange_free(&directed->exchange);
    directed_drop_orders(directed, false);
    enter(directed, DIRECTOR_REFUSED, why);
}

/* Its disk is full, its descriptors are used up, it has too many tasks: the next one may do better,
 * and the site's registry is spared. Each of them is left once, so this ends. */
static void on_gone(struct directed *directed, const struct dt_err *why)
{
    bool is_its_own = why->code == DT_ENOSPACE || why->code == DT_EBUSY || why->code == DT_EIO;
    if (is_its_own) {
        _Static_assert(PROXY_SUPERNODES_MAX <= 32, "a bit for each");
        directed->sent_away |= 1u << directed->supernode;
        exchange_free(&directed->exchange);
        directed_drop_orders(directed, true);
        directed->is_takeover = true;
        if (pass_on(directed, why->msg))
            return;
    }
    refuse(directed, why->msg);
}

static void fill_join(void *arg, struct wire_join *out)
{
    struct directed *directed = arg;
    struct proxy_director *director = directed->director;
    const struct proxy_options *options = director->opts.options;
    const char *address = supernodes_address(director->opts.supernodes);
    wire_name_copy(out->name, options->node_name);
    wire_name_copy(out->site, options->site);
    wire_name_copy(out->rack, options->rack);
    DT_ASSERT(dt_text_print(out->address, sizeof out->address, "%s", address));
    out->up_slots = DIRECTOR_UP_SLOTS;
    out->down_slots = DIRECTOR_DOWN_SLOTS;
    uint64_t size = task_size(directed->task);
    out->size = size != UINT64_MAX ? size : directed->size;
    if (out->size > CACHE_BLOB_SIZE_MAX)
        out->size = UINT64_MAX;
    out->is_takeover = directed->is_takeover;
    out->takes_inline = true;
    out->upstream = dt_strdup(directed->upstream);
    out->repository = dt_strdup(directed->repository);
    directed_pieces_join(directed, out);
    if (directed->authorization == NULL)
        return;
    char digest[DT_DIGEST_TEXT_MAX];
    char *context = dt_asprintf("%s %s %s", directed->upstream, directed->repository,
                                dt_digest_format(digest, &directed->digest));
    out->sealed_authorization = dt_keys_seal(director->opts.keys, context, directed->authorization);
    free(context);
}

static uint64_t want(void *arg)
{
    struct directed *directed = arg;
    return task_wanted(directed->task);
}

static void on_lost(void *arg, const struct dt_err *why)
{
    struct directed *directed = arg;
    DT_ASSERT(directed->magic == DIRECTED_MAGIC);
    directed_lose(directed, why);
}

static void note_joined(struct directed *directed)
{
    struct supernode_view supernode;
    char task[13];
    if (directed->has_joined)
        return;
    directed->has_joined = true;
    supernodes_view(&supernode, directed->director->opts.supernodes, directed->supernode);
    dt_metric_add(&metric_joined, 1);
    dt_log_info("swarm_joined", "task=%s supernode=%s name=%s takeover=%s",
                dt_digest_short(task, &directed->digest), supernode.url, supernode.name,
                directed->is_takeover ? "yes" : "no");
}

static void on_unknown(struct directed *directed)
{
    struct dt_err err;
    if (++directed->n_unknown > UNKNOWN_MAX) {
        (void)dt_err_set(&err, DT_EPROTO, "the supernode does not know sessions it began");
        directed_lose(directed, &err);
        return;
    }
    exchange_free(&directed->exchange);
    directed_drop_orders(directed, false);
    directed->is_takeover = true; /* it lost what it knew: what is here need not be fetched */
    begin_session(directed);
    enter(directed, DIRECTOR_UNKNOWN, NULL);
}

/* Opens the writer with the supernode's size. False: this blob does not come from the swarm. */
static bool agree_on_size(struct directed *directed, const struct wire_exchange_reply *reply)
{
    struct dt_err err = {0};
    if (reply->piece_size != cache_pieces_choose_size(reply->size)) {
        refuse(directed, "the supernode cuts this blob into other pieces: another version");
        return false;
    }
    if (task_know_size(directed->task, reply->size, &err) < 0) {
        refuse(directed, err.msg);
        return false;
    }
    return true;
}

static void on_open(struct directed *directed, struct wire_exchange_reply *reply)
{
    struct dt_err err = {0};
    if (!agree_on_size(directed, reply))
        return;
    if (reply->ticket[0] != '\0')
        memcpy(directed->ticket, reply->ticket, sizeof directed->ticket);
    dt_bucket_set(&directed->bucket, proxy_limits_floor(reply->down_limit), dt_mono_us());
    if (task_pieces(directed->task) == NULL) /* nothing to fill: verified now, or not cached */
        reply->n_assignments = 0;
    if (directed_order(directed, reply, &err) < 0) {
        directed_lose(directed, &err);
        return;
    }
    directed->has_passed = false;
    enter(directed, DIRECTOR_OPENED, NULL);
    if (reply->n_assignments > 0)
        task_step_soon(directed->task);
}

static void on_reply(void *arg, const struct wire_exchange_reply *const_reply)
{
    struct directed *directed = arg;
    struct wire_exchange_reply reply = *const_reply; /* its arrays stay the session's */
    DT_ASSERT(directed->magic == DIRECTED_MAGIC);
    switch (reply.state) {
    case WIRE_WAITING:
        note_joined(directed);
        enter(directed, DIRECTOR_WAITING, NULL);
        break;
    case WIRE_OPEN:
        note_joined(directed);
        on_open(directed, &reply);
        break;
    case WIRE_GONE:
        on_gone(directed, &reply.err);
        break;
    default:
        on_unknown(directed);
        break;
    }
}

static const struct exchange_ops session_ops = {fill_join, want, on_reply, on_lost};

/* ---- what the task asks and says ---- */

static void *begin(void *arg, struct task *task, const struct task_wish *wish)
{
    struct proxy_director *director = arg;
    /* What does not fit into a message is asked for where it would be anyway. */
    if (wish->authorization != NULL && strlen(wish->authorization) > DT_SEAL_MAX)
        return NULL;
    struct directed *directed = dt_new(struct directed);
    directed->magic = DIRECTED_MAGIC;
    directed->director = director;
    directed->task = task;
    directed->digest = *task_digest(task);
    directed->upstream = dt_strdup(wish->upstream->name);
    directed->repository = dt_strdup(wish->repository);
    directed->authorization = dt_strdup(wish->authorization);
    directed->size = wish->size;
    directed->wanted = UINT32_MAX;
    directed->view.mode = director_mode_word(DIRECTOR_JOINING);
    directed->began_ms = directed->progress_ms = dt_loop_now_ms(task_loop(task));
    dt_bucket_init(&directed->bucket, 0, dt_mono_us());
    dt_timer_init(&directed->timer, task_loop(task), on_time, directed);
    (void)pthread_mutex_lock(&director->lock);
    DL_APPEND(director->all, directed);
    (void)pthread_mutex_unlock(&director->lock);
    dt_timer_set(&directed->timer, STALL_TICK_MS);
    if (!join(directed))
        enter(directed, DIRECTOR_SILENT, "no supernode is up");
    return directed;
}

static struct directed *mine(void *object)
{
    struct directed *directed = object;
    DT_ASSERT(directed->magic == DIRECTED_MAGIC);
    dt_loop_assert_mine(task_loop(directed->task));
    return directed;
}

/* Readers wait for another piece: the supernode prefers it. */
static void tell_wanted(struct directed *directed)
{
    const struct cache_pieces *pieces = task_pieces(directed->task);
    uint64_t off = task_wanted(directed->task);
    uint32_t wanted = UINT32_MAX;
    if (pieces != NULL && off < pieces->size)
        wanted = cache_pieces_at(pieces, off);
    if (wanted == directed->wanted)
        return;
    directed->wanted = wanted;
    if (directed->exchange != NULL && wanted != UINT32_MAX)
        exchange_hurry(directed->exchange);
}

static void on_wish(void *object, const struct task_wish *wish)
{
    (void)wish; /* one way is enough: a supernode asks with what the first one brought */
    tell_wanted(mine(object));
}

static void opened(void *object)
{
    directed_pieces_opened(mine(object));
}

static bool may_ask_registries(void *object)
{
    return director_mode_may_ask(mine(object)->mode);
}

static bool wants_from_registry(void *object, uint32_t piece)
{
    (void)piece;
    return director_mode_may_ask(mine(object)->mode);
}

static void step(void *object)
{
    struct directed *directed = mine(object);
    if (directed->is_leaving_registries && task_leave_registries(directed->task))
        directed->is_leaving_registries = false;
    directed_begin_orders(directed);
    tell_wanted(directed);
}

/* No progress of the swarm's: it may be a registry's, asked because a client waited too long. */
static void landed(void *object)
{
    struct directed *directed = mine(object);
    if (directed->exchange != NULL)
        exchange_heard(directed->exchange);
    directed_tell_gained(directed);
}

static void fetched(void *object, struct source *source, uint32_t piece, const struct dt_err *err)
{
    struct directed *directed = mine(object);
    if (err->code == 0) {
        directed->progress_ms = dt_loop_now_ms(task_loop(directed->task));
        directed->n_unknown = 0;
    }
    directed_fetched(directed, source, piece, err);
}

static void end(void *object, enum task_state state, const struct dt_err *err)
{
    struct directed *directed = mine(object);
    struct proxy_director *director = directed->director;
    uint64_t size = task_size(directed->task);
    char task[13];
    directed_drop_flights(directed);
    (void)pthread_mutex_lock(&director->lock);
    DL_DELETE(director->all, directed);
    (void)pthread_mutex_unlock(&director->lock);
    dt_log_info("swarm_left",
                "task=%s state=%s mode=%s peer_bytes=%" PRIu64 " seed_bytes=%" PRIu64
                " failures=%u ms=%" PRIu64 " err=%s",
                dt_digest_short(task, &directed->digest), task_state_word(state),
                director_mode_word(directed->mode), directed->view.peer_bytes,
                directed->view.seed_bytes, directed->view.failures,
                dt_loop_now_ms(task_loop(directed->task)) - directed->began_ms,
                DT_LOG_Q(err != NULL ? err->msg : ""));
    if (state == TASK_DONE && size != UINT64_MAX)
        supernodes_have(director->opts.supernodes, &directed->digest, size);
    if (directed->exchange != NULL)
        exchange_leave(&directed->exchange, state == TASK_DONE);
    dt_timer_clear(&directed->timer);
    directed_pieces_fini(directed);
    free(directed->upstream);
    free(directed->repository);
    dt_free_secret(&directed->authorization);
    directed->magic = 0;
    free(directed);
}

static const struct transfer_director_ops task_ops = {
    .begin = begin,
    .wish = on_wish,
    .opened = opened,
    .may_ask_registries = may_ask_registries,
    .wants_from_registry = wants_from_registry,
    .step = step,
    .landed = landed,
    .fetched = fetched,
    .end = end,
};

/* ---- life ---- */

struct proxy_director *proxy_director_new(const struct proxy_director_opts *opts)
{
    struct proxy_director *director = dt_new(struct proxy_director);
    director->opts = *opts;
    director->of_tasks = (struct transfer_director){.ops = &task_ops, .arg = director};
    director->lists = dt_new_array(struct exchange_list, dt_loops_count(opts->transfer->loops));
    (void)pthread_mutex_init(&director->lock, NULL);
    dt_metric_register(&metric_joined);
    dt_metric_register(&metric_lost);
    dt_metric_register(&metric_back);
    return director;
}

const struct transfer_director *proxy_director_of_tasks(const struct proxy_director *director)
{
    return &director->of_tasks;
}

bool proxy_director_view(struct director_view *out, struct proxy_director *director,
                         const struct dt_digest *digest)
{
    const struct directed *directed;
    bool is_found = false;
    (void)pthread_mutex_lock(&director->lock);
    DL_FOREACH(director->all, directed)
    {
        if (!dt_digest_equal(&directed->digest, digest))
            continue;
        *out = directed->view;
        is_found = true;
        break;
    }
    (void)pthread_mutex_unlock(&director->lock);
    return is_found;
}

void proxy_director_free(struct proxy_director **handle)
{
    struct proxy_director *director = *handle;
    if (director == NULL)
        return;
    *handle = NULL;
    DT_ASSERT(director->all == NULL); /* tasks end before */
    for (unsigned i = 0; i < dt_loops_count(director->opts.transfer->loops); i++)
        exchange_list_free(&director->lists[i]);
    (void)pthread_mutex_destroy(&director->lock);
    free(director->lists);
    free(director);
}
