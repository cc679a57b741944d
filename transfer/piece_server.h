/*
 * transfer/piece_server.h - serves pieces of cached blobs, whole ones and those still being filled,
 * to nodes that show a ticket.
 *
 *   GET|HEAD /v1/blobs/<digest>, Range: bytes=a-b, Darter-Ticket
 *   PARSED -> ADMITTED -> (WAITING for the bytes, shortly) -> REPLYING -> ENDED
 *
 * No ticket, a wrong or an old one: 401. Another site's: 403. Not here, or not here soon enough:
 * 404. More uploads than slots: 503 with Retry-After. The bytes go out by the same body that
 * serves clients (base/httpd.h file spans, sendfile), at the rate the limits allow. An upload lives
 * on its connection's loop; the counts are atomics.
 */
#ifndef DARTER_TRANSFER_PIECE_SERVER_H
#define DARTER_TRANSFER_PIECE_SERVER_H

#include "base/bucket.h"
#include "base/httpd.h"
#include "base/wire/wire.h"
#include "transfer/transfer.h"

#define PIECE_SERVER_WAIT_MS 1000u /* for bytes that are on their way to the file */

struct piece_server;
struct piece_server_opts {
    struct transfer *transfer;
    struct dt_keys *keys;
    const char *site;     /* copied */
    unsigned max_uploads; /* at once */
    struct dt_bucket *up; /* bytes per second of the whole node; borrowed; NULL = no limit */
};
struct piece_server *piece_server_new(const struct piece_server_opts *);
void piece_server_free(struct piece_server **); /* after the loops stopped */

/* Answers when the path is WIRE_PATH_BLOBS...; false: not mine, nothing was done. */
bool piece_server_handle(struct piece_server *, struct dt_http_req *);

/* A piece that leaves inside of a message counts as an upload like any other. False: the limit has
 * no room for all of it now, and it is fetched when its turn comes. Any thread. */
bool piece_server_count_inline(struct piece_server *, uint64_t len);

struct piece_server_counts {
    uint64_t served, refused, busy, bytes; /* since start */
    unsigned uploads;                      /* now */
};
/* Any thread. */
void piece_server_count(struct piece_server_counts *out, struct piece_server *);

#endif
