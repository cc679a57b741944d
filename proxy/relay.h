/*
 * proxy/relay.h - answers that go from upstream to one client without the cache.
 *
 *   pass-through    what the cache does not keep: tags, catalog, referrers, unknown extensions, and
 *                   manifests in a type the cache does not hold
 *   stream-through  a blob while the cache cannot take it (full disk, unwritable, size unknown):
 *                   the digest is checked on the way, broken sources are replaced by Range, and
 *                   the last byte waits for the digest, as everywhere
 *
 * Memory per client: two buffers of RELAY_BUFFER_BYTES; a slow client slows his own fetch only.
 */
#ifndef DARTER_PROXY_RELAY_H
#define DARTER_PROXY_RELAY_H

#include "proxy/request.h"

/* Size of the blob, or UINT64_MAX when nobody has told it. The caller was permitted to read it. */
void proxy_relay_blob(struct proxy_request *, uint64_t size);

#endif
