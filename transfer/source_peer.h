/*
 * transfer/source_peer.h - a node or a supernode as a source of single pieces.
 *
 *   GET http://<address>/v1/blobs/<digest>  Range: bytes=a-b  Darter-Ticket: ...
 *
 * A small piece may have come with the order already: then nobody is asked, and everything else
 * (limits, sum, counts) is the same.
 *
 * A piece is gathered in memory (at most CACHE_PIECE_SIZE_MAX), its sum is checked on the pool, and
 * only then it is given to the task: so a lying peer never poisons the file, and a client never
 * sees its bytes. Errors of a fetch: DT_EBUSY (503: no free slot there), DT_EUNAVAILABLE (no
 * connection, or it broke), DT_ETIMEOUT (no byte for too long, or next to none), DT_EDENIED
 * (refused: ticket, site, not there), DT_EMISMATCH (the sum is wrong), DT_EPROTO (nonsense; counts
 * as refused).
 */
#ifndef DARTER_TRANSFER_SOURCE_PEER_H
#define DARTER_TRANSFER_SOURCE_PEER_H

#include "base/wire/wire.h"
#include "transfer/source.h"
#include "transfer/transfer.h"

#define SOURCE_PEER_CONNECT_MS 1000u
#define SOURCE_PEER_STALL_MS   3000u /* no byte for so long while not held back by a limit */

struct source_peer_opts {
    const char *base_url; /* "http://192.0.2.7:65002" or "https://..." */
    bool is_seed;
    const char *ticket;
    const struct dt_digest *digest;
    const char *ca_file;    /* PEM, for https; NULL = the system's */
    struct dt_bucket *down; /* this task's share; borrowed; NULL = the node's limit alone */
    bool has_sum;
    struct wire_sum sum;
    const void *bytes; /* the piece, when it came with the order; copied; NULL = ask for it */
    size_t len;        /* of the piece in `bytes` */
};
struct source *source_peer_new(struct transfer *, const struct source_peer_opts *);
uint64_t source_peer_took_ms(const struct source *); /* of the last fetch */

#endif
