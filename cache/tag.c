/*
 * cache/tag.c - what a tag meant when upstream was last asked.
 *
 * Record: version, upstream, repository, tag, digest, size, media type, checked. The names are in
 * the value because the key is only their hash: an answer for other names is no answer. How long an
 * answer is good for is the proxy's business; what nobody confirmed for a month is swept.
 */
#include "cache/cache_priv.h"

#include <string.h>

#include "cache/record_priv.h"
#include "base/mem.h"

#define TAG_VERSION 1

static void put_digest(struct dt_text *out, const struct dt_digest *digest)
{
    char text[DT_DIGEST_TEXT_MAX];
    record_put_string(out, dt_digest_format(text, digest));
}

static bool get_digest(struct dt_digest *out, struct record_in *in)
{
    char text[DT_DIGEST_TEXT_MAX];
    record_get_string(in, text, sizeof(text));
    return !in->is_bad && dt_digest_parse(out, text, strlen(text), NULL) == 0;
}

static bool tag_decode(struct cache_tag *out, struct index_slice value, const char *const names[3])
{
    struct record_in in;
    record_in_init(&in, value.data, value.len);
    *out = (struct cache_tag){0};
    bool is_ours = record_get_u8(&in) == TAG_VERSION;
    out->checked_ms = record_get_u64(&in); /* second field: the sweep reads it alone */
    for (int i = 0; i < 3; i++)
        is_ours = record_get_equals(&in, names[i]) && is_ours;
    is_ours = get_digest(&out->digest, &in) && is_ours;
    out->size = record_get_u64(&in);
    record_get_string(&in, out->media_type, sizeof(out->media_type));
    return is_ours && !in.is_bad;
}

int cache_tag_get(struct cache_tag *out, struct cache *cache, const char *upstream,
                  const char *repository, const char *tag, struct dt_err *err)
{
    const char *const names[3] = {upstream, repository, tag};
    struct index_view view;
    struct index_slice value;
    struct index_key key;
    if (!cache->is_usable)
        return dt_err_set(err, DT_ENOTFOUND, "%s", cache->reason);
    int rc = index_view_begin(&view, cache->index, err);
    if (rc < 0)
        return rc;
    index_key_names(&key, names, 3);
    rc = index_get(&view, INDEX_TAGS, index_key_slice(&key), &value, err);
    bool is_found = rc == 0 && tag_decode(out, value, names);
    index_view_end(&view);
    if (rc == -DT_ENOTFOUND || (rc == 0 && !is_found))
        return dt_err_set(err, DT_ENOTFOUND, "tag %.60s/%.80s:%.60s is not in the cache", upstream,
                          repository, tag);
    return rc;
}

static void tag_submit(struct cache *cache, const char *const names[3], const struct cache_tag *tag,
                       struct cache_completion completion)
{
    struct dt_err err;
    if (cache_check_usable(cache, &err) < 0) {
        cache_complete(completion, &err);
        return;
    }
    struct cache_fact *fact = dt_new(struct cache_fact);
    fact->db = INDEX_TAGS;
    index_key_names(&fact->key, names, 3);
    if (tag != NULL) {
        record_put_u8(&fact->value, TAG_VERSION);
        record_put_u64(&fact->value, tag->checked_ms);
        for (int i = 0; i < 3; i++)
            record_put_string(&fact->value, names[i]);
        put_digest(&fact->value, &tag->digest);
        record_put_u64(&fact->value, tag->size);
        record_put_string(&fact->value, tag->media_type);
    }
    cache_facts_put(cache, &fact, 1, completion);
}

void cache_tag_put(struct cache *cache, const char *upstream, const char *repository,
                   const char *tag, const struct cache_tag *value,
                   struct cache_completion completion)
{
    const char *const names[3] = {upstream, repository, tag};
    tag_submit(cache, names, value, completion);
}

void cache_tag_drop(struct cache *cache, const char *upstream, const char *repository,
                    const char *tag)
{
    const char *const names[3] = {upstream, repository, tag};
    tag_submit(cache, names, NULL, (struct cache_completion){0});
}
