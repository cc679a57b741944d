/*
 * registry-client/endpoint.h - one registry's base URL, its breaker and what we know of its health.
 *
 *   CLOSED (in use) -> OPEN (failed, wait) -> HALF_OPEN (one probe) -> CLOSED
 *
 * An upstream is an ordered list of endpoints: origin first, standby registries after it. The
 * health record is shared by all loops: plain atomics, each field independent, so no lock and no
 * home loop. Times are arguments: the breaker is tested by table.
 */
#ifndef DARTER_REGISTRY_CLIENT_ENDPOINT_H
#define DARTER_REGISTRY_CLIENT_ENDPOINT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "registry-client/credentials.h"

#define REG_ENDPOINTS_MAX      32    /* of one upstream: bits of tried_mask */
#define REG_BREAKER_FAILURES   3     /* in a row, before it opens */
#define REG_BREAKER_BASE_MS    1000u /* first wait; doubles, with jitter of +-20 % */
#define REG_BREAKER_MAX_MS     60000u
#define REG_RETRY_AFTER_MAX_MS 600000u

enum reg_breaker { REG_BREAKER_CLOSED, REG_BREAKER_OPEN, REG_BREAKER_HALF_OPEN };

struct reg_endpoint {
    char *url;     /* owned: "https://registry-1.docker.io", no trailing slash; may have a
                      path prefix: "https://m.test/v2-prefix" -> url + "/v2/..." */
    char *ca_file; /* owned or NULL */
    bool insecure_tls;
    bool has_credentials;
    struct reg_credentials credentials;
    unsigned index; /* place in its upstream's list; 0 = origin */
    /* health */
    _Atomic unsigned failures_in_row;
    _Atomic uint64_t open_until_ms;  /* monotonic */
    _Atomic uint64_t probe_until_ms; /* a half-open probe is out until then */
    _Atomic uint64_t strikes;        /* wrong bytes: each counts as REG_BREAKER_FAILURES */
    _Atomic uint64_t ok_total, failed_total, bytes_total;
    _Atomic uint64_t last_ok_ms, last_failed_ms; /* wall clock, for people */
    _Atomic uint32_t head_us_ewma;               /* time to response head, smoothed */
    _Atomic int last_error_code;                 /* enum dt_code */
};

/* Parses and checks; the endpoint starts healthy. Errors: DT_EINVAL. */
int reg_endpoint_init(struct reg_endpoint *, const char *url, unsigned index, struct dt_err *);
void reg_endpoint_fini(struct reg_endpoint *);

enum reg_breaker reg_endpoint_breaker(const struct reg_endpoint *, uint64_t now_ms);
/* May a request be sent now? In HALF_OPEN exactly one caller gets true per probe window. */
bool reg_endpoint_admit(struct reg_endpoint *, uint64_t now_ms);
void reg_endpoint_ok(struct reg_endpoint *, uint64_t head_us, uint64_t wall_ms);
/* `code` < 0 or > 0. DT_EBUSY (429/503): opens at once for `retry_after_ms`, or for the breaker's
 * own wait when that is 0. Definite answers (401, 404, ...) are not failures: do not report them
 * here; codes that are not retryable, DT_ECANCELLED above all, only free the probe. */
void reg_endpoint_failed(struct reg_endpoint *, int code, uint64_t retry_after_ms, uint64_t now_ms,
                         uint64_t wall_ms, uint32_t random);
void reg_endpoint_strike(struct reg_endpoint *, uint64_t now_ms, uint64_t wall_ms);

struct reg_upstream {
    char *name;                     /* "docker.io": what ?ns= says; owned, lower case */
    struct reg_endpoint *endpoints; /* owned; in the order they are tried */
    size_t n_endpoints;
    bool own_credentials;   /* mode B: we answer with our account; clients send none */
    uint64_t revalidate_ms; /* manifests by digest too (Harbor's 412 policy); 0 = never */
    uint64_t touch_ms; /* a pull answered from a cache is told upstream this often; 0 = never */
};
void reg_upstream_fini(struct reg_upstream *);
/* The one of this name, without regard to case; Docker Hub by any of its names. NULL = none. */
struct reg_upstream *reg_upstream_find(struct reg_upstream *upstreams, size_t n, const char *name);
/* "NAME=URL[,URL...]" of --upstream. */
int reg_upstream_parse_flag(struct reg_upstream *out, const char *text, struct dt_err *);
/* Pure: the endpoint to try next: first admitted one after `tried_mask` is taken out; -1 = none.
 * When all breakers are open and nothing was tried yet, the one that reopens first is chosen (a
 * last resort is better than a refusal). */
int reg_upstream_pick(struct reg_upstream *, uint32_t tried_mask, uint64_t now_ms);

#endif
