/*
 * proxy/holdings.h - which whole blobs this node can give to others, and how that changes.
 *
 * A set of at most WIRE_HOLDINGS_MAX blobs, the most recently used ones, kept in digest order so
 * that two of them are compared in one pass. Values; pure but for holdings_read(), which asks the
 * cache page by page and belongs on the pool.
 */
#ifndef DARTER_PROXY_HOLDINGS_H
#define DARTER_PROXY_HOLDINGS_H

#include "base/wire/hello.h"
#include "cache/cache.h"

struct holdings {
    struct wire_holding *rows; /* owned; in digest order, each once */
    size_t n;
};

/* A row that is to be chosen from. */
struct holdings_candidate {
    struct wire_holding row;
    uint64_t used_ms;
};
/* Sorts `candidates` in place and keeps the last used ones. */
void holdings_choose(struct holdings *out, struct holdings_candidate *candidates, size_t n);
void holdings_fini(struct holdings *);
/* False when it was here already, or there is no room for more. */
bool holdings_add(struct holdings *, const struct wire_holding *);
bool holdings_has(const struct holdings *, const struct dt_digest *);

/* What a supernode was not told yet. */
struct holdings_news {
    struct wire_holding *have; /* owned */
    size_t n_have;
    struct dt_digest *lost; /* owned */
    size_t n_lost;
    bool is_full; /* too much, or nothing was ever told: the whole list instead */
};
void holdings_news_fini(struct holdings_news *);
void holdings_news_have(struct holdings_news *, const struct wire_holding *);
void holdings_news_lost(struct holdings_news *, const struct dt_digest *);
/* Adds everything that differs from `before` to `after`. */
void holdings_news_add(struct holdings_news *, const struct holdings *before,
                       const struct holdings *after);

/* Reads the list of sealed blobs of the cache. Waits for the disk. */
void holdings_read(struct holdings *out, struct cache *);

#endif
