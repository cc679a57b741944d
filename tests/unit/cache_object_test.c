/*
 * tests/unit/cache_object_test.c - manifests inline, verified on the way in and on the way out.
 */
#include "tests/unit/cache_kit.h"

#include "cache/cache_priv.h"

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

static int put(const struct kit_blob *object)
{
    struct kit_latch done;
    struct dt_err err = {0};
    int rc =
        cache_object_put(kit.cache, &object->digest, "application/vnd.oci.image.manifest.v1+json",
                         object->bytes, object->size, kit_completion(&kit, &done), &err);
    return rc < 0 ? -rc : kit_latch_wait(&done);
}

static int get(const struct kit_blob *object)
{
    struct cache_object *got = NULL;
    int rc = cache_object_get(&got, kit.cache, &object->digest, NULL);
    if (rc < 0)
        return -rc;
    assert_int_equal(got->len, object->size);
    assert_memory_equal(got->bytes, object->bytes, object->size);
    assert_string_equal(got->media_type, "application/vnd.oci.image.manifest.v1+json");
    free(got);
    return 0;
}

static void object__is_kept_over_a_restart(void **state)
{
    (void)state;
    struct kit_blob object = kit_blob_make(200, 5000);
    assert_int_equal(get(&object), DT_ENOTFOUND);
    assert_int_equal(put(&object), 0);
    assert_int_equal(put(&object), 0); /* twice is once */
    assert_int_equal(kit_used(&kit), 5000);
    kit_reopen(&kit);
    assert_int_equal(get(&object), 0);
    assert_int_equal(kit_check(&kit, &object), DT_ENOTFOUND); /* not a blob */
    assert_int_equal(kit_put(&kit, &object), DT_ECONFLICT);
    kit_blob_free(&object);
}

static void object__that_does_not_hash_to_its_digest_is_refused(void **state)
{
    (void)state;
    struct kit_blob object = kit_blob_make(201, 5000);
    object.bytes[0] ^= 1;
    assert_int_equal(put(&object), DT_EMISMATCH);
    assert_int_equal(get(&object), DT_ENOTFOUND);
    assert_int_equal(kit_used(&kit), 0);
    kit_blob_free(&object);
}

static void object__has_a_limit(void **state)
{
    (void)state;
    struct kit_blob largest = kit_blob_make(202, CACHE_OBJECT_MAX);
    struct kit_blob larger = kit_blob_make(203, CACHE_OBJECT_MAX + 1);
    assert_int_equal(put(&largest), 0);
    assert_int_equal(get(&largest), 0);
    assert_int_equal(put(&larger), DT_ETOOBIG);
    kit_blob_free(&largest);
    kit_blob_free(&larger);
}

/* Overwrites the stored body below the cache's feet, as bad memory or a bad disk would. */
struct damage {
    struct index_change change;
    struct dt_digest digest;
    struct kit_latch done;
};

static int damage_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct damage *damage = dt_container_of(change, struct damage, change);
    struct index_key key;
    index_key_digest(&key, &damage->digest);
    return index_put(view, INDEX_BODIES, index_key_slice(&key), (struct index_slice){"bad", 3},
                     err);
}

static void damage_after(struct index_change *change, const struct dt_err *err)
{
    kit_latch_done(&dt_container_of(change, struct damage, change)->done, err);
}

static void object__damaged_in_the_index_is_found_and_dropped(void **state)
{
    (void)state;
    struct kit_blob object = kit_blob_make(204, 5000);
    struct damage damage = {.change = {.apply = damage_apply, .after = damage_after},
                            .digest = object.digest};
    assert_int_equal(put(&object), 0);
    kit_latch_init(&damage.done);
    index_submit(kit.cache->index, &damage.change);
    assert_int_equal(kit_latch_wait(&damage.done), 0);
    assert_int_equal(get(&object), DT_EMISMATCH);
    KIT_UNTIL(get(&object) == DT_ENOTFOUND);
    KIT_UNTIL(kit_used(&kit) == 0);
    assert_int_equal(put(&object), 0);
    kit_blob_free(&object);
}

static void objects__are_evicted_like_blobs(void **state)
{
    (void)state;
    struct kit_blob objects[8];
    for (unsigned i = 0; i < 8; i++) {
        objects[i] = kit_blob_make(210 + i, 2 * MIB);
        assert_int_equal(put(&objects[i]), 0);
        assert_true(kit_used(&kit) <= 10 * MIB);
        uint64_t now_ms = dt_wall_ms();
        KIT_UNTIL(dt_wall_ms() > now_ms);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(get(&objects[i]), i < 3 ? DT_ENOTFOUND : 0);
        kit_blob_free(&objects[i]);
    }
    struct cache_usage usage;
    cache_usage(&usage, kit.cache);
    assert_int_equal(usage.n_objects, 5);
}

static void object__is_removed_on_request(void **state)
{
    (void)state;
    struct kit_blob object = kit_blob_make(220, 100);
    struct kit_latch done;
    assert_int_equal(put(&object), 0);
    cache_remove(kit.cache, &object.digest, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), 0);
    assert_int_equal(get(&object), DT_ENOTFOUND);
    assert_int_equal(kit_used(&kit), 0);
    cache_remove(kit.cache, &object.digest, kit_completion(&kit, &done));
    assert_int_equal(kit_latch_wait(&done), DT_ENOTFOUND);
    kit_blob_free(&object);
}

static void entries__are_listed_in_pages_and_filtered(void **state)
{
    (void)state;
    struct cache_entry *page = NULL;
    struct dt_digest last;
    struct kit_latch done;
    size_t n = 1, total = 0;
    for (unsigned i = 0; i < 25; i++) {
        struct kit_blob object = kit_blob_make(300 + i, 10 + i);
        struct cache_link_put link = {.digest = object.digest};
        assert_int_equal(put(&object), 0);
        cache_link_put(kit.cache, i % 5 == 0 ? "quay.io" : "docker.io", "r", &link, 1,
                       kit_completion(&kit, &done));
        assert_int_equal(kit_latch_wait(&done), 0);
        kit_blob_free(&object);
    }
    for (const struct dt_digest *after = NULL; n > 0; after = &last) {
        assert_int_equal(cache_list(&page, &n, kit.cache, NULL, after, 10, NULL), 0);
        assert_true(n <= 10);
        total += n;
        if (n > 0)
            last = page[n - 1].digest;
        free(page);
    }
    assert_int_equal(total, 25);
    static const struct {
        struct cache_filter filter;
        size_t n;
    } rows[] = {
        {{-1, -1, "quay.io", NULL}, 5},      {{-1, -1, "docker.io", "r"}, 20},
        {{-1, -1, "docker.io", "other"}, 0}, {{-1, 1, NULL, NULL}, 0},
        {{CACHE_SEALED, 0, NULL, NULL}, 25}, {{CACHE_PARTIAL, -1, NULL, NULL}, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(cache_list(&page, &n, kit.cache, &rows[i].filter, NULL, 100, NULL), 0);
        assert_int_equal(n, rows[i].n);
        free(page);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(object__is_kept_over_a_restart),
        T(object__that_does_not_hash_to_its_digest_is_refused),
        T(object__has_a_limit),
        T(object__damaged_in_the_index_is_found_and_dropped),
        T(objects__are_evicted_like_blobs),
        T(object__is_removed_on_request),
        T(entries__are_listed_in_pages_and_filtered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
