/*
 * tests/unit/cache_facts_test.c - tags, links and notes.
 */
#include "tests/unit/cache_kit.h"

#include "cache/cache_priv.h"

static struct kit kit;

static int setup(void **state)
{
    (void)state;
    kit_init(&kit, 1 * GIB, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kit_fini(&kit);
    return 0;
}

static struct dt_digest digest_of(const char *text)
{
    struct dt_digest digest;
    dt_digest_of(&digest, DT_SHA256, text, strlen(text));
    return digest;
}

static void put_tag(const char *repository, const char *tag, uint64_t checked_ms)
{
    struct kit_latch done;
    struct cache_tag value = {.digest = digest_of(tag),
                              .size = 42,
                              .media_type = "application/x",
                              .checked_ms = checked_ms};
    cache_tag_put(kit.cache, "docker.io", repository, tag, &value, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), 0);
}

static void tag__is_remembered_over_a_restart_and_dropped(void **state)
{
    (void)state;
    struct cache_tag tag;
    struct dt_err err = {0};
    struct cache_usage usage;
    struct dt_digest expected = digest_of("latest");
    put_tag("library/nginx", "latest", dt_wall_ms());
    put_tag("library/nginx", "latest", dt_wall_ms()); /* again is still one */
    kit_reopen(&kit);
    assert_int_equal(cache_tag_get(&tag, kit.cache, "docker.io", "library/nginx", "latest", &err),
                     0);
    assert_true(dt_digest_equal(&tag.digest, &expected));
    assert_string_equal(tag.media_type, "application/x");
    assert_int_equal(tag.size, 42);
    cache_usage(&usage, kit.cache);
    assert_int_equal(usage.n_tags, 1);
    static const char *const others[][3] = {{"quay.io", "library/nginx", "latest"},
                                            {"docker.io", "library/ngin", "xlatest"},
                                            {"docker.io", "library/nginx", "v1"}};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            cache_tag_get(&tag, kit.cache, others[i][0], others[i][1], others[i][2], &err),
            -DT_ENOTFOUND);
    cache_tag_drop(kit.cache, "docker.io", "library/nginx", "latest");
    KIT_UNTIL(cache_tag_get(&tag, kit.cache, "docker.io", "library/nginx", "latest", &err) ==
              -DT_ENOTFOUND);
    cache_usage(&usage, kit.cache);
    assert_int_equal(usage.n_tags, 0);
}

static void put_link(const struct dt_digest *digest, const char *repository, uint64_t size)
{
    struct kit_latch done;
    struct cache_link_put link = {.digest = *digest, .link = {size, 1000}};
    cache_link_put(kit.cache, "docker.io", repository, &link, 1, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), 0);
}

static void link__belongs_to_one_repository_only(void **state)
{
    (void)state;
    struct dt_digest digest = digest_of("layer"), other = digest_of("other");
    struct cache_link link;
    char **names = NULL;
    size_t n = 0;
    put_link(&digest, "a/b", 7);
    put_link(&digest, "c/d", UINT64_MAX);
    put_link(&other, "e/f", 1);
    assert_int_equal(cache_link_get(&link, kit.cache, &digest, "docker.io", "a/b", NULL), 0);
    assert_int_equal(link.size, 7);
    assert_int_equal(link.proved_ms, 1000);
    assert_int_equal(cache_link_get(&link, kit.cache, &digest, "docker.io", "e/f", NULL),
                     -DT_ENOTFOUND);
    assert_int_equal(cache_link_get(&link, kit.cache, &digest, "quay.io", "a/b", NULL),
                     -DT_ENOTFOUND);
    assert_int_equal(cache_link_list(&names, &n, kit.cache, &digest, NULL), 0);
    assert_int_equal(n, 2);
    bool is_right =
        (strcmp(names[0], "docker.io/a/b") == 0) != (strcmp(names[1], "docker.io/a/b") == 0);
    assert_true(is_right);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    struct cache_usage usage;
    cache_usage(&usage, kit.cache);
    assert_int_equal(usage.n_links, 3);
}

static void links__of_one_manifest_come_together(void **state)
{
    (void)state;
    enum { N = 600 };
    struct cache_link_put *links = dt_new_array(struct cache_link_put, N);
    struct kit_latch done;
    struct cache_link link;
    for (unsigned i = 0; i < N; i++) {
        dt_digest_of(&links[i].digest, DT_SHA256, &i, sizeof(i));
        links[i].link.size = i;
    }
    cache_link_put(kit.cache, "docker.io", "big/one", links, N, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), 0);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(
            cache_link_get(&link, kit.cache, &links[i].digest, "docker.io", "big/one", NULL), 0);
        assert_int_equal(link.size, i);
    }
    free(links);
}

static void tags_and_links__unused_for_a_month_go(void **state)
{
    (void)state;
    const uint64_t day_ms = 24 * 3600 * 1000ULL;
    struct cache_usage usage;
    struct cache_tag tag;
    uint64_t now_ms = dt_wall_ms();
    char name[32];
    for (int i = 0; i < 1200; i++) {
        assert_true(dt_text_print(name, sizeof(name), "v%d", i));
        struct cache_tag value = {.digest = digest_of(name),
                                  .checked_ms = i % 2 == 0 ? now_ms : now_ms - 31 * day_ms};
        cache_tag_put(kit.cache, "docker.io", "x", name, &value, (struct cache_completion){0});
    }
    struct dt_digest digest = digest_of("layer");
    put_link(&digest, "a/b", 7);
    cache_age_out(kit.cache, now_ms);
    KIT_UNTIL((cache_usage(&usage, kit.cache), usage.n_tags) == 600);
    assert_int_equal(cache_tag_get(&tag, kit.cache, "docker.io", "x", "v0", NULL), 0);
    assert_int_equal(cache_tag_get(&tag, kit.cache, "docker.io", "x", "v1", NULL), -DT_ENOTFOUND);
    assert_int_equal(usage.n_links, 1);
    cache_age_out(kit.cache, now_ms + 31 * day_ms);
    KIT_UNTIL((cache_usage(&usage, kit.cache), usage.n_links + usage.n_tags) == 0);
}

static void note__survives_a_restart(void **state)
{
    (void)state;
    char *text = NULL;
    assert_int_equal(cache_note_get(&text, kit.cache, "challenge docker.io", NULL), -DT_ENOTFOUND);
    cache_note_put(kit.cache, "challenge docker.io", "Bearer realm=x");
    cache_note_put(kit.cache, "challenge docker.io", "Bearer realm=y");
    kit_reopen(&kit);
    assert_int_equal(cache_note_get(&text, kit.cache, "challenge docker.io", NULL), 0);
    assert_string_equal(text, "Bearer realm=y");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(tag__is_remembered_over_a_restart_and_dropped),
        T(link__belongs_to_one_repository_only),
        T(links__of_one_manifest_come_together),
        T(tags_and_links__unused_for_a_month_go),
        T(note__survives_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
