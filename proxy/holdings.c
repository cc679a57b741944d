/*
 * proxy/holdings.c - which whole blobs this node can give to others, and how that changes.
 *
 * While the cache is read, never more than two messages' worth of candidates are kept: a cache of a
 * million blobs costs time on the pool, and no memory.
 */
#include "proxy/holdings.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define HOLDINGS_PAGE 1000

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct dt_digest));
}

static int compare_rows(const void *a, const void *b)
{
    const struct wire_holding *left = a, *right = b;
    return compare_digests(&left->digest, &right->digest);
}

/* The last used first; a digest decides between equals, so that the choice is the same each time.
 */
static int compare_use(const void *a, const void *b)
{
    const struct holdings_candidate *left = a, *right = b;
    if (left->used_ms != right->used_ms)
        return left->used_ms > right->used_ms ? -1 : 1;
    return compare_rows(&left->row, &right->row);
}

void holdings_choose(struct holdings *out, struct holdings_candidate *candidates, size_t n)
{
    if (n > 0)
        qsort(candidates, n, sizeof *candidates, compare_use);
    if (n > WIRE_HOLDINGS_MAX)
        n = WIRE_HOLDINGS_MAX;
    out->rows = dt_new_array(struct wire_holding, WIRE_HOLDINGS_MAX);
    out->n = n;
    for (size_t i = 0; i < n; i++)
        out->rows[i] = candidates[i].row;
    if (n > 0)
        qsort(out->rows, n, sizeof *out->rows, compare_rows);
}

void holdings_fini(struct holdings *holdings)
{
    free(holdings->rows);
    *holdings = (struct holdings){0};
}

bool holdings_has(const struct holdings *holdings, const struct dt_digest *digest)
{
    struct wire_holding key = {.digest = *digest};
    return holdings->n > 0 &&
           bsearch(&key, holdings->rows, holdings->n, sizeof key, compare_rows) != NULL;
}

bool holdings_add(struct holdings *holdings, const struct wire_holding *row)
{
    size_t at = 0;
    if (holdings->n == WIRE_HOLDINGS_MAX || holdings_has(holdings, &row->digest))
        return false;
    if (holdings->rows == NULL)
        holdings->rows = dt_new_array(struct wire_holding, WIRE_HOLDINGS_MAX);
    while (at < holdings->n && compare_rows(&holdings->rows[at], row) < 0)
        at++;
    memmove(&holdings->rows[at + 1], &holdings->rows[at], (holdings->n - at) * sizeof *row);
    holdings->rows[at] = *row;
    holdings->n++;
    return true;
}

/* ---- news ---- */

void holdings_news_fini(struct holdings_news *news)
{
    free(news->have);
    free(news->lost);
    *news = (struct holdings_news){0};
}

static void give_up_counting(struct holdings_news *news)
{
    holdings_news_fini(news);
    news->is_full = true;
}

void holdings_news_have(struct holdings_news *news, const struct wire_holding *row)
{
    if (news->is_full)
        return;
    if (news->n_have == WIRE_HOLDINGS_MAX) {
        give_up_counting(news);
        return;
    }
    news->have = dt_realloc(news->have, (news->n_have + 1) * sizeof *news->have);
    news->have[news->n_have++] = *row;
}

void holdings_news_lost(struct holdings_news *news, const struct dt_digest *digest)
{
    if (news->is_full)
        return;
    if (news->n_lost == WIRE_HOLDINGS_MAX) {
        give_up_counting(news);
        return;
    }
    news->lost = dt_realloc(news->lost, (news->n_lost + 1) * sizeof *news->lost);
    news->lost[news->n_lost++] = *digest;
}

void holdings_news_add(struct holdings_news *news, const struct holdings *before,
                       const struct holdings *after)
{
    size_t i = 0, j = 0;
    while (i < before->n || j < after->n) {
        int order = i == before->n  ? 1
                    : j == after->n ? -1
                                    : compare_rows(&before->rows[i], &after->rows[j]);
        if (order < 0)
            holdings_news_lost(news, &before->rows[i].digest);
        if (order > 0)
            holdings_news_have(news, &after->rows[j]);
        i += order <= 0;
        j += order >= 0;
    }
}

/* ---- the cache ---- */

void holdings_read(struct holdings *out, struct cache *cache)
{
    const size_t most = 2 * WIRE_HOLDINGS_MAX;
    const struct cache_filter filter = {.state = CACHE_SEALED, .pinned = -1};
    struct holdings_candidate *rows = dt_new_array(struct holdings_candidate, most);
    struct dt_digest after;
    size_t n = 0, n_page = HOLDINGS_PAGE;
    for (bool is_first = true; n_page == HOLDINGS_PAGE; is_first = false) {
        struct cache_entry *page = NULL;
        n_page = 0;
        /* A cache that cannot be read has nothing to give. */
        if (cache_list(&page, &n_page, cache, &filter, is_first ? NULL : &after, HOLDINGS_PAGE,
                       NULL) < 0)
            break;
        for (size_t i = 0; i < n_page; i++) {
            after = page[i].digest;
            if (page[i].is_object)
                continue;
            if (n == most) {
                qsort(rows, n, sizeof *rows, compare_use);
                n = WIRE_HOLDINGS_MAX;
            }
            rows[n++] =
                (struct holdings_candidate){{page[i].digest, page[i].size}, page[i].used_ms};
        }
        free(page);
    }
    holdings_choose(out, rows, n);
    free(rows);
}
