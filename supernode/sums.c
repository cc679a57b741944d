/*
 * supernode/sums.c - a table by digest that forgets the oldest. See sums.h.
 */
#include "supernode/sums.h"

#include <string.h>
#include <uthash.h>

#include "base/mem.h"

struct row {
    struct dt_digest digest; /* key */
    UT_hash_handle hh;       /* in the order of keeping */
    uint32_t piece_size, n;
    struct wire_sum sums[];
};

struct supernode_sums {
    struct row *rows; /* owned */
    uint64_t n_pieces;
};

static void drop(struct supernode_sums *sums, struct row *row)
{
    HASH_DEL(sums->rows, row);
    sums->n_pieces -= row->n;
    free(row);
}

static struct row *find(const struct supernode_sums *sums, const struct dt_digest *digest)
{
    struct row *row = NULL;
    HASH_FIND(hh, sums->rows, digest, sizeof(*digest), row);
    return row;
}

void supernode_sums_keep(struct supernode_sums **ref, const struct dt_digest *digest,
                         uint32_t piece_size, const struct wire_sum *sums, uint32_t n)
{
    if (n > SUPERNODE_SUMS_MAX)
        return;
    if (*ref == NULL)
        *ref = dt_new(struct supernode_sums);
    struct row *old = find(*ref, digest);
    if (old != NULL)
        drop(*ref, old);
    while ((*ref)->n_pieces + n > SUPERNODE_SUMS_MAX)
        drop(*ref, (*ref)->rows);
    struct row *row = dt_calloc(1, sizeof(*row) + n * sizeof(row->sums[0]));
    row->digest = *digest;
    row->piece_size = piece_size;
    row->n = n;
    memcpy(row->sums, sums, n * sizeof(row->sums[0]));
    HASH_ADD(hh, (*ref)->rows, digest, sizeof(row->digest), row);
    (*ref)->n_pieces += n;
}

bool supernode_sums_recall(struct wire_sum *out, uint32_t n, const struct supernode_sums *sums,
                           const struct dt_digest *digest, uint32_t piece_size)
{
    const struct row *row = sums != NULL ? find(sums, digest) : NULL;
    if (row == NULL || row->n != n || row->piece_size != piece_size)
        return false;
    memcpy(out, row->sums, n * sizeof(out[0]));
    return true;
}

void supernode_sums_free(struct supernode_sums **ref)
{
    struct row *row, *next;
    if (*ref == NULL)
        return;
    HASH_ITER (hh, (*ref)->rows, row, next)
        drop(*ref, row);
    dt_free(ref);
}
