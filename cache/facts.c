/*
 * cache/facts.c - small records (tags, links, notes) on their way into the index.
 *
 * A batch of facts is one change and so becomes visible at once or not at all: the layers of one
 * manifest are linked together. What the records mean is in tag.c, link.c and note.c.
 */
#include "cache/cache_priv.h"

#include "base/mem.h"

struct facts {
    struct index_change change;
    struct cache *cache;
    struct cache_fact *facts; /* owned */
    size_t n;
    struct cache_completion completion;
};

static uint64_t *counter_of(struct index_view *view, enum index_db db)
{
    switch (db) {
    case INDEX_TAGS:
        return &view->totals.n_tags;
    case INDEX_LINKS:
        return &view->totals.n_links;
    default:
        return NULL;
    }
}

static int fact_apply(struct index_view *view, const struct cache_fact *fact, struct dt_err *err)
{
    struct index_slice old, key = index_key_slice(&fact->key);
    uint64_t *counter = counter_of(view, fact->db);
    int rc = index_get(view, fact->db, key, &old, err);
    bool was_there = rc == 0, is_drop = fact->value.len == 0;
    if (rc < 0 && rc != -DT_ENOTFOUND)
        return rc;
    if (is_drop && !was_there)
        return 0;
    if (is_drop)
        rc = index_del(view, fact->db, key, err);
    else
        rc = index_put(view, fact->db, key, (struct index_slice){fact->value.data, fact->value.len},
                       err);
    if (rc == 0 && counter != NULL && was_there == is_drop)
        *counter += is_drop ? (uint64_t)-1 : 1;
    return rc;
}

static int facts_apply(struct index_view *view, struct index_change *change, struct dt_err *err)
{
    struct facts *facts = dt_container_of(change, struct facts, change);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < facts->n; i++)
        rc = fact_apply(view, &facts->facts[i], err);
    return rc;
}

static void facts_after(struct index_change *change, const struct dt_err *err)
{
    struct facts *facts = dt_container_of(change, struct facts, change);
    struct cache *cache = facts->cache;
    if (err->code == DT_ENOSPACE)
        cache_note_full(cache);
    cache_complete(facts->completion, err);
    for (size_t i = 0; i < facts->n; i++)
        dt_text_fini(&facts->facts[i].value);
    free(facts->facts);
    free(facts);
    cache_background_end(cache);
}

void cache_facts_put(struct cache *cache, struct cache_fact **list, size_t n,
                     struct cache_completion completion)
{
    struct facts *facts = dt_new(struct facts);
    facts->change.apply = facts_apply;
    facts->change.after = facts_after;
    facts->cache = cache;
    facts->facts = *list;
    facts->n = n;
    facts->completion = completion;
    *list = NULL;
    cache_background_begin(cache);
    index_submit(cache->index, &facts->change);
}
