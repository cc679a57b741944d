/*
 * cache/link.c - "this digest belongs to that repository".
 *
 * Record: version, used, proved, size, upstream, repository; the key begins with the digest, so
 * that the repositories of one digest stand together. Permission hangs on a link: a record whose
 * names differ from the ones asked for is no link. A link outlives the blob's bytes (they may come
 * back), and is swept when nobody asked for it for a month; so its use is noted, once a day.
 */
#include "cache/cache_priv.h"

#include <string.h>

#include "cache/record_priv.h"
#include "base/mem.h"

#define LINK_VERSION  1
#define LINK_NOTE_MS  (24 * 3600 * 1000ULL)
#define LINK_NAME_MAX 1024

static void link_encode(struct dt_text *out, const struct cache_link *link, uint64_t used_ms,
                        const char *const names[2])
{
    record_put_u8(out, LINK_VERSION);
    record_put_u64(out, used_ms); /* second field: the sweep reads it alone */
    record_put_u64(out, link->proved_ms);
    record_put_u64(out, link->size);
    record_put_string(out, names[0]);
    record_put_string(out, names[1]);
}

/* Leaves `in` at the names. */
static bool link_decode(struct cache_link *out, uint64_t *used_ms, struct record_in *in,
                        struct index_slice value)
{
    record_in_init(in, value.data, value.len);
    bool is_known = record_get_u8(in) == LINK_VERSION;
    *used_ms = record_get_u64(in);
    out->proved_ms = record_get_u64(in);
    out->size = record_get_u64(in);
    return is_known && !in->is_bad;
}

static void fact_set(struct cache_fact *fact, const struct dt_digest *digest,
                     const struct cache_link *link, uint64_t used_ms, const char *const names[2])
{
    fact->db = INDEX_LINKS;
    index_key_link(&fact->key, digest, names[0], names[1]);
    link_encode(&fact->value, link, used_ms, names);
}

int cache_link_get(struct cache_link *out, struct cache *cache, const struct dt_digest *digest,
                   const char *upstream, const char *repository, struct dt_err *err)
{
    const char *const names[2] = {upstream, repository};
    struct index_view view;
    struct index_slice value;
    struct index_key key;
    struct record_in in;
    uint64_t used_ms = 0;
    bool is_found = false;
    if (!cache->is_usable)
        return dt_err_set(err, DT_ENOTFOUND, "%s", cache->reason);
    int rc = index_view_begin(&view, cache->index, err);
    if (rc < 0)
        return rc;
    index_key_link(&key, digest, upstream, repository);
    rc = index_get(&view, INDEX_LINKS, index_key_slice(&key), &value, err);
    if (rc == 0)
        is_found = link_decode(out, &used_ms, &in, value) && record_get_equals(&in, upstream) &&
                   record_get_equals(&in, repository);
    index_view_end(&view);
    if (rc == -DT_ENOTFOUND || (rc == 0 && !is_found))
        return dt_err_set(err, DT_ENOTFOUND, "no link to %.60s/%.120s", upstream, repository);
    uint64_t now_ms = dt_wall_ms();
    if (rc == 0 && now_ms > used_ms + LINK_NOTE_MS) {
        struct cache_fact *fact = dt_new(struct cache_fact);
        fact_set(fact, digest, out, now_ms, names);
        cache_facts_put(cache, &fact, 1, (struct cache_completion){0});
    }
    return rc;
}

void cache_link_put(struct cache *cache, const char *upstream, const char *repository,
                    const struct cache_link_put *links, size_t n,
                    struct cache_completion completion)
{
    const char *const names[2] = {upstream, repository};
    struct dt_err err;
    if (cache_check_usable(cache, &err) < 0) {
        cache_complete(completion, &err);
        return;
    }
    struct cache_fact *facts = dt_new_array(struct cache_fact, n);
    uint64_t now_ms = dt_wall_ms();
    for (size_t i = 0; i < n; i++)
        fact_set(&facts[i], &links[i].digest, &links[i].link, now_ms, names);
    cache_facts_put(cache, &facts, n, completion);
}

bool cache_link_has_upstream(struct index_slice value, const char *upstream)
{
    struct cache_link link;
    struct record_in in;
    uint64_t used_ms;
    return link_decode(&link, &used_ms, &in, value) && record_get_equals(&in, upstream);
}

/* "upstream/repository" of a record; NULL when it is damaged. */
static char *link_name(struct index_slice value)
{
    char upstream[LINK_NAME_MAX], repository[LINK_NAME_MAX];
    struct cache_link link;
    struct record_in in;
    uint64_t used_ms;
    if (!link_decode(&link, &used_ms, &in, value))
        return NULL;
    record_get_string(&in, upstream, sizeof(upstream));
    record_get_string(&in, repository, sizeof(repository));
    return in.is_bad ? NULL : dt_asprintf("%s/%s", upstream, repository);
}

static int collect(char ***out, size_t *n, struct index_view *view, const struct index_key *prefix,
                   struct dt_err *err)
{
    struct index_cursor cursor;
    struct index_slice key, value;
    int rc = index_cursor_open(&cursor, view, INDEX_LINKS, err);
    if (rc < 0)
        return rc;
    rc = index_cursor_seek(&cursor, index_key_slice(prefix), &key, &value, err);
    while (rc == 0 && key.len >= prefix->len && memcmp(key.data, prefix->bytes, prefix->len) == 0) {
        char *name = link_name(value);
        if (name != NULL) {
            *out = dt_realloc(*out, (*n + 1) * sizeof(**out));
            (*out)[(*n)++] = name;
        }
        rc = index_cursor_next(&cursor, &key, &value, err);
    }
    index_cursor_close(&cursor);
    return rc == -DT_ENOTFOUND ? 0 : rc;
}

int cache_link_list(char ***out, size_t *n, struct cache *cache, const struct dt_digest *digest,
                    struct dt_err *err)
{
    struct index_view view;
    struct index_key prefix;
    *out = NULL;
    *n = 0;
    if (!cache->is_usable)
        return 0;
    int rc = index_view_begin(&view, cache->index, err);
    if (rc < 0)
        return rc;
    index_key_digest(&prefix, digest);
    rc = collect(out, n, &view, &prefix, err);
    index_view_end(&view);
    return rc;
}
