/*
 * transfer/brake.c - see brake.h.
 */
#include "transfer/brake.h"

#define HELD_MAX_MS 100u /* a limit may have been raised or lifted meanwhile */

void transfer_brake_init(struct transfer_brake *brake, struct dt_bucket *node,
                         struct dt_bucket *share, dt_loop_f go_on, void *arg)
{
    *brake = (struct transfer_brake){.limits = {node, share}, .go_on = go_on, .arg = arg};
    dt_timer_init(&brake->timer, dt_loop_current(), go_on, arg);
}

static bool save_up(struct transfer_brake *brake, size_t i, size_t len, uint64_t now_us)
{
    if (brake->saved[i] < len)
        brake->saved[i] += dt_bucket_take(brake->limits[i], len - brake->saved[i], now_us);
    return brake->saved[i] >= len;
}

bool transfer_brake_pass(struct transfer_brake *brake, size_t len)
{
    uint64_t now_us = dt_mono_us(), wait_ms = 0;
    for (size_t i = 0; i < BRAKE_LIMITS; i++) {
        if (brake->limits[i] == NULL || save_up(brake, i, len, now_us))
            continue;
        uint64_t ms = dt_bucket_wait_ms(brake->limits[i], now_us);
        wait_ms = ms > wait_ms ? ms : wait_ms;
    }
    if (wait_ms > 0) {
        dt_timer_set(&brake->timer, wait_ms < HELD_MAX_MS ? wait_ms : HELD_MAX_MS);
        return false;
    }
    for (size_t i = 0; i < BRAKE_LIMITS; i++)
        if (brake->limits[i] != NULL)
            brake->saved[i] -= len;
    return true;
}

void transfer_brake_unpass(struct transfer_brake *brake, size_t len)
{
    for (size_t i = 0; i < BRAKE_LIMITS; i++)
        if (brake->limits[i] != NULL)
            brake->saved[i] += len;
}

void transfer_brake_release(struct transfer_brake *brake)
{
    dt_timer_clear(&brake->timer);
    for (size_t i = 0; i < BRAKE_LIMITS; i++)
        if (brake->limits[i] != NULL && brake->saved[i] > 0) {
            dt_bucket_give_back(brake->limits[i], brake->saved[i]);
            brake->saved[i] = 0;
        }
}
