/*
 * base/admin_route.c - how a path of the admin API finds its row.
 *
 * The tables feed the dispatcher, 405's Allow and the list of routes at /v1. Pure.
 */
#include "base/admin.h"

#include <string.h>

#include "base/http.h"

static const struct {
    enum dt_http_method method;
    const char *name;
} method_names[] = {
    {DT_GET, "GET, HEAD"}, /* HEAD works wherever GET does */
    {DT_POST, "POST"},
    {DT_PUT, "PUT"},
    {DT_DELETE, "DELETE"},
};

/* What stands in the braces, its escapes decoded (the colon of a digest may come as %3A). */
static int parse_segment(struct dt_admin_match *out, const char *pattern, const char *segment,
                         size_t len, struct dt_err *err)
{
    if (dt_percent_decode(out->name, sizeof out->name, segment, len, err) < 0)
        return -DT_EINVAL;
    if (strstr(pattern, "{digest}") == NULL)
        return 0;
    return dt_digest_parse(&out->digest, out->name, strlen(out->name), err);
}

/* Does `path` have the pattern's shape? *segment is what stands where the braces are. */
static bool has_shape(const char *pattern, const char *path, size_t len, const char **segment,
                      size_t *segment_len)
{
    const char *end = path + len;
    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (path == end || *path++ != *pattern++)
                return false;
            continue;
        }
        pattern = strchr(pattern, '}') + 1;
        *segment = path;
        while (path < end && *path != '/')
            path++;
        *segment_len = (size_t)(path - *segment);
        if (*segment_len == 0)
            return false;
    }
    return path == end;
}

static void add_allowed(char allow[64], enum dt_http_method method)
{
    for (size_t i = 0; i < sizeof method_names / sizeof method_names[0]; i++) {
        size_t used = strlen(allow);
        if (method_names[i].method == method)
            (void)dt_text_print(allow + used, 64 - used, "%s%s", used > 0 ? ", " : "",
                                method_names[i].name);
    }
}

/* The first pattern that fits, and what stands in its braces. */
struct shape {
    const char *pattern; /* NULL = none yet */
    const char *segment; /* NULL = the pattern has no braces */
    size_t segment_len;
};

static void match_row(struct dt_admin_match *out, struct shape *first,
                      const struct dt_admin_route *row, enum dt_http_method method,
                      const char *path, size_t len)
{
    struct shape here = {.pattern = row->pattern};
    if (!has_shape(row->pattern, path, len, &here.segment, &here.segment_len))
        return;
    /* The first pattern that fits decides: /v1/cache/scrub is never a digest. */
    if (first->pattern != NULL && strcmp(first->pattern, row->pattern) != 0)
        return;
    *first = here;
    add_allowed(out->allow, row->method);
    if (row->method == method)
        out->route = row;
}

void dt_admin_route_match(struct dt_admin_match *out, dt_admin_tables tables,
                          enum dt_http_method method, const char *path, size_t len)
{
    struct shape first = {0};
    struct dt_err err = {0};
    *out = (struct dt_admin_match){.status = 404};
    if (method == DT_HEAD)
        method = DT_GET;
    for (; *tables != NULL; tables++)
        for (const struct dt_admin_route *row = *tables; row->pattern != NULL && out->route == NULL;
             row++)
            match_row(out, &first, row, method, path, len);
    if (first.pattern == NULL) {
        (void)dt_text_print(out->problem, sizeof out->problem,
                            "nothing is here; GET /v1 lists what there is");
    } else if (out->route == NULL) {
        out->status = 405;
        (void)dt_text_print(out->problem, sizeof out->problem, "%s allows %s", first.pattern,
                            out->allow);
    } else if (first.segment != NULL &&
               parse_segment(out, first.pattern, first.segment, first.segment_len, &err) < 0) {
        out->route = NULL;
        out->status = 400;
        (void)dt_text_print(out->problem, sizeof out->problem, "%s", err.msg);
    } else {
        out->status = 200;
    }
}
