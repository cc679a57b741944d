/*
 * base/digest.h - content digests, and the one door to OpenSSL's hashes.
 *
 * Text form: `<algorithm>:<lower-case hex>` (OCI image spec, "Digests"). sha256 and sha512 are the
 * registered algorithms and the only ones accepted. All functions are pure or touch only their
 * argument; any thread.
 */
#ifndef DARTER_BASE_DIGEST_H
#define DARTER_BASE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum dt_digest_algo { DT_SHA256 = 1, DT_SHA512 = 2 };

#define DT_DIGEST_RAW_MAX  64               /* sha512 */
#define DT_DIGEST_TEXT_MAX (7 + 2 * 64 + 1) /* "sha512:" + hex + NUL */

struct dt_digest {
    uint8_t algo;                   /* enum dt_digest_algo */
    uint8_t raw[DT_DIGEST_RAW_MAX]; /* unused tail is zero, so memcmp and hashing work */
};

/* Number of raw bytes: 32 or 64. */
size_t dt_digest_raw_len(const struct dt_digest *);
/* `text` need not be NUL-terminated. Errors: DT_EINVAL (unknown algorithm, length, upper case). */
int dt_digest_parse(struct dt_digest *out, const char *text, size_t len, struct dt_err *err);
/* Writes at most DT_DIGEST_TEXT_MAX bytes; returns out. */
char *dt_digest_format(char out[DT_DIGEST_TEXT_MAX], const struct dt_digest *);
/* "3f2a91c04b7e": 12 hex characters for log lines. Returns out. */
char *dt_digest_short(char out[13], const struct dt_digest *);
bool dt_digest_equal(const struct dt_digest *a, const struct dt_digest *b);
/* A well-mixed number of the digest, for hash tables and for choosing a home loop. */
uint64_t dt_digest_hash(const struct dt_digest *);

/* One-shot. */
void dt_digest_of(struct dt_digest *out, enum dt_digest_algo, const void *bytes, size_t len);

/* Streaming: new -> update* -> final. final() may be called once; free() always. */
struct dt_hasher;
struct dt_hasher *dt_hasher_new(enum dt_digest_algo);
void dt_hasher_update(struct dt_hasher *, const void *bytes, size_t len);
void dt_hasher_final(struct dt_hasher *, struct dt_digest *out);
void dt_hasher_free(struct dt_hasher **);

/* CRC-32C (Castagnoli); `crc` is 0 at the start, else the last result. Hardware where there is. */
uint32_t dt_crc32c(uint32_t crc, const void *bytes, size_t len);

/* 64 non-cryptographic bits of some bytes (FNV-1a, finalised), for tables that strangers cannot
 * aim at; keyed with a per-process random seed. */
uint64_t dt_hash_bytes(const void *bytes, size_t len);

#endif
