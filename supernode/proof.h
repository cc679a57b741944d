/*
 * supernode/proof.h - is it true that a node serves wrong bytes?
 *
 *   accusation -> fetch that piece from the accused ourselves -> wrong: proved
 *                                                             -> right, or no answer: nothing
 *
 * A receiver's word alone hurts nobody. At most PROOFS_AT_ONCE run, each node and piece once per
 * PROOF_AGAIN_MS; what is above is dropped: if it is true, there will be another accusation. Runs
 * on the loop of the task; the bytes are hashed on the pool.
 */
#ifndef DARTER_SUPERNODE_PROOF_H
#define DARTER_SUPERNODE_PROOF_H

#include "supernode/supernode.h"

#define PROOFS_AT_ONCE    4u
#define PROOF_AGAIN_MS    10000u
#define PROOFS_REMEMBERED 64u
#define PROOF_CONNECT_MS  1000u
#define PROOF_STALL_MS    3000u
#define PROOF_TOTAL_MS    30000u

void supernode_proofs_new(struct supernode *);
void supernode_proofs_free(struct supernode *); /* after the loops stopped */

struct supernode_accusation {
    struct dt_digest digest;
    wire_id id;
    wire_name name;
    wire_address address;
    uint32_t piece;
    uint64_t off;
    uint32_t len;
    struct wire_sum sum; /* computed here: what nodes tell proves nothing */
};
/* Proved: a strike at the node, and quarantine in all tasks. */
void supernode_proof_start(struct supernode *, const struct supernode_accusation *);

#endif
