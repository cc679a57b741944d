/*
 * base/bucket.c - see bucket.h. The generic cell rate algorithm (ITU-T I.371): instead of a number
 * of tokens that somebody must refill, the moment up to which everything is spent.
 *
 *   now - paid  = what has flowed in and lies there, as time; never more than `window`
 *
 * Nanoseconds inside: a helping at 10 GB/s lasts less than a microsecond, and costs are rounded up.
 */
#include "base/bucket.h"

#define NS_PER_S      1000000000ULL
#define NS_PER_MS     1000000ULL
#define NS_PER_US     1000ULL
#define BURST_NS      (NS_PER_S / 10)
#define RATE_MAX      (100 * NS_PER_S) /* 100 GB/s: keeps BURST_NS * rate within 64 bits */
#define GIVE_BACK_MAX (1ULL << 32)     /* keeps bytes * NS_PER_S within 64 bits */

static uint64_t cost_ns(uint64_t bytes, uint64_t rate)
{
    return (bytes * NS_PER_S + rate - 1) / rate;
}

/* A tenth of a second, but at low rates long enough for one helping to come together. */
static uint64_t window_ns(uint64_t rate)
{
    uint64_t helping = cost_ns(DT_BUCKET_MIN_TAKE, rate);
    return helping > BURST_NS ? helping : BURST_NS;
}

/* What was not taken when it flowed in is lost, except for the window. */
static uint64_t oldest(uint64_t paid, uint64_t rate, uint64_t now_ns)
{
    uint64_t window = window_ns(rate);
    uint64_t limit = now_ns > window ? now_ns - window : 0;
    return paid > limit ? paid : limit;
}

static uint64_t clamp_rate(uint64_t rate)
{
    return rate < RATE_MAX ? rate : RATE_MAX;
}

void dt_bucket_init(struct dt_bucket *bucket, uint64_t rate, uint64_t now_us)
{
    atomic_init(&bucket->rate, clamp_rate(rate));
    atomic_init(&bucket->paid_ns, now_us * NS_PER_US);
}

void dt_bucket_set(struct dt_bucket *bucket, uint64_t rate, uint64_t now_us)
{
    /* Nothing was counted while there was no limit: begin empty, without a burst. */
    if (atomic_load(&bucket->rate) == 0 && rate != 0)
        atomic_store(&bucket->paid_ns, now_us * NS_PER_US);
    atomic_store(&bucket->rate, clamp_rate(rate));
}

size_t dt_bucket_take(struct dt_bucket *bucket, size_t wanted, uint64_t now_us)
{
    uint64_t rate = atomic_load(&bucket->rate);
    uint64_t now_ns = now_us * NS_PER_US, paid = atomic_load(&bucket->paid_ns), next, taken;

    if (rate == 0)
        return wanted;
    do {
        uint64_t from = oldest(paid, rate, now_ns);
        /* Another thread's clock may have been read a moment later than ours. */
        uint64_t there = from < now_ns ? (now_ns - from) * rate / NS_PER_S : 0;
        taken = there < wanted ? there : wanted;
        if (taken == 0 || (taken < wanted && taken < DT_BUCKET_MIN_TAKE))
            return 0;
        next = from + cost_ns(taken, rate);
    } while (!atomic_compare_exchange_weak(&bucket->paid_ns, &paid, next));
    return (size_t)taken;
}

void dt_bucket_give_back(struct dt_bucket *bucket, size_t bytes)
{
    uint64_t rate = atomic_load(&bucket->rate), paid = atomic_load(&bucket->paid_ns), next;

    if (rate == 0)
        return;
    uint64_t capped = bytes < GIVE_BACK_MAX ? bytes : GIVE_BACK_MAX;
    uint64_t back = capped * NS_PER_S / rate; /* rounded down: never a gift */
    do
        next = paid > back ? paid - back : 0;
    while (!atomic_compare_exchange_weak(&bucket->paid_ns, &paid, next));
}

uint64_t dt_bucket_wait_ms(const struct dt_bucket *bucket, uint64_t now_us)
{
    uint64_t rate = atomic_load(&bucket->rate), now_ns = now_us * NS_PER_US;

    if (rate == 0)
        return 1;
    uint64_t ready =
        oldest(atomic_load(&bucket->paid_ns), rate, now_ns) + cost_ns(DT_BUCKET_MIN_TAKE, rate);
    return ready <= now_ns ? 1 : (ready - now_ns + NS_PER_MS - 1) / NS_PER_MS;
}
