/*
 * tests/unit/cache_reader_test.c - readers of a blob, sealed or still being written.
 */
#include "tests/unit/cache_kit.h"

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 1 * GIB, 3);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_fini(&kit);
    return 0;
}

/* A client: reads what is there, waits for what is not, on its own loop. */
struct follower {
    struct dt_loop *loop;
    struct cache_reader *reader;
    const struct kit_blob *blob;
    uint64_t off;
    uint8_t *copy;
    struct dt_err err;
    unsigned n_calls;
    struct kit_latch ended;
    bool is_sealed_at_end;
};

static void follower_step(void *arg)
{
    struct follower *follower = arg;
    follower->n_calls++;
    while (follower->off < follower->blob->size) {
        int64_t n = cache_reader_available(follower->reader, follower->off, &follower->err);
        if (n < 0)
            break;
        if (n == 0) {
            cache_reader_wait(follower->reader, follower->off, follower->loop, follower_step,
                              follower);
            return;
        }
        n = kit_read(follower->reader, follower->copy + follower->off, (size_t)n, follower->off,
                     &follower->err);
        assert_true(n > 0);
        follower->off += (uint64_t)n;
    }
    follower->is_sealed_at_end = cache_reader_is_sealed(follower->reader);
    cache_reader_close(&follower->reader);
    kit_latch_open(&follower->ended);
}

static void follower_begin(void *arg)
{
    struct follower *follower = arg;
    if (cache_reader_open(&follower->reader, kit.cache, &follower->blob->digest, &follower->err) <
        0)
        kit_latch_open(&follower->ended);
    else
        follower_step(follower);
}

static void follower_start(struct follower *follower, const struct kit_blob *blob, unsigned loop)
{
    *follower = (struct follower){.blob = blob, .loop = dt_loops_at(kit.loops, loop)};
    follower->copy = dt_calloc(1, blob->size + 1);
    kit_latch_init(&follower->ended);
    dt_loop_post(follower->loop, follower_begin, follower);
}

static void readers__follow_a_writer_from_every_loop(void **state)
{
    (void)state;
    enum { N = 24 };
    struct kit_blob blob = kit_blob_make(20, 24 * MIB + 3);
    struct follower followers[N];
    struct kit_fill fill = {.stop_after = 100 * KIB, .stop = KIT_STOP_STAY, .chunk = 100 * KIB};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0);
    for (unsigned i = 0; i < N; i++)
        follower_start(&followers[i], &blob, i % 3);
    fill.stop_after = UINT64_MAX;
    fill.stop = KIT_STOP_NOT;
    kit_latch_init(&fill.ended);
    dt_loop_post(fill.loop, (dt_loop_f)kit_fill_step, &fill);
    assert_int_equal(kit_fill_wait(&fill), 0);
    for (unsigned i = 0; i < N; i++) {
        (void)kit_latch_wait(&followers[i].ended);
        assert_int_equal(followers[i].err.code, 0);
        assert_true(followers[i].is_sealed_at_end);
        assert_memory_equal(followers[i].copy, blob.bytes, blob.size);
        free(followers[i].copy);
    }
    kit_blob_free(&blob);
}

static void readers__never_get_the_last_byte_before_the_digest_is_known(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(21, 2 * MIB);
    struct kit_fill fill = {.stop = KIT_STOP_STAY};
    struct cache_reader *reader = NULL;
    struct dt_err err = {0};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0); /* every byte is in the file */
    assert_int_equal(cache_reader_open(&reader, kit.cache, &blob.digest, &err), 0);
    assert_int_equal(cache_reader_available(reader, 0, &err), blob.size - 1);
    assert_int_equal(cache_reader_available(reader, blob.size - 1, &err), 0);
    assert_false(cache_reader_is_sealed(reader));
    kit_latch_init(&fill.ended);
    kit_on_loop(fill.loop, kit_finish_now, &fill);
    assert_int_equal(kit_fill_wait(&fill), 0);
    assert_int_equal(cache_reader_available(reader, blob.size - 1, &err), 1);
    assert_int_equal(cache_reader_available(reader, blob.size, &err), 0);
    cache_reader_close(&reader);
    kit_blob_free(&blob);
}

/* Who reads single pieces has their sums: he need not wait for the digest of the whole. */
static void note_unproved(void *arg)
{
    struct kit_fill *fill = arg;
    cache_writer_note_unproved(fill->writer);
}

static void readers__hear_that_nobody_vouches_until_the_digest_does(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(29, 2 * MIB);
    struct kit_fill fill = {.stop = KIT_STOP_STAY};
    struct cache_reader *reader = NULL;
    struct dt_err err = {0};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0);
    assert_int_equal(cache_reader_open(&reader, kit.cache, &blob.digest, &err), 0);
    assert_false(cache_reader_is_unproved(reader));
    kit_on_loop(fill.loop, note_unproved, &fill);
    assert_true(cache_reader_is_unproved(reader));
    kit_latch_init(&fill.ended);
    kit_on_loop(fill.loop, kit_finish_now, &fill);
    assert_int_equal(kit_fill_wait(&fill), 0);
    assert_false(cache_reader_is_unproved(reader));
    cache_reader_close(&reader);
    kit_blob_free(&blob);
}

static void readers__by_piece_get_the_last_byte_as_soon_as_it_is_there(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(27, 2 * MIB);
    struct kit_fill fill = {.stop = KIT_STOP_STAY};
    struct cache_reader *reader = NULL;
    struct dt_err err = {0};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0); /* every byte is in the file */
    assert_int_equal(cache_reader_open(&reader, kit.cache, &blob.digest, &err), 0);
    cache_reader_by_piece(reader);
    assert_false(cache_reader_is_sealed(reader));
    assert_int_equal(cache_reader_available(reader, 0, &err), blob.size);
    assert_int_equal(cache_reader_available(reader, blob.size - 1, &err), 1);
    assert_int_equal(cache_reader_available(reader, blob.size, &err), 0);
    uint8_t last = 0;
    assert_int_equal(kit_read(reader, &last, 1, blob.size - 1, &err), 1);
    assert_int_equal(last, blob.bytes[blob.size - 1]);
    kit_latch_init(&fill.ended);
    kit_on_loop(fill.loop, kit_finish_now, &fill);
    assert_int_equal(kit_fill_wait(&fill), 0);
    cache_reader_close(&reader);
    kit_blob_free(&blob);
}

static void readers__fail_when_the_bytes_prove_wrong(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(22, 2 * MIB);
    struct follower follower;
    blob.bytes[5] ^= 1;
    struct kit_fill fill = {.stop_after = 64 * KIB, .stop = KIT_STOP_STAY};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0);
    follower_start(&follower, &blob, 1);
    kit_settle_loops(&kit); /* it has opened its reader */
    fill.stop_after = UINT64_MAX;
    fill.stop = KIT_STOP_NOT;
    kit_latch_init(&fill.ended);
    dt_loop_post(fill.loop, (dt_loop_f)kit_fill_step, &fill);
    assert_int_equal(kit_fill_wait(&fill), DT_EMISMATCH);
    (void)kit_latch_wait(&follower.ended);
    assert_int_equal(follower.err.code, DT_EMISMATCH);
    assert_true(follower.off < blob.size);
    free(follower.copy);
    kit_blob_free(&blob);
}

static void readers__fail_with_the_reason_of_an_abort(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(23, 2 * MIB);
    struct follower follower;
    struct kit_fill fill = {.stop_after = MIB, .stop = KIT_STOP_STAY};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0);
    follower_start(&follower, &blob, 1);
    kit_settle_loops(&kit); /* it has read what is here, and waits */
    kit_on_loop(fill.loop, kit_abort_now, &fill);
    (void)kit_latch_wait(&follower.ended);
    assert_int_equal(follower.err.code, DT_ECANCELLED);
    free(follower.copy);
    kit_blob_free(&blob);
}

/* ---- waits ---- */

struct counter {
    struct cache_reader *reader;
    struct dt_loop *loop;
    uint64_t off;
    _Atomic unsigned n;
};

static void count_call(void *arg)
{
    struct counter *counter = arg;
    atomic_fetch_add(&counter->n, 1);
}

static void wait_now(void *arg)
{
    struct counter *counter = arg;
    cache_reader_wait(counter->reader, counter->off, counter->loop, count_call, counter);
}

static void wait_twice(void *arg)
{
    wait_now(arg);
    wait_now(arg);
}

static void wait_and_close(void *arg)
{
    struct counter *counter = arg;
    wait_now(counter); /* bytes are here: the message is on its way */
    cache_reader_close(&counter->reader);
}

static void close_now(void *arg)
{
    struct counter *counter = arg;
    cache_reader_close(&counter->reader);
}

static void readers__are_called_once_and_only_for_their_bytes(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(24, 4 * MIB);
    struct kit_fill fill = {.stop_after = MIB, .stop = KIT_STOP_STAY};
    struct counter near = {.loop = dt_loops_at(kit.loops, 1), .off = MIB}, far = near;
    far.off = 3 * MIB;
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0);
    assert_int_equal(cache_reader_open(&near.reader, kit.cache, &blob.digest, NULL), 0);
    assert_int_equal(cache_reader_open(&far.reader, kit.cache, &blob.digest, NULL), 0);
    kit_on_loop(near.loop, wait_twice, &near);
    kit_on_loop(far.loop, wait_now, &far);
    fill.stop_after = 2 * MIB;
    fill.is_settled = false;
    kit_latch_init(&fill.ended);
    dt_loop_post(fill.loop, (dt_loop_f)kit_fill_step, &fill);
    assert_int_equal(kit_fill_wait(&fill), 0);
    KIT_UNTIL(atomic_load(&near.n) == 1);
    kit_settle_loops(&kit);
    assert_int_equal(atomic_load(&near.n), 1);
    assert_int_equal(atomic_load(&far.n), 0);
    kit_on_loop(fill.loop, kit_abort_now, &fill);
    KIT_UNTIL(atomic_load(&far.n) == 1);
    kit_on_loop(near.loop, close_now, &near);
    kit_on_loop(far.loop, close_now, &far);
    kit_blob_free(&blob);
}

static void readers__closed_with_a_call_on_its_way_are_not_called(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(25, 1 * MIB);
    struct counter counter = {.loop = dt_loops_at(kit.loops, 1)};
    assert_int_equal(kit_put(&kit, &blob), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(cache_reader_open(&counter.reader, kit.cache, &blob.digest, NULL), 0);
        kit_on_loop(counter.loop, wait_and_close, &counter);
    }
    kit_settle_loops(&kit);
    assert_int_equal(atomic_load(&counter.n), 0);
    kit_blob_free(&blob);
}

/* ---- files that are not what the index says ---- */

static void reader__of_a_blob_whose_file_is_gone_finds_nothing(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(26, 1 * MIB);
    kit_seal(&kit, &blob);
    char *path = kit_path(&kit, &blob.digest, false);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(kit_check(&kit, &blob), DT_ENOTFOUND);
    KIT_UNTIL(kit_state(&kit, &blob.digest) == CACHE_ABSENT);
    KIT_UNTIL(kit_used(&kit) == 0);
    KIT_UNTIL(kit_put(&kit, &blob) == 0); /* it may be fetched again */
    free(path);
    kit_blob_free(&blob);
}

static void reader__of_a_blob_whose_file_was_cut_finds_nothing(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(27, 1 * MIB);
    kit_seal(&kit, &blob);
    char *path = kit_path(&kit, &blob.digest, false);
    assert_int_equal(truncate(path, 17), 0);
    assert_int_equal(kit_check(&kit, &blob), DT_ENOTFOUND);
    KIT_UNTIL(kit_state(&kit, &blob.digest) == CACHE_ABSENT);
    free(path);
    kit_blob_free(&blob);
}

static void reader__keeps_its_bytes_when_the_blob_is_removed(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(28, 1 * MIB);
    struct cache_reader *reader = NULL;
    struct kit_latch done;
    uint8_t byte = 0;
    kit_seal(&kit, &blob);
    assert_int_equal(cache_reader_open(&reader, kit.cache, &blob.digest, NULL), 0);
    cache_remove(kit.cache, &blob.digest, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), 0);
    assert_int_equal(kit_state(&kit, &blob.digest), CACHE_ABSENT);
    assert_false(kit_has_file(&kit, &blob.digest, false));
    assert_int_equal(kit_read(reader, &byte, 1, blob.size - 1, NULL), 1);
    assert_int_equal(byte, blob.bytes[blob.size - 1]);
    assert_int_equal(kit_used(&kit), blob.size); /* its blocks are still taken */
    assert_int_equal(kit_put(&kit, &blob), 0);   /* and a new copy is a new file */
    assert_int_equal(kit_used(&kit), 2 * blob.size);
    cache_reader_close(&reader);
    KIT_UNTIL(kit_used(&kit) == blob.size);
    assert_int_equal(kit_check(&kit, &blob), 0);
    kit_blob_free(&blob);
}

static void reader__use_is_counted(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(29, 1000);
    struct cache_entry entry;
    kit_seal(&kit, &blob);
    for (int i = 0; i < 5; i++)
        assert_int_equal(kit_check(&kit, &blob), 0);
    assert_int_equal(cache_stat(&entry, kit.cache, &blob.digest, NULL), 0);
    assert_int_equal(entry.hits, 5);
    kit_reopen(&kit);
    assert_int_equal(cache_stat(&entry, kit.cache, &blob.digest, NULL), 0);
    assert_int_equal(entry.hits, 5);
    kit_blob_free(&blob);
}

static void abort_for_the_disk(void *arg)
{
    struct kit_fill *fill = arg;
    struct dt_err err = {.code = DT_EIO, .msg = "the disk failed"};
    cache_writer_abort(&fill->writer, &err);
}

/* The last piece of a part is begun anew by whoever resumes it, in the same place of the file. */
static void reader__whose_disk_failed_keeps_the_bytes_it_gave_away(void **state)
{
    (void)state;
    struct kit_blob good = kit_blob_make(140, 8 * MIB), lie = kit_blob_make(140, 8 * MIB);
    struct kit_fill fill = {.stop_after = 5 * MIB + 100 * KIB, .stop = KIT_STOP_STAY};
    struct cache_reader *reader = NULL;
    struct dt_err err = {0};
    uint8_t byte = 0;
    uint64_t at = 5 * MIB + 1000;
    lie.bytes[at] ^= 1;
    kit_fill_start(&fill, &kit, &lie);
    assert_int_equal(kit_fill_wait(&fill), 0);
    assert_int_equal(cache_reader_open(&reader, kit.cache, &lie.digest, &err), 0);
    assert_int_equal(kit_read(reader, &byte, 1, at, &err), 1);
    assert_int_equal(byte, lie.bytes[at]);
    kit_on_loop(fill.loop, abort_for_the_disk, &fill);
    assert_int_equal(cache_reader_available(reader, at, &err), -DT_EIO);
    assert_true(cache_reader_landed(reader, 0) > at);
    KIT_UNTIL(kit_put(&kit, &good) == 0);
    assert_int_equal(kit_check(&kit, &good), 0);
    assert_int_equal(pread(cache_reader_fd(reader), &byte, 1, (off_t)at), 1);
    assert_int_equal(byte, lie.bytes[at]);
    cache_reader_close(&reader);
    KIT_UNTIL(kit_used(&kit) == good.size);
    kit_blob_free(&good);
    kit_blob_free(&lie);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(readers__follow_a_writer_from_every_loop),
        T(readers__never_get_the_last_byte_before_the_digest_is_known),
        T(readers__hear_that_nobody_vouches_until_the_digest_does),
        T(readers__by_piece_get_the_last_byte_as_soon_as_it_is_there),
        T(readers__fail_when_the_bytes_prove_wrong),
        T(readers__fail_with_the_reason_of_an_abort),
        T(readers__are_called_once_and_only_for_their_bytes),
        T(readers__closed_with_a_call_on_its_way_are_not_called),
        T(reader__of_a_blob_whose_file_is_gone_finds_nothing),
        T(reader__of_a_blob_whose_file_was_cut_finds_nothing),
        T(reader__keeps_its_bytes_when_the_blob_is_removed),
        T(reader__use_is_counted),
        T(reader__whose_disk_failed_keeps_the_bytes_it_gave_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
