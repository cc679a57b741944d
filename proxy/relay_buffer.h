/*
 * proxy/relay_buffer.h - two buffers between a fetch and a client: one is sent, one is filled.
 *
 * A value inside its owner, {0} at first. One loop. The owner gives bytes with _put(), hands spans
 * to the server with _span(), and holds back the last byte until it calls _finish().
 */
#ifndef DARTER_PROXY_RELAY_BUFFER_H
#define DARTER_PROXY_RELAY_BUFFER_H

#include "base/httpd.h"

#define RELAY_BUFFER_BYTES (256 * 1024u)

struct relay_half {
    char *bytes; /* owned */
    size_t len;
    uint64_t off; /* of its first byte in the body */
};
struct relay_buffer {
    struct relay_half sending, filling;
    bool is_finished; /* all bytes are here and may go, the last one too */
    bool has_failed;  /* nothing more will come: what is here may go, but for the last byte */
};

void relay_buffer_fini(struct relay_buffer *);
/* Takes all of it or nothing: false = no room, pause the fetch. A first put is always taken. */
bool relay_buffer_put(struct relay_buffer *, const void *bytes, size_t len);
void relay_buffer_finish(struct relay_buffer *);
void relay_buffer_fail(struct relay_buffer *);
/* Throws everything away (nothing was sent yet), to begin again. */
void relay_buffer_reset(struct relay_buffer *);
/* Bytes of the body put so far. */
uint64_t relay_buffer_total(const struct relay_buffer *);
/* How much can be sent at body offset `off`: *bytes points to it. 0 = nothing now. What lies before
 * `off` is released, so `*has_room` says whether a paused fetch may go on. */
size_t relay_buffer_span(struct relay_buffer *, uint64_t off, size_t max_len, const void **bytes,
                         bool *has_room);
/* The body's answer to the server, with what _span() gave. */
enum dt_http_next relay_buffer_next(const struct relay_buffer *, const void *bytes, size_t len,
                                    struct dt_http_span *span);

#endif
