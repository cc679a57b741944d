/*
 * proxy/limits.c - see limits.h.
 */
#include "proxy/limits.h"

#include "base/loop.h"
#include "base/wire/wire.h"

uint64_t proxy_limits_floor(uint64_t told)
{
    return told == 0 || told > WIRE_LIMIT_FLOOR ? told : WIRE_LIMIT_FLOOR;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
    if (a == 0 || b == 0)
        return a + b; /* 0 is no limit */
    return a < b ? a : b;
}

/* Whoever comes second has seen what the first one stored: so the last word is the lowest of both.
 */
static void apply(struct proxy_limits *limits)
{
    uint64_t now_us = dt_mono_us();
    dt_bucket_set(&limits->up, lower(limits->own_up, limits->told_up), now_us);
    dt_bucket_set(&limits->down, lower(limits->own_down, limits->told_down), now_us);
}

void proxy_limits_init(struct proxy_limits *limits, uint64_t own_up, uint64_t own_down)
{
    dt_bucket_init(&limits->up, own_up, dt_mono_us());
    dt_bucket_init(&limits->down, own_down, dt_mono_us());
    atomic_init(&limits->own_up, own_up);
    atomic_init(&limits->own_down, own_down);
    atomic_init(&limits->told_up, 0);
    atomic_init(&limits->told_down, 0);
}

void proxy_limits_set_own(struct proxy_limits *limits, uint64_t up, uint64_t down)
{
    atomic_store(&limits->own_up, up);
    atomic_store(&limits->own_down, down);
    apply(limits);
}

void proxy_limits_set_told(struct proxy_limits *limits, uint64_t up, uint64_t down)
{
    atomic_store(&limits->told_up, proxy_limits_floor(up));
    atomic_store(&limits->told_down, proxy_limits_floor(down));
    apply(limits);
}
