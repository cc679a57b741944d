/*
 * cache/index_key.c - the keys of the index's databases. Pure; documented in
 * docs/internals/cache.md.
 *
 * Digests sort as bytes, times big-endian so that LMDB's order is the order of time. Names from the
 * network may be longer than LMDB's 511 bytes and are hashed; their text is repeated in the value.
 */
#include "cache/index_priv.h"

#include <string.h>

struct index_slice index_key_slice(const struct index_key *key)
{
    return (struct index_slice){key->bytes, key->len};
}

static void key_add(struct index_key *key, const void *bytes, size_t len)
{
    DT_ASSERT(len <= sizeof(key->bytes) - key->len);
    memcpy(key->bytes + key->len, bytes, len);
    key->len += len;
}

void index_key_digest(struct index_key *out, const struct dt_digest *digest)
{
    out->len = 0;
    key_add(out, &digest->algo, 1);
    key_add(out, digest->raw, dt_digest_raw_len(digest));
}

bool index_key_to_digest(struct dt_digest *out, struct index_slice key)
{
    *out = (struct dt_digest){0};
    if (key.len < 1)
        return false;
    out->algo = *(const uint8_t *)key.data;
    if (out->algo != DT_SHA256 && out->algo != DT_SHA512)
        return false;
    if (key.len != 1 + dt_digest_raw_len(out))
        return false;
    memcpy(out->raw, (const uint8_t *)key.data + 1, key.len - 1);
    return true;
}

void index_key_order(struct index_key *out, uint64_t used_ms, const struct dt_digest *digest)
{
    struct index_key digest_key;
    index_key_digest(&digest_key, digest);
    uint8_t big_endian[8];
    for (size_t i = 0; i < sizeof(big_endian); i++)
        big_endian[i] = (uint8_t)(used_ms >> (56 - 8 * i));
    out->len = 0;
    key_add(out, big_endian, sizeof(big_endian));
    key_add(out, digest_key.bytes, digest_key.len);
}

static void key_add_names(struct index_key *out, const char *const *names, size_t n)
{
    struct dt_digest hash;
    struct dt_hasher *hasher = dt_hasher_new(DT_SHA256);
    for (size_t i = 0; i < n; i++) /* with the NUL: "a","bc" is not "ab","c" */
        dt_hasher_update(hasher, names[i], strlen(names[i]) + 1);
    dt_hasher_final(hasher, &hash);
    dt_hasher_free(&hasher);
    key_add(out, hash.raw, 32);
}

void index_key_names(struct index_key *out, const char *const *names, size_t n)
{
    out->len = 0;
    key_add_names(out, names, n);
}

void index_key_link(struct index_key *out, const struct dt_digest *digest, const char *upstream,
                    const char *repository)
{
    const char *const names[] = {upstream, repository};
    index_key_digest(out, digest);
    key_add_names(out, names, 2);
}
