/*
 * cache/object.c - manifests and other small documents, kept inline in the index.
 *
 *   put: verify -> room (may wait for victims) -> index -> visible, done()
 *   get: copy out -> verify -> the caller's
 *
 * The bytes are hashed on the way in and on the way out: what leaves here is what the digest says,
 * whatever disk and memory did in between. A bad one is dropped and reads as a mismatch once.
 */
#include "cache/cache_priv.h"

#include <string.h>

#include "base/mem.h"
#define LOG_COMPONENT "cache"
#include "base/log.h"

struct object_put {
    struct room_request room;
    struct index_change change;
    struct cache *cache;
    struct dt_digest digest;
    char media_type[128];
    void *bytes; /* owned */
    size_t len;
    struct cache_completion completion;
    bool is_stored; /* the entry is new: its bytes stay counted */
};

static int put_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct object_put *put = dt_container_of(change, struct object_put, change);
    struct index_entry entry;
    struct index_key key;
    put->is_stored = false;
    int rc = index_entry_get(&entry, view, &put->digest, err);
    if (rc == 0 && entry.pub.is_object)
        return 0; /* same digest, same bytes */
    if (rc == 0)
        return dt_err_set(err, DT_ECONFLICT, "it is in the cache as a blob");
    if (rc != -DT_ENOTFOUND)
        return rc;
    uint64_t now_ms = dt_wall_ms();
    entry = (struct index_entry){.pub = {.digest = put->digest,
                                         .state = CACHE_SEALED,
                                         .is_object = true,
                                         .size = put->len,
                                         .present_bytes = put->len,
                                         .created_ms = now_ms,
                                         .used_ms = now_ms,
                                         .verified_ms = now_ms}};
    (void)dt_text_print(entry.pub.media_type, sizeof(entry.pub.media_type), "%s", put->media_type);
    index_key_digest(&key, &put->digest);
    rc = index_put(view, INDEX_BODIES, index_key_slice(&key),
                   (struct index_slice){put->bytes, put->len}, err);
    if (rc == 0)
        rc = index_entry_put(view, &entry, err);
    put->is_stored = rc == 0;
    return rc;
}

static void put_free(struct object_put *put)
{
    struct cache *cache = put->cache;
    free(put->bytes);
    free(put);
    cache_background_end(cache);
}

static void put_after(struct index_change *change, const struct dt_err *err)
{
    struct object_put *put = dt_container_of(change, struct object_put, change);
    struct cache *cache = put->cache;
    if (err->code == DT_ENOSPACE)
        cache_note_full(cache);
    if (err->code != 0 || !put->is_stored)
        cache_room_release(cache, put->len);
    cache_complete(put->completion, err);
    put_free(put);
}

static void put_decided(struct room_request *room, const struct dt_err *err)
{
    struct object_put *put = dt_container_of(room, struct object_put, room);
    if (err->code == 0) {
        index_submit(put->cache->index, &put->change);
        return;
    }
    cache_complete(put->completion, err);
    put_free(put);
}

static int check_bytes(const struct dt_digest *digest, const void *bytes, size_t len,
                       struct dt_err *err)
{
    struct dt_digest got;
    char name[13], got_name[13];
    dt_digest_of(&got, (enum dt_digest_algo)digest->algo, bytes, len);
    if (dt_digest_equal(&got, digest))
        return 0;
    return dt_err_set(err, DT_EMISMATCH, "object %s: its bytes hash to %s",
                      dt_digest_short(name, digest), dt_digest_short(got_name, &got));
}

int cache_object_put(struct cache *cache, const struct dt_digest *digest, const char *media_type,
                     const void *bytes, size_t len, struct cache_completion completion,
                     struct dt_err *err)
{
    int rc = cache_check_usable(cache, err);
    if (rc < 0)
        return rc;
    if (len > CACHE_OBJECT_MAX ||
        strlen(media_type) >= sizeof(((struct object_put *)0)->media_type))
        return dt_err_set(err, DT_ETOOBIG, "object of %zu bytes is over the limit of %u", len,
                          CACHE_OBJECT_MAX);
    rc = check_bytes(digest, bytes, len, err);
    if (rc < 0)
        return rc;
    struct object_put *put = dt_new(struct object_put);
    put->room.bytes = len;
    put->room.decided = put_decided;
    put->change.apply = put_apply;
    put->change.after = put_after;
    put->cache = cache;
    put->digest = *digest;
    (void)dt_text_print(put->media_type, sizeof(put->media_type), "%s", media_type);
    put->bytes = dt_calloc(1, len + 1);
    if (len > 0)
        memcpy(put->bytes, bytes, len);
    put->len = len;
    put->completion = completion;
    cache_background_begin(cache);
    rc = cache_room_reserve(cache, &put->room, err);
    if (rc == 0)
        index_submit(cache->index, &put->change);
    else if (rc < 0)
        put_free(put);
    return rc < 0 ? rc : 0;
}

static int copy_out(struct cache_object **out, struct index_view *view,
                    const struct dt_digest *digest, struct dt_err *err)
{
    struct index_entry entry;
    struct index_key key;
    struct index_slice body;
    char name[13];
    int rc = index_entry_get(&entry, view, digest, err);
    if (rc < 0)
        return rc;
    index_key_digest(&key, digest);
    rc = index_get(view, INDEX_BODIES, index_key_slice(&key), &body, err);
    if (rc == -DT_ENOTFOUND)
        return dt_err_set(err, DT_ENOTFOUND, "%s is in the cache as a blob",
                          dt_digest_short(name, digest));
    if (rc < 0)
        return rc;
    struct cache_object *object = dt_calloc(1, sizeof(*object) + body.len + 1);
    object->digest = *digest;
    object->len = body.len;
    (void)dt_text_print(object->media_type, sizeof(object->media_type), "%s", entry.pub.media_type);
    if (body.len > 0)
        memcpy(object->bytes, body.data, body.len);
    *out = object;
    return 0;
}

int cache_object_get(struct cache_object **out, struct cache *cache, const struct dt_digest *digest,
                     struct dt_err *err)
{
    struct index_view view;
    struct cache_object *object = NULL;
    *out = NULL;
    if (!cache->is_usable)
        return dt_err_set(err, DT_ENOTFOUND, "%s", cache->reason);
    int rc = index_view_begin(&view, cache->index, err);
    if (rc < 0)
        return rc;
    rc = copy_out(&object, &view, digest, err);
    index_view_end(&view);
    if (rc == 0)
        rc = check_bytes(digest, object->bytes, object->len, err);
    if (rc == -DT_EMISMATCH)
        cache_remove_bad(cache, digest, "object does not hash to its digest");
    if (rc < 0) {
        free(object);
        return rc;
    }
    index_touch(cache->index, digest);
    *out = object;
    return 0;
}
