/*
 * transfer/blob_body.h - the bytes of a cached blob as the body of an answer: what clients and
 * nodes are served by.
 *
 *   (filled by the owner) -> next()* -> fini
 *
 * Whole blobs and those still being filled alike; file spans, so the kernel sends them. With a
 * limit it gives what the limit allows and wakes itself. It lives inside its owner, on the
 * request's loop.
 */
#ifndef DARTER_TRANSFER_BLOB_BODY_H
#define DARTER_TRANSFER_BLOB_BODY_H

#include "base/bucket.h"
#include "base/httpd.h"
#include "cache/reader.h"

struct blob_body {
    struct dt_http_req *req;     /* borrowed */
    struct cache_reader *reader; /* borrowed */
    uint64_t first, len;         /* bytes [first, first + len) of the blob */
    struct dt_bucket *limit;     /* borrowed; NULL = none */
    uint64_t paid;               /* of the body: the limit has let go so many bytes */
    struct dt_timer timer;
    struct dt_err err; /* after DT_HTTP_FAIL: why */
};

void blob_body_init(struct blob_body *, struct dt_http_req *, struct cache_reader *,
                    struct dt_bucket *limit);
/* As dt_http_body_ops.next(). */
enum dt_http_next blob_body_next(struct blob_body *, uint64_t off, size_t max_len,
                                 struct dt_http_span *span);
void blob_body_fini(struct blob_body *); /* harmless on zeroes */

#endif
