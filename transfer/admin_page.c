/*
 * transfer/admin_page.c - what part of the cache's list is asked for, and where the next part is.
 *
 * Pure. A new filter: a field of struct transfer_admin_page, a line in both functions, docs/api.md.
 */
#include "transfer/admin_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/http.h"

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
    if (!dt_text_parse_u64(&value, text, strlen(text)) || value > TRANSFER_ADMIN_PAGE_MAX)
        return dt_err_set(err, DT_EINVAL, "limit: \"%.60s\" is not a number from 0 to %d", text,
                          TRANSFER_ADMIN_PAGE_MAX);
    *out = (size_t)value;
    return 0;
}

static int parse_names(struct transfer_admin_page *out, const char *query, struct dt_err *err)
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

int transfer_admin_page_parse(struct transfer_admin_page *out, const char *query,
                              struct dt_err *err)
{
    char text[DT_DIGEST_TEXT_MAX];
    *out = (struct transfer_admin_page){.filter = {.state = -1, .pinned = -1},
                                        .limit = TRANSFER_ADMIN_PAGE_NORMAL};
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

char *transfer_admin_page_next(const struct transfer_admin_page *page, const struct dt_digest *last)
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
