/*
 * proxy/repository_priv.h - one repository from the inside, for proxy/repository*.c alone.
 *
 *   repository.c           the tables, the way to the home loop and back, grants, refusals
 *   repository_manifest.c  question 2, as steps of one call
 *   repository_permit.c    question 1, as steps of one call
 *   repository_flight.c    one question upstream, shared by the calls that may share it
 *   repository_store.c     the cache, and what is on its way into it
 *   repository_public.c    may anybody read here?
 *   repository_touch.c     upstream's record of pulls
 *
 * A call is begun on the home loop, takes its steps there (each step ends in another flight or in
 * an answer), and goes home with its answer.
 */
#ifndef DARTER_PROXY_REPOSITORY_PRIV_H
#define DARTER_PROXY_REPOSITORY_PRIV_H

#include <uthash.h>

#include "transfer/ask.h"
#include "proxy/grant.h"
#include "proxy/repository.h"

#define NEGATIVE_MS   5000u /* a 404 is believed that long: CI pushes and pulls at once */
#define NEGATIVES_MAX 16
#define PENDING_MAX   64     /* manifests held until the index has them */
#define AWAY_MS       30000u /* after a failure, stale copies are given out at once for so long ... */
#define PROBE_PAUSE_MS                                                                             \
    5000u /* ... while one caller's question goes out in the background this often */

struct repository_call;
struct repository_flight;
struct repository_pending;
struct repository_public_check;
struct repository_touch;

struct repository_table { /* one per loop */
    struct proxy *proxy;
    struct dt_loop *loop;
    struct repository *by_key; /* least recently used first */
};

struct repository_negative { /* upstream said 404 to this caller */
    struct proxy_grant_key key;
    uint64_t until_ms;
    char reference[DT_DIGEST_TEXT_MAX];
    bool is_blob;
};

struct repository {
    unsigned magic;
    struct repository_table *table;
    struct reg_upstream *upstream; /* borrowed */
    char *name;                    /* "library/nginx" */
    char *key;                     /* "docker.io/library/nginx" */
    struct proxy_grants grants;
    struct repository_flight *flights; /* in the air */
    struct repository_pending *pending;
    unsigned n_pending;
    unsigned n_calls;                      /* begun and not answered */
    uint64_t away_ms;                      /* when upstream last failed us; 0 = it answered since */
    uint64_t probed_ms;                    /* when a question last went out in the background */
    uint64_t changed_wall_ms;              /* tags checked before that are not fresh */
    struct repository_negative *negatives; /* ring of NEGATIVES_MAX, made on first use; owned */
    unsigned next_negative;
    struct repository_public_check *check; /* running; owned */
    uint64_t next_check_ms;
    struct repository_touch *touches; /* manifests that upstream knows were pulled; oldest first */
    unsigned n_touching;              /* of those, on their way */
    UT_hash_handle hh;
};

/* What a flight brought home. Valid inside the landing only. */
struct flight_result {
    struct dt_err err; /* code != 0: nobody gave a definite answer */
    uint64_t retry_after_ms;
    int status;
    bool is_own;                            /* it travelled with this call's own Authorization */
    const char *www_authenticate, *warning; /* or NULL */
    bool has_digest;
    struct dt_digest digest;           /* HEAD: as told; GET: as computed */
    uint64_t length;                   /* UINT64_MAX = not told */
    char media_type[128];              /* HEAD: a manifest type or "" */
    const struct cache_object *object; /* GET with 200 */
    int source;                        /* enum source_kind */
};
typedef void (*flight_landed_f)(struct repository_call *, const struct flight_result *);

enum call_kind { CALL_BLOB, CALL_MANIFEST, CALL_TAG_CHANGED };

/* One question of one caller, and its way back. */
struct repository_call {
    unsigned magic;
    enum call_kind kind;
    struct proxy *proxy;
    struct reg_upstream *upstream;
    struct dt_loop *loop; /* the asking one; NULL = nobody waits for the answer */
    char *name;
    struct reg_reference reference;
    char *authorization; /* wiped on free; NULL in mode B, whoever asks */
    struct proxy_grant_key key;
    char *accept;
    void *arg;
    proxy_permit_f permit_done;
    proxy_manifest_f manifest_done;
    /* on the home loop */
    struct repository *repository;
    uint64_t deadline_ms;
    bool is_pull;  /* the client wants the bytes: upstream would have noted a pull */
    bool is_probe; /* goes upstream whatever the cache says */
    bool has_retried;
    flight_landed_f landed;
    struct repository_call *next;
    struct repository_flight *flight; /* waited for */
    bool has_tag, is_linked;
    struct cache_tag tag;
    struct cache_link link;
    struct cache_object *cached; /* owned */
    struct dt_digest wanted;     /* what the tag means, or the digest asked for */
    /* the answer */
    struct proxy_permit permit;
    struct proxy_manifest manifest;
};

static inline uint64_t repository_now_ms(const struct repository *repository)
{
    return dt_loop_now_ms(repository->table->loop);
}

/* ---- repository.c ---- */

enum proxy_grant_state repository_grant(const struct repository_call *);
/* Upstream said yes to this call's own header. */
void repository_grant_add(struct repository_call *);
/* Upstream's definite no: forgets the grant, remembers a 404 for a moment, fills the refusal. */
void repository_refuse(struct repository_call *, struct proxy_refusal *,
                       const struct flight_result *);
/* Nobody answered. */
void repository_fail(struct proxy_refusal *, const struct dt_err *, uint64_t retry_after_ms);
/* Is a 404 for this reference and caller still believed? Then the refusal is filled. */
bool repository_is_negative(struct repository_call *, struct proxy_refusal *);
/* Upstream did not answer lately: give out what is here. Sends the call's question out in the
 * background when it is time to look again. */
bool repository_is_away(struct repository_call *);
/* This call was failed by upstream, and there is something stale that it may have. Only then does
 * the failure count: a stranger's strange header must not turn readers away from upstream. */
void repository_note_away(struct repository_call *);
uint64_t repository_budget_ms(const struct repository_call *, bool has_stale);
/* Sends the call home; the call is gone. */
void repository_call_answer(struct repository_call *);
/* The loops have stopped: whoever waits is told at once, to let go of what he holds. */
void repository_call_drop(struct repository_call *);

/* ---- repository_permit.c, repository_manifest.c ---- */

void repository_permit_begin(struct repository_call *);
void repository_manifest_begin(struct repository_call *);

/* ---- repository_flight.c ---- */

enum flight_kind { FLIGHT_HEAD, FLIGHT_GET, FLIGHT_GET_SHARED };
/* Takes the call aboard a flight to `path` that it may share, or starts one. HEAD and GET are
 * shared by callers with the same Authorization; GET_SHARED by every call that was authorised
 * before. `digest` (NULL = unknown) is what the body of a GET must hash to. */
void repository_flight_board(struct repository_call *, enum flight_kind, const char *path,
                             const struct dt_digest *digest, uint64_t budget_ms,
                             flight_landed_f landed);
/* Is there one that this call could board only after it was authorised? */
bool repository_flight_is_foreign(const struct repository_call *, const char *path);
void repository_flights_free(struct repository *);

/* ---- repository_store.c ---- */

bool repository_tag_find(struct cache_tag *out, struct repository *, const char *tag);
bool repository_link_find(struct cache_link *out, struct repository *, const struct dt_digest *);
struct cache_object *repository_object_find(struct repository *, const struct dt_digest *);
struct cache_object *repository_object_copy(const struct cache_object *);
/* A manifest that upstream says belongs here: links to it and its children, and its bytes. */
void repository_store_object(struct repository *, const struct cache_object *);
/* The same links, unless they are known: for an object that came through another repository. */
void repository_ensure_links(struct repository *, const struct cache_object *);
void repository_store_link(struct repository *, const struct dt_digest *, uint64_t size);
void repository_store_tag(struct repository *, const char *tag, const struct cache_object *);
void repository_pending_free(struct repository *);

/* ---- repository_public.c ---- */

/* What the last run of the process knew. */
void repository_public_load(struct repository *);
/* An anonymous caller was let in. */
void repository_public_set(struct repository *);
/* Asks upstream without any account for what the call asks for, in the background, unless that was
 * done lately. `is_there`: the caller was just told yes, so a 404 is a no to strangers. */
void repository_public_check(struct repository_call *, bool is_there);
void repository_public_free(struct repository *);

/* ---- repository_touch.c ---- */

/* This call is answered with the manifest `digest`: from the cache, or (`is_seen`) by a GET that
 * upstream has just seen. Sends one in the background where the upstream's options want it. */
void repository_touch(const struct repository_call *, const struct dt_digest *digest, bool is_seen);
void repository_touches_free(struct repository *);

#endif
