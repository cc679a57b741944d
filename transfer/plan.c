/*
 * transfer/plan.c - the rules of transfer/plan.h.
 */
#include "transfer/plan.h"

/* The stream whose remaining range holds `off`, or SIZE_MAX. */
static size_t stream_covering(const struct plan_input *in, uint64_t off)
{
    for (size_t i = 0; i < in->n_streams; i++)
        if (in->streams[i].pos <= off && off < in->streams[i].end)
            return i;
    return SIZE_MAX;
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

/* Where a fetch of the piece that holds `off` would begin: a piece is continued where it ends, so
 * this may lie before `off`. */
static uint64_t fetch_start(const struct cache_pieces *p, uint64_t off)
{
    uint32_t piece = cache_pieces_at(p, off);
    if (cache_pieces_is_complete(p, piece))
        return off;
    return cache_pieces_start(p, piece) + p->filled[piece];
}

static bool is_elsewhere(const struct plan_input *in, uint32_t piece)
{
    return in->elsewhere != NULL && in->elsewhere[piece];
}

static uint64_t piece_end(const struct cache_pieces *p, uint32_t piece)
{
    return cache_pieces_start(p, piece) + cache_pieces_len(p, piece);
}

/* Where the next piece that comes from elsewhere begins, at most `end`. */
static uint64_t next_elsewhere(const struct plan_input *in, uint64_t start, uint64_t end)
{
    if (in->elsewhere == NULL)
        return end;
    for (uint32_t i = cache_pieces_at(in->pieces, start) + 1; i < in->pieces->n; i++) {
        uint64_t begin = cache_pieces_start(in->pieces, i);
        if (begin >= end || in->elsewhere[i])
            return begin < end ? begin : end;
    }
    return end;
}

/* The first bytes at or after `off` that are neither here nor on their way, nor to be left alone.
 */
static bool first_uncovered(const struct plan_input *in, uint64_t off, uint64_t *start,
                            uint64_t *end)
{
    while (off < in->pieces->size) {
        if (!cache_pieces_next_gap(in->pieces, fetch_start(in->pieces, off), start, end))
            return false;
        uint32_t piece = cache_pieces_at(in->pieces, *start);
        if (is_elsewhere(in, piece)) {
            off = piece_end(in->pieces, piece);
            continue;
        }
        size_t covering = stream_covering(in, *start);
        if (covering == SIZE_MAX) {
            *end = next_elsewhere(in, *start, next_stream_start(in, *start, *end));
            return true;
        }
        uint64_t next = in->streams[covering].end;
        off = next > off ? next : off + 1;
    }
    return false;
}

/* Does a reader wait for bytes that nobody brings? */
static bool reader_is_stranded(const struct plan_input *in, uint64_t off)
{
    if (off >= in->pieces->size || cache_pieces_available(in->pieces, off) > 0 ||
        is_elsewhere(in, cache_pieces_at(in->pieces, off)))
        return false;
    return stream_covering(in, off) == SIZE_MAX &&
           stream_covering(in, fetch_start(in->pieces, off)) == SIZE_MAX;
}

/* Whole pieces, so that the segment after it can begin on its own; a small rest is taken along. */
static uint64_t segment_end(const struct plan_input *in, uint64_t start, uint64_t gap_end)
{
    if (gap_end - start <= in->segment_bytes + in->segment_bytes / 2)
        return gap_end;
    uint32_t piece = cache_pieces_at(in->pieces, start + in->segment_bytes - 1);
    uint64_t end = piece_end(in->pieces, piece);
    return end < gap_end ? end : gap_end;
}

static bool choose(struct plan_choice *out, const struct plan_input *in, uint64_t start,
                   uint64_t gap_end)
{
    bool is_whole = start == 0 && gap_end == in->pieces->size;
    size_t source = first_usable_source(in, !is_whole);
    if (source == SIZE_MAX)
        source = first_usable_source(in, false); /* it sends everything; the task skips */
    if (source == SIZE_MAX)
        return false;
    bool can_range = in->sources[source].can_range;
    *out = (struct plan_choice){
        .source = source,
        .start = start,
        .end = can_range ? segment_end(in, start, gap_end) : gap_end,
    };
    return true;
}

static size_t streams_at_work(const struct plan_input *in)
{
    size_t n = 0;
    for (size_t i = 0; i < in->n_streams; i++)
        n += !in->streams[i].is_elsewhere &&
             in->streams[i].end - in->streams[i].pos > PLAN_TAIL_BYTES;
    return n;
}

static size_t streams_of_ours(const struct plan_input *in)
{
    size_t n = 0;
    for (size_t i = 0; i < in->n_streams; i++)
        n += !in->streams[i].is_elsewhere;
    return n;
}

bool transfer_plan_next(struct plan_choice *out, const struct plan_input *in)
{
    uint64_t start, end;
    if (streams_of_ours(in) >= in->n_streams_max || in->pieces->size == 0)
        return false;
    for (size_t i = 0; i < in->n_wanted; i++)
        if (reader_is_stranded(in, in->wanted[i]) &&
            first_uncovered(in, in->wanted[i], &start, &end))
            return choose(out, in, start, end);
    if (streams_at_work(in) >= in->n_streams_wanted)
        return false;
    for (size_t i = 0; i < in->n_wanted; i++)
        if (first_uncovered(in, in->wanted[i], &start, &end))
            return choose(out, in, start, end);
    return first_uncovered(in, 0, &start, &end) && choose(out, in, start, end);
}

uint64_t transfer_plan_first_end(uint64_t size_hint, uint64_t segment_bytes)
{
    if (size_hint == UINT64_MAX || size_hint <= segment_bytes + segment_bytes / 2)
        return UINT64_MAX;
    uint32_t piece_size = cache_pieces_choose_size(size_hint);
    return (segment_bytes + piece_size - 1) / piece_size * piece_size;
}
