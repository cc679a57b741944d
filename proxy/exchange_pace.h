/*
 * proxy/exchange_pace.h - when a node sends its next exchange, and when it gives a supernode up.
 *
 *   join sent -> join answered -> (one is held there; news are sent beside it)*
 *
 * At most two exchanges are on the way: one the supernode holds, and a newer one that makes it
 * answer the older. So a supernode that is there can always be made to say something: after a while
 * of silence a newer exchange is sent as a probe, and only who stays silent then is lost. A value
 * type; pure: time is an argument.
 */
#ifndef DARTER_PROXY_EXCHANGE_PACE_H
#define DARTER_PROXY_EXCHANGE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define EXCHANGE_OUT_MAX     2u
#define EXCHANGE_GAP_MS      2u /* reports are gathered for so long */
#define EXCHANGE_URGENT_MS   1u
#define EXCHANGE_IDLE_MS     100u  /* after an empty answer that came at once */
#define EXCHANGE_PATIENCE_MS 1000u /* +- 20 %, so that a thousand nodes do not leave as one */

struct exchange_pace {
    bool is_begun;  /* the join was sent */
    bool is_joined; /* and answered */
    bool has_news;  /* something to report waits */
    bool is_urgent; /* and the node has nothing else to do, or readers wait */
    bool is_idle;   /* the last answer was empty, and nothing had asked for it */
    unsigned n_out;
    uint64_t sent_ms;  /* the newest */
    uint64_t heard_ms; /* the last answer, or bytes of the task */
    uint64_t patience_ms;
};

void exchange_pace_init(struct exchange_pace *, uint32_t random);
void exchange_pace_sent(struct exchange_pace *, uint64_t now_ms);
void exchange_pace_answered(struct exchange_pace *, bool is_empty, uint64_t now_ms);
/* Bytes came in for the task: what was arranged goes on, whatever the supernode does. */
void exchange_pace_heard(struct exchange_pace *, uint64_t now_ms);
/* When the next exchange is due; UINT64_MAX = not before something happens. */
uint64_t exchange_pace_next_ms(const struct exchange_pace *);
/* When the supernode is lost if nothing is heard; UINT64_MAX = it has nothing to answer now. */
uint64_t exchange_pace_lost_ms(const struct exchange_pace *);

#endif
