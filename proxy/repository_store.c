/*
 * proxy/repository_store.c - a repository's facts in the cache, and those on their way into it.
 *
 *   pending: held in memory -> written (object, links, tag: each has its completion) -> freed
 *
 * The index commits in groups, a little later. A runtime that asks HEAD for a tag asks GET for its
 * digest within a millisecond, so what was just learned is found here until the index has it.
 */
#define LOG_COMPONENT "repository"
#include "proxy/repository_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "registry-client/manifest.h"

#define PENDING_MAGIC 0x70656e64U

struct repository_pending {
    unsigned magic;
    struct repository *repository;
    struct repository_pending *next;
    unsigned n_waiting;           /* completions to come */
    struct cache_object *object;  /* owned, or NULL */
    struct cache_link_put *links; /* owned, or NULL */
    size_t n_links;
    char *tag; /* owned, or NULL */
    struct cache_tag record;
};

static void pending_free(struct repository_pending *pending)
{
    struct repository *repository = pending->repository;
    struct repository_pending **at = &repository->pending;

    while (*at != pending)
        at = &(*at)->next;
    *at = pending->next;
    repository->n_pending--;
    free(pending->object);
    free(pending->links);
    free(pending->tag);
    pending->magic = 0;
    free(pending);
}

static struct repository_pending *pending_new(struct repository *repository)
{
    struct repository_pending *pending = dt_new(struct repository_pending);

    pending->magic = PENDING_MAGIC;
    pending->repository = repository;
    pending->next = repository->pending;
    repository->pending = pending;
    repository->n_pending++;
    return pending;
}

void repository_pending_free(struct repository *repository)
{
    while (repository->pending != NULL)
        pending_free(repository->pending);
}

static void on_written(void *arg, const struct dt_err *err)
{
    struct repository_pending *pending = arg;

    DT_ASSERT(pending->magic == PENDING_MAGIC);
    if (err->code != 0) /* the answer went out all the same; the cache says why it is unwell */
        dt_log_debug("not_stored", "repository=%s reason=%s", DT_LOG_Q(pending->repository->key),
                     DT_LOG_Q(err->msg));
    if (--pending->n_waiting == 0)
        pending_free(pending);
}

/* Counts one completion, or asks for none when too much is held already. */
static struct cache_completion pending_wait(struct repository_pending *pending)
{
    pending->n_waiting++;
    return (struct cache_completion){
        .done = on_written, .arg = pending, .loop = pending->repository->table->loop};
}

static struct cache *cache_of(const struct repository *repository)
{
    return repository->table->proxy->transfer.cache;
}

/* ---- finding ---- */

bool repository_tag_find(struct cache_tag *out, struct repository *repository, const char *tag)
{
    for (struct repository_pending *p = repository->pending; p != NULL; p = p->next) {
        if (p->tag == NULL || strcmp(p->tag, tag) != 0)
            continue;
        *out = p->record; /* the newest stands first */
        return true;
    }
    return cache_tag_get(out, cache_of(repository), repository->upstream->name, repository->name,
                         tag, NULL) == 0;
}

bool repository_link_find(struct cache_link *out, struct repository *repository,
                          const struct dt_digest *digest)
{
    for (struct repository_pending *p = repository->pending; p != NULL; p = p->next)
        for (size_t i = 0; i < p->n_links; i++)
            if (dt_digest_equal(&p->links[i].digest, digest)) {
                *out = p->links[i].link;
                return true;
            }
    return cache_link_get(out, cache_of(repository), digest, repository->upstream->name,
                          repository->name, NULL) == 0;
}

struct cache_object *repository_object_copy(const struct cache_object *object)
{
    struct cache_object *out = dt_calloc(1, sizeof(*out) + object->len + 1);
    memcpy(out, object, sizeof(*out) + object->len + 1);
    return out;
}

struct cache_object *repository_object_find(struct repository *repository,
                                            const struct dt_digest *digest)
{
    struct cache_object *object = NULL;

    for (struct repository_pending *p = repository->pending; p != NULL; p = p->next)
        if (p->object != NULL && dt_digest_equal(&p->object->digest, digest))
            return repository_object_copy(p->object);
    if (cache_object_get(&object, cache_of(repository), digest, NULL) < 0)
        return NULL;
    return object;
}

/* ---- storing ---- */

/* A registry takes a manifest only when what it names is in the repository, except for layers with
 * `urls`, which nobody checks: their listing proves nothing, upstream is asked for each by name. */
static bool is_vouched_for(const struct reg_descriptor *child)
{
    return !child->is_foreign;
}

/* The manifest itself first, then what it names. */
static void links_collect(struct repository_pending *pending, const struct repository *repository,
                          const struct cache_object *object)
{
    struct reg_manifest manifest = {.children = NULL};
    uint64_t now_ms = dt_wall_ms();

    /* One that cannot be read has no children; its bytes are right all the same. */
    (void)reg_manifest_parse(&manifest, object->bytes, object->len, object->media_type, NULL);
    pending->links = dt_new_array(struct cache_link_put, manifest.n_children + 1);
    pending->links[0] = (struct cache_link_put){.digest = object->digest,
                                                .link = {.size = object->len, .proved_ms = now_ms}};
    pending->n_links = 1;
    for (size_t i = 0; i < manifest.n_children; i++) {
        const struct reg_descriptor *child = &manifest.children[i];
        struct cache_link_put *put = &pending->links[pending->n_links];
        struct cache_link known;
        if (!is_vouched_for(child))
            continue;
        *put = (struct cache_link_put){.digest = child->digest,
                                       .link = {.size = child->size, .proved_ms = now_ms}};
        /* Where policy may forbid a manifest, its parent's word is not enough: upstream is asked
         * for it by name before it is given out. */
        if (child->is_manifest && repository->upstream->revalidate_ms > 0)
            put->link.proved_ms =
                cache_link_get(&known, cache_of(repository), &child->digest,
                               repository->upstream->name, repository->name, NULL) == 0
                    ? known.proved_ms
                    : 0;
        pending->n_links++;
    }
    reg_manifest_fini(&manifest);
}

static void pending_store_links(struct repository_pending *pending,
                                const struct cache_object *object)
{
    struct repository *repository = pending->repository;

    links_collect(pending, repository, object);
    cache_link_put(cache_of(repository), repository->upstream->name, repository->name,
                   pending->links, pending->n_links, pending_wait(pending));
}

/* Linked by itself, and the first of what it vouches for too? They are written together. */
static bool links_are_known(struct repository *repository, const struct cache_object *object)
{
    struct reg_manifest manifest = {.children = NULL};
    struct cache_link link;
    bool is_known = repository_link_find(&link, repository, &object->digest);

    if (is_known)
        (void)reg_manifest_parse(&manifest, object->bytes, object->len, object->media_type, NULL);
    for (size_t i = 0; i < manifest.n_children; i++)
        if (is_vouched_for(&manifest.children[i])) {
            is_known = repository_link_find(&link, repository, &manifest.children[i].digest);
            break;
        }
    reg_manifest_fini(&manifest);
    return is_known;
}

void repository_ensure_links(struct repository *repository, const struct cache_object *object)
{
    if (repository->n_pending >= PENDING_MAX || links_are_known(repository, object))
        return; /* a flood: upstream will say it again */
    pending_store_links(pending_new(repository), object);
}

void repository_store_object(struct repository *repository, const struct cache_object *object)
{
    struct repository_pending *pending;
    struct cache_completion completion;
    struct dt_err err = {0};

    if (repository->n_pending >= PENDING_MAX)
        return;
    pending = pending_new(repository);
    pending->object = repository_object_copy(object);
    completion = pending_wait(pending);
    if (cache_object_put(cache_of(repository), &object->digest, object->media_type, object->bytes,
                         object->len, completion, &err) < 0) {
        pending->n_waiting--; /* no completion follows a refusal */
        dt_log_debug("not_stored", "repository=%s reason=%s", DT_LOG_Q(repository->key),
                     DT_LOG_Q(err.msg));
    }
    pending_store_links(pending, object);
}

void repository_store_link(struct repository *repository, const struct dt_digest *digest,
                           uint64_t size)
{
    struct repository_pending *pending;

    if (repository->n_pending >= PENDING_MAX)
        return;
    pending = pending_new(repository);
    pending->links = dt_new(struct cache_link_put);
    pending->n_links = 1;
    pending->links[0] = (struct cache_link_put){.digest = *digest,
                                                .link = {.size = size, .proved_ms = dt_wall_ms()}};
    cache_link_put(cache_of(repository), repository->upstream->name, repository->name,
                   pending->links, 1, pending_wait(pending));
}

void repository_store_tag(struct repository *repository, const char *tag,
                          const struct cache_object *object)
{
    struct repository_pending *pending;
    struct cache_tag known;
    uint64_t now_ms = dt_wall_ms();

    /* Callers who shared a flight all learned the same thing: once a second is enough. */
    if (repository_tag_find(&known, repository, tag) &&
        dt_digest_equal(&known.digest, &object->digest) && known.checked_ms + 1000 > now_ms &&
        known.checked_ms > repository->changed_wall_ms)
        return;
    if (repository->n_pending >= PENDING_MAX)
        return;
    pending = pending_new(repository);
    pending->tag = dt_strdup(tag);
    pending->record.digest = object->digest;
    pending->record.size = object->len;
    pending->record.checked_ms = now_ms;
    memcpy(pending->record.media_type, object->media_type, sizeof(pending->record.media_type));
    cache_tag_put(cache_of(repository), repository->upstream->name, repository->name, tag,
                  &pending->record, pending_wait(pending));
}
