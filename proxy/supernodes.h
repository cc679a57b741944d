/*
 * proxy/supernodes.h - the supernodes of this site as this node sees them: who is there, and whose
 * a blob is.
 *
 *   supernode:  UNTRIED -> UP <-> DOWN       (a hello that succeeds, anything that fails)
 *   all:        new -> start -> stop (bye) -> free
 *
 * Hellos are sent on loop 0; they carry what the cache holds. What every loop has to know - a few
 * words and flags per supernode - lies under one lock that is held for a copy. A supernode that is
 * down is asked again after 250 ms, then less and less often.
 */
#ifndef DARTER_PROXY_SUPERNODES_H
#define DARTER_PROXY_SUPERNODES_H

#include "base/wire/hello.h"
#include "proxy/limits.h"
#include "proxy/options.h"
#include "transfer/transfer.h"

#define SUPERNODE_STATES(X)                                                                        \
    X(SUPERNODE_UNTRIED, "untried")                                                                \
    X(SUPERNODE_UP, "up")                                                                          \
    X(SUPERNODE_DOWN, "down")
enum supernode_state {
#define X(name, word) name,
    SUPERNODE_STATES(X)
#undef X
        SUPERNODE_STATE_END
};
const char *supernode_state_word(enum supernode_state);

struct supernodes;

struct supernodes_opts {
    struct transfer *transfer;
    struct dt_keys *keys;
    const struct proxy_options *options; /* supernodes, supernode_ca, names */
    struct proxy_limits *limits;         /* of the whole node: a supernode may lower them */
};
struct supernodes *supernodes_new(const struct supernodes_opts *);
/* The loops run and the piece port is open at `peer_port`: the first hellos go out. */
void supernodes_start(struct supernodes *, const struct dt_addr *pieces);
/* Says bye; waits half a second for the answers at most. From main, while the loops run. */
void supernodes_stop(struct supernodes *);
void supernodes_free(struct supernodes **); /* after the loops stopped; harmless on NULL */

/* ---- any thread ---- */

struct supernode_view {
    char url[300];
    wire_name name; /* "" = never answered */
    enum supernode_state state;
    bool is_banned, is_draining, is_other_site;
    unsigned failures;                 /* in a row */
    uint64_t last_ok_ms, last_fail_ms; /* wall clock; 0 = never */
    struct dt_err last_err;
};
size_t supernodes_count(const struct supernodes *);
void supernodes_view(struct supernode_view *out, struct supernodes *, size_t index);
/* Pure: may tasks be brought to it? */
bool supernode_is_usable(const struct supernode_view *);
/* The one responsible for the digest among those that are usable and not in `skip` (a bit each).
 * False: there is none. */
bool supernodes_pick(size_t *out, struct supernodes *, const struct dt_digest *, uint32_t skip);
/* It failed an exchange: down until a hello succeeds. */
void supernodes_failed(struct supernodes *, size_t index, const struct dt_err *why);
/* A blob is whole now. */
void supernodes_have(struct supernodes *, const struct dt_digest *, uint64_t size);
/* For the next hello: what was fetched from peers and seeds, and what was wrong of it. */
void supernodes_count_piece(struct supernodes *, uint64_t bytes, bool is_bad);
void supernodes_count_served(struct supernodes *, uint64_t (*bytes)(void *arg), void *arg);

const char *supernodes_node_id(const struct supernodes *);
const char *supernodes_address(const struct supernodes *); /* of the piece port; after start */

/* Pure: how long to wait before the next hello. */
uint64_t supernode_pause_ms(unsigned failures, uint32_t interval_ms, uint32_t random);

#endif
