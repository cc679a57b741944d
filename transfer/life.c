/*
 * transfer/life.c - makes and ends what both daemons need to bring blobs in.
 *
 * The order of the end is the opposite of the beginning: the cache outlives the tasks that write to
 * it, the fetcher the accounts that fetch with it, and the loops everything. Main thread only.
 */
#define LOG_COMPONENT "main"
#include "transfer/life.h"

#include "base/daemon.h"
#include "base/log.h"
#include "base/units.h"
#include "base/version.h"
#include "transfer/account.h"
#include "transfer/task.h"

#define WORKERS_DEFAULT 4

int transfer_open(struct transfer *transfer, const struct transfer_process_options *options,
                  struct dt_err *err)
{
    int rc = dt_loops_new(&transfer->loops, dt_daemon_loops(options->loops), err);
    if (rc == 0)
        rc = dt_pool_new(&transfer->pool,
                         options->workers != 0 ? options->workers : WORKERS_DEFAULT, err);
    if (rc == 0)
        rc = dt_fetcher_new(&transfer->fetcher, transfer->loops,
                            &(struct dt_fetcher_opts){.user_agent = "darter/" DARTER_VERSION}, err);
    if (rc == 0)
        rc = cache_open(&transfer->cache,
                        &(struct cache_opts){.dir = options->cache_dir,
                                             .max_bytes = options->cache_max_bytes,
                                             .min_free_bytes = options->cache_min_free_bytes,
                                             .pool = transfer->pool},
                        err);
    if (rc == 0)
        transfer_accounts_new(transfer);
    return rc;
}

void transfer_stop(struct transfer *transfer)
{
    cache_quiesce(transfer->cache); /* aborted writers end on their loops */
    dt_loops_stop(transfer->loops);
}

void transfer_close(struct transfer *transfer)
{
    transfer_accounts_free(transfer);
    cache_close(&transfer->cache);
    dt_fetcher_free(&transfer->fetcher);
    dt_pool_free(&transfer->pool);
    dt_loops_free(&transfer->loops);
}

void transfer_warn_of_no_room(const struct transfer *transfer)
{
    struct cache_usage usage;
    char free_text[24], floor_text[24];
    cache_usage(&usage, transfer->cache);
    if (!usage.is_usable || usage.free_bytes + usage.used_bytes > usage.min_free_bytes)
        return;
    dt_log_warn("cache_has_no_room", "free=%s cache_min_free=%s what=%s",
                DT_LOG_Q(dt_size_format(free_text, usage.free_bytes)),
                DT_LOG_Q(dt_size_format(floor_text, usage.min_free_bytes)),
                DT_LOG_Q("nothing will be cached: lower cache-min-free or use a larger disk"));
}
