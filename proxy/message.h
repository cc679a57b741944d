/*
 * proxy/message.h - one signed message of this node to a supernode, and whether its answer counts.
 *
 *   message_send -> on_answer (as dt_fetch_whole(): once, or never after a cancel) -> message_check
 *
 * Hellos and exchanges differ in what they say and in how long they wait; how they are signed and
 * sent is one. A value type of the loop it is sent on: `fetch` is cancelled by dt_fetch_cancel(),
 * and set to NULL by the owner in on_answer().
 */
#ifndef DARTER_PROXY_MESSAGE_H
#define DARTER_PROXY_MESSAGE_H

#include "base/fetch.h"
#include "base/wire/wire.h"

struct message {
    struct dt_fetch *fetch; /* NULL = none is on its way */
    struct wire_auth auth;  /* the answer must be signed for its nonce */
    struct dt_keys *keys;   /* borrowed, as the URL */
    const char *url;        /* of the supernode */
};

struct message_opts {
    struct dt_keys *keys; /* keys and url outlive the message, the rest is borrowed for the call */
    const char *url;      /* of the supernode */
    const char *path;     /* WIRE_PATH_... */
    const char *body;     /* JSON */
    const char *ca_file;  /* PEM, for https; NULL = the system's */
    uint64_t connect_ms, total_ms;
};
/* Errors: those of dt_fetch_whole(); then no answer follows. */
int message_send(struct message *, const struct message_opts *, dt_fetch_whole_f on_answer,
                 void *arg, struct dt_err *err);
/* An answer that came: 0 = from one who holds the key, and to this very message. Nothing of another
 * one may be looked at. Errors: DT_EDENIED, DT_EPROTO. */
int message_check(const struct message *, struct dt_fetch *, int status, const char *body,
                  size_t len, struct dt_err *err);

#endif
