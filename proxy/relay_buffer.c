/*
 * proxy/relay_buffer.c - two buffers between a fetch and a client.
 */
#include "proxy/relay_buffer.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

void relay_buffer_fini(struct relay_buffer *buffer)
{
    free(buffer->sending.bytes);
    free(buffer->filling.bytes);
    *buffer = (struct relay_buffer){0};
}

bool relay_buffer_put(struct relay_buffer *buffer, const void *bytes, size_t len)
{
    struct relay_half *half = &buffer->filling;
    DT_ASSERT(!buffer->is_finished);
    if (half->len > 0 && len > RELAY_BUFFER_BYTES - half->len)
        return false;
    /* A fetch hands over at most a few dozen KiB at once; the buffer grows with what comes. */
    half->bytes = dt_realloc(half->bytes, half->len + len);
    memcpy(half->bytes + half->len, bytes, len);
    half->len += len;
    return true;
}

void relay_buffer_finish(struct relay_buffer *buffer)
{
    buffer->is_finished = true;
}

void relay_buffer_fail(struct relay_buffer *buffer)
{
    buffer->has_failed = true;
}

void relay_buffer_reset(struct relay_buffer *buffer)
{
    relay_buffer_fini(buffer);
}

uint64_t relay_buffer_total(const struct relay_buffer *buffer)
{
    return buffer->filling.off + buffer->filling.len;
}

/* All of `sending` is sent: the filled half takes its place. */
static void swap_halves(struct relay_buffer *buffer)
{
    struct relay_half sent = buffer->sending;
    buffer->sending = buffer->filling;
    buffer->filling =
        (struct relay_half){.bytes = sent.bytes, .off = buffer->sending.off + buffer->sending.len};
}

size_t relay_buffer_span(struct relay_buffer *buffer, uint64_t off, size_t max_len,
                         const void **bytes, bool *has_room)
{
    struct relay_half *half = &buffer->sending;
    DT_ASSERT(off >= half->off && off <= half->off + half->len);
    if (off == half->off + half->len && buffer->filling.len > 0)
        swap_halves(buffer);
    *has_room = buffer->filling.len == 0;
    size_t here = (size_t)(half->off + half->len - off);
    /* The very last byte received stays until the owner says that all is well. */
    if (here > 0 && !buffer->is_finished && buffer->filling.len == 0)
        here--;
    *bytes = half->bytes + (off - half->off);
    return here < max_len ? here : max_len;
}

enum dt_http_next relay_buffer_next(const struct relay_buffer *buffer, const void *bytes,
                                    size_t len, struct dt_http_span *span)
{
    if (len > 0) {
        *span = (struct dt_http_span){.mem = bytes, .len = len};
        return DT_HTTP_SPAN;
    }
    if (buffer->has_failed)
        return DT_HTTP_FAIL;
    return buffer->is_finished ? DT_HTTP_EOF : DT_HTTP_WAIT;
}
