/*
 * proxy/head.c - see head.h.
 *
 * A validator of ours is the digest in quotes. Harbor sends it bare; both are understood. A list or
 * a weak tag is not looked into: answering in full is always right.
 */
#include "proxy/head.h"

#include <string.h>

#include "base/http.h"

#define BLOB_CACHE_CONTROL "max-age=31536000, immutable" /* content-addressed: never changes */

static bool names_digest(const char *value, const struct dt_digest *digest)
{
    char text[DT_DIGEST_TEXT_MAX];
    size_t len = strlen(dt_digest_format(text, digest));
    if (value[0] == '"')
        return strncmp(value + 1, text, len) == 0 && strcmp(value + 1 + len, "\"") == 0;
    return strcmp(value, text) == 0;
}

bool proxy_head_is_not_modified(const struct proxy_request *request, const struct dt_digest *digest)
{
    const char *value = dt_http_header(request->http, "if-none-match");
    return value != NULL && names_digest(value, digest);
}

void proxy_head_add_digest(struct proxy_request *request, const struct dt_digest *digest)
{
    char text[DT_DIGEST_TEXT_MAX];
    dt_digest_format(text, digest);
    proxy_request_add_common_headers(request);
    dt_http_add_header(request->http, "Docker-Content-Digest", text);
    dt_http_add_headerf(request->http, "ETag", "\"%s\"", text);
}

void proxy_head_add_blob(struct proxy_request *request)
{
    proxy_head_add_digest(request, &request->route.path.reference.digest);
    dt_http_add_header(request->http, "Content-Type", "application/octet-stream");
    dt_http_add_header(request->http, "Accept-Ranges", "bytes");
    dt_http_add_header(request->http, "Cache-Control", BLOB_CACHE_CONTROL);
}

void proxy_head_add_part(struct proxy_request *request, uint64_t first, uint64_t end, uint64_t size)
{
    dt_http_add_headerf(request->http, "Content-Range", "bytes %llu-%llu/%llu",
                        (unsigned long long)first, (unsigned long long)end - 1,
                        (unsigned long long)size);
}

struct dt_range proxy_head_range(const struct proxy_request *request, uint64_t size)
{
    const char *if_range = dt_http_header(request->http, "if-range");
    if (if_range != NULL && !names_digest(if_range, &request->route.path.reference.digest))
        return (struct dt_range){.kind = DT_RANGE_NONE};
    return dt_range_parse(dt_http_header(request->http, "range"), size);
}

void proxy_head_refuse_range(struct proxy_request *request, uint64_t size)
{
    struct dt_err err = {0};
    dt_err_set(&err, DT_ERANGE, "the blob has %llu bytes", (unsigned long long)size);
    dt_http_add_headerf(request->http, "Content-Range", "bytes */%llu", (unsigned long long)size);
    proxy_request_fail(request, &err, NULL);
}
