/*
 * base/wire/rendezvous.c - whose blob is it: highest random weight (Thaler and Ravishankar, 1998).
 *
 * The weight of a name for a digest is SHA-256 of the digest's text, a NUL and the name: the same
 * in every process and every program, unlike the seeded hashes of base/digest.h. When a name goes,
 * only its blobs move. Pure.
 */
#include "base/wire/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void weigh(struct dt_digest *out, const char *digest_text, const char *name)
{
    struct dt_hasher *hasher = dt_hasher_new(DT_SHA256);
    dt_hasher_update(hasher, digest_text, strlen(digest_text) + 1); /* with its NUL */
    dt_hasher_update(hasher, name, strlen(name));
    dt_hasher_final(hasher, out);
    dt_hasher_free(&hasher);
}

void wire_rendezvous(size_t *order, const struct dt_digest *digest, const char *const *names,
                     size_t n)
{
    struct dt_digest *weights = dt_new_array(struct dt_digest, n > 0 ? n : 1);
    char text[DT_DIGEST_TEXT_MAX];

    dt_digest_format(text, digest);
    for (size_t i = 0; i < n; i++) {
        size_t pos = i;
        weigh(&weights[i], text, names[i]);
        /* Insertion: a site has a handful of supernodes. Equal names keep their order. */
        for (; pos > 0 && memcmp(weights[order[pos - 1]].raw, weights[i].raw, 32) < 0; pos--)
            order[pos] = order[pos - 1];
        order[pos] = i;
    }
    free(weights);
}
