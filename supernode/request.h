/*
 * supernode/request.h - what arrives at the supernode's one listener.
 *
 *   POST /v1/hello      -> node.c on loop 0
 *   POST /v1/exchange   -> exchange.c on the digest's loop
 *   GET  /v1/blobs/...  -> transfer/piece_server.h
 *
 *   checked (connection's loop) -> arrived (home loop) -> answered -> sent | client gone
 *
 * Nothing without the cluster key: path, Darter-Auth and body are checked on the connection's loop
 * before anybody else hears of it; replies are signed there too. Failures are problem documents
 * (RFC 9457): 400 not understood, 401 not ours or the clocks differ, 404, 405, 503 stopping.
 *
 * A request has up to three holders, all counted on the connection's loop: its HTTP side, the home
 * loop that owes an answer, and the word that the client has gone while it is on its way. So
 * nothing is freed that another loop may still touch.
 */
#ifndef DARTER_SUPERNODE_REQUEST_H
#define DARTER_SUPERNODE_REQUEST_H

#include "base/httpd.h"
#include "base/wire/exchange.h"
#include "base/wire/hello.h"
#include "supernode/supernode.h"

/* dt_http_handler_f of the listener; it must be opened with max_body_bytes = WIRE_BODY_MAX. */
void supernode_request_handle(void *supernode, struct dt_http_req *);

/* One hello or exchange that was checked. */
struct supernode_request {
    unsigned magic;
    struct supernode *supernode;
    struct dt_loop *loop, *home;
    /* the connection's loop */
    unsigned holders;
    struct dt_http_req *http; /* NULL once it ended */
    char nonce[33];
    /* written before it is posted, then the home loop's until it has answered */
    char seen_from[WIRE_ADDRESS_MAX]; /* numeric host of the other end, without port */
    struct wire_exchange exchange;    /* zeroed for a hello */
    struct wire_hello hello;          /* zeroed for an exchange */
    char *authorization;              /* owned or NULL: of a join, opened; wiped */
    bool is_answered;
    struct supernode_request *next; /* in the list of a task */
    int status;
    char *body; /* owned: the answer */
};

/* The answer, exactly once, on the home loop; the request is not touched afterwards. 200 with
 * `body` (consumed) ... */
void supernode_request_answer(struct supernode_request *, char *body);
/* ... or 503: this supernode takes no part, ask the next one. */
void supernode_request_refuse(struct supernode_request *);

/* The address to find a node at: the one it told, or with ":port" the host it is seen from.
 * Errors: DT_EINVAL. */
int supernode_request_address(wire_address out, const struct supernode_request *, const char *told,
                              struct dt_err *err);

void supernode_request_register_metrics(void);

/* Called by request.c on the home loop. */
void supernode_exchange_arrived(struct supernode_request *); /* exchange.c */
void supernode_exchange_broke(struct supernode_request *);   /* its client has gone */
void supernode_hello_arrived(struct supernode_request *);    /* node.c; answers before it returns */

#endif
