/*
 * transfer/admin_priv.h - the shared handlers of the admin API. Private to transfer/admin*.c.
 */
#ifndef DARTER_TRANSFER_ADMIN_PRIV_H
#define DARTER_TRANSFER_ADMIN_PRIV_H

#include <pthread.h>

#include "cache/cache.h"
#include "transfer/admin.h"

#define TRANSFER_ADMIN_MAGIC       0x7461646du
#define TRANSFER_ADMIN_PAGE_MAX    1000
#define TRANSFER_ADMIN_PAGE_NORMAL 100

struct transfer_admin {
    unsigned magic;
    struct transfer_admin_opts opts;
    struct dt_admin *endpoint; /* owned */
    /* under `lock`, which is held for a copy only */
    pthread_mutex_t lock;
    char *config; /* owned; JSON */
    uint64_t scrub_rate;
};
struct transfer_admin *transfer_admin_of(const struct dt_admin_call *);
struct cache *transfer_admin_cache(const struct dt_admin_call *);
char *transfer_admin_config_text(struct transfer_admin *); /* JSON; caller frees */
uint64_t transfer_admin_scrub_rate(struct transfer_admin *);
json_t *transfer_admin_json_config(const struct transfer_admin_config *);

/* Pure. A query of the list; errors: DT_EINVAL. */
struct transfer_admin_page {
    struct cache_filter filter; /* points into the two buffers */
    char upstream[264], repository[260];
    bool has_after;
    struct dt_digest after;
    size_t limit; /* 0 ... TRANSFER_ADMIN_PAGE_MAX */
};
int transfer_admin_page_parse(struct transfer_admin_page *out, const char *query,
                              struct dt_err *err);
/* Where the next page is: "/v1/cache?limit=100&state=sealed&after=sha256:...". Caller frees. */
char *transfer_admin_page_next(const struct transfer_admin_page *, const struct dt_digest *last);

/* Makes the gauges of cache and upstreams known to /metrics; once, at start. */
void transfer_admin_metrics_register(const struct transfer_admin *);

/* The handlers. */
void transfer_admin_get_index(struct dt_admin_call *);
void transfer_admin_get_health(struct dt_admin_call *);
void transfer_admin_get_ready(struct dt_admin_call *);
void transfer_admin_get_metrics(struct dt_admin_call *);
void transfer_admin_get_config(struct dt_admin_call *);
void transfer_admin_get_upstreams(struct dt_admin_call *);
void transfer_admin_get_cache(struct dt_admin_call *);
void transfer_admin_get_scrub(struct dt_admin_call *);
void transfer_admin_post_scrub(struct dt_admin_call *);
void transfer_admin_delete_scrub(struct dt_admin_call *);
void transfer_admin_get_blob(struct dt_admin_call *);
void transfer_admin_delete_blob(struct dt_admin_call *);
void transfer_admin_put_pin(struct dt_admin_call *);
void transfer_admin_delete_pin(struct dt_admin_call *);

#endif
