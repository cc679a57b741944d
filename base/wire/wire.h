/*
 * base/wire/wire.h - what nodes and supernodes say to one another: limits, names, authentication.
 * The normative text is docs/protocol.md; this folder is the only code that speaks it. Pure: values
 * in, values out; the key and the clock are arguments.
 *
 *   request:  POST <path> + JSON body + Darter-Auth    reply: 200 + JSON body + Darter-Auth
 *   piece:    GET /v1/blobs/<digest> + Range + Darter-Ticket
 *
 * A new message: a struct, its _encode() and _decode(), a fuzz target, a section in the protocol.
 */
#ifndef DARTER_BASE_WIRE_WIRE_H
#define DARTER_BASE_WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/key.h"

#define WIRE_VERSION        1
#define WIRE_PATH_HELLO     "/v1/hello"
#define WIRE_PATH_EXCHANGE  "/v1/exchange"
#define WIRE_PATH_BLOBS     "/v1/blobs/" /* + digest */
#define WIRE_HEADER_AUTH    "Darter-Auth"
#define WIRE_HEADER_TICKET  "Darter-Ticket"
#define WIRE_BODY_MAX       (2 * 1024 * 1024u) /* sums of 65536 pieces, 4096 holdings */
#define WIRE_CLOCK_SKEW_MS  300000u            /* a request older or newer than this is refused */
#define WIRE_ID_LEN         16 /* hex characters of a node's id, new at every start */
#define WIRE_NAME_MAX       64 /* node, site, rack: [A-Za-z0-9._-]+ */
#define WIRE_ADDRESS_MAX    64 /* "192.0.2.1:65002", "[2001:db8::1]:65002" */
#define WIRE_AUTH_MAX       160
#define WIRE_TICKET_MAX     224
#define WIRE_TICKET_LIFE_MS 600000u
#define WIRE_PIECES_MAX     65536u
#define WIRE_PIECE_SIZE_MIN 4096u
#define WIRE_PIECE_SIZE_MAX (16 * 1024 * 1024u)
#define WIRE_BLOB_SIZE_MAX  (1ULL << 40)
#define WIRE_LIMIT_FLOOR    (64 * 1024u)       /* bytes/s; a lower limit counts as this (P-57) */
#define WIRE_COUNT_MAX      ((1ULL << 53) - 1) /* any other number: exact in every JSON reader */

typedef char wire_id[WIRE_ID_LEN + 1];
typedef char wire_name[WIRE_NAME_MAX + 1];
typedef char wire_address[WIRE_ADDRESS_MAX];

/* The first 16 bytes of a piece's SHA-256. */
struct wire_sum {
    uint8_t bytes[16];
};
void wire_sum_of(struct wire_sum *out, const void *bytes, size_t len);
bool wire_sum_equal(const struct wire_sum *, const struct wire_sum *);

void wire_id_make(wire_id out); /* random */
bool wire_id_is_valid(const char *);
bool wire_name_is_valid(const char *);
/* A name that was checked before; NULL is "". */
void wire_name_copy(wire_name out, const char *);
/* "192.0.2.1:65002", "[2001:db8::1]:65002", ":65002" (the host is where it comes from). Not one
 * where no node can be: unspecified, link-local, multicast. */
bool wire_address_is_valid(const char *);
/* Pieces of a blob; 0 when the two make no blob within the limits above, or an empty one. */
uint32_t wire_pieces_of(uint64_t size, uint32_t piece_size);

/* ---- authentication of requests and replies ---- */

/* Darter-Auth of a request: "v1 <wall ms> <nonce> <mac>"; covers method POST, path and body. The
 * nonce (hex) is given back: the reply's MAC covers it. */
struct wire_auth {
    char text[WIRE_AUTH_MAX];
    char nonce[33];
};
void wire_auth_request(struct wire_auth *out, struct dt_keys *, const char *path, const void *body,
                       size_t len, uint64_t wall_ms);
/* Errors: DT_EDENIED (no header, wrong MAC), DT_ETIMEOUT (clocks differ by too much: says so).
 * Fills nonce. */
int wire_auth_check_request(char nonce[33], struct dt_keys *, const char *header, const char *path,
                            struct dt_key_part body, uint64_t wall_ms, struct dt_err *err);
void wire_auth_reply(char out[WIRE_AUTH_MAX], struct dt_keys *, const char *nonce, const void *body,
                     size_t len);
int wire_auth_check_reply(struct dt_keys *, const char *header, const char *nonce, const void *body,
                          size_t len, struct dt_err *err);

/* ---- tickets ---- */

/* "v1 <expires wall ms> <site> <mac>": whoever shows it may read pieces of this blob from nodes of
 * this site until then. */
void wire_ticket_make(char out[WIRE_TICKET_MAX], struct dt_keys *, const struct dt_digest *,
                      const char *site, uint64_t expires_wall_ms);
/* Errors: DT_EUNAUTHORIZED (none, malformed, wrong MAC, expired), DT_EDENIED (another site). */
int wire_ticket_check(struct dt_keys *, const char *ticket, const struct dt_digest *,
                      const char *site, uint64_t wall_ms, struct dt_err *err);

/* ---- whose blob is it ---- */

/* Rendezvous (highest random weight): of these names, the one responsible for the digest comes
 * first, and the others follow in the order they take over. Every program computes the same.
 * Fills order[0..n) with indexes. */
void wire_rendezvous(size_t *order, const struct dt_digest *, const char *const *names, size_t n);

#endif
