/*
 * proxy/supernodes_priv.h - the inside of the list of supernodes, shared by supernodes.c (what
 * every loop may know) and supernodes_hello.c (loop 0: hellos, holdings).
 */
#ifndef DARTER_PROXY_SUPERNODES_PRIV_H
#define DARTER_PROXY_SUPERNODES_PRIV_H

#include <pthread.h>
#include <semaphore.h>

#include "proxy/holdings.h"
#include "proxy/message.h"
#include "proxy/supernodes.h"

#define SUPERNODE_INTERVAL_MS 5000u
#define SUPERNODE_RETRY_MS    250u
#define SUPERNODE_DEADLINE_MS 1000u
#define SUPERNODE_BYE_MS      500u
/* The list is read again so often, to learn what was evicted; what is new is known at once. */
#define SUPERNODES_LIST_MS 60000u

struct supernode_link {
    struct supernodes *all;
    const char *url;            /* borrowed from the options */
    struct supernode_view view; /* under the lock */
    /* loop 0 */
    struct dt_timer timer;
    struct message hello;
    uint32_t interval_ms;
    uint64_t up_limit, down_limit; /* it wants of the whole node; 0 = none */
    struct holdings_news news;     /* not told yet */
    bool is_bye;
    bool is_refused_told; /* another site: logged once */
};

struct supernodes {
    struct supernodes_opts opts;
    struct dt_loop *loop; /* loop 0 */
    wire_id node;
    wire_address address;
    size_t n;
    struct supernode_link *list; /* owned */
    pthread_mutex_t lock;
    bool is_started; /* main */
    sem_t stopped;
    _Atomic uint64_t down_bytes, bad_pieces;
    uint64_t (*served)(void *arg); /* set before start; NULL = 0 */
    void *served_arg;
    /* loop 0 */
    struct holdings holdings; /* what is here, as far as we know */
    bool has_holdings;        /* the list was read once */
    struct holdings listed;   /* the job's result */
    struct dt_job list_job;
    struct dt_timer list_timer;
    bool is_listing, is_stopping;
    size_t n_byes;
};

/* supernodes.c; any thread */
void supernode_link_note_failure(struct supernode_link *, bool is_hello, const struct dt_err *why);

/* supernodes_hello.c; loop 0 */
void supernode_on_time(void *supernode);
void supernode_link_hurry(
    struct supernode_link *); /* it failed an exchange: ask soon whether it is there */
void supernodes_list_begin(void *supernodes);
void supernodes_say_bye(struct supernodes *);

#endif
