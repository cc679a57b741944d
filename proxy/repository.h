/*
 * proxy/repository.h - one repository of one upstream: who may read it, and what its tags mean.
 *
 *   idle -> asking upstream (requests for the same thing wait together) -> idle -> forgotten
 *
 * A repository lives on its home loop (hash of upstream and name). Requests on any loop call the
 * two questions below; the answer comes back on the asking loop. Every caller is authorised on his
 * own before he may share an answer (rules: docs/architecture.md, "Who may read"):
 *   1. a grant is keyed by (upstream, repository, hash of the Authorization header); without one,
 *      upstream is asked with the caller's own header;
 *   2. a blob is served through a repository only if a manifest of it, or upstream, said so;
 *   3. a definite 401, 403, 404 or 412 is passed on and forgets the grant;
 *   4. upstream unreachable, slow, 5xx or 429: a cached copy may be served stale, only to callers
 *      whose grant was valid recently, or to anyone where the repository is known to be public.
 */
#ifndef DARTER_PROXY_REPOSITORY_H
#define DARTER_PROXY_REPOSITORY_H

#include "proxy/proxy.h"
#include "registry-client/ref.h"

#define PROXY_REPOSITORIES_MAX 1024 /* per loop; idle ones make room */
#define PROXY_REPOSITORY_WAITING_MAX                                                               \
    1024 /* requests that wait in one; more are told to come later */

void proxy_repositories_new(struct proxy *);  /* fills proxy->repositories */
void proxy_repositories_free(struct proxy *); /* after the loops stopped */

enum proxy_freshness { PROXY_HIT, PROXY_MISS, PROXY_STALE };
const char *proxy_freshness_word(enum proxy_freshness); /* "HIT", "MISS", "STALE" */

/* Upstream's refusal, or our own: what the client gets to see. Strings are owned by the holder. */
struct proxy_refusal {
    struct dt_err err;         /* code 0 = not refused */
    int status;                /* HTTP status for the client */
    const char *registry_code; /* static; NULL = that of err.code */
    char *www_authenticate;    /* upstream's challenge, unchanged, or NULL */
    unsigned retry_after_s;    /* 0 = none */
};
void proxy_refusal_fini(struct proxy_refusal *);

/* ---- question 1: may this caller read this blob through this repository? ---- */

struct proxy_permit {
    struct proxy_refusal refusal;
    uint64_t size; /* of the blob; UINT64_MAX = not known yet */
};
typedef void (*proxy_permit_f)(void *arg, struct proxy_permit *permit); /* contents may be taken */
/* done comes exactly once, on the calling loop, never from inside. */
void proxy_repository_permit_blob(struct proxy *, struct reg_upstream *, const char *repository,
                                  const struct dt_digest *, const char *authorization,
                                  proxy_permit_f done, void *arg);

/* ---- question 2: this manifest, please ---- */

struct proxy_manifest {
    struct proxy_refusal refusal;
    struct cache_object *object; /* owned by the answer; NULL when refused */
    enum proxy_freshness freshness;
    int source;      /* enum source_kind */
    uint64_t age_s;  /* since upstream confirmed the tag */
    char *warning;   /* upstream's Warning header, to be shown to users, or NULL */
    bool must_relay; /* the client's Accept lacks the stored type: pass it through */
};
typedef void (*proxy_manifest_f)(void *arg, struct proxy_manifest *manifest);
struct proxy_manifest_wish { /* all borrowed for the call alone */
    struct reg_upstream *upstream;
    const char *repository;
    const struct reg_reference *reference;
    const char *authorization; /* the caller's; NULL = anonymous */
    const char *accept;        /* the caller's, joined; NULL = anything */
    bool is_pull;              /* GET: the registry would note a pull; false for HEAD */
};
/* done comes exactly once, on the calling loop, never from inside. */
void proxy_repository_get_manifest(struct proxy *, const struct proxy_manifest_wish *,
                                   proxy_manifest_f done, void *arg);

/* ---- news ---- */

/* Somebody pushes to this tag, or deletes it: upstream is asked at the next pull. Any thread. */
void proxy_repository_tag_changed(struct proxy *, struct reg_upstream *, const char *repository,
                                  const char *tag);

#endif
