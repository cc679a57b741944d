/*
 * base/wire/exchange.h - the exchange of one node about one blob.
 *
 *   node: join -> (report -> assignments)* -> leave
 *
 * The node reports what became of its transfers; the supernode answers when it has something to
 * say: until then the request is held open. A newer exchange of the same session releases the
 * older one, which is then answered empty. Everything in a message is a fact that may be told
 * twice; a node that lost an answer begins a new session.
 */
#ifndef DARTER_BASE_WIRE_EXCHANGE_H
#define DARTER_BASE_WIRE_EXCHANGE_H

#include "base/wire/wire.h"

#define WIRE_REPORTS_MAX     1024u
#define WIRE_ASSIGNMENTS_MAX 64u
#define WIRE_TEXT_MAX        (16 * 1024u) /* repository, upstream: visible ASCII */
#define WIRE_SEALED_MAX      (66 * 1024u) /* DT_SEAL_MAX bytes, sealed */
#define WIRE_SLOTS_MAX       65535u
#define WIRE_INLINE_MAX      (64 * 1024u) /* of a blob whose bytes are inside of an answer */

/* Why a transfer failed; the receiver's word. Same order as the planner's SUPERNODE_WHYS. */
#define WIRE_WHYS(X)                                                                               \
    X(BUSY, "busy")                                                                                \
    X(UNREACHABLE, "unreachable")                                                                  \
    X(STALLED, "stalled")                                                                          \
    X(REFUSED, "refused")                                                                          \
    X(BAD_SUM, "bad-sum")
enum wire_why {
#define X(name, word) WIRE_WHY_##name,
    WIRE_WHYS(X)
#undef X
        WIRE_WHY_END
};

struct wire_finished {
    uint32_t piece;
    wire_id from;
    uint32_t took_ms;
};
struct wire_failed {
    uint32_t piece;
    wire_id from;
    enum wire_why why;
};

/* What a node says once, when it joins (again). */
struct wire_join {
    wire_name name; /* for people: host name */
    wire_name site;
    wire_name rack;       /* "" = unknown */
    wire_address address; /* of its piece port; ":65002" = the address it is seen from */
    uint32_t up_slots, down_slots;
    uint64_t size;              /* of the blob, UINT64_MAX = unknown */
    uint32_t piece_size;        /* of its pieces; 0 = has none and knows none */
    uint32_t n_pieces;          /* wire_pieces_of(size, piece_size); 0 with piece_size 0 */
    uint64_t *have;             /* owned; bit i % 64 of word i / 64; to encode: NULL = none */
    struct wire_sum *sums;      /* owned, n_pieces long, or NULL; all zero = not known */
    bool is_takeover;           /* another supernode was responsible a moment ago */
    bool takes_inline;          /* an answer may have the bytes of a small blob inside */
    char *upstream;             /* owned; name of the registry */
    char *repository;           /* owned */
    char *sealed_authorization; /* owned or NULL: dt_keys_seal() of the caller's header */
};

struct wire_exchange {
    wire_id node;
    struct dt_digest digest;
    uint64_t session;       /* random, new at every join */
    uint64_t seq;           /* grows within a session; 1 = the join */
    bool is_leave;          /* nothing is assigned any more; the reply is empty */
    bool keeps;             /* with is_leave: the whole blob is here and may be fetched from here */
    struct wire_join *join; /* owned; NULL after the first */
    uint64_t want_off;      /* local readers wait for this byte; UINT64_MAX = nobody waits */
    struct wire_finished *finished; /* owned, as the next ones */
    size_t n_finished;
    struct wire_failed *failed;
    size_t n_failed;
    uint32_t *gained; /* came from elsewhere: a mirror, an earlier run */
    size_t n_gained;  /* WIRE_REPORTS_MAX, as the other two */
};

#define WIRE_STATES(X)                                                                             \
    X(WIRE_WAITING, "waiting") /* the supernode does not know the size yet */                      \
    X(WIRE_OPEN, "open")       /* pieces are handed out as they come */                            \
    X(WIRE_GONE, "gone")       /* not from here (err says why): ask mirrors */                     \
    X(WIRE_UNKNOWN, "unknown") /* no such session: join again */
enum wire_state {
#define X(name, word) name,
    WIRE_STATES(X)
#undef X
        WIRE_STATE_END
};

struct wire_assignment {
    uint32_t piece;
    wire_id from;
    wire_address address; /* of the source's piece port; "" = the supernode that sent this */
    bool is_seed;         /* a supernode, not a node */
    bool has_sum;
    struct wire_sum sum;
};

struct wire_exchange_reply {
    enum wire_state state;
    struct dt_err err;                   /* GONE: code and reason */
    uint64_t seq;                        /* of the exchange that is answered */
    uint64_t size;                       /* OPEN; at least 1 */
    uint32_t piece_size;                 /* OPEN */
    char ticket[WIRE_TICKET_MAX];        /* "" = the one given before is still good */
    uint64_t down_limit;                 /* bytes/s of this node's share of a limit; 0 = none */
    struct wire_assignment *assignments; /* owned */
    size_t n_assignments;
    /* OPEN, owned, `size` long: all of a blob of one piece and WIRE_INLINE_MAX bytes at most,
     * beside its only assignment, which is from the supernode itself. NULL = what is assigned is
     * fetched.
     */
    uint8_t *bytes;
};

/* Encoders return NUL-terminated JSON, owned by the caller, always within WIRE_BODY_MAX when the
 * limits above are kept (asserted). Decoders take any bytes. Errors: DT_EPROTO (what and where),
 * DT_ETOOBIG. After a failure *out is zeroed and needs no fini. */
char *wire_exchange_encode(const struct wire_exchange *);
int wire_exchange_decode(struct wire_exchange *out, const char *body, size_t len,
                         struct dt_err *err);
void wire_exchange_fini(struct wire_exchange *);

char *wire_exchange_reply_encode(const struct wire_exchange_reply *);
int wire_exchange_reply_decode(struct wire_exchange_reply *out, const char *body, size_t len,
                               struct dt_err *err);
void wire_exchange_reply_fini(struct wire_exchange_reply *);

#endif
