/*
 * supernode_core_test.c - the core with its loops: made and ended, rules an operator gives by name,
 * what they survive, and questions about tasks that are not there.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "cache/cache.h"
#include "supernode/node.h"
#include "supernode/task_priv.h"
#include "transfer/task.h"

#define N_LOOPS 3

struct lab {
    char dir[64];
    struct transfer_options options;
    struct supernode supernode;
    sem_t answered;
    struct dt_err err;
    struct supernode_node_view nodes[8];
    size_t n_nodes;
    const char *name;
    uint64_t number;
    bool is_found;
};

static void write_key(const struct lab *lab, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/key", lab->dir);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a secret of the tests\n", 22), 22);
    dt_close(&fd);
}

static void start(struct lab *lab)
{
    char path[128];
    struct dt_err err = {0};
    struct supernode *supernode = &lab->supernode;
    *supernode = (struct supernode){.name = "super-a", .site = "here", .max_uploads = 4};
    write_key(lab, path, sizeof(path));
    assert_int_equal(dt_keys_load(&supernode->keys, path, &err), 0);
    supernode->transfer.options = &lab->options;
    assert_int_equal(dt_loops_new(&supernode->transfer.loops, N_LOOPS, &err), 0);
    assert_int_equal(dt_pool_new(&supernode->transfer.pool, 1, &err), 0);
    (void)snprintf(path, sizeof(path), "%s/cache", lab->dir);
    assert_int_equal(cache_open(&supernode->transfer.cache,
                                &(struct cache_opts){.dir = path,
                                                     .max_bytes = 64 * MIB,
                                                     .pool = supernode->transfer.pool},
                                &err),
                     0);
    transfer_tasks_new(&supernode->transfer);
    supernode_core_new(supernode);
    assert_int_equal(dt_loops_start(supernode->transfer.loops, &err), 0);
    supernode_core_start(supernode);
}

static void stop(struct lab *lab)
{
    struct supernode *supernode = &lab->supernode;
    supernode_core_stop(supernode);
    cache_quiesce(supernode->transfer.cache);
    dt_loops_stop(supernode->transfer.loops);
    supernode_core_free(supernode);
    transfer_tasks_free(&supernode->transfer);
    cache_close(&supernode->transfer.cache);
    dt_pool_free(&supernode->transfer.pool);
    dt_loops_free(&supernode->transfer.loops);
    dt_keys_free(&supernode->keys);
}

static int set_up(void **state)
{
    struct lab *lab = dt_new(struct lab);
    (void)snprintf(lab->dir, sizeof(lab->dir), "/tmp/darter-core-XXXXXX");
    assert_non_null(mkdtemp(lab->dir));
    (void)sem_init(&lab->answered, 0, 0);
    start(lab);
    *state = lab;
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    (void)remove(path); /* see tear_down() */
    return 0;
}

static int tear_down(void **state)
{
    struct lab *lab = *state;
    stop(lab);
    (void)nftw(lab->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS); /* what stays is /tmp's */
    (void)sem_destroy(&lab->answered);
    free(lab);
    return 0;
}

/* Runs fn on the last loop, where neither nodes nor rules live, and waits for its answer. */
static void ask(struct lab *lab, dt_loop_f fn)
{
    dt_loop_post(dt_loops_at(lab->supernode.transfer.loops, N_LOOPS - 1), fn, lab);
    assert_int_equal(sem_wait(&lab->answered), 0);
}

static void done(void *arg, const struct dt_err *err)
{
    struct lab *lab = arg;
    DT_ASSERT(dt_loop_index(dt_loop_current()) == N_LOOPS - 1); /* where it was asked */
    lab->err = *err;
    (void)sem_post(&lab->answered);
}

static void ask_ban(void *arg)
{
    struct lab *lab = arg;
    supernode_node_ban(&lab->supernode, lab->name, "bad\tdisk\n", done, lab);
}

static void ask_unban(void *arg)
{
    struct lab *lab = arg;
    supernode_node_unban(&lab->supernode, lab->name, done, lab);
}

static void ask_limits(void *arg)
{
    struct lab *lab = arg;
    supernode_node_set_limits(&lab->supernode, lab->name, lab->number, lab->number, done, lab);
}

static void copy_nodes(void *arg, const struct supernode_node_view *views, size_t n)
{
    struct lab *lab = arg;
    DT_ASSERT(n <= sizeof(lab->nodes) / sizeof(lab->nodes[0]));
    if (n > 0)
        memcpy(lab->nodes, views, n * sizeof(*views));
    lab->n_nodes = n;
    (void)sem_post(&lab->answered);
}

static void ask_nodes(void *arg)
{
    struct lab *lab = arg;
    supernode_nodes_view(&lab->supernode, copy_nodes, lab);
}

static int call(struct lab *lab, dt_loop_f fn, const char *name)
{
    lab->name = name;
    ask(lab, fn);
    return lab->err.code;
}

static void ban__is_shown_for_a_name_nobody_has_seen(void **state)
{
    struct lab *lab = *state;
    assert_int_equal(call(lab, ask_ban, "node-7"), 0);
    ask(lab, ask_nodes);
    assert_int_equal(lab->n_nodes, 1);
    assert_string_equal(lab->nodes[0].name, "node-7");
    assert_true(lab->nodes[0].is_banned);
    assert_string_equal(lab->nodes[0].ban_reason, "bad disk ");
    assert_string_equal(lab->nodes[0].id, "");
    struct supernode_node_counts counts;
    supernode_nodes_count(&counts, &lab->supernode);
    assert_int_equal(counts.n_banned, 1);
}

static void ban__survives_a_restart_and_ends_when_lifted(void **state)
{
    struct lab *lab = *state;
    char name[32];
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof(name), "node-%u", i);
        assert_int_equal(call(lab, ask_ban, name), 0);
    }
    stop(lab);
    start(lab);
    ask(lab, ask_nodes);
    assert_int_equal(lab->n_nodes, 3);
    assert_string_equal(lab->nodes[2].name, "node-2"); /* sorted */
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(name, sizeof(name), "node-%u", i);
        assert_int_equal(call(lab, ask_unban, name), 0);
    }
    ask(lab, ask_nodes);
    assert_int_equal(lab->n_nodes, 0);
    stop(lab);
    start(lab);
    ask(lab, ask_nodes);
    assert_int_equal(lab->n_nodes, 0);
}

static void ban__of_what_is_no_name_is_refused(void **state)
{
    struct lab *lab = *state;
    static const char LONG[] =
        "a123456789012345678901234567890123456789012345678901234567890123456789";
    assert_int_equal(call(lab, ask_ban, "no name"), DT_EINVAL);
    assert_int_equal(call(lab, ask_ban, ""), DT_EINVAL);
    assert_int_equal(call(lab, ask_ban, LONG), DT_EINVAL);
    assert_int_equal(call(lab, ask_unban, "node-1"), DT_ENOTFOUND);
}

static void bans__are_limited_in_number(void **state)
{
    struct lab *lab = *state;
    char name[32];
    for (unsigned i = 0; i < SUPERNODE_BANS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "node-%u", i);
        assert_int_equal(call(lab, ask_ban, name), 0);
    }
    assert_int_equal(call(lab, ask_ban, "one-more"), DT_EBUSY);
    assert_int_equal(call(lab, ask_ban, "node-5"), 0); /* again: no further one */
    struct supernode_node_counts counts;
    stop(lab);
    start(lab);
    assert_int_equal(call(lab, ask_unban, "node-1023"), 0); /* of the last note */
    supernode_nodes_count(&counts, &lab->supernode);
    assert_int_equal(counts.n_banned, SUPERNODE_BANS_MAX - 1);
}

static void limits__of_a_node_replace_those_of_all(void **state)
{
    struct lab *lab = *state;
    atomic_store(&lab->supernode.limits.node_up, 1000);
    lab->number = 77;
    assert_int_equal(call(lab, ask_limits, "node-1"), 0);
    ask(lab, ask_nodes);
    assert_int_equal(lab->n_nodes, 1);
    assert_true(lab->nodes[0].has_own_limits);
    assert_int_equal(lab->nodes[0].up_limit, 77);
    lab->number = UINT64_MAX;
    assert_int_equal(call(lab, ask_limits, "node-1"), 0);
    ask(lab, ask_nodes);
    assert_int_equal(lab->n_nodes, 0); /* nothing is special about it any more */
    assert_int_equal(call(lab, ask_limits, "no name"), DT_EINVAL);
}

/* ---- tasks ---- */

static void found(void *arg, const struct supernode_task_detail *detail)
{
    struct lab *lab = arg;
    lab->is_found = detail != NULL;
    (void)sem_post(&lab->answered);
}

static void ask_look(void *arg)
{
    struct lab *lab = arg;
    struct dt_digest digest;
    dt_digest_of(&digest, DT_SHA256, "x", 1);
    supernode_task_look(&lab->supernode, &digest, found, lab);
}

static void ask_task_limit(void *arg)
{
    struct lab *lab = arg;
    struct dt_digest digest;
    dt_digest_of(&digest, DT_SHA256, "x", 1);
    supernode_task_set_limit(&lab->supernode, &digest, 5, done, lab);
}

static void count_views(void *arg, const struct supernode_task_view *views, size_t n)
{
    struct lab *lab = arg;
    (void)views;
    lab->number = n;
    (void)sem_post(&lab->answered);
}

static void ask_tasks(void *arg)
{
    struct lab *lab = arg;
    supernode_tasks_view(&lab->supernode, count_views, lab);
}

static void tasks__that_are_not_there_are_not_found(void **state)
{
    struct lab *lab = *state;
    lab->is_found = true;
    ask(lab, ask_look);
    assert_false(lab->is_found);
    ask(lab, ask_task_limit);
    assert_int_equal(lab->err.code, DT_ENOTFOUND);
    lab->number = 99;
    ask(lab, ask_tasks);
    assert_int_equal(lab->number, 0);
}

static void share__divides_a_limit_among_those_who_take(void **state)
{
    (void)state;
    struct supernode supernode = {0};
    struct supernode_task task = {.supernode = &supernode, .limit = UINT64_MAX, .n_present = 4};
    assert_int_equal(supernode_task_share(&task), 0); /* no limit at all */
    atomic_store(&supernode.limits.task_down, 4000000);
    assert_int_equal(supernode_task_share(&task), 1000000);
    task.limit = 800000;
    assert_int_equal(supernode_task_share(&task), 200000);
    task.n_present = 0;
    assert_int_equal(supernode_task_share(&task), 800000);
    task.n_present = 1000; /* a low limit never looks like a dead peer */
    assert_int_equal(supernode_task_share(&task), SUPERNODE_LIMIT_FLOOR);
    task.limit = 0;
    assert_int_equal(supernode_task_share(&task), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ban__is_shown_for_a_name_nobody_has_seen, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(ban__survives_a_restart_and_ends_when_lifted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(ban__of_what_is_no_name_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bans__are_limited_in_number, set_up, tear_down),
        cmocka_unit_test_setup_teardown(limits__of_a_node_replace_those_of_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tasks__that_are_not_there_are_not_found, set_up, tear_down),
        cmocka_unit_test(share__divides_a_limit_among_those_who_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
