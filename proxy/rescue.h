/*
 * proxy/rescue.h - the rest of an answer when the cache's disk fails in the middle of its body.
 *
 *   the part that was sent is read again and hashed -> the rest comes from upstream -> the last
 * byte waits for the digest of both
 *
 * Belongs to one request, on its loop; the request must live for as long.
 */
#ifndef DARTER_PROXY_RESCUE_H
#define DARTER_PROXY_RESCUE_H

#include "cache/reader.h"
#include "proxy/request.h"

struct proxy_rescue;

/* `reader` has failed; bytes [first, at) of the blob went out from its file, [at, end) are still
 * owed. NULL: there is no way to know that the whole would be right, the body must be cut. */
struct proxy_rescue *proxy_rescue_new(struct proxy_request *, struct cache_reader *, uint64_t at,
                                      uint64_t end);
void proxy_rescue_free(struct proxy_rescue **); /* harmless on NULL */
/* As next() of struct dt_http_body_ops; `off` counts from the blob's first byte. */
enum dt_http_next proxy_rescue_next(struct proxy_rescue *, uint64_t off, size_t max_len,
                                    struct dt_http_span *span);

#endif
