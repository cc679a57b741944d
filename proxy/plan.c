/*
 * proxy/plan.c - the rules of proxy/plan.h.
 */
#include "proxy/plan.h"

/* The stream whose remaining range holds `off`, or PLAN_NO_STREAM. */
static size_t stream_covering(const struct plan_input *in, uint64_t off)
{
    for (size_t i = 0; i < in->n_streams; i++)
        if (in->streams[i].pos <= off && off < in->streams[i].end)
            return i;
    return PLAN_NO_STREAM;
}

/* Where the next stream after `off` begins, at most `end`. */
static uint64_t next_stream_start(const struct plan_input *in, uint64_t off, uint64_t end)
{
    for (size_t i = 0; i < in->n_streams; i++)
        if (in->streams[i].pos > off && in->streams[i].pos < end && in->streams[i].end > off)
            end = in->streams[i].pos;
    return end;
}

static size_t first_usable_source(const struct plan_input *in, bool must_range)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < in->n_sources; i++) {
        const struct plan_source *s = &in->sources[i];
        if (!s->is_usable || (must_range && !s->can_range))
            continue;
        if (best == SIZE_MAX || s->order < in->sources[best].order)
            best = i;
    }
    return best;
}

/* The first byte at or after `off` that is neither here nor on its way. A fetch continues a piece
 * where the piece ends, so the answer may lie before `off`, inside the same piece. */
static bool first_uncovered(const struct plan_input *in, uint64_t off, uint64_t *start,
                            uint64_t *end)
{
    const struct cache_pieces *p = in->pieces;
    while (off < p->size) {
        uint32_t piece = cache_pieces_at(p, off);
        uint64_t fill = cache_pieces_start(p, piece) + p->filled[piece];
        uint64_t from = cache_pieces_is_complete(p, piece) ? off : fill;
        if (!cache_pieces_next_gap(p, from, start, end))
            return false;
        size_t covering = stream_covering(in, *start);
        if (covering == PLAN_NO_STREAM) {
            *end = next_stream_start(in, *start, *end);
            return true;
        }
        uint64_t next = in->streams[covering].end;
        off = next > off ? next : off + 1;
    }
    return false;
}

static bool plan_uncovered(struct plan_choice *out, const struct plan_input *in)
{
    uint64_t start = 0, end = 0;
    bool found = false;
    for (size_t i = 0; i < in->n_wanted && !found; i++)
        found = first_uncovered(in, in->wanted[i], &start, &end);
    if (!found && !first_uncovered(in, 0, &start, &end))
        return false;
    /* Without Range only the whole blob can be asked for; the task skips what it has. */
    size_t source = first_usable_source(in, start > 0 || end < in->pieces->size);
    if (source == SIZE_MAX)
        source = first_usable_source(in, false);
    if (source == SIZE_MAX)
        return false;
    *out = (struct plan_choice){
        .source = source, .start = start, .end = end, .shorten = PLAN_NO_STREAM};
    return true;
}

/* A new stream that takes over [start, end of stream `i`). */
static bool take_over(struct plan_choice *out, const struct plan_input *in, size_t i,
                      uint64_t start)
{
    size_t source = first_usable_source(in, true);
    if (source == SIZE_MAX)
        return false;
    *out = (struct plan_choice){
        .source = source, .start = start, .end = in->streams[i].end, .shorten = i};
    return true;
}

static bool plan_far_reader(struct plan_choice *out, const struct plan_input *in)
{
    for (size_t i = 0; i < in->n_wanted; i++) {
        uint64_t off = in->wanted[i];
        if (off >= in->pieces->size || cache_pieces_available(in->pieces, off) > 0)
            continue;
        size_t covering = stream_covering(in, off);
        if (covering == PLAN_NO_STREAM || off - in->streams[covering].pos <= PLAN_FAR_BYTES)
            continue;
        /* The covering range is a gap, so the pieces ahead of its stream are empty. */
        uint64_t start = cache_pieces_start(in->pieces, cache_pieces_at(in->pieces, off));
        if (start > in->streams[covering].pos && take_over(out, in, covering, start))
            return true;
    }
    return false;
}

static bool plan_split(struct plan_choice *out, const struct plan_input *in)
{
    size_t largest = PLAN_NO_STREAM;
    uint64_t most = 0;
    for (size_t i = 0; i < in->n_streams; i++) {
        uint64_t left = in->streams[i].end - in->streams[i].pos;
        if (left > most) {
            most = left;
            largest = i;
        }
    }
    if (largest == PLAN_NO_STREAM || most < in->split_min_bytes)
        return false;
    uint64_t middle = in->streams[largest].pos + most / 2;
    uint64_t start = cache_pieces_start(in->pieces, cache_pieces_at(in->pieces, middle));
    if (start <= in->streams[largest].pos)
        return false;
    return take_over(out, in, largest, start);
}

bool proxy_plan_next(struct plan_choice *out, const struct plan_input *in)
{
    if (in->n_streams >= in->n_streams_max || in->pieces->size == 0)
        return false;
    if (plan_uncovered(out, in) || plan_far_reader(out, in))
        return true;
    return in->n_streams < in->n_streams_wanted && plan_split(out, in);
}
