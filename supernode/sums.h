/*
 * supernode/sums.h - sums of the pieces of blobs that were verified here, kept after their tasks.
 *
 *   task forgotten -> kept -> recalled by the blob's next task | the oldest are dropped
 *
 * A node that takes a piece without a sum has to wait for the digest of the whole before it may
 * show a byte. So the sums outlive their task, and the blob too: what a digest stands for never
 * changes. Not kept over a restart: then the file is read again.
 *
 * One for each loop, on its thread alone.
 */
#ifndef DARTER_SUPERNODE_SUMS_H
#define DARTER_SUPERNODE_SUMS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/wire/wire.h"

#define SUPERNODE_SUMS_MAX (256 * 1024u) /* pieces of all blobs: 4 MiB */

struct supernode_sums; /* NULL is an empty one */

/* Copies; what was kept for this digest is replaced, what is older than all that fits is dropped.
 * `n` > 0; more than SUPERNODE_SUMS_MAX are not kept. */
void supernode_sums_keep(struct supernode_sums **, const struct dt_digest *, uint32_t piece_size,
                         const struct wire_sum *sums, uint32_t n);
/* Fills out[n]; false = nothing is known of a blob that is cut in this way. */
bool supernode_sums_recall(struct wire_sum *out, uint32_t n, const struct supernode_sums *,
                           const struct dt_digest *, uint32_t piece_size);
void supernode_sums_free(struct supernode_sums **);

#endif
