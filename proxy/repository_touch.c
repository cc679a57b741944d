/*
 * proxy/repository_touch.c - upstream's record of pulls, kept true although we answer them.
 *
 *   (answered from the cache) -> due? -> GET in the background -> noted for `touch`
 *
 * Harbor notes a pull on a manifest's GET and on nothing else
 * (docs/internals/registry-behaviour.md): behind a cache, what is in use looks forgotten, and "keep
 * what was pulled most recently" deletes it. Where an upstream's options ask for it (`touch`), a
 * GET is repeated there, as the client sent it: by tag or by digest, with his own header (in mode B
 * with our account), at most once per manifest and `touch`. Nobody waits for it and its answer
 * changes nothing here: what is cached was verified, and what has moved is found by the next
 * question about the tag.
 *
 * The list of what was touched lives with the repository, in the order of time, and is lost with
 * it: then a touch is sent too often, never too seldom. On the repository's home loop.
 */
#define LOG_COMPONENT "repository"
#include "proxy/repository_priv.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "registry-client/manifest.h"

#define TOUCH_MAGIC    0x746f7563U
#define TOUCHES_MAX    1024 /* remembered in one repository */
#define TOUCHING_MAX   8    /* on their way at once; the next pull of what has to wait is as good */
#define TOUCH_RETRY_MS 60000u /* after one that failed, if `touch` is not shorter */

static DT_DEFINE_COUNTER(metric_touches, "darter_touches_total", NULL,
                         "Manifests asked for so that upstream notes the pull.");
static DT_DEFINE_COUNTER(metric_failed, "darter_touches_failed_total", NULL,
                         "Such questions that upstream refused or did not answer.");

struct repository_touch {
    unsigned magic;
    struct repository *repository;
    struct dt_digest digest;  /* key */
    uint64_t next_ms;         /* not before */
    struct transfer_ask *ask; /* owned while on its way */
    UT_hash_handle hh;
};

static void touch_free(struct repository_touch *touch)
{
    struct repository *repository = touch->repository;

    if (touch->ask != NULL)
        repository->n_touching--;
    transfer_ask_cancel(&touch->ask);
    HASH_DEL(repository->touches, touch);
    touch->magic = 0;
    free(touch);
}

void repository_touches_free(struct repository *repository)
{
    struct repository_touch *touch, *next;

    HASH_ITER (hh, repository->touches, touch, next)
        touch_free(touch);
}

/* The oldest one goes when there are too many; those on their way are few. */
static void make_room(struct repository *repository)
{
    struct repository_touch *touch, *next;

    if (HASH_COUNT(repository->touches) < TOUCHES_MAX)
        return;
    HASH_ITER (hh, repository->touches, touch, next) {
        if (touch->ask != NULL)
            continue;
        touch_free(touch);
        return;
    }
}

/* Found or made, and the youngest from now on. */
static struct repository_touch *touch_get(struct repository *repository,
                                          const struct dt_digest *digest)
{
    struct repository_touch *touch;

    HASH_FIND(hh, repository->touches, digest, sizeof(*digest), touch);
    if (touch != NULL) {
        HASH_DEL(repository->touches, touch);
    } else {
        make_room(repository);
        touch = dt_new(struct repository_touch);
        touch->magic = TOUCH_MAGIC;
        touch->repository = repository;
        touch->digest = *digest;
    }
    HASH_ADD(hh, repository->touches, digest, sizeof(touch->digest), touch);
    return touch;
}

static void on_touched(void *arg, const struct transfer_ask_answer *answer)
{
    struct repository_touch *touch = arg;
    struct repository *repository = touch->repository;
    uint64_t touch_ms = repository->upstream->touch_ms;
    char name[13];

    DT_ASSERT(touch->magic == TOUCH_MAGIC);
    touch->ask = NULL;
    repository->n_touching--;
    if (answer->err.code == 0 && answer->status >= 200 && answer->status < 300)
        return;
    dt_metric_add(&metric_failed, 1);
    touch->next_ms =
        repository_now_ms(repository) + (touch_ms < TOUCH_RETRY_MS ? touch_ms : TOUCH_RETRY_MS);
    dt_log_info("touch_failed", "repository=%s manifest=%s status=%d reason=%s",
                DT_LOG_Q(repository->key), dt_digest_short(name, &touch->digest), answer->status,
                DT_LOG_Q(answer->err.msg));
}

static void touch_send(struct repository_touch *touch, const struct repository_call *call)
{
    struct repository *repository = touch->repository;
    char *path = dt_asprintf("/v2/%s/manifests/%s", repository->name, call->reference.text);

    dt_metric_add(&metric_touches, 1);
    repository->n_touching++;
    touch->ask = transfer_ask_start(
        &(struct transfer_ask_opts){
            .transfer = &call->proxy->transfer,
            .upstream = call->upstream,
            .method = "GET",
            .path = path,
            .repository = repository->name,
            .accept = REG_ACCEPT_ALL_MANIFESTS,
            .authorization = call->authorization,
            .may_use_account = call->upstream->own_credentials,
            .may_be_anonymous = true,
            .max_body_bytes = REG_MANIFEST_MAX,
            .budget_ms = call->proxy->options->transfer.head_deadline_ms,
        },
        on_touched, touch);
    free(path);
}

void repository_touch(const struct repository_call *call, const struct dt_digest *digest,
                      bool is_seen)
{
    struct repository *repository = call->repository;
    uint64_t touch_ms = call->upstream->touch_ms, now_ms = repository_now_ms(repository);
    struct repository_touch *touch;

    dt_loop_assert_mine(repository->table->loop);
    if (touch_ms == 0 || (!is_seen && !call->is_pull))
        return;
    HASH_FIND(hh, repository->touches, digest, sizeof(*digest), touch);
    if (!is_seen && touch != NULL && (touch->ask != NULL || now_ms < touch->next_ms))
        return;
    if (!is_seen && repository->n_touching >= TOUCHING_MAX)
        return;
    touch = touch_get(repository, digest);
    touch->next_ms = now_ms + touch_ms;
    if (!is_seen)
        touch_send(touch, call);
}
