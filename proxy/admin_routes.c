/*
 * proxy/admin_routes.c - the admin API's table of routes, and how a path finds its row.
 *
 * The table feeds the dispatcher, 405's Allow and the index at /v1. A new route: a row here, a
 * handler in admin_<noun>.c declared in admin_priv.h, a section in docs/api.md
 * (tests/lint/generated looks). Everything else in this file is pure.
 */
#include "proxy/admin_priv.h"

#include <inttypes.h>
#include <string.h>

#include "base/http.h"
#include "base/mem.h"

/* clang-format off */
const struct admin_route admin_routes[] = {
    {DT_GET, "/v1", ADMIN_ON_LOOP, false, admin_get_index,
     "This list."},
    {DT_GET, "/v1/cache", ADMIN_ON_POOL, false, admin_get_cache,
     "Usage and hit statistics, and one page of what is cached."},
    {DT_GET, "/v1/cache/scrub", ADMIN_ON_LOOP, false, admin_get_scrub,
     "How the last or running scrub went."},
    {DT_POST, "/v1/cache/scrub", ADMIN_ON_POOL, false, admin_post_scrub,
     "Starts to read and hash everything again; bad blobs are removed."},
    {DT_DELETE, "/v1/cache/scrub", ADMIN_ON_POOL, false, admin_delete_scrub,
     "Stops a running scrub."},
    {DT_GET, "/v1/cache/{digest}", ADMIN_ON_POOL, false, admin_get_blob,
     "One blob or manifest: its pieces and the repositories it belongs to."},
    {DT_DELETE, "/v1/cache/{digest}", ADMIN_ON_LOOP, false, admin_delete_blob,
     "Removes it; a pinned one is refused."},
    {DT_PUT, "/v1/cache/{digest}/pin", ADMIN_ON_LOOP, false, admin_put_pin,
     "Pins it: never evicted."},
    {DT_DELETE, "/v1/cache/{digest}/pin", ADMIN_ON_LOOP, false, admin_delete_pin,
     "Lets it be evicted again."},
    {DT_GET, "/v1/upstreams", ADMIN_ON_LOOP, false, admin_get_upstreams,
     "Registries and their endpoints: breaker, health numbers, last error."},
    {DT_GET, "/v1/tasks", ADMIN_ON_LOOP, false, admin_get_tasks,
     "Downloads that run now: progress, rate, bytes by source, waiting clients."},
    {DT_GET, "/v1/config", ADMIN_ON_LOOP, false, admin_get_config,
     "The options in effect; secrets are never shown."},
    {DT_GET, "/metrics", ADMIN_ON_POOL, false, admin_get_metrics,
     "Counters for Prometheus, text format 0.0.4."},
    {DT_GET, "/healthz", ADMIN_ON_LOOP, true, admin_get_health,
     "The process is alive."},
    {DT_GET, "/readyz", ADMIN_ON_LOOP, false, admin_get_ready,
     "It serves pulls; says degraded when the cache cannot be used, 503 while it drains."},
    {.pattern = NULL},
};
/* clang-format on */

static const struct {
    enum dt_http_method method;
    const char *name;
} method_names[] = {
    {DT_GET, "GET, HEAD"}, /* HEAD works wherever GET does */
    {DT_POST, "POST"},
    {DT_PUT, "PUT"},
    {DT_DELETE, "DELETE"},
};

/* The digest segment may come with its colon escaped. */
static int parse_digest(struct dt_digest *out, const char *segment, size_t len, struct dt_err *err)
{
    char text[DT_DIGEST_TEXT_MAX];
    if (dt_percent_decode(text, sizeof text, segment, len, err) < 0)
        return -DT_EINVAL;
    return dt_digest_parse(out, text, strlen(text), err);
}

/* Does `path` have the pattern's shape? *segment is what stands where {digest} does. */
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

void admin_route_match(struct admin_match *out, const struct admin_route *routes,
                       enum dt_http_method method, const char *path, size_t len)
{
    const char *pattern = NULL, *segment = NULL;
    size_t segment_len = 0;
    *out = (struct admin_match){.status = 404};
    if (method == DT_HEAD)
        method = DT_GET;
    for (; routes->pattern != NULL && out->route == NULL; routes++) {
        const char *here = NULL;
        size_t here_len = 0;
        if (!has_shape(routes->pattern, path, len, &here, &here_len))
            continue;
        /* The first pattern that fits decides: /v1/cache/scrub is never a digest. */
        if (pattern != NULL && strcmp(pattern, routes->pattern) != 0)
            continue;
        pattern = routes->pattern;
        segment = here;
        segment_len = here_len;
        add_allowed(out->allow, routes->method);
        if (routes->method == method)
            out->route = routes;
    }
    struct dt_err err = {0};
    if (pattern == NULL) {
        (void)dt_text_print(out->problem, sizeof out->problem,
                            "nothing is here; GET /v1 lists what there is");
    } else if (out->route == NULL) {
        out->status = 405;
        (void)dt_text_print(out->problem, sizeof out->problem, "%s allows %s", pattern, out->allow);
    } else if (segment != NULL && parse_digest(&out->digest, segment, segment_len, &err) < 0) {
        out->route = NULL;
        out->status = 400;
        (void)dt_text_print(out->problem, sizeof out->problem, "%s", err.msg);
    } else {
        out->status = 200;
    }
}

/* ---- the query of a list ---- */

static const struct {
    const char *word;
    int state;
} state_words[] = {{"any", -1}, {"sealed", CACHE_SEALED}, {"partial", CACHE_PARTIAL}};

static int parse_state(int *out, const char *text, struct dt_err *err)
{
    for (size_t i = 0; i < sizeof state_words / sizeof state_words[0]; i++) {
        if (strcmp(state_words[i].word, text) == 0) {
            *out = state_words[i].state;
            return 0;
        }
    }
    return dt_err_set(err, DT_EINVAL, "state: \"%.60s\" is not any, sealed or partial", text);
}

static int parse_pinned(int *out, const char *text, struct dt_err *err)
{
    *out = strcmp(text, "true") == 0;
    if (*out == 1 || strcmp(text, "false") == 0)
        return 0;
    return dt_err_set(err, DT_EINVAL, "pinned: \"%.60s\" is neither true nor false", text);
}

static int parse_limit(size_t *out, const char *text, struct dt_err *err)
{
    unsigned long long value;
    if (!dt_text_parse_u64(&value, text, strlen(text)) || value > ADMIN_PAGE_MAX)
        return dt_err_set(err, DT_EINVAL, "limit: \"%.60s\" is not a number from 0 to %d", text,
                          ADMIN_PAGE_MAX);
    *out = (size_t)value;
    return 0;
}

static int parse_names(struct admin_page *out, const char *query, struct dt_err *err)
{
    int has_upstream = dt_query_get(out->upstream, sizeof out->upstream, query, "upstream", err);
    int has_repository = has_upstream < 0 ? -1
                                          : dt_query_get(out->repository, sizeof out->repository,
                                                         query, "repository", err);
    if (has_upstream < 0 || has_repository < 0)
        return -DT_EINVAL;
    if (has_repository && !has_upstream)
        return dt_err_set(err, DT_EINVAL, "repository needs upstream beside it");
    if (has_upstream)
        out->filter.upstream = out->upstream;
    if (has_repository)
        out->filter.repository = out->repository;
    return 0;
}

int admin_page_parse(struct admin_page *out, const char *query, struct dt_err *err)
{
    char text[DT_DIGEST_TEXT_MAX];
    *out = (struct admin_page){.filter = {.state = -1, .pinned = -1}, .limit = ADMIN_PAGE_NORMAL};
    int found = dt_query_get(text, sizeof text, query, "limit", err);
    int rc = found > 0 ? parse_limit(&out->limit, text, err) : found;
    if (rc == 0) {
        found = dt_query_get(text, sizeof text, query, "state", err);
        rc = found > 0 ? parse_state(&out->filter.state, text, err) : found;
    }
    if (rc == 0) {
        found = dt_query_get(text, sizeof text, query, "pinned", err);
        rc = found > 0 ? parse_pinned(&out->filter.pinned, text, err) : found;
    }
    if (rc == 0) {
        found = dt_query_get(text, sizeof text, query, "after", err);
        rc = found > 0 ? dt_digest_parse(&out->after, text, strlen(text), err) : found;
        out->has_after = found > 0;
    }
    return rc == 0 ? parse_names(out, query, err) : rc;
}

char *admin_page_next(const struct admin_page *page, const struct dt_digest *last)
{
    struct dt_text text = {0};
    char digest[DT_DIGEST_TEXT_MAX];
    dt_text_addf(&text, "/v1/cache?limit=%zu", page->limit);
    for (size_t i = 1; i < sizeof state_words / sizeof state_words[0]; i++)
        if (state_words[i].state == page->filter.state)
            dt_text_addf(&text, "&state=%s", state_words[i].word);
    if (page->filter.pinned >= 0)
        dt_text_addf(&text, "&pinned=%s", page->filter.pinned ? "true" : "false");
    const char *names[] = {page->filter.upstream, page->filter.repository};
    const char *keys[] = {"upstream", "repository"};
    for (size_t i = 0; i < 2; i++) {
        if (names[i] == NULL)
            continue;
        char *escaped = dt_percent_encode(names[i]);
        dt_text_addf(&text, "&%s=%s", keys[i], escaped);
        free(escaped);
    }
    dt_text_addf(&text, "&after=%s", dt_digest_format(digest, last));
    return dt_text_take(&text);
}
