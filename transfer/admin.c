/*
 * transfer/admin.c - the shared table of the admin APIs, and the life of what its handlers see.
 *
 * A new route of both daemons: a row here, a handler in admin_<noun>.c declared in admin_priv.h, a
 * section in docs/api.md (tests/lint/generated looks). What SIGHUP changes lies under one lock that
 * is held for a copy only.
 */
#include "transfer/admin.h"

#include <stdlib.h>

#include "base/mem.h"
#include "transfer/admin_priv.h"

/* clang-format off */
const struct dt_admin_route transfer_admin_routes[] = {
    {DT_GET, "/v1", DT_ADMIN_ON_LOOP, false, transfer_admin_get_index,
     "This list."},
    {DT_GET, "/v1/cache", DT_ADMIN_ON_POOL, false, transfer_admin_get_cache,
     "Usage and hit statistics, and one page of what is cached."},
    {DT_GET, "/v1/cache/scrub", DT_ADMIN_ON_LOOP, false, transfer_admin_get_scrub,
     "How the last or running scrub went."},
    {DT_POST, "/v1/cache/scrub", DT_ADMIN_ON_POOL, false, transfer_admin_post_scrub,
     "Starts to read and hash everything again; bad blobs are removed."},
    {DT_DELETE, "/v1/cache/scrub", DT_ADMIN_ON_POOL, false, transfer_admin_delete_scrub,
     "Stops a running scrub."},
    {DT_GET, "/v1/cache/{digest}", DT_ADMIN_ON_POOL, false, transfer_admin_get_blob,
     "One blob or manifest: its pieces and the repositories it belongs to."},
    {DT_DELETE, "/v1/cache/{digest}", DT_ADMIN_ON_LOOP, false, transfer_admin_delete_blob,
     "Removes it; a pinned one is refused."},
    {DT_PUT, "/v1/cache/{digest}/pin", DT_ADMIN_ON_LOOP, false, transfer_admin_put_pin,
     "Pins it: never evicted."},
    {DT_DELETE, "/v1/cache/{digest}/pin", DT_ADMIN_ON_LOOP, false, transfer_admin_delete_pin,
     "Lets it be evicted again."},
    {DT_GET, "/v1/upstreams", DT_ADMIN_ON_LOOP, false, transfer_admin_get_upstreams,
     "Registries and their endpoints: breaker, health numbers, last error."},
    {DT_GET, "/v1/config", DT_ADMIN_ON_LOOP, false, transfer_admin_get_config,
     "The options in effect; secrets are never shown."},
    {DT_GET, "/metrics", DT_ADMIN_ON_POOL, false, transfer_admin_get_metrics,
     "Counters for Prometheus, text format 0.0.4."},
    {DT_GET, "/healthz", DT_ADMIN_ON_LOOP, true, transfer_admin_get_health,
     "The process is alive."},
    {DT_GET, "/readyz", DT_ADMIN_ON_LOOP, false, transfer_admin_get_ready,
     "It serves pulls; says degraded when the cache cannot be used, 503 while it drains."},
    {.pattern = NULL},
};
/* clang-format on */

struct transfer_admin *transfer_admin_of(const struct dt_admin_call *call)
{
    struct transfer_admin *admin = call->owner;
    DT_ASSERT(admin->magic == TRANSFER_ADMIN_MAGIC);
    return admin;
}

struct cache *transfer_admin_cache(const struct dt_admin_call *call)
{
    return transfer_admin_of(call)->opts.transfer->cache;
}

void *transfer_admin_daemon(const struct dt_admin_call *call)
{
    return transfer_admin_of(call)->opts.daemon;
}

void transfer_admin_changed(void *arg, const struct dt_err *err)
{
    struct dt_admin_call *call = arg;
    if (err->code == 0)
        dt_admin_answer_empty(call, 204);
    else
        dt_admin_answer_err(call, err);
    dt_admin_call_finish(call);
}

/* ---- what SIGHUP changes ---- */

void transfer_admin_show_config(struct transfer_admin *admin,
                                const struct transfer_admin_config *config)
{
    char *text = dt_admin_json_text(transfer_admin_json_config(config));
    (void)pthread_mutex_lock(&admin->lock);
    char *old = admin->config;
    admin->config = text;
    admin->scrub_rate = config->process->scrub_rate_bytes;
    (void)pthread_mutex_unlock(&admin->lock);
    free(old);
}

char *transfer_admin_config_text(struct transfer_admin *admin)
{
    (void)pthread_mutex_lock(&admin->lock);
    char *text = dt_strdup(admin->config != NULL ? admin->config : "{}");
    (void)pthread_mutex_unlock(&admin->lock);
    return text;
}

uint64_t transfer_admin_scrub_rate(struct transfer_admin *admin)
{
    (void)pthread_mutex_lock(&admin->lock);
    uint64_t rate = admin->scrub_rate;
    (void)pthread_mutex_unlock(&admin->lock);
    return rate;
}

int transfer_admin_read_token(struct transfer_admin *admin, struct dt_err *err)
{
    return dt_admin_read_token(admin->endpoint, err);
}

/* ---- life ---- */

int transfer_admin_start(struct transfer_admin **out, const struct transfer_admin_opts *opts,
                         const struct transfer_admin_config *config, struct dt_err *err)
{
    struct transfer_admin *admin = dt_new(struct transfer_admin);
    admin->magic = TRANSFER_ADMIN_MAGIC;
    admin->opts = *opts;
    (void)pthread_mutex_init(&admin->lock, NULL);
    transfer_admin_show_config(admin, config);
    transfer_admin_metrics_register(admin);
    int rc = dt_admin_start(&admin->endpoint,
                            &(struct dt_admin_opts){
                                .listen = config->process->admin_listen,
                                .token_file = config->process->admin_token_file,
                                .tables = opts->tables,
                                .owner = admin,
                                .loops = opts->transfer->loops,
                                .pool = opts->transfer->pool,
                            },
                            err);
    if (rc < 0)
        transfer_admin_free(&admin);
    else
        *out = admin;
    return rc;
}

const char *transfer_admin_address(const struct transfer_admin *admin)
{
    return dt_admin_address(admin->endpoint);
}

void transfer_admin_stop(struct transfer_admin *admin)
{
    dt_admin_stop(admin->endpoint);
}

void transfer_admin_free(struct transfer_admin **admin)
{
    if (*admin == NULL)
        return;
    dt_admin_free(&(*admin)->endpoint);
    (void)pthread_mutex_destroy(&(*admin)->lock);
    free((*admin)->config);
    (*admin)->magic = 0;
    dt_free(admin);
}
