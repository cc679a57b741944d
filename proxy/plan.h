/*
 * proxy/plan.h - which source fetches which bytes next. Pure: values in, one value out, no clock.
 *
 * A task asks after every event, until the answer is "nothing": the answer is one new stream, a
 * contiguous range from one source. Rules, first match wins:
 *   1. bytes nobody is fetching: from where a reader waits, else the lowest;
 *   2. a reader waits far ahead of the stream that would reach him: a new stream from there, and
 * the old one ends where the new one begins;
 *   3. more streams than now are worth it (`n_streams_wanted`, measured by the task): the largest
 *      remainder is cut in two at a piece's start.
 * The source is always the first usable one in configured order: standby registries stand by.
 */
#ifndef DARTER_PROXY_PLAN_H
#define DARTER_PROXY_PLAN_H

#include "cache/pieces.h"

#include <stddef.h>

/* A reader is "far ahead" when more than this lies between him and the stream's position. */
#define PLAN_FAR_BYTES (16 * 1024 * 1024ULL)

struct plan_source {
    bool is_usable; /* not excluded, not waiting for a retry, breaker closed */
    bool can_range; /* has not ignored a Range yet */
    unsigned order; /* smaller first */
};
struct plan_stream {
    uint64_t pos, end; /* next byte it delivers, where it stops */
    size_t source;
};
struct plan_input {
    const struct cache_pieces *pieces;
    const struct plan_source *sources;
    size_t n_sources;
    const struct plan_stream *streams;
    size_t n_streams;
    const uint64_t *wanted; /* offsets readers wait for; any order */
    size_t n_wanted;
    size_t n_streams_max;
    size_t n_streams_wanted;  /* 1 = do not split */
    uint64_t split_min_bytes; /* a smaller remainder is not split */
};

#define PLAN_NO_STREAM SIZE_MAX
struct plan_choice {
    size_t source;
    uint64_t start, end; /* [start, end) */
    size_t shorten;      /* this stream now ends at `start`; PLAN_NO_STREAM = none */
};
/* false = nothing to start now. */
bool proxy_plan_next(struct plan_choice *out, const struct plan_input *);

#endif
