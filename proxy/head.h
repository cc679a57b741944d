/*
 * proxy/head.h - heads of answers that are known by their digest: manifests, and blobs whether they
 * come from the cache or past it. All on the request's loop.
 */
#ifndef DARTER_PROXY_HEAD_H
#define DARTER_PROXY_HEAD_H

#include "proxy/request.h"

/* The common headers, the digest and the ETag. */
void proxy_head_add_digest(struct proxy_request *, const struct dt_digest *);
/* Does If-None-Match name this very digest? */
bool proxy_head_is_not_modified(const struct proxy_request *, const struct dt_digest *);

/* All headers of the blob that the request names, but for Content-Range. */
void proxy_head_add_blob(struct proxy_request *);
/* [first, end) of `size` bytes follow, with status 206. */
void proxy_head_add_part(struct proxy_request *, uint64_t first, uint64_t end, uint64_t size);
/* Which bytes of the blob are wanted, judged by Range and If-Range (RFC 9110 13.1.5). */
struct dt_range proxy_head_range(const struct proxy_request *, uint64_t size);
/* Answers 416. The request, and what serves it, may be gone when this returns. */
void proxy_head_refuse_range(struct proxy_request *, uint64_t size);

#endif
