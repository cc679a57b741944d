/*
 * cache/digester.c - the running digest of a blob that is being written; contract in
 * digester_priv.h.
 *
 * SHA-256 is the dearest thing that happens to a byte (0.6 s a gigabyte, as much as all the rest),
 * so it has a strand of its own: on another core it costs a first pull no time until the last byte,
 * which is withheld until the digest is known.
 */
#include "cache/digester_priv.h"

#include <errno.h>
#include <unistd.h>

#include "base/mem.h"

#define DIGESTER_CHUNK (1024 * 1024u)     /* read back at once */
#define DIGESTER_SLICE (8 * 1024 * 1024u) /* ... until others have their turn */

void digester_init(struct digester *digester, struct cache *cache, struct cache_blob *blob,
                   const _Atomic bool *is_cancelled)
{
    *digester = (struct digester){.cache = cache, .blob = blob, .is_cancelled = is_cancelled};
    digester->hasher = dt_hasher_new((enum dt_digest_algo)blob->digest.algo);
}

void digester_fini(struct digester *digester)
{
    dt_hasher_free(&digester->hasher);
    dt_free(&digester->scratch);
}

static bool is_dead(const struct digester *digester)
{
    return digester->err.code != 0 || atomic_load(digester->is_cancelled);
}

void digester_bytes(struct digester *digester, const void *bytes, size_t len)
{
    if (is_dead(digester))
        return;
    dt_hasher_update(digester->hasher, bytes, len);
    digester->hashed_bytes += len;
}

static ssize_t read_some(struct digester *digester, size_t len)
{
    ssize_t n;
    if (digester->scratch == NULL)
        digester->scratch = dt_calloc(1, DIGESTER_CHUNK);
    do
        n = pread(atomic_load(&digester->blob->fd), digester->scratch,
                  len < DIGESTER_CHUNK ? len : DIGESTER_CHUNK, (off_t)digester->hashed_bytes);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        return n;
    (void)cache_errno(digester->cache, &digester->err, n == 0 ? EIO : errno, /* 0: it was cut */
                      "read back", &digester->blob->digest);
    cache_blob_fail(digester->cache, digester->blob, &digester->err);
    return -1;
}

bool digester_read_back(struct digester *digester, uint64_t end)
{
    uint64_t slice_end = digester->hashed_bytes + DIGESTER_SLICE;
    if (slice_end > end)
        slice_end = end;
    while (!is_dead(digester) && digester->hashed_bytes < slice_end) {
        ssize_t n = read_some(digester, (size_t)(slice_end - digester->hashed_bytes));
        if (n > 0)
            digester_bytes(digester, digester->scratch, (size_t)n);
    }
    return !is_dead(digester) && digester->hashed_bytes < end;
}

int digester_compare(struct digester *digester, struct dt_err *err)
{
    struct dt_digest got;
    char name[13], got_name[13];
    const struct cache_blob *blob = digester->blob;
    if (digester->err.code != 0) {
        *err = digester->err;
        return -err->code;
    }
    dt_digest_short(name, &blob->digest);
    dt_hasher_final(digester->hasher, &got);
    if (digester->hashed_bytes != blob->size)
        return dt_err_set(err, DT_EMISMATCH, "blob %s: bytes are missing at %llu of %llu", name,
                          (unsigned long long)digester->hashed_bytes,
                          (unsigned long long)blob->size);
    if (!dt_digest_equal(&got, &blob->digest))
        return dt_err_set(err, DT_EMISMATCH, "blob %s: its bytes hash to %s; dropped", name,
                          dt_digest_short(got_name, &got));
    return 0;
}
