/*
 * cache/note.c - small facts that must survive a restart, by key. Record: version, key, value.
 */
#include "cache/cache_priv.h"

#include <string.h>

#include "cache/record_priv.h"
#include "base/mem.h"

#define NOTE_VERSION 1

int cache_note_get(char **out, struct cache *cache, const char *name, struct dt_err *err)
{
    char text[CACHE_NOTE_MAX + 1];
    const char *const names[] = {name};
    struct index_view view;
    struct index_slice value;
    struct index_key key;
    struct record_in in;
    *out = NULL;
    if (!cache->is_usable)
        return dt_err_set(err, DT_ENOTFOUND, "%s", cache->reason);
    int rc = index_view_begin(&view, cache->index, err);
    if (rc < 0)
        return rc;
    index_key_names(&key, names, 1);
    rc = index_get(&view, INDEX_NOTES, index_key_slice(&key), &value, err);
    if (rc == 0) {
        record_in_init(&in, value.data, value.len);
        if (record_get_u8(&in) != NOTE_VERSION || !record_get_equals(&in, name))
            in.is_bad = true;
        record_get_string(&in, text, sizeof(text));
        if (!in.is_bad)
            *out = dt_strdup(text);
    }
    index_view_end(&view);
    if (rc == -DT_ENOTFOUND || (rc == 0 && *out == NULL))
        return dt_err_set(err, DT_ENOTFOUND, "no note %.100s", name);
    return rc;
}

void cache_note_put(struct cache *cache, const char *name, const char *value)
{
    const char *const names[] = {name};
    DT_ASSERT(strlen(value) <= CACHE_NOTE_MAX);
    if (!cache->is_usable)
        return;
    struct cache_fact *fact = dt_new(struct cache_fact);
    fact->db = INDEX_NOTES;
    index_key_names(&fact->key, names, 1);
    record_put_u8(&fact->value, NOTE_VERSION);
    record_put_string(&fact->value, name);
    record_put_string(&fact->value, value);
    cache_facts_put(cache, &fact, 1, (struct cache_completion){0});
}
