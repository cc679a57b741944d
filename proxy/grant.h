/*
 * proxy/grant.h - who was allowed to read one repository, and until when. Pure.
 *
 *   none -> valid (asked upstream, said yes) -> grace (only while upstream is away) -> none
 *
 * A grant is keyed by the SHA-256 of the caller's Authorization header; anonymous callers share one
 * key. What an anonymous caller may read, everybody may: that is the public half of the table. It
 * belongs to its repository's loop; times are arguments, monotonic milliseconds.
 */
#ifndef DARTER_PROXY_GRANT_H
#define DARTER_PROXY_GRANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_GRANTS_MAX 128 /* per repository; the one that ends first makes room */

struct proxy_grant_key {
    uint8_t raw[32]; /* all zero = anonymous */
};
/* `authorization` NULL or "" = anonymous. */
struct proxy_grant_key proxy_grant_key_of(const char *authorization);
bool proxy_grant_key_equal(const struct proxy_grant_key *, const struct proxy_grant_key *);

/* How long a yes to this header may be remembered: ttl_ms, or less when it is a JWT that says `exp`
 * (RFC 7519 4.1.4). The token is not verified: upstream did that, and exp can only shorten. */
uint64_t proxy_grant_life_ms(const char *authorization, uint64_t wall_ms, uint64_t ttl_ms);

struct proxy_grant {
    struct proxy_grant_key key;
    uint64_t until_ms, grace_until_ms;
};
struct proxy_grants {          /* starts as {0} */
    struct proxy_grant *items; /* owned */
    size_t n;
    uint64_t public_until_ms, public_grace_until_ms;
};
void proxy_grants_fini(struct proxy_grants *);

enum proxy_grant_state { PROXY_GRANT_NONE, PROXY_GRANT_GRACE, PROXY_GRANT_VALID };
enum proxy_grant_state proxy_grants_look(const struct proxy_grants *,
                                         const struct proxy_grant_key *, uint64_t now_ms);
/* Valid for life_ms from now, in grace for grace_ms more. */
void proxy_grants_add(struct proxy_grants *, const struct proxy_grant_key *, uint64_t now_ms,
                      uint64_t life_ms, uint64_t grace_ms);
void proxy_grants_forget(struct proxy_grants *, const struct proxy_grant_key *);

/* An anonymous reader was let in. */
void proxy_grants_set_public(struct proxy_grants *, uint64_t now_ms, uint64_t life_ms,
                             uint64_t grace_ms);
void proxy_grants_forget_public(struct proxy_grants *);

#endif
