/*
 * base/wire/hello.h - a node tells a supernode that it is there, and what it holds.
 *
 *   node: hello(full) -> hello(changes)* -> hello(bye)
 *
 * Sent every interval_ms of the last reply, with jitter, to every supernode of the site. A
 * supernode that does not know the node (it was restarted) asks for the full list.
 */
#ifndef DARTER_BASE_WIRE_HELLO_H
#define DARTER_BASE_WIRE_HELLO_H

#include "base/wire/wire.h"

#define WIRE_HOLDINGS_MAX    4096u /* of one message, here and lost; the most recently used ones */
#define WIRE_INTERVAL_MIN_MS 1000u
#define WIRE_INTERVAL_MAX_MS 60000u

struct wire_holding {
    struct dt_digest digest;
    uint64_t size;
};

struct wire_hello {
    wire_id node;
    wire_name name, site, rack;
    wire_address address;      /* as in a join */
    bool is_full;              /* `have` is everything: forget what was told before */
    bool is_bye;               /* the node is stopping */
    struct wire_holding *have; /* owned: whole blobs in its cache, new since the last hello */
    size_t n_have;
    struct dt_digest *lost; /* owned: evicted since the last hello */
    size_t n_lost;
    uint64_t up_bytes, down_bytes; /* pieces served and fetched since the node started */
    uint64_t bad_pieces;           /* received with a wrong checksum since then */
};

struct wire_hello_reply {
    wire_name supernode;  /* its name: what wire_rendezvous() is asked with */
    wire_name site;       /* a node of another site leaves it alone */
    uint32_t interval_ms; /* WIRE_INTERVAL_MIN_MS ... MAX_MS */
    bool wants_full;
    bool is_banned;                /* serves nobody, is given nothing; it asks its mirrors */
    bool is_draining;              /* no new tasks here: ask the next supernode */
    uint64_t up_limit, down_limit; /* bytes/s of the whole node; 0 = its own */
};

char *wire_hello_encode(const struct wire_hello *);
int wire_hello_decode(struct wire_hello *out, const char *body, size_t len, struct dt_err *err);
void wire_hello_fini(struct wire_hello *);
char *wire_hello_reply_encode(const struct wire_hello_reply *);
int wire_hello_reply_decode(struct wire_hello_reply *out, const char *body, size_t len,
                            struct dt_err *err);

#endif
