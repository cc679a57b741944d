/*
 * transfer/admin_cache.c - the cache on the admin API: look, remove, pin, scrub.
 *
 * What walks the index runs on the pool. Changes are queued to the cache's writer and answered when
 * they are committed, on the call's loop.
 */
#define LOG_COMPONENT "admin"
#include "transfer/admin_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/http.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/units.h"

/* ---- usage ---- */

static json_t *json_of_scrub(const struct cache_usage *usage)
{
    json_t *json = json_pack("{s:b, s:I, s:I}", "running", usage->is_scrubbing, "checked",
                             (json_int_t)usage->scrub_checked, "bad", (json_int_t)usage->scrub_bad);
    dt_admin_json_time(json, "started", usage->scrub_started_ms);
    dt_admin_json_time(json, "finished", usage->scrub_finished_ms);
    return json;
}

static json_t *json_of_statistics(const struct cache_usage *usage)
{
    uint64_t asked = usage->hits + usage->misses;
    double ratio = asked > 0 ? (double)usage->hits / (double)asked : 0.0;
    return json_pack("{s:I, s:I, s:f, s:I, s:I}", "hits", (json_int_t)usage->hits, "misses",
                     (json_int_t)usage->misses, "hit_ratio", ratio, "evictions",
                     (json_int_t)usage->evictions, "evicted_bytes",
                     (json_int_t)usage->evicted_bytes);
}

static json_t *json_of_usage(const struct cache_usage *usage)
{
    json_t *json =
        json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "usable",
                  usage->is_usable, "used_bytes", (json_int_t)usage->used_bytes, "max_bytes",
                  (json_int_t)usage->max_bytes, "pinned_bytes", (json_int_t)usage->pinned_bytes,
                  "free_bytes", (json_int_t)usage->free_bytes, "min_free_bytes",
                  (json_int_t)usage->min_free_bytes, "sealed", (json_int_t)usage->n_sealed,
                  "partial", (json_int_t)usage->n_partial, "objects", (json_int_t)usage->n_objects,
                  "tags", (json_int_t)usage->n_tags, "links", (json_int_t)usage->n_links);
    if (!usage->is_usable)
        (void)json_object_set_new(json, "reason", json_string(usage->reason));
    return json;
}

/* ---- entries ---- */

static const char *state_word(enum cache_state state)
{
    return state == CACHE_SEALED ? "sealed" : state == CACHE_PARTIAL ? "partial" : "absent";
}

static json_t *json_of_entry(const struct cache_entry *entry)
{
    json_t *json = json_pack(
        "{s:o, s:s, s:s, s:b, s:I, s:I, s:I}", "digest", dt_admin_json_digest(&entry->digest),
        "state", state_word(entry->state), "kind", entry->is_object ? "object" : "blob", "pinned",
        entry->is_pinned, "size", (json_int_t)entry->size, "present_bytes",
        (json_int_t)entry->present_bytes, "hits", (json_int_t)entry->hits);
    json_t *media_type = entry->media_type[0] != '\0' ? json_string(entry->media_type) : NULL;
    if (media_type != NULL)
        (void)json_object_set_new(json, "media_type", media_type);
    dt_admin_json_time(json, "created", entry->created_ms);
    dt_admin_json_time(json, "used", entry->used_ms);
    dt_admin_json_time(json, "verified", entry->verified_ms);
    return json;
}

/* Nothing found below a name that is no upstream of ours is a slip of the pen, not an empty list.
 * What an upstream left behind that was taken out of the options is still listed. */
static int check_upstream(const struct transfer_admin_page *page,
                          const struct reg_upstreams *upstreams, size_t n, struct dt_err *err)
{
    const char *name = page->filter.upstream;
    struct dt_text names = {0};
    if (n > 0 || page->limit == 0 || page->has_after || name == NULL ||
        reg_upstream_find(upstreams->list, upstreams->n, name) != NULL)
        return 0;
    for (size_t i = 0; i < upstreams->n; i++)
        dt_text_addf(&names, "%s%s", i > 0 ? ", " : "", upstreams->list[i].name);
    (void)dt_err_set(err, DT_EINVAL, "unknown upstream \"%.60s\", there is: %.150s", name,
                     dt_text_str(&names));
    dt_text_fini(&names);
    return -DT_EINVAL;
}

void transfer_admin_get_cache(struct dt_admin_call *call)
{
    struct transfer_admin_page page;
    struct cache_entry *entries = NULL;
    size_t n = 0;
    struct cache_usage usage;
    struct dt_err err = {0};
    if (transfer_admin_page_parse(&page, call->query, &err) < 0 ||
        (page.limit > 0 && cache_list(&entries, &n, transfer_admin_cache(call), &page.filter,
                                      page.has_after ? &page.after : NULL, page.limit, &err) < 0) ||
        check_upstream(&page, transfer_admin_of(call)->opts.upstreams, n, &err) < 0) {
        free(entries);
        dt_admin_answer_err(call, &err);
        return;
    }
    cache_usage(&usage, transfer_admin_cache(call));
    json_t *blobs = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(blobs, json_of_entry(&entries[i]));
    bool has_more = n > 0 && n == page.limit;
    json_t *next = has_more ? dt_admin_json_digest(&entries[n - 1].digest) : json_null();
    if (has_more)
        call->link = transfer_admin_page_next(&page, &entries[n - 1].digest);
    free(entries);
    dt_admin_answer_json(call, 200,
                         json_pack("{s:o, s:o, s:o, s:o, s:o}", "usage", json_of_usage(&usage),
                                   "statistics", json_of_statistics(&usage), "scrub",
                                   json_of_scrub(&usage), "blobs", blobs, "next", next));
}

/* ---- one blob ---- */

static json_t *json_of_repositories(struct cache *cache, const struct dt_digest *digest)
{
    char **names = NULL;
    size_t n = 0;
    json_t *list = json_array();
    if (cache_link_list(&names, &n, cache, digest, NULL) < 0)
        return list; /* none known: an empty list says so */
    for (size_t i = 0; i < n; i++) {
        json_t *name = json_string(names[i]);
        if (name != NULL)
            (void)json_array_append_new(list, name);
        free(names[i]);
    }
    free(names);
    return list;
}

void transfer_admin_get_blob(struct dt_admin_call *call)
{
    struct cache *cache = transfer_admin_cache(call);
    struct cache_entry entry;
    struct dt_err err = {0};
    char *map = NULL;
    if (cache_stat(&entry, cache, &call->match.digest, &err) < 0) {
        dt_admin_answer_err(call, &err);
        return;
    }
    json_t *json = json_of_entry(&entry);
    (void)json_object_set_new(json, "repositories",
                              json_of_repositories(cache, &call->match.digest));
    if (!entry.is_object && cache_piece_map(&map, cache, &call->match.digest, NULL) == 0) {
        (void)json_object_set_new(json, "pieces",
                                  json_pack("{s:I, s:I, s:I, s:s}", "size",
                                            (json_int_t)entry.piece_size, "count",
                                            (json_int_t)entry.n_pieces, "present",
                                            (json_int_t)entry.n_present_pieces, "map", map));
        free(map);
    }
    dt_admin_answer_json(call, 200, json);
}

static struct cache_completion completion_of(struct dt_admin_call *call)
{
    return (struct cache_completion){
        .done = transfer_admin_changed, .arg = call, .loop = call->loop};
}

static void log_change(const struct dt_admin_call *call, const char *what)
{
    char digest[13];
    dt_log_info(what, "digest=%s peer=%s", dt_digest_short(digest, &call->match.digest),
                DT_LOG_Q(dt_http_peer(call->http)));
}

void transfer_admin_delete_blob(struct dt_admin_call *call)
{
    log_change(call, "remove_asked");
    cache_remove(transfer_admin_cache(call), &call->match.digest, completion_of(call));
}

void transfer_admin_put_pin(struct dt_admin_call *call)
{
    log_change(call, "pin_asked");
    cache_pin(transfer_admin_cache(call), &call->match.digest, true, completion_of(call));
}

void transfer_admin_delete_pin(struct dt_admin_call *call)
{
    log_change(call, "unpin_asked");
    cache_pin(transfer_admin_cache(call), &call->match.digest, false, completion_of(call));
}

/* ---- scrub ---- */

void transfer_admin_get_scrub(struct dt_admin_call *call)
{
    struct cache_usage usage;
    cache_usage(&usage, transfer_admin_cache(call));
    dt_admin_answer_json(call, 200, json_of_scrub(&usage));
    dt_admin_call_finish(call);
}

void transfer_admin_post_scrub(struct dt_admin_call *call)
{
    char text[32];
    struct dt_err err = {0};
    struct cache_usage usage;
    uint64_t rate = transfer_admin_scrub_rate(transfer_admin_of(call));
    int found = dt_query_get(text, sizeof text, call->query, "rate", &err);
    int rc = found > 0 ? dt_size_parse(&rate, text, &err) : found;
    if (rc == 0)
        rc = cache_scrub_start(transfer_admin_cache(call), rate, &err);
    if (rc < 0) {
        dt_admin_answer_err(call, &err);
        return;
    }
    cache_usage(&usage, transfer_admin_cache(call));
    call->location = dt_strdup("/v1/cache/scrub");
    dt_admin_answer_json(call, 202, json_of_scrub(&usage));
}

void transfer_admin_delete_scrub(struct dt_admin_call *call)
{
    cache_scrub_stop(transfer_admin_cache(call));
    dt_admin_answer_empty(call, 204);
}
