/*
 * The two questions of proxy/repository.h, put from the test's own thread; and what to expect.
 */
#ifndef DARTER_TESTS_UNIT_PROXY_LAB_ASK_H
#define DARTER_TESTS_UNIT_PROXY_LAB_ASK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/proxy_lab.h"

/* One question and its answer. */
struct asked {
    struct lab *lab;
    sem_t done;
    /* the question */
    bool is_blob;
    char repository[64];
    struct reg_reference reference;
    char authorization[128], accept[128]; /* "" = none */
    /* the answer */
    struct proxy_permit permit;
    struct proxy_manifest manifest;
    struct proxy_refusal *refusal;
};

static inline void lab_on_permit(void *arg, struct proxy_permit *permit)
{
    struct asked *asked = arg;
    asked->permit = *permit;
    permit->refusal.www_authenticate = NULL; /* taken */
    asked->refusal = &asked->permit.refusal;
    sem_post(&asked->done);
}

static inline void lab_on_manifest(void *arg, struct proxy_manifest *manifest)
{
    struct asked *asked = arg;
    asked->manifest = *manifest;
    manifest->refusal.www_authenticate = manifest->warning = NULL; /* taken, all three */
    manifest->object = NULL;
    asked->refusal = &asked->manifest.refusal;
    sem_post(&asked->done);
}

static inline void lab_put_question(void *arg)
{
    struct asked *asked = arg;
    struct proxy *proxy = &asked->lab->proxy;
    const char *authorization = asked->authorization[0] != '\0' ? asked->authorization : NULL;

    if (asked->is_blob)
        proxy_repository_permit_blob(proxy, &asked->lab->upstream, asked->repository,
                                     &asked->reference.digest, authorization, lab_on_permit, asked);
    else
        proxy_repository_get_manifest(proxy,
                                      &(struct proxy_manifest_wish){
                                          .upstream = &asked->lab->upstream,
                                          .repository = asked->repository,
                                          .reference = &asked->reference,
                                          .authorization = authorization,
                                          .accept = asked->accept[0] != '\0' ? asked->accept : NULL,
                                      },
                                      lab_on_manifest, asked);
}

static inline struct asked *lab_begin(struct lab *lab, bool is_blob, const char *repository,
                                      const char *reference, const char *authorization,
                                      const char *accept)
{
    static _Atomic unsigned turn;
    struct asked *asked = dt_new(struct asked);
    unsigned index = atomic_fetch_add(&turn, 1) % dt_loops_count(lab->proxy.transfer.loops);

    asked->lab = lab;
    sem_init(&asked->done, 0, 0);
    asked->is_blob = is_blob;
    DT_ASSERT(reg_reference_parse(&asked->reference, reference, strlen(reference), NULL) == 0);
    (void)snprintf(asked->repository, sizeof(asked->repository), "%s", repository);
    (void)snprintf(asked->authorization, sizeof(asked->authorization), "%s",
                   authorization != NULL ? authorization : "");
    (void)snprintf(asked->accept, sizeof(asked->accept), "%s", accept != NULL ? accept : "");
    dt_loop_post(dt_loops_at(lab->proxy.transfer.loops, index), lab_put_question, asked);
    return asked;
}

static inline void lab_wait(struct asked *asked)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LAB_DEADLINE_S;
    DT_ASSERT(sem_timedwait(&asked->done, &until) == 0);
}

static inline void lab_done(struct asked *asked)
{
    proxy_refusal_fini(asked->refusal);
    free(asked->manifest.object);
    free(asked->manifest.warning);
    sem_destroy(&asked->done);
    free(asked);
}

static inline struct asked *lab_manifest(struct lab *lab, const char *reference,
                                         const char *authorization)
{
    struct asked *asked = lab_begin(lab, false, "team/app", reference, authorization, NULL);
    lab_wait(asked);
    return asked;
}

static inline struct asked *lab_blob(struct lab *lab, const char *repository, const char *digest,
                                     const char *authorization)
{
    struct asked *asked = lab_begin(lab, true, repository, digest, authorization, NULL);
    lab_wait(asked);
    return asked;
}

/* ---- what to expect ---- */

#define A63     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CONFIG  "sha256:1" A63
#define LAYER   "sha256:2" A63
#define STRANGE "sha256:3" A63
#define LISTED  "sha256:4" A63
#define MANIFEST1                                                                                  \
    "{\"schemaVersion\":2,\"mediaType\":\"" ORIGIN_TYPE "\",\"config\":{\"mediaType\":"            \
    "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" CONFIG "\",\"size\":11},"         \
    "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"" LAYER    \
    "\",\"size\":222}]}"
#define MANIFEST2                                                                                  \
    "{\"schemaVersion\":2,\"mediaType\":\"" ORIGIN_TYPE "\",\"config\":{\"mediaType\":"            \
    "\"application/vnd.oci.image.config.v1+json\",\"digest\":\"" CONFIG "\",\"size\":11},"         \
    "\"layers\":[]}"

#define EVE   "Bearer eve"
#define ALICE "Bearer alice"
#define BOB   "Bearer bob"

/* Alice may read, everybody else may not. */
static inline struct lab *lab_private(void)
{
    struct lab *lab = lab_new();
    lab->origin.allowed[0] = lab->standby.allowed[0] = ALICE;
    lab->origin.manifest = lab->standby.manifest = MANIFEST1;
    return lab;
}

static inline void script(struct origin *origin, enum origin_quirk quirk, int status)
{
    pthread_mutex_lock(&origin->lock);
    origin->quirk = quirk;
    origin->status = status;
    pthread_mutex_unlock(&origin->lock);
}

static inline void end(struct lab *lab)
{
    lab_close(lab);
    lab_free(lab);
}

static inline void expect_manifest(struct asked *asked, const char *text,
                                   enum proxy_freshness freshness)
{
    if (asked->refusal->err.code != 0)
        fail_msg("refused: %s", asked->refusal->err.msg);
    assert_non_null(asked->manifest.object);
    assert_string_equal(asked->manifest.object->bytes, text);
    assert_int_equal(asked->manifest.object->len, strlen(text));
    assert_string_equal(asked->manifest.object->media_type, ORIGIN_TYPE);
    assert_string_equal(proxy_freshness_word(asked->manifest.freshness),
                        proxy_freshness_word(freshness));
    lab_done(asked);
}

static inline void expect_refused(struct asked *asked, int status, const char *code)
{
    const struct proxy_refusal *refusal = asked->refusal;
    if (refusal->err.code == 0)
        fail_msg("not refused with %d", status);
    assert_int_equal(refusal->status, status);
    assert_string_equal(refusal->registry_code != NULL ? refusal->registry_code
                                                       : dt_code_registry(refusal->err.code),
                        code);
    assert_null(asked->manifest.object);
    lab_done(asked);
}

static inline void expect_permit(struct asked *asked, uint64_t size)
{
    if (asked->refusal->err.code != 0)
        fail_msg("refused: %s", asked->refusal->err.msg);
    assert_int_equal(asked->permit.size, size);
    lab_done(asked);
}

static inline char *digest_of(const char *text)
{
    static char digest[DT_DIGEST_TEXT_MAX];
    origin_digest(digest, text);
    return digest;
}

#endif
