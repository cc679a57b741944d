/*
 * transfer/upkeep.c - when a cache is scrubbed.
 *
 * The time of the last scrub is a note in the cache, so that a daemon that is restarted daily still
 * scrubs weekly. Main thread only.
 */
#define LOG_COMPONENT "upkeep"
#include "transfer/upkeep.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/daemon.h"
#include "base/log.h"
#include "base/text.h"

#define SCRUB_NOTE "scrub/last-started-ms"
/* Bounds may change under us (SIGHUP, clock set): look again at least so often. */
#define UPKEEP_TICK_MS (60 * 1000u)

uint64_t transfer_scrub_due_ms(uint64_t last_ms, uint64_t started_ms, uint64_t interval_ms)
{
    uint64_t due_ms, from_ms = last_ms != 0 ? last_ms : started_ms;
    if (interval_ms == 0 || __builtin_add_overflow(from_ms, interval_ms, &due_ms))
        return UINT64_MAX;
    return due_ms;
}

static uint64_t last_scrub_ms(struct transfer *transfer)
{
    char *text = NULL;
    unsigned long long value = 0;
    if (cache_note_get(&text, transfer->cache, SCRUB_NOTE, NULL) == 0 &&
        !dt_text_parse_u64(&value, text, strlen(text)))
        value = 0;
    free(text);
    return value;
}

/* Returns milliseconds until it has to be called again. */
static uint64_t scrub_if_due(struct transfer *transfer,
                             const struct transfer_process_options *options, uint64_t started_ms,
                             uint64_t now_wall_ms)
{
    uint64_t last_ms = last_scrub_ms(transfer);
    if (last_ms > now_wall_ms) /* the clock was set back */
        last_ms = now_wall_ms;
    uint64_t due_ms = transfer_scrub_due_ms(last_ms, started_ms, options->scrub_interval_ms);
    if (last_ms == 0) { /* count from the first start, not from each */
        char now_text[24];
        (void)dt_text_print(now_text, sizeof now_text, "%" PRIu64, now_wall_ms);
        cache_note_put(transfer->cache, SCRUB_NOTE, now_text);
    }
    if (due_ms > now_wall_ms)
        return due_ms - now_wall_ms < UPKEEP_TICK_MS ? due_ms - now_wall_ms : UPKEEP_TICK_MS;
    struct dt_err err = {0};
    if (cache_scrub_start(transfer->cache, options->scrub_rate_bytes, &err) < 0)
        dt_log_debug("scrub_not_started", "err=%s", DT_LOG_Q(err.msg));
    char text[24];
    (void)dt_text_print(text, sizeof text, "%" PRIu64, now_wall_ms);
    cache_note_put(transfer->cache, SCRUB_NOTE, text);
    return UPKEEP_TICK_MS;
}

int transfer_upkeep_wait(struct transfer *transfer, const struct transfer_process_options *options,
                         uint64_t started_ms, const sigset_t *signals)
{
    int number = 0;
    while (number == 0)
        number = dt_daemon_wait(signals, scrub_if_due(transfer, options, started_ms, dt_wall_ms()));
    return number;
}
