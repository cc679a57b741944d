/*
 * registry-client/endpoint.c - base URLs, breakers and the choice between them; see endpoint.h.
 *
 *   CLOSED     open_until_ms is 0
 *   OPEN       now < open_until_ms
 *   HALF_OPEN  now >= open_until_ms; probe_until_ms says whether a probe is out
 *
 * Threads: every loop, without a lock. Fields are independent: two loops that report at the same
 * moment may lose a step of a smoothed figure or open a breaker for the longer of two waits, never
 * more than that.
 */
#include "registry-client/endpoint.h"

#include <string.h>

#include "base/http.h"
#include "base/mem.h"
#include "base/text.h"
#include "registry-client/host_priv.h"
#include "registry-client/ref.h"

#define PROBE_WINDOW_MS 5000u /* a probe that says nothing for so long is replaced */

/* ---- life ---------------------------------------------------------------------------------------
 */

/* "/a/b" with plain segments. Ours to choose, so what would need escaping is refused. */
static bool is_plain_prefix(const char *path)
{
    while (*path == '/') {
        size_t n = strcspn(path + 1, "/");
        const char *segment = path + 1;
        if (n == 0 || segment[0] == '.' ||
            strspn(segment, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                            "0123456789-._~") < n)
            return false;
        path = segment + n;
    }
    return *path == '\0';
}

int reg_endpoint_init(struct reg_endpoint *endpoint, const char *url, unsigned index,
                      struct dt_err *err)
{
    struct dt_url parts = {.path = NULL};
    char origin[300];

    memset(endpoint, 0, sizeof(*endpoint));
    endpoint->index = index;
    if (strpbrk(url, "?#") != NULL)
        return dt_err_set(err, DT_EINVAL, "endpoint URL: no query or fragment, please");
    int rc = dt_url_parse(&parts, url, err);
    if (rc < 0)
        return rc;
    size_t len = strlen(parts.path);
    while (len > 0 && parts.path[len - 1] == '/')
        parts.path[--len] = '\0';
    if (!is_plain_prefix(parts.path))
        rc = dt_err_set(err, DT_EINVAL, "endpoint URL: the path may hold letters, digits and -._~");
    else if (dt_text_has_suffix(parts.path, "/v2"))
        rc = dt_err_set(err, DT_EINVAL, "endpoint URL: leave out the final /v2, it is added");
    else
        endpoint->url = dt_asprintf("%s%s", dt_url_origin(origin, &parts), parts.path);
    dt_url_fini(&parts);
    return rc;
}

void reg_endpoint_fini(struct reg_endpoint *endpoint)
{
    dt_free(&endpoint->url);
    dt_free(&endpoint->ca_file);
    reg_credentials_fini(&endpoint->credentials);
    endpoint->has_credentials = false;
}

/* ---- breaker ------------------------------------------------------------------------------------
 */

enum reg_breaker reg_endpoint_breaker(const struct reg_endpoint *endpoint, uint64_t now_ms)
{
    uint64_t open_until = atomic_load(&endpoint->open_until_ms);
    if (open_until == 0)
        return REG_BREAKER_CLOSED;
    return now_ms < open_until ? REG_BREAKER_OPEN : REG_BREAKER_HALF_OPEN;
}

bool reg_endpoint_admit(struct reg_endpoint *endpoint, uint64_t now_ms)
{
    uint64_t probe = atomic_load(&endpoint->probe_until_ms);
    switch (reg_endpoint_breaker(endpoint, now_ms)) {
    case REG_BREAKER_CLOSED:
        return true;
    case REG_BREAKER_OPEN:
        return false;
    case REG_BREAKER_HALF_OPEN:
        break;
    }
    return now_ms >= probe && atomic_compare_exchange_strong(&endpoint->probe_until_ms, &probe,
                                                             now_ms + PROBE_WINDOW_MS);
}

void reg_endpoint_ok(struct reg_endpoint *endpoint, uint64_t head_us, uint64_t wall_ms)
{
    uint32_t now_us = head_us > UINT32_MAX ? UINT32_MAX : (uint32_t)head_us;
    uint32_t old_us = atomic_load(&endpoint->head_us_ewma);
    int64_t step = ((int64_t)now_us - (int64_t)old_us) / 8;

    atomic_store(&endpoint->head_us_ewma, old_us == 0 ? now_us : (uint32_t)(old_us + step));
    atomic_fetch_add(&endpoint->ok_total, 1);
    atomic_store(&endpoint->last_ok_ms, wall_ms);
    /* An answer to a request from before the breaker opened proves nothing about now; only that of
     * a probe closes it. */
    if (atomic_load(&endpoint->open_until_ms) != 0 && atomic_load(&endpoint->probe_until_ms) == 0)
        return;
    atomic_store(&endpoint->failures_in_row, 0);
    atomic_store(&endpoint->open_until_ms, 0);
    atomic_store(&endpoint->probe_until_ms, 0);
}

/* 1 s, 2 s, 4 s ... for the 3rd, 4th, 5th failure; +-20 % so that nodes do not come back at once.
 */
static uint64_t wait_ms(unsigned failures, uint32_t random)
{
    unsigned doublings = failures > REG_BREAKER_FAILURES ? failures - REG_BREAKER_FAILURES : 0;
    uint64_t wait = (uint64_t)REG_BREAKER_BASE_MS << (doublings > 16 ? 16 : doublings);
    if (wait > REG_BREAKER_MAX_MS)
        wait = REG_BREAKER_MAX_MS;
    return wait * (80 + random % 41) / 100;
}

static void open_breaker(struct reg_endpoint *endpoint, uint64_t now_ms, uint64_t delay_ms)
{
    uint64_t until = now_ms + delay_ms;
    if (until > atomic_load(&endpoint->open_until_ms))
        atomic_store(&endpoint->open_until_ms, until);
    atomic_store(&endpoint->probe_until_ms, 0);
}

static void note_failure(struct reg_endpoint *endpoint, int code, uint64_t wall_ms)
{
    atomic_fetch_add(&endpoint->failed_total, 1);
    atomic_store(&endpoint->last_failed_ms, wall_ms);
    atomic_store(&endpoint->last_error_code, code);
}

void reg_endpoint_failed(struct reg_endpoint *endpoint, int code, uint64_t retry_after_ms,
                         uint64_t now_ms, uint64_t wall_ms, uint32_t random)
{
    enum reg_breaker state = reg_endpoint_breaker(endpoint, now_ms);

    code = code < 0 ? -code : code;
    /* What another source would not do better (our own cancel above all) says nothing about this
     * one; a probe that ended so is free for the next. */
    if (!dt_code_is_retryable(code)) {
        atomic_store(&endpoint->probe_until_ms, 0);
        return;
    }
    note_failure(endpoint, code, wall_ms);
    if (code == DT_EBUSY && retry_after_ms > 0) {
        atomic_fetch_add(&endpoint->failures_in_row, 1);
        open_breaker(endpoint, now_ms,
                     retry_after_ms < REG_RETRY_AFTER_MAX_MS ? retry_after_ms
                                                             : REG_RETRY_AFTER_MAX_MS);
        return;
    }
    /* A hundred requests that fail together are one reason to wait, not a hundred. */
    if (state == REG_BREAKER_OPEN && atomic_load(&endpoint->probe_until_ms) == 0)
        return;
    unsigned failures = atomic_fetch_add(&endpoint->failures_in_row, 1) + 1;
    /* Harbor's 429 comes without Retry-After: stop asking at once all the same. */
    if (failures >= REG_BREAKER_FAILURES || state != REG_BREAKER_CLOSED || code == DT_EBUSY)
        open_breaker(endpoint, now_ms, wait_ms(failures, random));
}

void reg_endpoint_strike(struct reg_endpoint *endpoint, uint64_t now_ms, uint64_t wall_ms)
{
    const uint32_t no_jitter = 20;
    atomic_fetch_add(&endpoint->strikes, 1);
    note_failure(endpoint, DT_EMISMATCH, wall_ms);
    unsigned failures =
        atomic_fetch_add(&endpoint->failures_in_row, REG_BREAKER_FAILURES) + REG_BREAKER_FAILURES;
    open_breaker(endpoint, now_ms, wait_ms(failures, no_jitter));
}

/* ---- upstream -----------------------------------------------------------------------------------
 */

void reg_upstream_fini(struct reg_upstream *upstream)
{
    for (size_t i = 0; i < upstream->n_endpoints; i++)
        reg_endpoint_fini(&upstream->endpoints[i]);
    free(upstream->endpoints);
    free(upstream->name);
    *upstream = (struct reg_upstream){.name = NULL};
}

static int add_endpoint(struct reg_upstream *out, const char *url, size_t len, struct dt_err *err)
{
    char *copy = dt_strndup(url, len);
    struct reg_endpoint *endpoint = &out->endpoints[out->n_endpoints];
    int rc = reg_endpoint_init(endpoint, copy, (unsigned)out->n_endpoints, err);

    free(copy);
    if (rc < 0)
        return rc;
    out->n_endpoints++;
    for (size_t i = 0; i + 1 < out->n_endpoints; i++)
        if (strcmp(out->endpoints[i].url, endpoint->url) == 0)
            return dt_err_set(err, DT_EINVAL, "the same URL twice");
    return 0;
}

static int add_endpoints(struct reg_upstream *out, const char *urls, struct dt_err *err)
{
    size_t n = 1;
    for (const char *p = urls; *p != '\0'; p++)
        n += *p == ',';
    if (n > REG_ENDPOINTS_MAX)
        return dt_err_set(err, DT_EINVAL, "%zu URLs, at most %d", n, REG_ENDPOINTS_MAX);
    out->endpoints = dt_new_array(struct reg_endpoint, n);
    for (;;) {
        size_t len = strcspn(urls, ",");
        int rc = add_endpoint(out, urls, len, err);
        if (rc < 0 || urls[len] == '\0')
            return rc;
        urls += len + 1;
    }
}

int reg_upstream_parse_flag(struct reg_upstream *out, const char *text, struct dt_err *err)
{
    char name[REG_HOST_SIZE];
    struct dt_err why = {.code = 0};
    const char *equals = strchr(text, '=');

    *out = (struct reg_upstream){.name = NULL};
    if (equals == NULL)
        return dt_err_set(err, DT_EINVAL, "expected NAME=URL[,URL...]");
    if (reg_host_parse(name, text, (size_t)(equals - text), &why) == 0) {
        out->name = dt_strdup(name);
        if (add_endpoints(out, equals + 1, &why) == 0)
            return 0;
    }
    reg_upstream_fini(out);
    return dt_err_set(err, DT_EINVAL, "%s", why.msg);
}

struct reg_upstream *reg_upstream_find(struct reg_upstream *upstreams, size_t n, const char *name)
{
    bool is_hub = reg_is_docker_hub(name);
    for (size_t i = 0; i < n; i++)
        if (dt_text_equal_nocase(upstreams[i].name, name))
            return &upstreams[i];
    for (size_t i = 0; is_hub && i < n; i++)
        if (reg_is_docker_hub(upstreams[i].name))
            return &upstreams[i];
    return NULL;
}

int reg_upstream_pick(struct reg_upstream *upstream, uint32_t tried_mask, uint64_t now_ms)
{
    struct reg_endpoint *first = NULL;

    DT_ASSERT(upstream->n_endpoints <= REG_ENDPOINTS_MAX);
    for (size_t i = 0; i < upstream->n_endpoints; i++) {
        struct reg_endpoint *endpoint = &upstream->endpoints[i];
        if (tried_mask >> i & 1)
            continue;
        if (reg_endpoint_admit(endpoint, now_ms))
            return (int)i;
        if (first == NULL ||
            atomic_load(&endpoint->open_until_ms) < atomic_load(&first->open_until_ms))
            first = endpoint;
    }
    if (tried_mask != 0 || first == NULL)
        return -1;
    /* It goes out as a probe, so that its answer may close the breaker. */
    atomic_store(&first->probe_until_ms, now_ms + PROBE_WINDOW_MS);
    return (int)(first - upstream->endpoints);
}
