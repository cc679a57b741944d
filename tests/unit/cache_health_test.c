/*
 * tests/unit/cache_health_test.c - directories that cannot be used, full disks, damaged indexes,
 * damaged blobs.
 */
#include "tests/unit/cache_kit.h"

#include <errno.h>
#include <sys/mount.h>

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 64 * MIB, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_fini(&kit);
    return 0;
}

static void write_file(const char *name, const char *text)
{
    char *path = dt_asprintf("%s/%s", kit.dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    dt_close(&fd);
    free(path);
}

static void expect_unusable(const char *word)
{
    struct cache_usage usage;
    struct kit_blob blob = kit_blob_make(400, 1000);
    struct kit_latch done;
    struct cache_tag tag;
    struct cache_link link;
    struct cache_object *object = NULL;
    char *note = NULL, **names = NULL;
    struct cache_entry *entries = NULL;
    size_t n = 0;
    cache_usage(&usage, kit.cache);
    assert_false(usage.is_usable);
    if (strstr(usage.reason, word) == NULL)
        fail_msg("reason does not name %s: %s", word, usage.reason);
    assert_int_equal(kit_put(&kit, &blob), DT_EUNAVAILABLE);
    assert_int_equal(kit_check(&kit, &blob), DT_ENOTFOUND);
    assert_int_equal(cache_object_get(&object, kit.cache, &blob.digest, NULL), -DT_ENOTFOUND);
    assert_int_equal(cache_object_put(kit.cache, &blob.digest, "x", blob.bytes, blob.size,
                                      (struct cache_completion){0}, NULL),
                     -DT_EUNAVAILABLE);
    assert_int_equal(cache_tag_get(&tag, kit.cache, "a", "b", "c", NULL), -DT_ENOTFOUND);
    assert_int_equal(cache_link_get(&link, kit.cache, &blob.digest, "a", "b", NULL), -DT_ENOTFOUND);
    assert_int_equal(cache_note_get(&note, kit.cache, "a", NULL), -DT_ENOTFOUND);
    assert_int_equal(cache_list(&entries, &n, kit.cache, NULL, NULL, 10, NULL), 0);
    assert_int_equal(cache_link_list(&names, &n, kit.cache, &blob.digest, NULL), 0);
    assert_int_equal(n, 0);
    cache_note_put(kit.cache, "a", "b");
    cache_tag_drop(kit.cache, "a", "b", "c");
    cache_link_put(kit.cache, "a", "b", NULL, 0, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), DT_EUNAVAILABLE);
    cache_pin(kit.cache, &blob.digest, true, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), DT_EUNAVAILABLE);
    cache_remove(kit.cache, &blob.digest, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), DT_EUNAVAILABLE);
    assert_int_equal(cache_scrub_start(kit.cache, 0, NULL), -DT_EUNAVAILABLE);
    cache_scrub_stop(kit.cache);
    cache_set_bounds(kit.cache, 1, 1);
    kit_blob_free(&blob);
}

static void cache__made_by_a_newer_version_is_left_alone(void **state)
{
    (void)state;
    cache_close(&kit.cache);
    write_file("version", "2\n");
    kit_open(&kit);
    expect_unusable("upgrade");
    cache_close(&kit.cache);
    write_file("version", "rubbish");
    kit_open(&kit);
    expect_unusable("damaged");
    cache_close(&kit.cache);
    write_file("version", "1\n");
    kit_open(&kit);
}

static void cache__below_a_file_is_unusable(void **state)
{
    (void)state;
    char *good = kit.dir;
    cache_close(&kit.cache);
    write_file("file", "x");
    kit.dir = dt_asprintf("%s/file/cache", good);
    kit_open(&kit);
    expect_unusable("create");
    cache_close(&kit.cache);
    free(kit.dir);
    kit.dir = good;
    kit_open(&kit);
}

static void cache__in_use_is_refused_to_a_second_one(void **state)
{
    (void)state;
    struct cache *second = NULL;
    struct dt_err err = {0};
    assert_int_equal(cache_open(&second, &kit.opts, &err), -DT_ECONFLICT);
    assert_null(second);
    struct cache_opts none = kit.opts;
    none.max_bytes = 0;
    assert_int_equal(cache_open(&second, &none, &err), -DT_EINVAL);
    none = kit.opts;
    none.dir = "";
    assert_int_equal(cache_open(&second, &none, &err), -DT_EINVAL);
}

static void damage_index(off_t from, off_t to)
{
    char *path = dt_asprintf("%s/index/data.mdb", kit.dir), junk[4096];
    memset(junk, 0xa5, sizeof(junk));
    int fd = open(path, O_RDWR | O_CLOEXEC);
    off_t end = lseek(fd, 0, SEEK_END);
    for (off_t at = from; at < end && at < to; at += (off_t)sizeof(junk))
        assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
    dt_close(&fd);
    free(path);
}

static void expect_rebuilt(const struct kit_blob *good, const struct kit_blob *bad)
{
    struct cache_usage usage;
    kit_open(&kit);
    cache_usage(&usage, kit.cache);
    assert_true(usage.is_usable);
    KIT_UNTIL(kit_check(&kit, good) == 0); /* served again, once it was checked */
    KIT_UNTIL(kit_state(&kit, &bad->digest) == CACHE_ABSENT);
    assert_int_equal(kit_check(&kit, bad), DT_ENOTFOUND); /* never was */
    KIT_UNTIL(kit_used(&kit) == good->size);
    char *aside = dt_asprintf("%s/index.bad/data.mdb", kit.dir);
    assert_int_equal(access(aside, F_OK), 0);
    free(aside);
}

static void flip_byte(const struct kit_blob *blob)
{
    char *path = kit_path(&kit, &blob->digest, false), byte = (char)~blob->bytes[4242];
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, &byte, 1, 4242), 1);
    dt_close(&fd);
    free(path);
}

static void cache__rebuilds_an_unreadable_index_and_serves_nothing_unchecked(void **state)
{
    (void)state;
    struct kit_blob good = kit_blob_make(410, 3 * MIB), bad = kit_blob_make(411, 2 * MIB);
    static const struct {
        off_t from, to;
    } damages[] = {{0, 8192}, {8192, 1 << 30}};
    for (size_t i = 0; i < 2; i++) {
        KIT_UNTIL(kit_put(&kit, &good) == (i == 0 ? 0 : DT_ECONFLICT));
        KIT_UNTIL(kit_put(&kit, &bad) == 0);
        cache_close(&kit.cache);
        flip_byte(&bad);
        damage_index(damages[i].from, damages[i].to);
        expect_rebuilt(&good, &bad);
    }
    cache_close(&kit.cache);
    char *path = dt_asprintf("%s/index/data.mdb", kit.dir);
    assert_int_equal(truncate(path, 12288), 0);
    free(path);
    expect_rebuilt(&good, &bad);
    kit_blob_free(&good);
    kit_blob_free(&bad);
}

static void scrub__finds_the_blob_that_rotted(void **state)
{
    (void)state;
    struct kit_blob good = kit_blob_make(420, 3 * MIB), bad = kit_blob_make(421, 2 * MIB);
    struct cache_usage usage;
    kit_seal(&kit, &good);
    kit_seal(&kit, &bad);
    flip_byte(&bad);
    assert_int_equal(cache_scrub_start(kit.cache, 0, NULL), 0);
    KIT_UNTIL((cache_usage(&usage, kit.cache), usage.scrub_finished_ms) > 0);
    assert_int_equal(usage.scrub_checked, 2);
    assert_int_equal(usage.scrub_bad, 1);
    KIT_UNTIL(kit_state(&kit, &bad.digest) == CACHE_ABSENT);
    assert_int_equal(kit_check(&kit, &good), 0);
    kit_blob_free(&good);
    kit_blob_free(&bad);
}

static void scrub__keeps_to_its_rate_and_can_be_stopped(void **state)
{
    (void)state;
    struct kit_blob blob = kit_blob_make(422, 8 * MIB);
    struct cache_usage usage;
    kit_seal(&kit, &blob);
    assert_int_equal(cache_scrub_start(kit.cache, 1, NULL), 0); /* a byte a second: for ever */
    assert_int_equal(cache_scrub_start(kit.cache, 1, NULL), -DT_ECONFLICT);
    cache_usage(&usage, kit.cache);
    assert_true(usage.is_scrubbing);
    cache_scrub_stop(kit.cache);
    uint64_t started_us = dt_mono_us();
    KIT_UNTIL(cache_scrub_start(kit.cache, 40 * MIB, NULL) == 0);
    KIT_UNTIL((cache_usage(&usage, kit.cache), !usage.is_scrubbing));
    assert_true(dt_mono_us() - started_us >= 150000); /* 8 MiB at 40 MiB/s are 200 ms */
    assert_int_equal(usage.scrub_bad, 0);
    assert_int_equal(kit_check(&kit, &blob), 0);
    kit_blob_free(&blob);
}

/* ---- a small file system of our own ---- */

static bool mount_small(const char *options)
{
    cache_close(&kit.cache);
    kit_remove_tree(kit.dir);
    assert_int_equal(mkdir(kit.dir, 0700), 0);
    if (mount("tmpfs", kit.dir, "tmpfs", 0, options) == 0)
        return true;
    assert_true(errno == EPERM || errno == EACCES); /* not root: nothing to test with */
    kit_open(&kit);
    return false;
}

static void unmount_small(void)
{
    cache_close(&kit.cache);
    assert_int_equal(umount(kit.dir), 0);
    kit_open(&kit);
}

static void fill_disk(const char *name)
{
    char *path = dt_asprintf("%s/%s", kit.dir, name), junk[4096] = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (write(fd, junk, sizeof(junk)) > 0)
        continue;
    dt_close(&fd);
    free(path);
}

static void remove_file(const char *name)
{
    char *path = dt_asprintf("%s/%s", kit.dir, name);
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void cache__on_a_full_disk_reads_on_and_recovers(void **state)
{
    (void)state;
    if (!mount_small("size=16m"))
        skip();
    struct kit_blob kept = kit_blob_make(430, 2 * MIB), blob = kit_blob_make(431, 6 * MIB);
    struct kit_fill fill = {.stop_after = 0};
    struct cache_usage usage;
    kit_open(&kit);
    kit_seal(&kit, &kept);
    struct kit_latch done;
    cache_pin(kit.cache, &kept.digest, true, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), 0);
    fill_disk("others");
    kit_fill_start(&fill, &kit, &blob);
    assert_int_equal(kit_fill_wait(&fill), DT_ENOSPACE);
    assert_int_equal(kit_check(&kit, &kept), 0);
    remove_file("others");
    KIT_UNTIL(kit_put(&kit, &blob) == 0);
    assert_int_equal(kit_check(&kit, &blob), 0);
    cache_usage(&usage, kit.cache);
    assert_false(usage.is_full);
    assert_int_equal(usage.used_bytes, 8 * MIB);
    unmount_small();
    kit_blob_free(&kept);
    kit_blob_free(&blob);
}

static int put_tag(unsigned i)
{
    struct kit_latch done;
    struct cache_tag tag = {.size = i, .digest.algo = DT_SHA256};
    char name[32];
    assert_true(dt_text_print(name, sizeof(name), "tag%u", i));
    memset(tag.media_type, 'x', sizeof(tag.media_type) - 1);
    cache_tag_put(kit.cache, "docker.io", "r", name, &tag, kit_completion(&kit, &done));
    return kit_latch_wait(&done);
}

/* Others take the disk between our look at its free space and our writing. */
static void cache__whose_index_cannot_grow_says_so_and_recovers(void **state)
{
    (void)state;
    if (!mount_small("size=8m"))
        skip();
    struct cache_usage usage;
    kit_open(&kit);
    fill_disk("others");
    int code = 0;
    for (unsigned i = 0; i < 200 && code == 0; i++)
        code = put_tag(i);
    assert_int_equal(code, DT_ENOSPACE);
    cache_usage(&usage, kit.cache);
    assert_true(usage.is_usable && usage.is_full);
    assert_non_null(strstr(usage.reason, "full"));
    remove_file("others");
    struct kit_blob blob = kit_blob_make(432, 1 * MIB);
    KIT_UNTIL(kit_put(&kit, &blob) == 0); /* after the pause */
    assert_int_equal(kit_check(&kit, &blob), 0);
    unmount_small();
    kit_blob_free(&blob);
}

static void give_back_a_page(const char *name)
{
    char *path = dt_asprintf("%s/%s", kit.dir, name);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 4096), 0);
    free(path);
}

/* LMDB writes pages in one go: where only the first of them fits, it says EIO, not ENOSPC. */
static void object__not_removed_from_a_full_disk_is_told_with_what_to_do(void **state)
{
    (void)state;
    if (!mount_small("size=8m"))
        skip();
    struct kit_latch done;
    struct dt_digest digests[40];
    char bytes[3000];
    kit_open(&kit);
    for (unsigned i = 0; i < 40; i++) {
        memset(bytes, (int)i, sizeof(bytes));
        dt_digest_of(&digests[i], DT_SHA256, bytes, sizeof(bytes));
        assert_int_equal(cache_object_put(kit.cache, &digests[i], "x", bytes, sizeof(bytes),
                                          kit_completion(&kit, &done), NULL),
                         0);
        assert_int_equal(kit_latch_wait(&done), 0);
    }
    fill_disk("others");
    for (unsigned i = 0; put_tag(i) == 0; i++)
        assert_true(i < 200);
    unsigned n_refused = 0;
    for (unsigned i = 0; i < 40; i++) {
        give_back_a_page("others");
        cache_remove(kit.cache, &digests[i], kit_completion(&kit, &done));
        if (kit_latch_wait(&done) == 0)
            continue;
        n_refused++;
        assert_int_equal(done.err.code, DT_ENOSPACE);
        assert_non_null(strstr(done.err.msg, "free some disk space"));
    }
    assert_true(n_refused > 0);
    remove_file("others");
    unmount_small();
}

static void cache__opened_on_a_full_disk_is_unusable_with_a_reason(void **state)
{
    (void)state;
    if (!mount_small("size=64k"))
        skip();
    fill_disk("others");
    kit_open(&kit);
    expect_unusable("o space");
    unmount_small();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(cache__made_by_a_newer_version_is_left_alone),
        T(cache__below_a_file_is_unusable),
        T(cache__in_use_is_refused_to_a_second_one),
        T(cache__rebuilds_an_unreadable_index_and_serves_nothing_unchecked),
        T(scrub__finds_the_blob_that_rotted),
        T(scrub__keeps_to_its_rate_and_can_be_stopped),
        T(cache__on_a_full_disk_reads_on_and_recovers),
        T(cache__whose_index_cannot_grow_says_so_and_recovers),
        T(object__not_removed_from_a_full_disk_is_told_with_what_to_do),
        T(cache__opened_on_a_full_disk_is_unusable_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
