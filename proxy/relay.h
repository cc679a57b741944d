/*
 * proxy/relay.h - answers that go from upstream to one client without the cache.
 *
 *   pass-through    what the cache does not keep: tags, catalog, referrers, unknown extensions, and
 *                   manifests in a type the cache does not hold
 *   stream-through  a blob while the cache cannot take it (full disk, unwritable, size unknown):
 *                   the digest is checked on the way, broken sources are replaced by Range, and
 *                   the last byte waits for the digest, as everywhere. Or the rest of one, when
 *                   the disk failed while it was sent (proxy/rescue.h)
 *
 * Memory per client: two buffers of RELAY_BUFFER_BYTES; a slow client slows his own fetch only.
 */
#ifndef DARTER_PROXY_RELAY_H
#define DARTER_PROXY_RELAY_H

#include "proxy/request.h"

/* Tags, catalog, referrers, unknown extensions: as they come. */
void proxy_relay_serve(struct proxy_request *);

/* Size of the blob, or UINT64_MAX when nobody has told it. The caller was permitted to read it. */
void proxy_relay_blob(struct proxy_request *, uint64_t size);

/* The rest of a blob's answer whose head and first bytes went out already, by another way. */
struct proxy_rest {
    uint64_t size;    /* of the blob */
    uint64_t at, end; /* these bytes of it are owed to the client */
};
struct relay_blob;
/* `*hasher` has taken [0, at) and is consumed; NULL where the answer ends before the blob does.
 * Freed by its owner, before the request ends. */
struct relay_blob *proxy_relay_rest(struct proxy_request *, const struct proxy_rest *,
                                    struct dt_hasher **hasher);
/* As next() of struct dt_http_body_ops; `off` counts from `at`. It wakes the request's body. */
enum dt_http_next proxy_relay_next(struct relay_blob *, uint64_t off, size_t max_len,
                                   struct dt_http_span *span);
void proxy_relay_free(struct relay_blob **); /* harmless on NULL */

#endif
