/*
 * tests/unit/transfer_director_test.c - a task with a director: who is asked, when, and what a
 * director hears. The director and the nodes are made up, the registry is a real server.
 */
#include "transfer/director.h"

#include "tests/unit/transfer_lab.h"

/* ---- a node ---- */

enum manners { RIGHT, WRONG, SHORT, BUSY, SILENT };

static struct lab *lab;
static unsigned n_sources_alive; /* on the loop */

struct source_fetch {
    struct source *source;
    struct source_span span;
    const struct source_sink_ops *sink;
    void *arg;
    uint64_t sent;
    struct dt_timer timer;
};

struct node {
    struct source base; /* first */
    enum manners manners;
    uint64_t tells_size;
};

static void node_end(struct source_fetch *fetch, int code)
{
    struct dt_err err = {0};
    const struct source_sink_ops *sink = fetch->sink;
    void *arg = fetch->arg;
    if (code != 0)
        dt_err_set(&err, (enum dt_code)code, "a made up failure");
    fetch->source->n_active--;
    free(fetch);
    sink->on_done(arg, &err);
}

static void node_send(void *arg)
{
    struct source_fetch *fetch = arg;
    struct node *node = (struct node *)fetch->source;
    uint64_t len = fetch->span.end - fetch->span.off;
    if (node->manners == SILENT)
        return;
    if (node->manners == BUSY) {
        node_end(fetch, DT_EBUSY);
        return;
    }
    if (fetch->sent == 0 && fetch->sink->on_size(fetch->arg, node->tells_size) < 0) {
        node_end(fetch, DT_EPROTO);
        return;
    }
    uint64_t end = node->manners == SHORT ? len - 1 : len;
    unsigned char *bytes = dt_calloc(end, 1);
    memcpy(bytes, lab->blob + fetch->span.off, end);
    if (node->manners == WRONG)
        bytes[end / 2] ^= 1;
    bool is_taken = fetch->sink->on_data(fetch->arg, bytes, end);
    free(bytes);
    if (is_taken)
        node_end(fetch, 0);
    else
        fetch->sent = 1; /* paused: resume() sends it again */
}

static struct source_fetch *node_fetch(struct source *source, const struct source_span *span,
                                       const struct source_sink_ops *sink, void *arg)
{
    struct source_fetch *fetch = dt_new(struct source_fetch);
    *fetch = (struct source_fetch){.source = source, .span = *span, .sink = sink, .arg = arg};
    dt_timer_init(&fetch->timer, dt_loop_current(), node_send, fetch);
    dt_timer_set(&fetch->timer, 0);
    source->n_active++;
    return fetch;
}

static void node_resume(struct source_fetch *fetch)
{
    dt_timer_set(&fetch->timer, 0);
}

static void node_cancel(struct source_fetch **fetch)
{
    dt_timer_clear(&(*fetch)->timer);
    (*fetch)->source->n_active--;
    free(*fetch);
    *fetch = NULL;
}

static void node_free(struct source **source)
{
    DT_ASSERT((*source)->n_active == 0);
    n_sources_alive--;
    free(*source);
    *source = NULL;
}

static const struct source_ops NODE_OPS = {
    .fetch = node_fetch, .resume = node_resume, .cancel = node_cancel, .free = node_free};

static struct source *node_new(enum manners manners)
{
    struct node *node = dt_new(struct node);
    node->base.ops = &NODE_OPS;
    node->base.kind = SOURCE_PEER;
    node->manners = manners;
    node->tells_size = UINT64_MAX;
    n_sources_alive++;
    return &node->base;
}

/* ---- a director ---- */

static struct boss {
    /* orders; set before the task, or on the loop */
    bool abstains;           /* begin() returns NULL */
    _Atomic bool may_ask;    /* registries */
    bool tells_size;         /* in begin() */
    uint64_t size;           /* that it tells */
    _Atomic bool is_leaving; /* every step: task_leave_registries() */
    enum manners manners;    /* of the nodes */
    unsigned at_once;        /* pieces ordered at a time */
    uint32_t first;
    _Atomic uint32_t n;           /* from first on, so many pieces are ordered */
    _Atomic bool has[LAB_PIECES]; /* comes from elsewhere than registries */
    bool falls_back;              /* a failed fetch opens the registries */
    /* what it saw */
    struct task *task;
    bool is_flying[LAB_PIECES];
    unsigned n_begun, n_wishes, n_opened, n_landed, n_fetched, n_ended, n_cancelled, n_refused;
    _Atomic bool has_asked; /* it was called */
    _Atomic bool has_left;  /* and said so */
    _Atomic int code;       /* of the last fetch */
    int size_code;          /* of task_know_size() */
    uint64_t wanted;
    enum task_state how;
    struct dt_err err;
} boss;

static void *boss_begin(void *director, struct task *task, const struct task_wish *wish)
{
    DT_ASSERT(director == &boss);
    assert_string_equal(wish->repository, "team/app");
    boss.n_begun++;
    if (boss.abstains)
        return NULL;
    boss.task = task;
    if (boss.tells_size)
        boss.size_code = task_know_size(task, boss.size, NULL);
    return &boss;
}

static void boss_wish(void *object, const struct task_wish *wish)
{
    (void)object, (void)wish;
    boss.n_wishes++;
}

static void boss_opened(void *object)
{
    (void)object;
    boss.n_opened++;
    DT_ASSERT(task_pieces(boss.task) != NULL && task_size(boss.task) == LAB_SIZE);
    boss.wanted = task_wanted(boss.task);
}

static bool boss_may_ask(void *object)
{
    (void)object;
    return boss.may_ask;
}

static bool boss_wants(void *object, uint32_t piece)
{
    (void)object;
    return !boss.has[piece];
}

static void order(uint32_t piece)
{
    struct source *source = node_new(boss.manners);
    boss.is_flying[piece] = task_fetch_piece(boss.task, &source, piece);
    DT_ASSERT(boss.is_flying[piece] == (source == NULL));
    boss.n_refused += !boss.is_flying[piece];
    if (source != NULL)
        source->ops->free(&source);
}

static unsigned n_flying(void)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < LAB_PIECES; i++)
        n += boss.is_flying[i];
    return n;
}

static void boss_step(void *object)
{
    const struct cache_pieces *pieces = task_pieces(boss.task);
    (void)object;
    if (boss.is_leaving) {
        boss.has_left = task_leave_registries(boss.task);
        boss.has_asked = true;
    }
    for (uint32_t i = boss.first; pieces != NULL && i < boss.first + boss.n; i++)
        if (!boss.is_flying[i] && !cache_pieces_is_complete(pieces, i) && n_flying() < boss.at_once)
            order(i);
}

static void boss_landed(void *object)
{
    (void)object;
    boss.n_landed++;
}

static void boss_fetched(void *object, struct source *source, uint32_t piece,
                         const struct dt_err *err)
{
    (void)object;
    DT_ASSERT(source->kind == SOURCE_PEER && boss.is_flying[piece]);
    boss.is_flying[piece] = false;
    boss.code = err->code;
    boss.n_fetched++;
    boss.n_cancelled += err->code == DT_ECANCELLED;
    if (err->code == 0)
        DT_ASSERT(cache_pieces_is_complete(task_pieces(boss.task), piece));
    else if (boss.falls_back) {
        boss.may_ask = true;
        boss.n = 0;
    }
}

static void boss_end(void *object, enum task_state how, const struct dt_err *err)
{
    DT_ASSERT(object == &boss);
    boss.n_ended++;
    boss.how = how;
    boss.err = *err;
    boss.task = NULL;
}

static const struct transfer_director_ops BOSS_OPS = {
    .begin = boss_begin,
    .wish = boss_wish,
    .opened = boss_opened,
    .may_ask_registries = boss_may_ask,
    .wants_from_registry = boss_wants,
    .step = boss_step,
    .landed = boss_landed,
    .fetched = boss_fetched,
    .end = boss_end,
};
static const struct transfer_director BOSS = {&BOSS_OPS, &boss};

/* ---- the room ---- */

static int setup(void **state)
{
    (void)state;
    lab = lab_open();
    lab->transfer.director = &BOSS;
    /* Everything from nodes. */
    boss = (struct boss){
        .tells_size = true, .size = LAB_SIZE, .manners = RIGHT, .at_once = 4, .n = LAB_PIECES};
    n_sources_alive = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    lab_close(lab);
    /* Whatever happened, the director got back what it began, and every source was freed. */
    return boss.task == NULL && n_sources_alive == 0 ? 0 : -1;
}

static void start(struct lab_client *client)
{
    *client = (struct lab_client){.lab = lab, .size = UINT64_MAX};
    lab_call(lab, lab_client_attach, client);
}

static void finish(struct lab_client *client)
{
    lab_call(lab, lab_client_detach, client);
}

static bool has_ended(void *arg)
{
    (void)arg;
    return boss.n_ended > 0;
}

static bool has_ended_twice(void *arg)
{
    (void)arg;
    return boss.n_ended == 2;
}

static bool has_fetched(void *arg)
{
    return boss.n_fetched >= *(unsigned *)arg;
}

static bool is_in_third_piece(void *arg)
{
    (void)arg;
    return boss.task != NULL && task_pieces(boss.task) != NULL &&
           task_pieces(boss.task)->filled[2] == 777;
}

static bool has_landed(void *arg)
{
    (void)arg;
    return boss.n_landed > 0;
}

static bool has_asked(void *arg)
{
    (void)arg;
    return boss.has_asked;
}

static bool has_left(void *arg)
{
    (void)arg;
    return boss.has_left;
}

static void step_soon(void *arg)
{
    (void)arg;
    if (boss.task != NULL)
        task_step_soon(boss.task);
}

/* ---- tests ---- */

static void director__every_piece_comes_from_nodes(void **state)
{
    struct lab_client client;
    (void)state;
    start(&client);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    lab_until(lab, has_ended, NULL, "the director heard of the end");
    finish(&client);
    assert_int_equal(atomic_load(&lab->n_asked), 0);
    assert_int_equal(boss.n_fetched, LAB_PIECES);
    assert_int_equal(boss.n_begun, 1);
    assert_int_equal(boss.n_opened, 1);
    assert_int_equal(boss.wanted, 0);
    assert_int_equal(boss.how, TASK_DONE);
    assert_int_equal(client.event.news, TASK_READABLE);
    assert_int_equal(client.event.size, LAB_SIZE);
}

static void director__one_that_abstains_changes_nothing(void **state)
{
    struct lab_client client;
    (void)state;
    boss.abstains = true;
    start(&client);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    finish(&client);
    assert_int_equal(atomic_load(&lab->n_asked), 1);
    assert_int_equal(boss.n_ended, 0);
}

static void director__registries_wait_until_it_says_so(void **state)
{
    struct lab_client client;
    unsigned fetched = 1;
    (void)state;
    boss.tells_size = false;
    boss.manners = BUSY;
    boss.n = 0;
    start(&client);
    lab_call(lab, step_soon, NULL);
    lab_call(lab, step_soon, NULL);
    assert_int_equal(atomic_load(&lab->n_asked), 0);
    boss.may_ask = true; /* the loop sees it with the next message */
    lab_call(lab, step_soon, NULL);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    lab_until(lab, has_ended, NULL, "end");
    finish(&client);
    assert_int_equal(atomic_load(&lab->n_asked), 1);
    assert_int_equal(boss.n_opened, 1);
    assert_false(has_fetched(&fetched));
}

/* Each piece is on its way from a node that never ends: the registry brings one after the other. */
static void director__who_waits_too_long_has_the_piece_from_a_registry(void **state)
{
    struct lab_client client;
    (void)state;
    lab->options.head_deadline_ms = 60;
    boss.manners = SILENT;
    boss.at_once = LAB_PIECES;
    start(&client);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    lab_until(lab, has_ended, NULL, "the end");
    finish(&client);
    assert_int_equal(atomic_load(&lab->asked_at), (1u << LAB_PIECES) - 1);
    assert_int_equal(boss.n_fetched, LAB_PIECES);
    assert_int_equal(boss.n_cancelled, LAB_PIECES);
    assert_int_equal(boss.how, TASK_DONE);
}

static bool was_asked(void *arg)
{
    (void)arg;
    return atomic_load(&lab->n_asked) > 0;
}

static bool has_first_piece(void *arg)
{
    (void)arg;
    return boss.task != NULL && task_pieces(boss.task) != NULL &&
           cache_pieces_is_complete(task_pieces(boss.task), 0);
}

/* Nobody told the size: the first request is for everything, and is not let have it. */
static void director__a_registry_that_helps_out_brings_a_piece_and_not_the_blob(void **state)
{
    struct lab_client client;
    (void)state;
    lab->options.head_deadline_ms = 9000; /* what is late is asked for again after a quarter */
    atomic_store(&lab->hold_at, LAB_PIECE / 2); /* the task has time to see what it began */
    boss.tells_size = false;
    boss.n = 0;
    start(&client);
    lab_until(lab, has_landed, NULL, "half a piece");
    lab_call(lab, step_soon, NULL);
    atomic_store(&lab->hold_at, UINT64_MAX);
    lab_until(lab, has_first_piece, NULL, "the piece");
    boss.n = LAB_PIECES;
    lab_call(lab, step_soon, NULL);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    finish(&client);
    assert_int_equal(boss.n_fetched, LAB_PIECES - 1);
    assert_int_equal(atomic_load(&lab->n_asked), 1);
}

static void director__a_registry_that_cannot_help_out_ends_nothing(void **state)
{
    struct lab_client client;
    (void)state;
    lab->options.head_deadline_ms = 60;
    atomic_store(&lab->status, 404);
    boss.n = 0;
    start(&client);
    lab_until(lab, was_asked, NULL, "the registry was asked");
    lab_call(lab, step_soon, NULL);
    assert_int_equal(boss.n_ended, 0);
    boss.n = LAB_PIECES;
    lab_call(lab, step_soon, NULL);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    lab_until(lab, has_ended, NULL, "the end");
    finish(&client);
    assert_int_equal(boss.how, TASK_DONE);
}

static void director__a_node_that_fails_is_no_registrys_fault(void **state)
{
    struct lab_client client;
    unsigned fetched = 5;
    (void)state;
    boss.manners = BUSY;
    start(&client);
    lab_until(lab, has_fetched, &fetched, "nodes were asked again and again");
    assert_int_equal(boss.code, DT_EBUSY);
    assert_int_equal(atomic_load(&lab->n_asked), 0);
    assert_int_equal(client.event.news, TASK_READABLE);
    boss.n = 0;
    boss.may_ask = true;
    lab_call(lab, step_soon, NULL);
    lab_until(lab, lab_is_sealed, lab, "the registry gave it");
    finish(&client);
}

static void director__a_short_piece_is_a_failure(void **state)
{
    struct lab_client client;
    (void)state;
    boss.manners = SHORT;
    boss.n = 1;
    boss.falls_back = true;
    start(&client);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    finish(&client);
    assert_int_equal(boss.code, DT_EPROTO);
}

static void director__a_registry_brings_what_nodes_do_not_have(void **state)
{
    struct lab_client client;
    (void)state;
    boss.may_ask = true;
    boss.first = 1;
    boss.n = LAB_PIECES - 2;
    for (uint32_t i = 1; i < LAB_PIECES - 1; i++)
        boss.has[i] = true;
    start(&client);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    lab_until(lab, has_ended, NULL, "end");
    finish(&client);
    assert_int_equal(boss.n_fetched, LAB_PIECES - 2);
    assert_int_equal(atomic_load(&lab->n_asked), 2); /* the first piece, the last piece */
    assert_int_equal(atomic_load(&lab->n_served), 2 * LAB_PIECE - 1000);
}

static void director__excluded_registries_are_not_missed(void **state)
{
    struct lab_client client;
    unsigned fetched = 3;
    (void)state;
    boss.may_ask = true;
    boss.manners = BUSY;
    atomic_store(&lab->status, 404);
    for (uint32_t i = 0; i < LAB_PIECES; i++)
        boss.has[i] = true; /* nothing is theirs to bring */
    start(&client);
    lab_until(lab, has_fetched, &fetched, "nodes are asked on");
    assert_int_equal(boss.n_ended, 0);
    boss.n = 0;
    for (uint32_t i = 0; i < LAB_PIECES; i++)
        boss.has[i] = false;
    lab_until(lab, has_ended, NULL, "now it is hopeless");
    finish(&client);
    assert_int_equal(boss.how, TASK_FAILED);
    assert_int_equal(boss.err.code, DT_ENOTFOUND);
}

static void director__registries_are_left_with_the_piece_they_are_in(void **state)
{
    struct lab_client client;
    (void)state;
    boss.may_ask = true;
    boss.n = 0;
    atomic_store(&lab->hold_at, 2 * LAB_PIECE + 777);
    start(&client);
    lab_until(lab, is_in_third_piece, NULL, "the third piece has begun");
    lab_until(lab, has_landed, NULL, "and what came is in the file");
    boss.may_ask = false;
    boss.is_leaving = true;
    lab_call(lab, step_soon, NULL);
    lab_until(lab, has_asked, NULL, "the step"); /* before the rest of the bytes may come */
    assert_false(boss.has_left);
    atomic_store(&lab->hold_at, UINT64_MAX);
    lab_until(lab, has_left, NULL, "left");
    boss.n = LAB_PIECES;
    lab_call(lab, step_soon, NULL);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    lab_until(lab, has_ended, NULL, "end");
    finish(&client);
    assert_int_equal(atomic_load(&lab->n_asked), 1);
    assert_int_equal(boss.n_refused, 0);
    assert_int_equal(boss.n_fetched, LAB_PIECES - 3);
}

static void director__wrong_bytes_of_nodes_are_fetched_again_without_them(void **state)
{
    struct lab_client client;
    (void)state;
    boss.manners = WRONG;
    start(&client);
    lab_until(lab, lab_is_sealed, lab, "a registry alone put it right");
    finish(&client);
    assert_int_equal(boss.n_begun, 1);
    assert_int_equal(boss.n_ended, 1);
    assert_int_equal(boss.how, TASK_FAILED);
    assert_int_equal(boss.err.code, DT_EMISMATCH);
    assert_int_equal(atomic_load(&lab->n_asked), 1);
    assert_int_equal(atomic_load(&lab->n_served), LAB_SIZE);
}

static void director__wrong_bytes_of_registries_begin_it_anew(void **state)
{
    struct lab_client client;
    (void)state;
    boss.may_ask = true;
    boss.tells_size = false;
    boss.n = 0;
    atomic_store(&lab->lie_at, 12345);
    start(&client);
    lab_until(lab, has_ended_twice, NULL, "the only registry lied");
    finish(&client);
    assert_int_equal(boss.n_begun, 2);
    assert_int_equal(boss.n_ended, 2);
    assert_int_equal(boss.how, TASK_FAILED);
}

static void director__a_size_that_contradicts_is_refused(void **state)
{
    struct lab_client client = {.lab = lab, .size = LAB_SIZE};
    (void)state;
    boss.size = LAB_SIZE - 1;
    boss.may_ask = true;
    boss.n = 0;
    lab_call(lab, lab_client_attach, &client);
    lab_until(lab, lab_is_sealed, lab, "sealed");
    finish(&client);
    assert_int_equal(boss.size_code, -DT_EPROTO);
}

static bool was_turned_away(void *arg)
{
    const struct lab_client *client = arg;
    return client->n_events > 0 && client->event.news == TASK_STREAM_THROUGH;
}

static void director__what_the_cache_cannot_take_streams_past_it(void **state)
{
    struct lab_client client;
    (void)state;
    boss.size = 1000 * MIB; /* the cache has 100 */
    start(&client);
    lab_until(lab, was_turned_away, &client, "turned away");
    finish(&client);
    assert_int_equal(boss.size_code, -DT_ENOSPACE);
    assert_int_equal(boss.how, TASK_NEW);
    assert_int_equal(boss.err.code, DT_ENOSPACE);
    assert_int_equal(client.event.size, 1000 * MIB);
}

static void drop_all(void *arg)
{
    (void)arg;
    boss.n = 0;
    task_drop_fetch(boss.task, NULL, 0); /* not one of them: harmless */
}

static bool is_silent_now(void *arg)
{
    (void)arg;
    return n_flying() == TRANSFER_FETCHES_MAX;
}

static void director__the_end_of_the_task_ends_its_fetches(void **state)
{
    struct lab_client client;
    (void)state;
    boss.manners = SILENT;
    boss.at_once = TRANSFER_FETCHES_MAX;
    start(&client);
    lab_until(lab, is_silent_now, NULL, "every slot is taken");
    lab_call(lab, drop_all, NULL);
    finish(&client);
    transfer_tasks_abort(&lab->transfer);
    assert_int_equal(boss.n_cancelled, TRANSFER_FETCHES_MAX);
    assert_int_equal(boss.how, TASK_FAILED);
    assert_int_equal(boss.err.code, DT_ECANCELLED);
}

static void attach_second(struct lab_client *second)
{
    *second = (struct lab_client){.lab = lab, .size = UINT64_MAX};
    lab_call(lab, lab_client_attach, second);
}

static bool has_a_wish(void *arg)
{
    (void)arg;
    return boss.n_wishes == 1;
}

static void director__hears_of_every_further_client(void **state)
{
    struct lab_client first, second;
    (void)state;
    boss.manners = SILENT;
    boss.at_once = TRANSFER_FETCHES_MAX;
    start(&first);
    lab_until(lab, is_silent_now, NULL, "running");
    attach_second(&second);
    lab_until(lab, has_a_wish, NULL, "a second wish");
    finish(&first);
    finish(&second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        T(director__every_piece_comes_from_nodes),
        T(director__one_that_abstains_changes_nothing),
        T(director__registries_wait_until_it_says_so),
        T(director__who_waits_too_long_has_the_piece_from_a_registry),
        T(director__a_registry_that_helps_out_brings_a_piece_and_not_the_blob),
        T(director__a_registry_that_cannot_help_out_ends_nothing),
        T(director__a_node_that_fails_is_no_registrys_fault),
        T(director__a_short_piece_is_a_failure),
        T(director__a_registry_brings_what_nodes_do_not_have),
        T(director__excluded_registries_are_not_missed),
        T(director__registries_are_left_with_the_piece_they_are_in),
        T(director__wrong_bytes_of_nodes_are_fetched_again_without_them),
        T(director__wrong_bytes_of_registries_begin_it_anew),
        T(director__a_size_that_contradicts_is_refused),
        T(director__what_the_cache_cannot_take_streams_past_it),
        T(director__the_end_of_the_task_ends_its_fetches),
        T(director__hears_of_every_further_client),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
