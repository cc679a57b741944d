/*
 * proxy/repository_flight.c - one question upstream, and all the calls that wait for its answer.
 *
 *   ASKING -> LANDED: every call aboard takes its next step with the same answer
 *
 * Who may share: HEAD and GET answer "may this caller?", so only calls with the same Authorization
 * share them. GET_SHARED answers "what are the bytes?", for calls that were authorised before; it
 * travels with the header of whoever started it. A manifest is checked here, before anybody sees
 * it.
 */
#include "proxy/repository_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/httpd.h"
#include "base/mem.h"
#include "base/text.h"
#include "transfer/source.h"
#include "registry-client/manifest.h"

#define FLIGHT_MAGIC 0x666c6967U

struct repository_flight {
    unsigned magic;
    struct repository *repository;
    struct repository_flight *next;
    enum flight_kind kind;
    char *path;
    struct proxy_grant_key key; /* whose header it travels with */
    bool has_digest;
    struct dt_digest digest; /* what a GET must bring */
    struct transfer_ask *ask;
    struct cache_object *object;   /* what a GET brought; owned */
    struct repository_call *calls; /* aboard */
};

static struct repository_flight *flight_find(const struct repository_call *call,
                                             enum flight_kind kind, const char *path)
{
    struct repository_flight *flight = call->repository->flights;

    for (; flight != NULL; flight = flight->next)
        if (flight->kind == kind && strcmp(flight->path, path) == 0 &&
            (kind == FLIGHT_GET_SHARED || proxy_grant_key_equal(&flight->key, &call->key)))
            return flight;
    return NULL;
}

bool repository_flight_is_foreign(const struct repository_call *call, const char *path)
{
    const struct repository_flight *flight = flight_find(call, FLIGHT_GET_SHARED, path);
    return flight != NULL && !proxy_grant_key_equal(&flight->key, &call->key);
}

static void flight_free(struct repository_flight *flight)
{
    struct repository_flight **at = &flight->repository->flights;

    while (*at != flight)
        at = &(*at)->next;
    *at = flight->next;
    transfer_ask_cancel(&flight->ask);
    free(flight->path);
    free(flight->object);
    flight->magic = 0;
    free(flight);
}

void repository_flights_free(struct repository *repository)
{
    while (repository->flights != NULL) {
        struct repository_call *call = repository->flights->calls, *next;
        flight_free(repository->flights);
        for (; call != NULL; call = next) {
            next = call->next;
            repository_call_drop(call);
        }
    }
}

/* ---- what came back ---- */

/* The type without parameters, or "" when it is not a manifest's. */
static void media_type_read(char out[128], const char *content_type)
{
    size_t len;

    out[0] = '\0';
    if (content_type == NULL || !reg_media_type_is_manifest(content_type))
        return;
    content_type += strspn(content_type, " \t");
    len = strcspn(content_type, "; \t");
    if (len < 128)
        (void)dt_text_print(out, 128, "%.*s", (int)len, content_type);
}

/* Docker-Content-Digest; absent and unreadable are the same. */
static bool told_digest(struct dt_digest *out, struct dt_fetch *fetch)
{
    const char *text = dt_fetch_header(fetch, "docker-content-digest");
    return text != NULL && dt_digest_parse(out, text, strlen(text), NULL) == 0;
}

/* The digest of the body is the one asked for, else the one the response names itself. */
static int flight_check_digest(struct repository_flight *flight, const char *body, size_t len,
                               struct dt_fetch *fetch, struct dt_err *err)
{
    struct dt_digest told, computed;
    char a[DT_DIGEST_TEXT_MAX], b[DT_DIGEST_TEXT_MAX];
    bool is_told = flight->has_digest || told_digest(&told, fetch);

    if (flight->has_digest)
        told = flight->digest;
    else if (!is_told)
        told.algo = DT_SHA256;
    dt_digest_of(&computed, (enum dt_digest_algo)told.algo, body, len);
    if (is_told && !dt_digest_equal(&told, &computed))
        return dt_err_set(err, DT_EMISMATCH, "manifest hashes to %s instead of %s",
                          dt_digest_format(a, &computed), dt_digest_format(b, &told));
    if (!flight->has_digest)
        flight->digest = computed;
    return 0;
}

/* For transfer_ask: is the body of this GET a manifest, and the right one? Keeps it if so. */
static int on_check(void *arg, const char *body, size_t len, struct dt_fetch *fetch,
                    struct dt_err *err)
{
    struct repository_flight *flight = arg;
    struct reg_manifest manifest = {.children = NULL};
    char media_type[128];
    int rc;

    DT_ASSERT(flight->magic == FLIGHT_MAGIC);
    media_type_read(media_type, dt_fetch_header(fetch, "content-type"));
    if (len == 0)
        return dt_err_set(err, DT_EPROTO, "empty manifest");
    rc = flight_check_digest(flight, body, len, fetch, err);
    if (rc < 0)
        return rc;
    rc = reg_manifest_parse(&manifest, body, len, media_type[0] != '\0' ? media_type : NULL, err);
    if (rc == 0 && media_type[0] == '\0')
        (void)dt_text_print(media_type, sizeof(media_type), "%s", manifest.media_type);
    reg_manifest_fini(&manifest);
    /* Bytes of the right digest with a manifest's type are what they say, read or not; anything
     * else that cannot be read is an error page that somebody sent with 200. */
    if (rc < 0 && !(flight->has_digest && media_type[0] != '\0'))
        return rc;
    if (media_type[0] == '\0')
        return dt_err_set(err, DT_EPROTO, "neither the response nor the document is a manifest");
    free(flight->object);
    flight->object = dt_calloc(1, sizeof(*flight->object) + len + 1);
    flight->object->digest = flight->digest;
    flight->object->len = len;
    memcpy(flight->object->media_type, media_type, sizeof(media_type));
    memcpy(flight->object->bytes, body, len);
    return 0;
}

/* One that may be passed on to a client as it is. */
static const char *clean_header(struct dt_fetch *fetch, const char *name)
{
    const char *value = dt_fetch_header(fetch, name);
    return value != NULL && dt_http_value_is_clean(value) ? value : NULL;
}

static void result_read_head(struct flight_result *result, struct dt_fetch *fetch)
{
    const char *length = dt_fetch_header(fetch, "content-length");
    unsigned long long value;

    result->www_authenticate = clean_header(fetch, "www-authenticate");
    result->warning = clean_header(fetch, "warning");
    result->has_digest = told_digest(&result->digest, fetch);
    media_type_read(result->media_type, dt_fetch_header(fetch, "content-type"));
    if (length != NULL && dt_text_parse_u64(&value, length, strlen(length)))
        result->length = value;
}

static struct flight_result result_of(const struct repository_flight *flight,
                                      const struct transfer_ask_answer *answer)
{
    struct flight_result result = {
        .err = answer->err,
        .retry_after_ms = answer->retry_after_ms,
        .status = answer->status,
        .length = UINT64_MAX,
        .source = answer->endpoint == 0 ? SOURCE_ORIGIN : SOURCE_MIRROR,
    };

    if (answer->fetch != NULL)
        result_read_head(&result, answer->fetch);
    if (answer->err.code == 0 && answer->status == 200 && flight->object != NULL) {
        result.object = flight->object;
        result.digest = flight->object->digest;
        result.has_digest = true;
    } else if (answer->err.code == 0 && answer->status >= 200 && answer->status < 300 &&
               flight->kind != FLIGHT_HEAD) {
        (void)dt_err_set(&result.err, DT_EPROTO, "%s answered %d to a GET",
                         flight->repository->upstream->name, answer->status);
    }
    return result;
}

static void on_answer(void *arg, const struct transfer_ask_answer *answer)
{
    struct repository_flight *flight = arg;
    struct repository *repository = flight->repository;
    struct repository_call *call, *calls = flight->calls;
    struct proxy_grant_key key = flight->key;
    struct cache_object *object;
    struct flight_result result;

    DT_ASSERT(flight->magic == FLIGHT_MAGIC);
    flight->ask = NULL; /* ends by itself */
    result = result_of(flight, answer);
    if (result.err.code == 0)
        repository->away_ms = 0;
    if (result.object != NULL)
        repository_store_object(repository, result.object);
    object = flight->object;
    flight->object = NULL;
    flight_free(flight); /* a call's next step may start another one like it */
    while (calls != NULL) {
        call = calls;
        calls = call->next;
        call->next = NULL;
        call->flight = NULL;
        result.is_own = proxy_grant_key_equal(&key, &call->key);
        call->landed(call, &result);
    }
    free(object);
}

/* ---- taking off ---- */

static struct repository_flight *flight_start(const struct repository_call *call,
                                              enum flight_kind kind, const char *path,
                                              const struct dt_digest *digest, uint64_t budget_ms)
{
    struct repository *repository = call->repository;
    struct repository_flight *flight = dt_new(struct repository_flight);
    struct transfer_ask_opts opts = {
        .transfer = &call->proxy->transfer,
        .upstream = call->upstream,
        .method = kind == FLIGHT_HEAD ? "HEAD" : "GET",
        .path = path,
        .repository = repository->name,
        .accept = call->kind == CALL_MANIFEST ? REG_ACCEPT_ALL_MANIFESTS : NULL,
        .authorization = call->authorization,
        .may_use_account = call->upstream->own_credentials,
        .max_body_bytes = REG_MANIFEST_MAX,
        .budget_ms = budget_ms,
        .check = kind == FLIGHT_HEAD ? NULL : on_check,
    };

    flight->magic = FLIGHT_MAGIC;
    flight->repository = repository;
    flight->kind = kind;
    flight->path = dt_strdup(path);
    flight->key = call->key;
    flight->has_digest = digest != NULL;
    if (digest != NULL)
        flight->digest = *digest;
    flight->next = repository->flights;
    repository->flights = flight;
    flight->ask = transfer_ask_start(&opts, on_answer, flight);
    return flight;
}

void repository_flight_board(struct repository_call *call, enum flight_kind kind, const char *path,
                             const struct dt_digest *digest, uint64_t budget_ms,
                             flight_landed_f landed)
{
    struct repository_flight *flight = flight_find(call, kind, path);

    dt_loop_assert_mine(call->repository->table->loop);
    DT_ASSERT(call->flight == NULL);
    if (flight == NULL)
        flight = flight_start(call, kind, path, digest, budget_ms);
    call->landed = landed;
    call->flight = flight;
    call->next = flight->calls;
    flight->calls = call;
}
