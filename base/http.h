/*
 * base/http.h - the small grammars of HTTP that both our server and our client need.
 *
 * Pure functions over text; any thread. Each parser has a fuzz target. Sources: RFC 9110 (fields,
 * Range 14.2, Content-Range 14.4, Retry-After 10.2.3, Accept 12.5.1), RFC 3986 (URL).
 */
#ifndef DARTER_BASE_HTTP_H
#define DARTER_BASE_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* One header field. Strings are borrowed by whoever receives the array. */
struct dt_header {
    const char *name;
    const char *value;
};

/* A Range header with one range, resolved against the size of the representation.
 *   NONE           no header, or one that must be ignored (other unit, bad syntax, several ranges):
 *                  answer 200 with everything (RFC 9110 14.2 allows ignoring)
 *   SATISFIABLE    answer 206 with [first, last]; last is clipped to size - 1
 *   UNSATISFIABLE  answer 416 with "bytes * / size": first >= size, first > last, or suffix 0  */
enum dt_range_kind { DT_RANGE_NONE, DT_RANGE_SATISFIABLE, DT_RANGE_UNSATISFIABLE };
struct dt_range {
    enum dt_range_kind kind;
    uint64_t first, last; /* inclusive, only when SATISFIABLE */
};
/* `value` may be NULL (no header). */
struct dt_range dt_range_parse(const char *value, uint64_t size);

/* "bytes a-b/size" or "bytes a-b/<star>" (then *size = UINT64_MAX). Errors: DT_EPROTO. */
int dt_content_range_parse(uint64_t *first, uint64_t *last, uint64_t *size, const char *value,
                           struct dt_err *err);

/* Retry-After: seconds or an HTTP date -> milliseconds from now; 0 when absent or unreadable;
 * clipped to `max_ms`. */
uint64_t dt_retry_after_parse(const char *value, uint64_t now_wall_ms, uint64_t max_ms);

/* Does an Accept value (already joined with ", ") admit `media_type`? Understands q=0, type/<star>
 * and <star>/<star>. NULL or empty admits everything. */
bool dt_accept_admits(const char *accept, const char *media_type);

/* A URL cut into its parts, all copied. */
#define DT_URL_MAX 8192
struct dt_url {
    char scheme[8]; /* "http" or "https"; nothing else is accepted */
    char host[256]; /* lower case; IPv6 without brackets */
    uint16_t port;  /* given, else the scheme's default */
    char *path;     /* owned; "/..." with the query; "/" when absent */
};
/* Errors: DT_EINVAL (userinfo, spaces, controls, bad host characters, port 0, too long). */
int dt_url_parse(struct dt_url *out, const char *text, struct dt_err *err);
void dt_url_fini(struct dt_url *);
/* scheme://host[:port], as an origin key; IPv6 bracketed. Returns out. */
char *dt_url_origin(char out[300], const struct dt_url *);

/* Percent-decoding of one path segment or query value; `out` is NUL-terminated.
 * Errors: DT_EINVAL (bad escape, NUL or control character, does not fit). */
int dt_percent_decode(char *out, size_t out_size, const char *text, size_t len, struct dt_err *err);
/* Escapes everything but unreserved characters (RFC 3986 2.3). Caller frees. */
char *dt_percent_encode(const char *text);
/* The value of `key` in a query string ("a=1&b=2", without '?'), decoded into out.
 * 1 = found, 0 = absent, negative = DT_EINVAL. */
int dt_query_get(char *out, size_t out_size, const char *query, const char *key,
                 struct dt_err *err);

/* "127.0.0.1:65001", "[::1]:80", "unix:/run/x.sock" (port 0 = any free one). */
struct dt_addr {
    char host[256]; /* numeric IPv4/IPv6, or "" for unix */
    uint16_t port;
    char unix_path[108]; /* "" unless unix */
};
int dt_addr_parse(struct dt_addr *out, const char *text, struct dt_err *err);
bool dt_addr_is_local(const struct dt_addr *); /* loopback or unix socket */
char *dt_addr_format(char out[300], const struct dt_addr *);

#endif
