/*
 * base/key.h - the cluster key: what makes a node one of ours. The door to OpenSSL's MAC and AEAD.
 *
 *   load -> (sign | check | seal | open)* , reload* -> free
 *
 * A key file has one secret per line, at least DT_KEY_MIN characters; blank lines and lines that
 * begin with # are passed over. The first key signs and seals; all of them are accepted: so a key
 * is rotated by adding the new one as second everywhere, then swapping the two everywhere, then
 * removing the old one. Every use has a key of its own, derived from the secret
 * (HKDF-SHA-256, RFC 5869), so that a ticket can never pass as a request.
 *
 * Any thread; a reload swaps the whole set under a lock that is held for a pointer only.
 */
#ifndef DARTER_BASE_KEY_H
#define DARTER_BASE_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DT_KEY_MIN      16 /* characters of a secret */
#define DT_KEY_LINE_MAX 512
#define DT_KEYS_MAX     4
#define DT_SEAL_MAX     (48 * 1024u) /* bytes of a plain text */
/* "k3f2a91c.0123456789abcdef0123456789abcdef" : key id, 16 bytes of HMAC-SHA-256 in hex, NUL */
#define DT_MAC_TEXT_MAX 44

/*  use            what it protects */
#define DT_KEY_USES(X)                                                                             \
    X(DT_KEY_REQUEST, "request") /* node -> supernode, supernode -> supernode */                   \
    X(DT_KEY_REPLY, "reply")                                                                       \
    X(DT_KEY_TICKET, "ticket")
enum dt_key_use {
#define X(name, word) name,
    DT_KEY_USES(X)
#undef X
        DT_KEY_USE_END
};

struct dt_keys;

/* Errors: DT_EINVAL (unreadable, a secret too short or too long, none, too many), with the line. A
 * file that others than its owner may read is refused. */
int dt_keys_load(struct dt_keys **out, const char *file, struct dt_err *err);
/* The same from memory; such keys cannot be reloaded. */
int dt_keys_parse(struct dt_keys **out, const char *text, size_t len, struct dt_err *err);
/* Reads the same file again; on failure the old keys stay. */
int dt_keys_reload(struct dt_keys *, struct dt_err *err);
#define DT_KEYS_TEXT_MAX 48
/* "k3f2a91c k04b7e55": ids, no secrets; the first one signs. */
const char *dt_keys_print(char out[DT_KEYS_TEXT_MAX], struct dt_keys *);
void dt_keys_free(struct dt_keys **); /* harmless on NULL */

struct dt_key_part {
    const void *bytes;
    size_t len;
};
/* MAC of the parts, each with its length, so that no boundary can be moved. */
void dt_keys_sign(char out[DT_MAC_TEXT_MAX], struct dt_keys *, enum dt_key_use,
                  const struct dt_key_part *parts, size_t n);
/* Constant time. Errors: DT_EDENIED (unknown key, wrong MAC, malformed). */
int dt_keys_check(struct dt_keys *, enum dt_key_use, const char *mac,
                  const struct dt_key_part *parts, size_t n, struct dt_err *err);

/* AES-256-GCM with a random nonce; `context` is authenticated, not hidden. Returns base64url text;
 * caller frees. `plain` has at most DT_SEAL_MAX bytes (asserted). */
char *dt_keys_seal(struct dt_keys *, const char *context, const char *plain);
/* *out is NUL-terminated and owned: dt_free_secret(). Errors: DT_EDENIED. */
int dt_keys_open(char **out, struct dt_keys *, const char *context, const char *sealed,
                 struct dt_err *err);

/* Random bytes for ids, nonces and seeds. */
void dt_random_bytes(void *out, size_t len);

#endif
