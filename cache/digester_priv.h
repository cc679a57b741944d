/*
 * cache/digester_priv.h - the running digest of a blob that is being written: on its own strand.
 *
 *   (bytes | read_back)* -> compare
 *
 * It follows the store (store_priv.h), which writes on another strand: bytes are in the file, and
 * with the readers, while they are being hashed. What came in order is hashed from the buffer it
 * was written from, what was written out of order is read back. Everything in the struct belongs
 * to the digester's strand.
 */
#ifndef DARTER_CACHE_DIGESTER_PRIV_H
#define DARTER_CACHE_DIGESTER_PRIV_H

#include "cache/cache_priv.h"

struct digester {
    struct cache *cache;
    struct cache_blob *blob; /* borrowed from the writer */
    const _Atomic bool *is_cancelled;
    struct dt_hasher *hasher; /* owned; has seen [0, hashed_bytes) */
    uint64_t hashed_bytes;
    uint8_t *scratch;  /* owned; for reading back */
    struct dt_err err; /* code != 0: the file cannot be read; readers were failed at once */
};

void digester_init(struct digester *, struct cache *, struct cache_blob *,
                   const _Atomic bool *is_cancelled);
void digester_fini(struct digester *);
/* The next bytes. */
void digester_bytes(struct digester *, const void *bytes, size_t len);
/* Hashes from the file what is missing before `end`, which must be written; a slice at a time:
 * true = there is more to do. */
bool digester_read_back(struct digester *, uint64_t end);
/* The end: 0, or DT_EMISMATCH (also: bytes are missing), or why the file could not be read. */
int digester_compare(struct digester *, struct dt_err *err);

#endif
