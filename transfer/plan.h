/*
 * transfer/plan.h - which source fetches which bytes next. Pure: values in, one value out, no
 * clock.
 *
 * A task asks after every event, until the answer is "nothing"; each answer is one new stream, a
 * contiguous range from one source. Large blobs are asked for in segments: a stream is then never
 * cut to make room for another one, so no byte is paid for twice. Rules, first match wins:
 *   1. a reader waits for bytes that nobody is fetching: the segment that begins there;
 *   2. fewer streams than wanted are at work: the next segment nobody is fetching, beginning where
 *      readers wait. A stream that is nearly done no longer counts, so the link never falls idle
 *      between two segments.
 * The source is always the first usable one in configured order: standby registries stand by.
 * Pieces that come from nodes are left alone, those on their way and those that will be.
 */
#ifndef DARTER_TRANSFER_PLAN_H
#define DARTER_TRANSFER_PLAN_H

#include <stddef.h>

#include "cache/pieces.h"

/* A stream with less than this left is nearly done. */
#define PLAN_TAIL_BYTES (8 * 1024 * 1024ULL)

struct plan_source {
    bool is_usable; /* not excluded, not waiting for a retry, breaker closed */
    bool can_range; /* has not ignored a Range yet */
    unsigned order; /* smaller first */
};
struct plan_stream {
    uint64_t pos, end; /* next byte it delivers, where it stops */
    bool is_elsewhere; /* a piece on its way from a node: covers its bytes, counts for nothing */
};
struct plan_input {
    const struct cache_pieces *pieces;
    const bool *elsewhere; /* per piece: not to be asked for here; NULL = all are */
    const struct plan_source *sources;
    size_t n_sources;
    const struct plan_stream *streams;
    size_t n_streams;
    const uint64_t *wanted; /* offsets readers wait for; any order */
    size_t n_wanted;
    size_t n_streams_max;
    size_t n_streams_wanted; /* at work at once, where nobody waits for more */
    uint64_t segment_bytes;
};

struct plan_choice {
    size_t source;
    uint64_t start, end; /* [start, end) */
};
/* false = nothing to start now. */
bool transfer_plan_next(struct plan_choice *out, const struct plan_input *);
/* Before anybody told the blob's size (UINT64_MAX) or on its hint: where the first request ends;
 * UINT64_MAX = ask for everything. */
uint64_t transfer_plan_first_end(uint64_t size_hint, uint64_t segment_bytes);

#endif
