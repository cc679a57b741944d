/*
 * proxy/grant.c - the grant table of one repository, and reading `exp` out of a bearer token.
 *
 * A plain array, searched from the start: it is short, and most repositories on a node have two or
 * three callers. Pure; a table belongs to one thread at a time.
 */
#include "proxy/grant.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/digest.h"
#include "base/mem.h"

#define TOKEN_PAYLOAD_MAX (16 * 1024u) /* longer ones simply live for ttl_ms */

struct proxy_grant_key proxy_grant_key_of(const char *authorization)
{
    struct proxy_grant_key key = {{0}};
    struct dt_digest digest;

    if (authorization != NULL && authorization[0] != '\0') {
        dt_digest_of(&digest, DT_SHA256, authorization, strlen(authorization));
        memcpy(key.raw, digest.raw, sizeof(key.raw));
    }
    return key;
}

bool proxy_grant_key_equal(const struct proxy_grant_key *a, const struct proxy_grant_key *b)
{
    return memcmp(a->raw, b->raw, sizeof(a->raw)) == 0;
}

/* ---- exp ---- */

/* A decimal number at text, at most 18 digits; 0 when there is none or it goes on in another way.
 */
static uint64_t number_read(const char *text, const char *end)
{
    uint64_t value = 0;
    unsigned n = 0;

    for (; text < end && *text >= '0' && *text <= '9' && n < 18; text++, n++)
        value = value * 10 + (uint64_t)(*text - '0');
    /* "1.7e9" is a number too, which nobody writes: no exp then. A plain fraction is fine. */
    if (text < end && strchr("eE0123456789", *text) != NULL)
        return 0;
    if (text < end && *text == '.')
        for (text++; text < end && strchr("]}, \t\r\n", *text) == NULL; text++)
            if (*text == 'e' || *text == 'E')
                return 0;
    return value;
}

static const char *string_end(const char *quote, const char *end)
{
    const char *c = quote + 1;
    while (c < end && *c != '"')
        c += *c == '\\' && c + 1 < end ? 2 : 1;
    return c < end ? c : end;
}

static const char *blank_skip(const char *c, const char *end)
{
    while (c < end && strchr(" \t\r\n", *c) != NULL && *c != '\0')
        c++;
    return c;
}

/* The number behind the key "exp" of the outermost object, 0 = none. Not a JSON parser: whatever
 * it misreads only makes a grant shorter or as long as any other. */
static uint64_t exp_find(const char *json, size_t len)
{
    const char *end = json + len;
    int depth = 0;

    for (const char *c = json; c < end; c++) {
        if (*c == '{' || *c == '[')
            depth++;
        else if (*c == '}' || *c == ']')
            depth--;
        if (*c != '"')
            continue;
        const char *close = string_end(c, end);
        bool is_exp = depth == 1 && close - c == 4 && memcmp(c + 1, "exp", 3) == 0;
        c = close;
        if (!is_exp || close == end)
            continue;
        const char *colon = blank_skip(close + 1, end);
        if (colon < end && *colon == ':')
            return number_read(blank_skip(colon + 1, end), end);
    }
    return 0;
}

/* Seconds since 1970, 0 = unknown. */
static uint64_t token_exp(const char *authorization)
{
    uint64_t exp = 0;

    if (authorization == NULL || strncasecmp(authorization, "bearer ", 7) != 0)
        return 0;
    const char *dot = strchr(authorization + 7, '.');
    const char *dot2 = dot != NULL ? strchr(dot + 1, '.') : NULL;
    if (dot2 == NULL || (size_t)(dot2 - dot) > TOKEN_PAYLOAD_MAX)
        return 0;
    /* Without padding (RFC 7515, section 2); what is not that has no `exp`. */
    size_t text_len = (size_t)(dot2 - dot - 1), len = text_len * 3 / 4;
    char *json = dt_calloc(len + 1, 1);
    if (dt_base64url_decode(json, len, dot + 1, text_len))
        exp = exp_find(json, len);
    explicit_bzero(json, len); /* claims name people */
    free(json);
    return exp;
}

uint64_t proxy_grant_life_ms(const char *authorization, uint64_t wall_ms, uint64_t ttl_ms)
{
    uint64_t exp = token_exp(authorization), left;

    if (exp == 0 || exp > UINT64_MAX / 1000)
        return ttl_ms;
    left = exp * 1000 > wall_ms ? exp * 1000 - wall_ms : 0;
    return left < ttl_ms ? left : ttl_ms;
}

/* ---- the table ---- */

static struct proxy_grant *grant_find(const struct proxy_grants *grants,
                                      const struct proxy_grant_key *key)
{
    for (size_t i = 0; i < grants->n; i++)
        if (proxy_grant_key_equal(&grants->items[i].key, key))
            return &grants->items[i];
    return NULL;
}

static uint64_t later(uint64_t now_ms, uint64_t by_ms)
{
    return by_ms > UINT64_MAX - now_ms ? UINT64_MAX : now_ms + by_ms;
}

enum proxy_grant_state proxy_grants_look(const struct proxy_grants *grants,
                                         const struct proxy_grant_key *key, uint64_t now_ms)
{
    const struct proxy_grant *grant = grant_find(grants, key);

    if (grants->public_until_ms > now_ms || (grant != NULL && grant->until_ms > now_ms))
        return PROXY_GRANT_VALID;
    if (grants->public_grace_until_ms > now_ms || (grant != NULL && grant->grace_until_ms > now_ms))
        return PROXY_GRANT_GRACE;
    return PROXY_GRANT_NONE;
}

/* The place for a new grant: one that ended, else a new one, else that of whoever ends first. */
static struct proxy_grant *grant_place(struct proxy_grants *grants, uint64_t now_ms)
{
    struct proxy_grant *first = NULL;

    for (size_t i = 0; i < grants->n; i++)
        if (first == NULL || grants->items[i].grace_until_ms < first->grace_until_ms)
            first = &grants->items[i];
    if (first != NULL && (first->grace_until_ms <= now_ms || grants->n == PROXY_GRANTS_MAX))
        return first;
    if ((grants->n & (grants->n - 1)) == 0) { /* a power of two, or 0: full */
        size_t capacity = grants->n > 0 ? 2 * grants->n : 1;
        grants->items = dt_realloc(grants->items, capacity * sizeof(grants->items[0]));
    }
    return &grants->items[grants->n++];
}

void proxy_grants_add(struct proxy_grants *grants, const struct proxy_grant_key *key,
                      uint64_t now_ms, uint64_t life_ms, uint64_t grace_ms)
{
    struct proxy_grant *grant = grant_find(grants, key);

    if (grant == NULL)
        grant = grant_place(grants, now_ms);
    grant->key = *key;
    grant->until_ms = later(now_ms, life_ms);
    grant->grace_until_ms = later(grant->until_ms, grace_ms);
}

void proxy_grants_forget(struct proxy_grants *grants, const struct proxy_grant_key *key)
{
    struct proxy_grant *grant = grant_find(grants, key);
    if (grant != NULL) /* stays as a place; both times over */
        grant->until_ms = grant->grace_until_ms = 0;
}

void proxy_grants_set_public(struct proxy_grants *grants, uint64_t now_ms, uint64_t life_ms,
                             uint64_t grace_ms)
{
    grants->public_until_ms = later(now_ms, life_ms);
    grants->public_grace_until_ms = later(grants->public_until_ms, grace_ms);
}

void proxy_grants_forget_public(struct proxy_grants *grants)
{
    grants->public_until_ms = grants->public_grace_until_ms = 0;
}

void proxy_grants_fini(struct proxy_grants *grants)
{
    free(grants->items);
    *grants = (struct proxy_grants){0};
}
