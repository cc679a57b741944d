/*
 * proxy/exchange.h - one session of this node with one supernode about one blob.
 *
 *   exchange_new -> join sent -> (reports, want | on_reply)* -> exchange_leave      (frees itself)
 *                                                     any -> on_lost -> exchange_free
 *
 * Requests are held open by the supernode, so news is pushed; when to send the next one and when to
 * give up is exchange_pace.h. What is reported while no request may go out is gathered. An answer
 * counts only when its MAC is right for the request it answers. All on the loop that made it.
 */
#ifndef DARTER_PROXY_EXCHANGE_H
#define DARTER_PROXY_EXCHANGE_H

#include "base/loop.h"
#include "base/wire/exchange.h"

struct exchange;

struct exchange_ops {
    /* Fills the join that is about to be sent: everything but node and digest. */
    void (*fill_join)(void *arg, struct wire_join *out);
    /* The first byte that a local reader waits for; asked whenever something is sent. */
    uint64_t (*want)(void *arg);
    /* An answer of a known state, authentic and well-formed. May free the exchange. */
    void (*on_reply)(void *arg, const struct wire_exchange_reply *);
    /* Once: no answer, or none that makes sense. Nothing follows; free the exchange. */
    void (*on_lost)(void *arg, const struct dt_err *why);
};

/* Those that live on one loop, so that what is still on its way at the end can be freed. */
struct exchange_list {
    struct exchange *first;
};

struct exchange_opts {
    struct dt_loop *loop;
    struct exchange_list *list; /* of this loop; borrowed */
    struct dt_keys *keys;
    const char *url;     /* of the supernode; copied */
    const char *ca_file; /* or NULL; copied */
    const char *node;    /* our id; copied */
    const struct dt_digest *digest;
    const struct exchange_ops *ops;
    void *arg;
};
/* The join is sent in the next round of the loop. */
struct exchange *exchange_new(const struct exchange_opts *);
void exchange_finished(struct exchange *, const struct wire_finished *);
void exchange_failed(struct exchange *, const struct wire_failed *);
void exchange_gained(struct exchange *, uint32_t piece);
/* Not gathered: readers wait for another piece than before, or nothing is left to do here. */
void exchange_hurry(struct exchange *);
/* Bytes came in for the task. */
void exchange_heard(struct exchange *);
/* Says good-bye and forgets us; *exchange = NULL. The answer is not waited for. */
void exchange_leave(struct exchange **exchange, bool keeps);
void exchange_free(struct exchange **); /* without a word; harmless on NULL */
/* After the loops stopped: good-byes that were still on their way. */
void exchange_list_free(struct exchange_list *);

#endif
