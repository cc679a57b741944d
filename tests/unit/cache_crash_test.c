/*
 * tests/unit/cache_crash_test.c - kill -9 in the middle of everything, and power cuts.
 *
 * A child fills a small cache with blobs and objects as fast as it can, aborts some, removes some,
 * and is killed at a random moment. Whatever it was doing, the next process finds: sealed blobs
 * whole and right, committed pieces right, the quota kept, and no file that the index does not
 * know. A power cut is a copy of the disk: the image of an ext4 file system is copied under the
 * child's hands and mounted elsewhere.
 */
#include "tests/unit/cache_kit.h"

#include <signal.h>
#include <sys/wait.h>

#include "cache/cache_priv.h"

#define QUOTA  (24 * MIB)
#define ROUNDS 25
#define BLOBS  40

static struct kit kit;

static size_t size_of(unsigned index)
{
    return (index * 7919u) % (3 * MIB) + 1;
}

/* Never returns; writes one byte to `ready` when the first blob is sealed. */
static _Noreturn void child_main(unsigned seed, int ready)
{
    kit_threads(&kit, 2);
    kit.opts.flush_interval_ms = 1; /* many commits: many moments to be killed in */
    kit_open(&kit);
    bool is_told = false;
    for (uint64_t random = seed;;) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned index = (unsigned)(random >> 33) % BLOBS, kind = (unsigned)(random >> 50) % 8;
        struct kit_blob blob = kit_blob_make(2000 + index, size_of(index));
        struct kit_fill fill = {.is_backwards = kind == 1, .chunk = 64 * KIB};
        if (kind == 2 || kind == 3) {
            fill.stop = KIT_STOP_ABORT;
            fill.stop_after = blob.size * 3 / 4 + 1;
        }
        if (kind == 4)
            cache_remove(kit.cache, &blob.digest, (struct cache_completion){0});
        kit_fill_start(&fill, &kit, &blob);
        if (kit_fill_wait(&fill) == 0 && !is_told)
            is_told = write(ready, "x", 1) == 1;
        kit_blob_free(&blob);
    }
}

static pid_t child_start(unsigned seed)
{
    int ready[2];
    char byte;
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child_main(seed, ready[1]);
    dt_close(&ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    dt_close(&ready[0]);
    return pid;
}

static void child_kill(pid_t pid)
{
    int status = 0;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static uint64_t file_bytes;
static unsigned n_strangers;

static int see_file(const char *path, const struct stat *stat, int kind, struct FTW *ftw)
{
    if (kind != FTW_F)
        return 0;
    struct dt_digest digest;
    enum cache_state named = dt_text_has_suffix(path, ".part") ? CACHE_PARTIAL : CACHE_SEALED;
    char *text = dt_asprintf("sha256:%.64s", path + ftw->base);
    if (dt_digest_parse(&digest, text, strlen(text), NULL) < 0 || kit_state(&kit, &digest) != named)
        n_strangers++;
    free(text);
    file_bytes += (uint64_t)stat->st_size;
    return 0;
}

static void see_files(void)
{
    char *path = dt_asprintf("%s/blobs", kit.dir);
    file_bytes = n_strangers = 0;
    (void)nftw(path, see_file, 16, FTW_PHYS);
    free(path);
}

/* What the next process finds. Returns how many blobs survived sealed. */
static unsigned check_everything(void)
{
    unsigned n_sealed = 0;
    struct cache_usage usage;
    kit_threads(&kit, 1);
    kit_open(&kit);
    cache_usage(&usage, kit.cache);
    assert_true(usage.is_usable);
    assert_true(usage.used_bytes <= QUOTA);
    /* Swept: no file without a record of its kind, no record without its file, and both add up. */
    KIT_UNTIL((see_files(), n_strangers) == 0 && file_bytes == kit_used(&kit));
    for (unsigned index = 0; index < BLOBS; index++) {
        struct kit_blob blob = kit_blob_make(2000 + index, size_of(index));
        enum cache_state state = kit_state(&kit, &blob.digest);
        if (state == CACHE_SEALED) {
            assert_int_equal(kit_check(&kit, &blob), 0); /* compares every byte */
            n_sealed++;
        } else if (state == CACHE_PARTIAL) {
            char *map = NULL, *path = kit_path(&kit, &blob.digest, true);
            uint8_t *bytes = dt_calloc(1, blob.size);
            int fd = open(path, O_RDONLY | O_CLOEXEC);
            assert_int_equal(pread(fd, bytes, blob.size, 0), blob.size);
            assert_int_equal(cache_piece_map(&map, kit.cache, &blob.digest, NULL), 0);
            for (size_t piece = 0; map[piece] != '\0'; piece++) {
                size_t start = piece * 256 * KIB, len = blob.size - start;
                if (map[piece] == '1')
                    assert_memory_equal(bytes + start, blob.bytes + start,
                                        len < 256 * KIB ? len : 256 * KIB);
            }
            dt_close(&fd);
            free(bytes), free(path), free(map);
            assert_int_equal(kit_put(&kit, &blob), 0); /* resumes */
            assert_int_equal(kit_check(&kit, &blob), 0);
        }
        kit_blob_free(&blob);
    }
    cache_close(&kit.cache);
    kit_settle_loops(&kit);
    dt_loops_stop(kit.loops);
    dt_pool_free(&kit.pool);
    dt_loops_free(&kit.loops);
    return n_sealed;
}

static void cache__is_right_after_being_killed_at_any_moment(void **state)
{
    (void)state;
    unsigned n_sealed = 0;
    kit = (struct kit){.opts.max_bytes = QUOTA, .dir = dt_strdup("/tmp/darter-crash-XXXXXX")};
    assert_non_null(mkdtemp(kit.dir));
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t pid = child_start(round * 17 + 3);
        usleep(round * 7919 % 60000); /* not a wait for anything: the moment is the random part */
        child_kill(pid);
        n_sealed += check_everything();
    }
    assert_true(n_sealed > ROUNDS);
    kit_remove_tree(kit.dir);
    dt_free(&kit.dir);
}

/* ---- the sweep ---- */

#define STRAYS 40

static void stray_rename(const struct kit_blob *blob)
{
    char *part = kit_path(&kit, &blob->digest, true), *path = kit_path(&kit, &blob->digest, false);
    assert_int_equal(rename(part, path), 0);
    free(part), free(path);
}

/* As if killed: the next one to open it must sweep. */
static void close_uncleanly(void)
{
    char *path = dt_asprintf("%s/running", kit.dir);
    cache_close(&kit.cache);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    dt_close(&fd);
    free(path);
}

/* Blobs whose part file got its final name, and whose record did not hear of it. */
static void make_strays(void)
{
    kit_init(&kit, QUOTA, 1);
    for (unsigned i = 0; i < STRAYS; i++) {
        struct kit_blob blob = kit_blob_make(7000 + i, 600 * KIB);
        struct kit_fill fill = {.stop = KIT_STOP_ABORT, .stop_after = 550 * KIB};
        kit_fill_start(&fill, &kit, &blob);
        assert_int_equal(kit_fill_wait(&fill), DT_ECANCELLED);
        kit_blob_free(&blob);
    }
    close_uncleanly();
    for (unsigned i = 0; i < STRAYS; i++) {
        struct kit_blob blob = kit_blob_make(7000 + i, 600 * KIB);
        stray_rename(&blob);
        kit_blob_free(&blob);
    }
}

static void sweep__takes_record_and_file_of_what_was_renamed_too_early(void **state)
{
    (void)state;
    make_strays();
    kit_open(&kit);
    KIT_UNTIL((see_files(), file_bytes) == 0 && kit_used(&kit) == 0);
    kit_fini(&kit);
}

/* The sweep looks at a page of records, then at their files; a writer may finish in between. */
static void sweep__leaves_what_was_completed_since_it_looked(void **state)
{
    (void)state;
    struct kit_latch done;
    kit_init(&kit, QUOTA, 1);
    struct kit_blob whole = kit_blob_make(7998, 600 * KIB), part = kit_blob_make(7997, 600 * KIB);
    kit_seal(&kit, &whole);
    cache_remove_lost(kit.cache, &whole.digest, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), DT_ENOTFOUND);
    assert_int_equal(kit_check(&kit, &whole), 0);

    struct kit_fill fill = {.stop = KIT_STOP_ABORT, .stop_after = 550 * KIB};
    kit_fill_start(&fill, &kit, &part);
    assert_int_equal(kit_fill_wait(&fill), DT_ECANCELLED);
    cache_close(&kit.cache); /* nobody has it in hand */
    kit_open(&kit);
    assert_int_equal(kit_state(&kit, &part.digest), CACHE_PARTIAL);
    cache_remove_lost(kit.cache, &part.digest, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), 0);
    KIT_UNTIL((see_files(), file_bytes) == kit_used(&kit) && file_bytes == whole.size);
    kit_blob_free(&whole);
    kit_blob_free(&part);
    kit_fini(&kit);
}

/* Files the index does not know. */
static void write_stray(unsigned seed)
{
    struct kit_blob blob = kit_blob_make(seed, 1000);
    char *path = kit_path(&kit, &blob.digest, false), *parent = dt_strdup(path);
    *strrchr(parent, '/') = '\0';
    assert_true(mkdir(parent, 0700) == 0 || access(parent, F_OK) == 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, blob.bytes, blob.size), blob.size);
    dt_close(&fd);
    free(path), free(parent);
    kit_blob_free(&blob);
}

static void sweep__that_was_stopped_is_done_again_at_the_next_start(void **state)
{
    (void)state;
    kit_init(&kit, QUOTA, 1);
    struct kit_blob blob = kit_blob_make(7999, 1000); /* makes the folders */
    kit_seal(&kit, &blob);
    kit_blob_free(&blob);
    close_uncleanly();
    for (unsigned i = 0; i < STRAYS; i++)
        write_stray(8000 + i);
    for (int i = 0; i < 2; i++) { /* two starts too short for it */
        kit_open(&kit);
        cache_close(&kit.cache);
    }
    kit_open(&kit);
    KIT_UNTIL((see_files(), file_bytes) == kit_used(&kit));
    kit_fini(&kit);
}

/* ---- power cuts ---- */

static int run(const char *const *argv)
{
    int status = -1;
    union {
        const char *const *in;
        char *const *out;
    } cast = {.in = argv};
    pid_t pid = fork();
    if (pid == 0) {
        int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        (void)dup2(null_fd, 1);
        (void)dup2(null_fd, 2);
        execvp(argv[0], cast.out);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static void cache__is_right_after_a_power_cut(void **state)
{
    (void)state;
    char base[] = "/tmp/darter-power-XXXXXX";
    assert_non_null(mkdtemp(base));
    char *image = dt_asprintf("%s/image", base), *copy = dt_asprintf("%s/copy", base);
    char *live = dt_asprintf("%s/live", base), *after = dt_asprintf("%s/after", base);
    assert_int_equal(mkdir(live, 0700) + mkdir(after, 0700), 0);
    int fd = open(image, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(fd, 96 * MIB), 0);
    dt_close(&fd);
    bool can = RUN("mkfs.ext4", "-q", image) == 0 && RUN("mount", "-o", "loop", image, live) == 0;
    for (unsigned round = 0; can && round < 5; round++) {
        kit = (struct kit){.opts.max_bytes = QUOTA, .dir = dt_asprintf("%s/cache", live)};
        pid_t pid = child_start(round * 31 + 5);
        usleep(round * 5003 % 40000); /* as above: the moment is the random part */
        /* A power cut is one moment, a copy takes many: the writer stands still meanwhile. */
        assert_int_equal(kill(pid, SIGSTOP), 0);
        int copied = RUN("cp", "--sparse=always", image, copy); /* what the disk has right now */
        child_kill(pid);
        assert_int_equal(copied, 0);
        assert_int_equal(RUN("mount", "-o", "loop", copy, after), 0);
        free(kit.dir);
        kit.dir = dt_asprintf("%s/cache", after);
        (void)check_everything();
        free(kit.dir);
        kit.dir = NULL;
        assert_int_equal(RUN("umount", after), 0);
    }
    if (can)
        assert_int_equal(RUN("umount", live), 0);
    kit_remove_tree(base);
    free(image), free(copy), free(live), free(after);
    if (!can)
        skip(); /* no loop devices here, or not root */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cache__is_right_after_being_killed_at_any_moment),
        cmocka_unit_test(sweep__takes_record_and_file_of_what_was_renamed_too_early),
        cmocka_unit_test(sweep__leaves_what_was_completed_since_it_looked),
        cmocka_unit_test(sweep__that_was_stopped_is_done_again_at_the_next_start),
        cmocka_unit_test(cache__is_right_after_a_power_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
