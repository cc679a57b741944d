/*
 * tests/unit/cache_writer_test.c - the life of a blob as its writer sees it.
 */
#include "tests/unit/cache_kit.h"

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 1 * GIB, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_fini(&kit);
    return 0;
}

static void writer__seals_a_blob_that_can_be_read_after_a_restart(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(1, 3 * MIB + 17);
    assert_int_equal(kit_state(&kit, &blob.digest), CACHE_ABSENT);
    assert_int_equal(kit_check(&kit, &blob), DT_ENOTFOUND);
    assert_int_equal(kit_put(&kit, &blob), 0);
    assert_int_equal(kit_state(&kit, &blob.digest), CACHE_SEALED);
    assert_int_equal(kit_check(&kit, &blob), 0);
    kit_reopen(&kit);
    assert_int_equal(kit_state(&kit, &blob.digest), CACHE_SEALED);
    assert_int_equal(kit_check(&kit, &blob), 0);
    assert_int_equal(kit_used(&kit), blob.size);
    assert_false(kit_has_file(&kit, &blob.digest, true));
    kit_blob_free(&blob);
}

static void writer__takes_empty_and_one_byte_blobs(void **state)
{
    (void)state;
    for (size_t size = 0; size < 3; size++) {
        struct kit_blob blob = kit_blob_make(2, size);
        assert_int_equal(kit_put(&kit, &blob), 0);
        assert_int_equal(kit_check(&kit, &blob), 0);
        kit_blob_free(&blob);
    }
}

static void writer__takes_pieces_in_any_order(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(3, 20 * MIB + 5);
    struct kit_fill fill = {.is_backwards = true};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0);
    assert_int_equal(kit_check(&kit, &blob), 0);
    kit_blob_free(&blob);
}

/* What was written out of order is read back to be hashed. */
static void writer__fails_when_its_file_is_cut_before_it_is_hashed(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(21, 4 * MIB);
    struct kit_fill fill = {.is_backwards = true, .stop_after = 3 * MIB, .stop = KIT_STOP_STAY};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0);
    char *path = kit_path(&kit, &blob.digest, true);
    assert_int_equal(truncate(path, 0), 0);
    free(path);
    fill.stop_after = UINT64_MAX;
    fill.stop = KIT_STOP_NOT;
    kit_latch_init(&fill.ended);
    kit_on_loop(fill.loop, (void (*)(void *))kit_fill_step, &fill);
    assert_int_equal(kit_fill_wait(&fill), DT_EIO);
    assert_int_equal(kit_put(&kit, &blob), 0); /* nothing of it is left in the way */
    assert_int_equal(kit_check(&kit, &blob), 0);
    kit_blob_free(&blob);
}

static void writer__refuses_a_second_writer_and_a_sealed_blob(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(4, 1 * MIB);
    struct kit_fill first = {.stop_after = 512 * KIB, .stop = KIT_STOP_STAY}, second = {0};
    kit_fill_start(&first, &kit, &blob);
    assert_int_equal(kit_fill_wait(&first), 0);
    kit_fill_start(&second, &kit, &blob);
    assert_int_equal(kit_fill_wait(&second), DT_ECONFLICT);
    kit_on_loop(first.loop, kit_abort_now, &first);
    KIT_UNTIL(kit_put(&kit, &blob) == 0);
    second = (struct kit_fill){0};
    kit_fill_start(&second, &kit, &blob);
    assert_int_equal(kit_fill_wait(&second), DT_ECONFLICT);
    kit_blob_free(&blob);
}

static void writer__that_gave_wrong_bytes_fails_and_leaves_nothing(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(5, 2 * MIB);
    blob.bytes[MIB] ^= 1;
    assert_int_equal(kit_put(&kit, &blob), DT_EMISMATCH);
    assert_int_equal(kit_state(&kit, &blob.digest), CACHE_ABSENT);
    assert_false(kit_has_file(&kit, &blob.digest, true));
    KIT_UNTIL(kit_used(&kit) == 0);
    blob.bytes[MIB] ^= 1;
    assert_int_equal(kit_put(&kit, &blob), 0); /* at once: nothing is in the way any more */
    assert_int_equal(kit_check(&kit, &blob), 0);
    kit_blob_free(&blob);
}

static void writer__that_finishes_too_early_is_a_mismatch(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(6, 2 * MIB);
    struct kit_fill fill = {.stop_after = MIB, .stop = KIT_STOP_STAY};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0);
    kit_latch_init(&fill.ended);
    kit_on_loop(fill.loop, kit_finish_now, &fill);
    assert_int_equal(kit_fill_wait(&fill), DT_EMISMATCH);
    assert_int_equal(kit_state(&kit, &blob.digest), CACHE_ABSENT);
    kit_blob_free(&blob);
}

static void writer__aborted_is_resumed_by_the_next_one(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(7, 8 * MIB);
    struct kit_fill first = {.stop_after = 5 * MIB + 1000, .stop = KIT_STOP_ABORT};
    struct cache_entry entry;
    kit_fill_start(&first, &kit, &blob);
    assert_int_equal(kit_fill_wait(&first), DT_ECANCELLED);
    kit_reopen(&kit);
    assert_int_equal(cache_stat(&entry, kit.cache, &blob.digest, NULL), 0);
    assert_int_equal(entry.state, CACHE_PARTIAL);
    assert_int_equal(entry.n_present_pieces, 20); /* of 256 KiB; the next one was not complete */
    assert_int_equal(entry.present_bytes, 5 * MIB);
    assert_int_equal(kit_used(&kit), blob.size);
    assert_int_equal(kit_check(&kit, &blob), DT_ENOTFOUND);
    struct kit_fill second = {0};
    kit_fill_start(&second, &kit, &blob);
    assert_int_equal(kit_fill_wait(&second), 0);
    assert_int_equal(second.given, 3 * MIB); /* the rest only */
    assert_int_equal(kit_check(&kit, &blob), 0);
    assert_int_equal(kit_used(&kit), blob.size);
    kit_blob_free(&blob);
}

static void writer__fetches_a_committed_piece_again_when_its_checksum_is_wrong(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(8, 8 * MIB);
    struct kit_fill first = {.stop_after = 5 * MIB, .stop = KIT_STOP_ABORT};
    kit_fill_start(&first, &kit, &blob);
    assert_int_equal(kit_fill_wait(&first), DT_ECANCELLED);
    kit_reopen(&kit);
    char *path = kit_path(&kit, &blob.digest, true);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "damage", 6, 2 * MIB + 1), 6);
    dt_close(&fd);
    free(path);
    /* Stays until the strand has found out: on_written() comes and the piece is missing again. */
    struct kit_fill second = {.stop_after = 1, .stop = KIT_STOP_STAY};
    kit_fill_start(&second, &kit, &blob);
    assert_int_equal(kit_fill_wait(&second), 0);
    char *map = NULL;
    KIT_UNTIL((free(map), cache_piece_map(&map, kit.cache, &blob.digest, NULL)) == 0 &&
              strncmp(map, "111111110111111111110", 21) == 0);
    free(map);
    KIT_UNTIL(!cache_pieces_is_complete(cache_writer_pieces(second.writer), 8));
    second.stop_after = UINT64_MAX;
    second.stop = KIT_STOP_NOT;
    kit_latch_init(&second.ended);
    kit_on_loop(second.loop, (void (*)(void *))kit_fill_step, &second);
    assert_int_equal(kit_fill_wait(&second), 0);
    assert_int_equal(kit_check(&kit, &blob), 0);
    kit_blob_free(&blob);
}

static void writer__aborted_before_its_first_piece_leaves_nothing(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(10, 8 * MIB);
    struct kit_fill fill = {.stop_after = 1000, .stop = KIT_STOP_ABORT};
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), DT_ECANCELLED);
    KIT_UNTIL(kit_used(&kit) == 0);
    assert_false(kit_has_file(&kit, &blob.digest, true));
    kit_blob_free(&blob);
}

static void writer__of_another_size_replaces_the_part(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(11, 8 * MIB), liar = blob;
    liar.size = 7 * MIB;
    struct kit_fill fill = {.stop_after = 5 * MIB, .stop = KIT_STOP_ABORT};
    kit_fill_start(&fill, &kit, &liar);
    assert_int_equal(kit_fill_wait(&fill), DT_ECANCELLED);
    kit_reopen(&kit);
    assert_int_equal(kit_put(&kit, &blob), DT_EBUSY);
    KIT_UNTIL(kit_put(&kit, &blob) == 0);
    assert_int_equal(kit_check(&kit, &blob), 0);
    assert_int_equal(kit_used(&kit), 8 * MIB);
    kit_blob_free(&blob);
}

static void writer__refuses_what_is_larger_than_anything(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(12, 1), big = blob;
    big.size = CACHE_BLOB_SIZE_MAX + 1;
    assert_int_equal(kit_put(&kit, &big), DT_ETOOBIG);
    big.size = 2 * GIB;
    assert_int_equal(kit_put(&kit, &big), DT_ENOSPACE);
    assert_int_equal(kit_used(&kit), 0);
    kit_blob_free(&blob);
}

static void writer__commits_pieces_while_it_goes_on(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(13, 8 * MIB);
    struct kit_fill fill = {.stop_after = 4 * MIB, .stop = KIT_STOP_STAY};
    struct cache_entry entry;
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), 0);
    KIT_UNTIL(cache_stat(&entry, kit.cache, &blob.digest, NULL) == 0 &&
              entry.n_present_pieces == 16);
    assert_int_equal(entry.state, CACHE_PARTIAL);
    kit_on_loop(fill.loop, kit_abort_now, &fill);
    kit_blob_free(&blob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(writer__seals_a_blob_that_can_be_read_after_a_restart),
        T(writer__takes_empty_and_one_byte_blobs),
        T(writer__takes_pieces_in_any_order),
        T(writer__fails_when_its_file_is_cut_before_it_is_hashed),
        T(writer__refuses_a_second_writer_and_a_sealed_blob),
        T(writer__that_gave_wrong_bytes_fails_and_leaves_nothing),
        T(writer__that_finishes_too_early_is_a_mismatch),
        T(writer__aborted_is_resumed_by_the_next_one),
        T(writer__fetches_a_committed_piece_again_when_its_checksum_is_wrong),
        T(writer__aborted_before_its_first_piece_leaves_nothing),
        T(writer__of_another_size_replaces_the_part),
        T(writer__refuses_what_is_larger_than_anything),
        T(writer__commits_pieces_while_it_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
