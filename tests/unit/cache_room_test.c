/*
 * tests/unit/cache_room_test.c - the quota to the byte, who is evicted, and who never is.
 */
#include "tests/unit/cache_kit.h"

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 10 * MIB, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_fini(&kit);
    return 0;
}

/* Bytes of all files under blobs/, by their length: what the quota is about. */
static uint64_t disk_bytes_seen;

static int disk_add(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    (void)path, (void)ftw;
    if (kind == FTW_F)
        disk_bytes_seen += (uint64_t)stat->st_size;
    return 0;
}

static uint64_t disk_bytes(void)
{
    char *path = dt_asprintf("%s/blobs", kit.dir);
    disk_bytes_seen = 0;
    (void)nftw(path, disk_add, 16, FTW_PHYS);
    free(path);
    return disk_bytes_seen;
}

static void pin(const struct kit_blob *blob, bool pinned, int code)
{
    struct kit_latch done;
    cache_pin(kit.cache, &blob->digest, pinned, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), code);
}

static void wait_wall_ms(uint64_t after_ms)
{
    KIT_UNTIL(dt_wall_ms() > after_ms); /* uses are ordered by a clock of milliseconds */
}

static void room__goes_to_the_new_by_taking_the_least_used(void **state)
{
    (void)state;
    struct kit_blob blobs[4];
    for (unsigned i = 0; i < 4; i++)
        blobs[i] = kit_blob_make(100 + i, 3 * MIB);
    for (unsigned i = 0; i < 3; i++) {
        kit_seal(&kit, &blobs[i]);
        wait_wall_ms(dt_wall_ms());
    }
    assert_int_equal(kit_check(&kit, &blobs[0]), 0); /* used again: 1 is the oldest now */
    assert_int_equal(kit_put(&kit, &blobs[3]), 0);
    assert_int_equal(kit_state(&kit, &blobs[0].digest), CACHE_SEALED);
    assert_int_equal(kit_state(&kit, &blobs[1].digest), CACHE_ABSENT);
    assert_int_equal(kit_state(&kit, &blobs[2].digest), CACHE_SEALED);
    assert_false(kit_has_file(&kit, &blobs[1].digest, false));
    struct cache_usage usage;
    cache_usage(&usage, kit.cache);
    assert_int_equal(usage.used_bytes, 9 * MIB);
    assert_int_equal(usage.evictions, 1);
    assert_int_equal(usage.evicted_bytes, 3 * MIB);
    for (unsigned i = 0; i < 4; i++)
        kit_blob_free(&blobs[i]);
}

static void room__is_never_taken_from_what_is_pinned_or_open(void **state)
{
    (void)state;
    struct kit_blob pinned = kit_blob_make(110, 3 * MIB), open = kit_blob_make(111, 3 * MIB);
    struct kit_blob idle = kit_blob_make(112, 3 * MIB), fresh = kit_blob_make(113, 4 * MIB);
    struct cache_reader *reader = NULL;
    kit_seal(&kit, &pinned);
    kit_seal(&kit, &open);
    kit_seal(&kit, &idle);
    pin(&pinned, true, 0);
    assert_int_equal(cache_reader_open(&reader, kit.cache, &open.digest, NULL), 0);
    assert_int_equal(kit_put(&kit, &fresh), 0); /* idle had to go, though used last */
    struct cache_usage usage;
    KIT_UNTIL((cache_usage(&usage, kit.cache), usage.n_sealed == 3)); /* fresh may go as well */
    kit_settle_index(&kit);
    assert_int_equal(kit_state(&kit, &idle.digest), CACHE_ABSENT);
    assert_int_equal(kit_check(&kit, &pinned), 0);
    assert_int_equal(kit_check(&kit, &open), 0);
    struct kit_blob large = kit_blob_make(114, 5 * MIB);
    assert_int_equal(kit_put(&kit, &large), DT_ENOSPACE); /* fresh could go: 4 MiB of 5 */
    assert_int_equal(kit_check(&kit, &fresh), 0);         /* and is not thrown away for nothing */
    cache_reader_close(&reader);
    assert_int_equal(kit_put(&kit, &large), 0);
    KIT_UNTIL((cache_usage(&usage, kit.cache), usage.n_sealed == 2)); /* large may go as well */
    kit_settle_index(&kit);
    assert_int_equal(kit_check(&kit, &pinned), 0);
    pin(&pinned, false, 0);
    pin(&idle, true, DT_ENOTFOUND);
    struct kit_blob whole = kit_blob_make(115, 10 * MIB);
    assert_int_equal(kit_put(&kit, &whole), 0);
    assert_int_equal(kit_used(&kit), 10 * MIB);
    struct kit_blob *all[] = {&pinned, &open, &idle, &fresh, &large, &whole};
    for (size_t i = 0; i < 6; i++)
        kit_blob_free(all[i]);
}

static void room__refuses_to_remove_what_is_pinned_or_being_written(void **state)
{
    (void)state;
    struct kit_latch done;
    struct kit_blob blob = kit_blob_make(120, 1 * MIB), other = kit_blob_make(121, 1 * MIB);
    struct kit_fill fill = {.stop_after = 600 * KIB, .stop = KIT_STOP_STAY};
    kit_seal(&kit, &blob);
    pin(&blob, true, 0);
    cache_remove(kit.cache, &blob.digest, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), DT_ECONFLICT);
    assert_int_equal(kit_check(&kit, &blob), 0);
    kit_fill_start(&fill, &kit, &other);
    assert_int_equal(kit_fill_wait(&fill), 0);
    struct cache_entry entry;
    KIT_UNTIL(cache_stat(&entry, kit.cache, &other.digest, NULL) == 0 && entry.present_bytes > 0);
    cache_remove(kit.cache, &other.digest, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), DT_ECONFLICT);
    kit_on_loop(fill.loop, kit_abort_now, &fill);
    kit_blob_free(&blob);
    kit_blob_free(&other);
}

static void room__shrinks_in_the_background_when_bounds_do(void **state)
{
    (void)state;
    struct kit_blob blobs[9];
    for (unsigned i = 0; i < 9; i++) {
        blobs[i] = kit_blob_make(130 + i, 1 * MIB);
        kit_seal(&kit, &blobs[i]);
    }
    cache_set_bounds(kit.cache, 4 * MIB + 1, 0);
    KIT_UNTIL(kit_used(&kit) == 4 * MIB);
    assert_int_equal(disk_bytes(), 4 * MIB);
    for (unsigned i = 0; i < 9; i++)
        kit_blob_free(&blobs[i]);
}

static void room__keeps_the_floor_of_the_file_system(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(140, 1 * MIB);
    cache_set_bounds(kit.cache, 10 * MIB, UINT64_MAX / 2);
    assert_int_equal(kit_put(&kit, &blob), DT_ENOSPACE);
    cache_set_bounds(kit.cache, 10 * MIB, 0);
    assert_int_equal(kit_put(&kit, &blob), 0);
    kit_blob_free(&blob);
}

static void room__waits_for_victims_while_the_writer_goes_on(void **state)
{
    (void)state;
    struct kit_blob victim = kit_blob_make(150, 9 * MIB), a = kit_blob_make(151, 5 * MIB);
    struct kit_blob b = kit_blob_make(152, 5 * MIB);
    struct kit_fill fill_a = {0}, fill_b = {0};
    kit_seal(&kit, &victim);
    kit_fill_start(&fill_a, &kit, &a); /* both wait for the same victim */
    kit_fill_start(&fill_b, &kit, &b);
    assert_int_equal(kit_fill_wait(&fill_a), 0);
    assert_int_equal(kit_fill_wait(&fill_b), 0);
    assert_int_equal(kit_used(&kit), 10 * MIB);
    kit_blob_free(&victim);
    kit_blob_free(&a);
    kit_blob_free(&b);
}

/* Hundreds of blobs, objects, aborts, drops and removals through a small cache: after each step the
 * files are within the quota, and what the cache says it uses is what its entries and files are. */
static void room__is_exact_under_churn(void **state)
{
    (void)state;
    uint64_t random = 7;
    unsigned n_filled = 0;
    for (unsigned step = 0; step < 300; step++) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned kind = (unsigned)(random >> 33) % 10;
        size_t size = (size_t)(random >> 40) % (3 * MIB) + 1;
        struct kit_blob blob = kit_blob_make(1000 + step % 120, size);
        struct kit_fill fill = {0};
        struct kit_latch done;
        if (kind < 2) {
            struct kit_blob object = kit_blob_make(5000 + step, size % 20000);
            assert_int_equal(cache_object_put(kit.cache, &object.digest, "text/x", object.bytes,
                                              object.size, kit_completion(&kit, &done), NULL),
                             0);
            assert_int_equal(kit_latch_wait(&done), 0);
            kit_blob_free(&object);
        } else if (kind == 2) {
            cache_remove(kit.cache, &blob.digest, kit_completion(&kit, &done));
            (void)kit_latch_wait(&done);
        } else {
            fill.stop = kind == 3 ? KIT_STOP_ABORT : KIT_STOP_NOT;
            fill.stop_after = fill.stop == KIT_STOP_NOT ? 0 : size * 2 / 3 + 1;
            kit_fill_start(&fill, &kit, &blob);
            int code = kit_fill_wait(&fill);
            /* No space: too much of it is still on its way to a slow disk. */
            assert_true(code == 0 || code == DT_ECONFLICT || code == DT_ECANCELLED ||
                        code == DT_EBUSY || code == DT_ENOSPACE);
            n_filled += code == 0;
        }
        kit_blob_free(&blob);
        struct cache_usage usage;
        assert_true(disk_bytes() <= 10 * MIB);
        cache_usage(&usage, kit.cache);
        assert_true(usage.used_bytes <= 10 * MIB);
        if (step % 50 != 49)
            continue;
        kit_reopen(&kit);
        struct cache_entry *entries = NULL;
        size_t n = 0;
        uint64_t listed = 0, objects = 0;
        assert_int_equal(cache_list(&entries, &n, kit.cache, NULL, NULL, 1000, NULL), 0);
        for (size_t i = 0; i < n; i++) {
            listed += entries[i].size;
            objects += entries[i].is_object ? entries[i].size : 0;
        }
        cache_usage(&usage, kit.cache);
        assert_int_equal(usage.used_bytes, listed);
        assert_int_equal(disk_bytes(), listed - objects);
        assert_int_equal(usage.n_sealed + usage.n_partial + usage.n_objects, n);
        free(entries);
    }
    assert_true(n_filled > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(room__goes_to_the_new_by_taking_the_least_used),
        T(room__is_never_taken_from_what_is_pinned_or_open),
        T(room__refuses_to_remove_what_is_pinned_or_being_written),
        T(room__shrinks_in_the_background_when_bounds_do),
        T(room__keeps_the_floor_of_the_file_system),
        T(room__waits_for_victims_while_the_writer_goes_on),
        T(room__is_exact_under_churn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
