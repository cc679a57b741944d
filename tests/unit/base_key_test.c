/*
 * tests/unit/base_key_test.c - the cluster key: files, rotation, MACs, sealing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/key.h"
#include "base/mem.h"
#include "base/text.h"

#define OLD_SECRET "the-old-secret-0123456789"
#define NEW_SECRET "the-new-secret-9876543210"

static struct dt_keys *keys_of(const char *text)
{
    struct dt_keys *keys = NULL;
    struct dt_err err = {.code = 0};
    assert_int_equal(dt_keys_parse(&keys, text, strlen(text), &err), 0);
    return keys;
}

static const struct dt_key_part HELLO[] = {{"hello", 5}, {"world", 5}};

static int check_hello(struct dt_keys *keys, const char *mac, struct dt_err *err)
{
    return dt_keys_check(keys, DT_KEY_REQUEST, mac, HELLO, 2, err);
}

/* ---- MACs ---- */

static void mac__is_the_known_one(void **state)
{
    (void)state;
    struct dt_keys *keys = keys_of(OLD_SECRET);
    char mac[DT_MAC_TEXT_MAX];
    dt_keys_sign(mac, keys, DT_KEY_REQUEST, HELLO, 2);
    /* By an independent program: HKDF and HMAC of Python's standard library. Nodes of different
     * versions must agree. */
    assert_string_equal(mac, "k9ec0d83.dd12067a555b7dbbe41361bd35fea956");
    assert_int_equal(check_hello(keys, mac, NULL), 0);
    dt_keys_free(&keys);
    assert_null(keys);
    dt_keys_free(&keys);
}

static void mac__of_one_use_is_wrong_for_another(void **state)
{
    (void)state;
    struct dt_keys *keys = keys_of(OLD_SECRET);
    struct dt_err err = {.code = 0};
    char mac[DT_MAC_TEXT_MAX];
    dt_keys_sign(mac, keys, DT_KEY_TICKET, HELLO, 2);
    assert_int_equal(check_hello(keys, mac, &err), -DT_EDENIED);
    assert_string_equal(err.msg, "the MAC is wrong");
    dt_keys_free(&keys);
}

static void mac__sees_where_a_part_ends(void **state)
{
    (void)state;
    struct dt_keys *keys = keys_of(OLD_SECRET);
    char mac[DT_MAC_TEXT_MAX];
    dt_keys_sign(mac, keys, DT_KEY_REQUEST, HELLO, 2);
    static const struct dt_key_part moved[] = {{"hellow", 6}, {"orld", 4}};
    static const struct dt_key_part one[] = {{"helloworld", 10}};
    static const struct dt_key_part more[] = {{"hello", 5}, {"world", 5}, {NULL, 0}};
    assert_int_equal(dt_keys_check(keys, DT_KEY_REQUEST, mac, moved, 2, NULL), -DT_EDENIED);
    assert_int_equal(dt_keys_check(keys, DT_KEY_REQUEST, mac, one, 1, NULL), -DT_EDENIED);
    assert_int_equal(dt_keys_check(keys, DT_KEY_REQUEST, mac, more, 3, NULL), -DT_EDENIED);
    assert_int_equal(dt_keys_check(keys, DT_KEY_REQUEST, mac, HELLO, 1, NULL), -DT_EDENIED);
    dt_keys_free(&keys);
}

static void mac__with_any_character_changed_is_refused(void **state)
{
    (void)state;
    struct dt_keys *keys = keys_of(OLD_SECRET);
    char mac[DT_MAC_TEXT_MAX];
    dt_keys_sign(mac, keys, DT_KEY_REQUEST, HELLO, 2);
    for (size_t i = 0; mac[i] != '\0'; i++) {
        char old = mac[i];
        mac[i] = old == '0' ? '1' : '0';
        assert_int_equal(check_hello(keys, mac, NULL), -DT_EDENIED);
        mac[i] = old == 'a' ? 'A' : (char)(old ^ 0x20); /* case, or no hex at all */
        assert_int_equal(check_hello(keys, mac, NULL), -DT_EDENIED);
        mac[i] = old;
    }
    assert_int_equal(check_hello(keys, mac, NULL), 0);
    dt_keys_free(&keys);
}

static void mac__malformed_is_refused(void **state)
{
    (void)state;
    struct dt_keys *keys = keys_of(OLD_SECRET);
    static const char *const bad[] = {
        "",
        "k",
        ".",
        "k0000000.",
        "k0000000.0123456789abcdef0123456789abcde",
        "k0000000.0123456789abcdef0123456789abcdef0",
        "k0000000 0123456789abcdef0123456789abcdef",
        "K0000000.0123456789abcdef0123456789abcdef",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_err err = {.code = 0};
        assert_int_equal(check_hello(keys, bad[i], &err), -DT_EDENIED);
        assert_string_equal(err.msg, "the MAC is malformed");
    }
    struct dt_err err = {.code = 0};
    assert_int_equal(check_hello(keys, "k0000000.0123456789abcdef0123456789abcdef", &err),
                     -DT_EDENIED);
    assert_string_equal(err.msg, "no such cluster key: k0000000");
    dt_keys_free(&keys);
}

/* ---- rotation ---- */

static void rotation__never_locks_anybody_out(void **state)
{
    (void)state;
    /* Steps of a rotation; neighbours may be in force at the same time on different hosts. */
    static const char *const steps[] = {OLD_SECRET, OLD_SECRET "\n" NEW_SECRET,
                                        NEW_SECRET "\n" OLD_SECRET, NEW_SECRET};
    struct dt_keys *keys[4];
    char mac[DT_MAC_TEXT_MAX];
    for (size_t i = 0; i < 4; i++)
        keys[i] = keys_of(steps[i]);
    for (size_t from = 0; from < 4; from++) {
        dt_keys_sign(mac, keys[from], DT_KEY_REQUEST, HELLO, 2);
        char *sealed = dt_keys_seal(keys[from], "context", "plain");
        for (size_t to = 0; to < 4; to++) {
            bool is_neighbour = from < to ? to - from < 2 : from - to < 2;
            char *plain = NULL;
            if (is_neighbour) {
                assert_int_equal(check_hello(keys[to], mac, NULL), 0);
                assert_int_equal(dt_keys_open(&plain, keys[to], "context", sealed, NULL), 0);
                assert_string_equal(plain, "plain");
            }
            dt_free_secret(&plain);
        }
        free(sealed);
    }
    dt_keys_sign(mac, keys[0], DT_KEY_REQUEST, HELLO, 2);
    assert_int_equal(check_hello(keys[3], mac, NULL), -DT_EDENIED); /* and it does end */
    for (size_t i = 0; i < 4; i++)
        dt_keys_free(&keys[i]);
}

/* ---- files ---- */

struct file {
    char path[64];
};

static void file_put(const struct file *file, const char *text, mode_t mode)
{
    int fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    dt_close(&fd);
}

static void file_init(struct file *file)
{
    assert_true(dt_text_print(file->path, sizeof(file->path), "/tmp/base_key_test.XXXXXX"));
    int fd = mkstemp(file->path);
    assert_true(fd >= 0);
    dt_close(&fd);
}

static void reload__takes_the_new_keys_and_keeps_the_old_on_failure(void **state)
{
    (void)state;
    struct file file;
    struct dt_keys *keys = NULL, *fresh = keys_of(NEW_SECRET);
    struct dt_err err = {.code = 0};
    char mac[DT_MAC_TEXT_MAX], text[DT_KEYS_TEXT_MAX];
    file_init(&file);
    file_put(&file, "# of the cluster\n\n  " OLD_SECRET " \r\n", 0600);
    assert_int_equal(dt_keys_load(&keys, file.path, &err), 0);
    dt_keys_sign(mac, fresh, DT_KEY_REQUEST, HELLO, 2);
    assert_int_equal(check_hello(keys, mac, NULL), -DT_EDENIED);

    file_put(&file, "short\n", 0600);
    assert_int_equal(dt_keys_reload(keys, &err), -DT_EINVAL);
    assert_non_null(strstr(err.msg, "line 1: a key has 16 to 512 characters, this one 5"));
    assert_null(strstr(err.msg, "short"));
    dt_keys_sign(mac, keys, DT_KEY_REQUEST, HELLO, 2);
    assert_int_equal(check_hello(keys, mac, NULL), 0);

    file_put(&file, NEW_SECRET, 0400);
    assert_int_equal(dt_keys_reload(keys, &err), 0);
    assert_int_equal(check_hello(keys, mac, NULL), -DT_EDENIED);
    dt_keys_sign(mac, fresh, DT_KEY_REQUEST, HELLO, 2);
    assert_int_equal(strlen(dt_keys_print(text, keys)), 8);
    assert_memory_equal(text, mac, 8);
    assert_int_equal(check_hello(keys, mac, NULL), 0);
    assert_int_equal(unlink(file.path), 0);
    assert_int_equal(dt_keys_reload(keys, &err), -DT_EINVAL);
    assert_int_equal(check_hello(keys, mac, NULL), 0);
    dt_keys_free(&keys);
    dt_keys_free(&fresh);
}

static void load__refuses_a_file_that_others_may_read(void **state)
{
    (void)state;
    struct file file;
    struct dt_keys *keys = NULL;
    file_init(&file);
    static const mode_t bad[] = {0640, 0604, 0644, 0620};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_err err = {.code = 0};
        file_put(&file, OLD_SECRET, bad[i]);
        assert_int_equal(dt_keys_load(&keys, file.path, &err), -DT_EINVAL);
        assert_non_null(strstr(err.msg, "chmod 0600"));
        assert_null(keys);
    }
    assert_int_equal(unlink(file.path), 0);
}

static void load__refuses_what_is_no_key_file(void **state)
{
    (void)state;
    struct dt_keys *keys = NULL;
    struct dt_err err = {.code = 0};
    struct file file;
    assert_int_equal(dt_keys_load(&keys, "/nonexistent/key", &err), -DT_EINVAL);
    assert_int_equal(dt_keys_load(&keys, "/tmp", &err), -DT_EINVAL);
    assert_non_null(strstr(err.msg, "not a regular file"));
    file_init(&file);
    char *long_text = dt_calloc(20001, 1);
    memset(long_text, '#', 20000);
    file_put(&file, long_text, 0600);
    assert_int_equal(dt_keys_load(&keys, file.path, &err), -DT_EINVAL);
    assert_non_null(strstr(err.msg, "more than 16384 bytes"));
    free(long_text);
    assert_int_equal(unlink(file.path), 0);
}

static void parse__says_what_is_wrong_and_where(void **state)
{
    (void)state;
    char too_long[600];
    memset(too_long, 'x', sizeof(too_long));
    too_long[513] = '\0';
    const struct {
        const char *text, *why;
    } bad[] = {
        {"", "no key in it"},
        {"# nothing\n\n", "no key in it"},
        {OLD_SECRET "\n#\nfifteen-charact", "line 3: a key has 16 to 512 characters, this one 15"},
        {too_long, "line 1: a key has 16 to 512 characters, this one 513"},
        {"a-key-with-a-\x01-in-it", "line 1: a control character at column 14"},
        {OLD_SECRET "1\n" OLD_SECRET "2\n" OLD_SECRET "3\n" OLD_SECRET "4\n" OLD_SECRET "5\n",
         "line 5: more than 4 keys"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct dt_keys *keys = NULL;
        struct dt_err err = {.code = 0};
        assert_int_equal(dt_keys_parse(&keys, bad[i].text, strlen(bad[i].text), &err), -DT_EINVAL);
        assert_string_equal(err.msg, bad[i].why);
        assert_null(keys);
    }
}

/* ---- sealing ---- */

static void seal__opens_only_with_its_key_and_context(void **state)
{
    (void)state;
    struct dt_keys *keys = keys_of(OLD_SECRET), *other = keys_of(NEW_SECRET);
    char *plain = NULL;
    char *sealed = dt_keys_seal(keys, "docker.io library/nginx", "Bearer abc");
    assert_null(strstr(sealed, "abc"));
    assert_int_equal(strspn(sealed, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789-_"),
                     strlen(sealed));
    assert_int_equal(dt_keys_open(&plain, keys, "docker.io library/nginx", sealed, NULL), 0);
    assert_string_equal(plain, "Bearer abc");
    dt_free_secret(&plain);
    assert_int_equal(dt_keys_open(&plain, keys, "docker.io library/mysql", sealed, NULL),
                     -DT_EDENIED);
    assert_null(plain);
    assert_int_equal(dt_keys_open(&plain, other, "docker.io library/nginx", sealed, NULL),
                     -DT_EDENIED);
    free(sealed);
    dt_keys_free(&keys);
    dt_keys_free(&other);
}

static void seal__is_never_twice_the_same_and_has_no_smallest_text(void **state)
{
    (void)state;
    struct dt_keys *keys = keys_of(OLD_SECRET);
    char *plain = NULL;
    char *first = dt_keys_seal(keys, "", ""), *second = dt_keys_seal(keys, "", "");
    assert_string_not_equal(first, second);
    assert_int_equal(dt_keys_open(&plain, keys, "", first, NULL), 0);
    assert_string_equal(plain, "");
    dt_free_secret(&plain);
    free(first);
    free(second);
    char *large = dt_calloc(DT_SEAL_MAX + 1, 1);
    memset(large, 'a', DT_SEAL_MAX);
    first = dt_keys_seal(keys, "x", large);
    assert_int_equal(dt_keys_open(&plain, keys, "x", first, NULL), 0);
    assert_string_equal(plain, large);
    dt_free_secret(&plain);
    free(first);
    free(large);
    dt_keys_free(&keys);
}

static void open__refuses_a_text_with_anything_changed(void **state)
{
    (void)state;
    struct dt_keys *keys = keys_of(OLD_SECRET);
    char *sealed = dt_keys_seal(keys, "context", "secret"), *plain = NULL;
    for (size_t i = 0; sealed[i] != '\0'; i++) {
        char old = sealed[i];
        sealed[i] = old == 'A' ? 'B' : 'A';
        assert_int_equal(dt_keys_open(&plain, keys, "context", sealed, NULL), -DT_EDENIED);
        sealed[i] = '=';
        assert_int_equal(dt_keys_open(&plain, keys, "context", sealed, NULL), -DT_EDENIED);
        sealed[i] = old;
    }
    for (size_t len = strlen(sealed); len-- > 0;) {
        sealed[len] = '\0';
        assert_int_equal(dt_keys_open(&plain, keys, "context", sealed, NULL), -DT_EDENIED);
    }
    assert_null(plain);
    char *large = dt_calloc(100001, 1);
    memset(large, 'A', 100000);
    assert_int_equal(dt_keys_open(&plain, keys, "context", large, NULL), -DT_EDENIED);
    free(large);
    free(sealed);
    dt_keys_free(&keys);
}

/* ---- threads ---- */

struct signer {
    struct dt_keys *keys;
    atomic_bool is_over;
    atomic_uint n_signed;
};

static void *signer_run(void *arg)
{
    struct signer *signer = arg;
    char mac[DT_MAC_TEXT_MAX];
    while (!atomic_load(&signer->is_over)) {
        dt_keys_sign(mac, signer->keys, DT_KEY_REQUEST, HELLO, 2);
        if (check_hello(signer->keys, mac, NULL) == 0)
            atomic_fetch_add(&signer->n_signed, 1);
    }
    return NULL;
}

static void reload__while_others_sign_is_safe(void **state)
{
    (void)state;
    struct file file;
    struct signer signer = {.keys = NULL};
    pthread_t thread;
    file_init(&file);
    file_put(&file, OLD_SECRET "\n" NEW_SECRET, 0600);
    assert_int_equal(dt_keys_load(&signer.keys, file.path, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, signer_run, &signer), 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(dt_keys_reload(signer.keys, NULL), 0);
    while (atomic_load(&signer.n_signed) == 0)
        (void)usleep(1000);
    atomic_store(&signer.is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    dt_keys_free(&signer.keys);
    assert_int_equal(unlink(file.path), 0);
}

static void random_bytes__differ(void **state)
{
    (void)state;
    uint8_t a[32], b[32];
    dt_random_bytes(a, sizeof(a));
    dt_random_bytes(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mac__is_the_known_one),
        cmocka_unit_test(mac__of_one_use_is_wrong_for_another),
        cmocka_unit_test(mac__sees_where_a_part_ends),
        cmocka_unit_test(mac__with_any_character_changed_is_refused),
        cmocka_unit_test(mac__malformed_is_refused),
        cmocka_unit_test(rotation__never_locks_anybody_out),
        cmocka_unit_test(reload__takes_the_new_keys_and_keeps_the_old_on_failure),
        cmocka_unit_test(load__refuses_a_file_that_others_may_read),
        cmocka_unit_test(load__refuses_what_is_no_key_file),
        cmocka_unit_test(parse__says_what_is_wrong_and_where),
        cmocka_unit_test(seal__opens_only_with_its_key_and_context),
        cmocka_unit_test(seal__is_never_twice_the_same_and_has_no_smallest_text),
        cmocka_unit_test(open__refuses_a_text_with_anything_changed),
        cmocka_unit_test(reload__while_others_sign_is_safe),
        cmocka_unit_test(random_bytes__differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
