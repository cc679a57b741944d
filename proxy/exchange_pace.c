/*
 * proxy/exchange_pace.c - when a node sends its next exchange, and when it gives a supernode up.
 *
 * The rules are few, and their order matters: the join alone; then one exchange always; news beside
 * it, gathered; a probe where it is silent. A new rule: here, and a row of the test's table.
 */
#include "proxy/exchange_pace.h"

#include "base/err.h"

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void exchange_pace_init(struct exchange_pace *pace, uint32_t random)
{
    const uint32_t fifth = EXCHANGE_PATIENCE_MS / 5;
    *pace = (struct exchange_pace){
        .patience_ms = EXCHANGE_PATIENCE_MS - fifth + random % (2 * fifth + 1),
    };
}

void exchange_pace_sent(struct exchange_pace *pace, uint64_t now_ms)
{
    DT_ASSERT(pace->n_out < EXCHANGE_OUT_MAX);
    if (pace->n_out++ == 0)
        pace->heard_ms = now_ms; /* silence begins where something is asked */
    pace->is_begun = true;
    pace->has_news = pace->is_urgent = false;
    pace->sent_ms = now_ms;
}

void exchange_pace_answered(struct exchange_pace *pace, bool is_empty, uint64_t now_ms)
{
    DT_ASSERT(pace->n_out > 0);
    pace->n_out--;
    pace->is_idle = is_empty && pace->is_joined && pace->n_out == 0;
    pace->is_joined = true;
    pace->heard_ms = now_ms;
}

void exchange_pace_heard(struct exchange_pace *pace, uint64_t now_ms)
{
    pace->heard_ms = later(pace->heard_ms, now_ms);
}

uint64_t exchange_pace_next_ms(const struct exchange_pace *pace)
{
    if (!pace->is_begun)
        return 0;
    /* A session is known there when its join was answered; a report that overtakes it is not. */
    if (!pace->is_joined || pace->n_out == EXCHANGE_OUT_MAX)
        return UINT64_MAX;
    if (pace->has_news)
        return pace->sent_ms + (pace->is_urgent ? EXCHANGE_URGENT_MS : EXCHANGE_GAP_MS);
    if (pace->n_out == 0)
        return pace->sent_ms + (pace->is_idle ? EXCHANGE_IDLE_MS : EXCHANGE_GAP_MS);
    return later(pace->heard_ms, pace->sent_ms) + pace->patience_ms / 2;
}

uint64_t exchange_pace_lost_ms(const struct exchange_pace *pace)
{
    if (pace->n_out == 0 || (pace->is_joined && pace->n_out < EXCHANGE_OUT_MAX))
        return UINT64_MAX; /* it may hold the one it has: the newer one makes it answer */
    uint64_t lost_ms = pace->heard_ms + pace->patience_ms;
    /* The newer one is late where this machine stood still: such silence is not the supernode's. */
    return pace->is_joined ? later(lost_ms, pace->sent_ms + pace->patience_ms / 2) : lost_ms;
}
