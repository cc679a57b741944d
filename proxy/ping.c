/*
 * proxy/ping.c - GET /v2/: "are you a registry, and how do I log in?"
 *
 *   mode B: 200, always.  Mode A: what upstream says, 200 or 401 with its challenge unchanged.
 *
 * dockerd and podman read the challenge from here and nowhere else, and podman leaves a mirror that
 * answers with anything but 200 or 401: so upstream's anonymous answer is remembered, on every loop
 * and in the cache, and told again when upstream is away. One that was never reached is answered
 * for with 200: what is cached of it, by clients that do not ping, can then be had. Anonymous pings
 * of a loop share one question; the loop that learns something new tells the others.
 */
#include "proxy/ping.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "transfer/ask.h"
#include "proxy/mirror.h"

#define PING_MAGIC     0x70696e67U
#define PING_BUDGET_MS 2000u
/* Nothing is known yet: a slow answer is worth waiting for, as "no login needed" would be a guess.
 * dockerd waits 15 s. */
#define PING_FIRST_BUDGET_MS 5000u
#define PING_FRESH_MS        60000u /* an anonymous answer is not asked for again */
#define PING_PAUSE_MS        5000u  /* nor is an upstream that did not answer */

/* What one loop knows of one upstream. */
struct ping {
    unsigned magic;
    struct proxy *proxy;
    struct reg_upstream *upstream;
    bool is_loaded;       /* the cache's note was looked for */
    int status;           /* anonymous answer: 200, 401, 0 = never seen */
    char *challenge;      /* of the 401; owned, or NULL */
    uint64_t answered_ms; /* loop time; 0 = not in this run */
    uint64_t failed_ms;
    struct transfer_ask *ask;       /* anonymous, running */
    struct proxy_request **waiting; /* for it; each holds a reference; owned */
    size_t n_waiting;
};

struct proxy_pings {
    unsigned n_loops;
    struct ping *pings; /* loop after loop, upstream after upstream */
};

void proxy_pings_new(struct proxy *proxy)
{
    struct proxy_pings *pings = dt_new(struct proxy_pings);
    pings->n_loops = dt_loops_count(proxy->transfer.loops);
    pings->pings = dt_new_array(struct ping, pings->n_loops * proxy->n_upstreams);
    for (size_t i = 0; i < pings->n_loops * proxy->n_upstreams; i++) {
        pings->pings[i].magic = PING_MAGIC;
        pings->pings[i].proxy = proxy;
        pings->pings[i].upstream = &proxy->upstreams[i % proxy->n_upstreams];
    }
    proxy->pings = pings;
}

void proxy_pings_free(struct proxy *proxy)
{
    struct proxy_pings *pings = proxy->pings;

    if (pings == NULL)
        return;
    for (size_t i = 0; i < pings->n_loops * proxy->n_upstreams; i++) {
        transfer_ask_cancel(&pings->pings[i].ask);
        for (size_t j = 0; j < pings->pings[i].n_waiting; j++)
            proxy_request_unref(&pings->pings[i].waiting[j]);
        free(pings->pings[i].waiting);
        free(pings->pings[i].challenge);
    }
    free(pings->pings);
    dt_free(&proxy->pings);
}

/* ---- answers ---- */

static void ping_answer(struct proxy_request *request, int status, const char *challenge)
{
    struct proxy_refusal refusal = {.status = 401, .registry_code = "UNAUTHORIZED"};

    if (!proxy_request_is_live(request))
        return;
    if (status != 401) {
        proxy_request_add_common_headers(request);
        dt_http_add_header(request->http, "Content-Type", "application/json");
        dt_http_reply(request->http, 200, "{}", 2);
        return;
    }
    (void)dt_err_set(&refusal.err, DT_EUNAUTHORIZED, "%s wants credentials",
                     request->route.upstream->name);
    refusal.www_authenticate = dt_strdup(challenge);
    proxy_request_refuse(request, &refusal);
    proxy_refusal_fini(&refusal);
}

static const char *challenge_of(const struct transfer_ask_answer *answer)
{
    const char *text =
        answer->fetch != NULL ? dt_fetch_header(answer->fetch, "www-authenticate") : NULL;
    return text != NULL && dt_http_value_is_clean(text) ? text : NULL;
}

/* ---- what is remembered ---- */

static char *note_key(const struct ping *ping)
{
    return dt_asprintf("ping/%s", ping->upstream->name);
}

/* True when it says something new. */
static bool ping_set(struct ping *ping, int status, const char *challenge)
{
    bool is_news = ping->status != status || strcmp(ping->challenge != NULL ? ping->challenge : "",
                                                    challenge != NULL ? challenge : "") != 0;

    ping->is_loaded = true; /* whatever the note says is older */
    ping->answered_ms = dt_loop_now_ms(dt_loop_current());
    ping->failed_ms = 0;
    if (is_news) {
        free(ping->challenge);
        ping->challenge = dt_strdup(challenge);
        ping->status = status;
    }
    return is_news;
}

/* What one loop learned, on its way to another. */
struct ping_news {
    struct ping *ping; /* the other loop's */
    int status;
    char *challenge; /* owned, or NULL */
};

static void on_news(void *arg)
{
    struct ping_news *news = arg;

    (void)ping_set(news->ping, news->status, news->challenge); /* told once, not passed on */
    free(news->challenge);
    free(news);
}

static void ping_tell(const struct ping *ping)
{
    struct proxy *proxy = ping->proxy;
    size_t index = (size_t)(ping - proxy->pings->pings);

    for (unsigned i = 0; i < proxy->pings->n_loops; i++) {
        struct ping_news *news;

        if (i == index / proxy->n_upstreams)
            continue;
        news = dt_new(struct ping_news);
        news->ping = &proxy->pings->pings[i * proxy->n_upstreams + index % proxy->n_upstreams];
        news->status = ping->status;
        news->challenge = dt_strdup(ping->challenge);
        dt_loop_post(dt_loops_at(proxy->transfer.loops, i), on_news, news);
    }
}

static void ping_remember(struct ping *ping, int status, const char *challenge)
{
    char *key, *value;

    if (!ping_set(ping, status, challenge))
        return;
    ping_tell(ping);
    key = note_key(ping);
    value = dt_asprintf("%d %s", status, challenge != NULL ? challenge : "");
    if (strlen(value) < CACHE_NOTE_MAX)
        cache_note_put(ping->proxy->transfer.cache, key, value);
    free(value);
    free(key);
}

/* "401 Bearer realm=..." of an earlier run. */
static void ping_load(struct ping *ping)
{
    char *key = note_key(ping), *note = NULL;

    ping->is_loaded = true;
    if (cache_note_get(&note, ping->proxy->transfer.cache, key, NULL) == 0) {
        if (strcmp(note, "200 ") == 0)
            ping->status = 200;
        else if (dt_text_has_prefix(note, "401 "))
            ping->status = 401;
        if (ping->status == 401 && note[4] != '\0')
            ping->challenge = dt_strdup(note + 4);
    }
    free(note);
    free(key);
}

static bool is_within(uint64_t then_ms, uint64_t span_ms, uint64_t now_ms)
{
    return then_ms != 0 && now_ms - then_ms < span_ms;
}

/* ---- asking ---- */

static struct transfer_ask *ping_ask(struct proxy_request *request, uint64_t budget_ms,
                                     transfer_ask_f done, void *arg)
{
    return transfer_ask_start(
        &(struct transfer_ask_opts){
            .transfer = &request->proxy->transfer,
            .upstream = request->route.upstream,
            .method = "GET",
            .path = "/v2/",
            .authorization = request->authorization,
            .max_body_bytes = 64 * KIB,
            .budget_ms = budget_ms,
        },
        done, arg);
}

/* A caller with a header of his own. */
static void on_own_answer(void *arg, const struct transfer_ask_answer *answer)
{
    struct proxy_request *request = arg;

    /* Upstream away: 200 gives no rights, and a 401 would send a good token back to be replaced. */
    ping_answer(request, answer->err.code == 0 ? answer->status : 200, challenge_of(answer));
    proxy_request_unref(&request);
}

static void on_anonymous_answer(void *arg, const struct transfer_ask_answer *answer)
{
    struct ping *ping = arg;
    struct proxy_request **waiting = ping->waiting;
    size_t n_waiting = ping->n_waiting;

    DT_ASSERT(ping->magic == PING_MAGIC);
    ping->ask = NULL;
    ping->waiting = NULL;
    ping->n_waiting = 0;
    if (answer->err.code == 0 && (answer->status == 200 || answer->status == 401))
        ping_remember(ping, answer->status, challenge_of(answer));
    else
        ping->failed_ms = dt_loop_now_ms(dt_loop_current());
    for (size_t i = 0; i < n_waiting; i++) {
        ping_answer(waiting[i], ping->status, ping->challenge);
        proxy_request_unref(&waiting[i]);
    }
    free(waiting);
}

static void ping_wait(struct ping *ping, struct proxy_request *request)
{
    /* Bounded by the connections of this loop: each waits with one request at most. */
    ping->waiting = dt_realloc(ping->waiting, (ping->n_waiting + 1) * sizeof(ping->waiting[0]));
    ping->waiting[ping->n_waiting++] = proxy_request_ref(request);
    if (ping->ask == NULL)
        ping->ask = ping_ask(request, ping->status != 0 ? PING_BUDGET_MS : PING_FIRST_BUDGET_MS,
                             on_anonymous_answer, ping);
}

static struct ping *ping_of(struct proxy_request *request)
{
    struct proxy *proxy = request->proxy;
    size_t index = (size_t)(request->route.upstream - proxy->upstreams);

    DT_ASSERT(index < proxy->n_upstreams);
    return &proxy->pings->pings[dt_loop_index(request->loop) * proxy->n_upstreams + index];
}

void proxy_ping_serve(struct proxy_request *request)
{
    struct ping *ping = ping_of(request);
    uint64_t now_ms = dt_loop_now_ms(request->loop);

    if (request->route.upstream->own_credentials) {
        ping_answer(request, 200, NULL);
        return;
    }
    if (request->authorization != NULL) {
        /* His question alone; it ends by itself, within its budget. */
        (void)ping_ask(request, PING_BUDGET_MS, on_own_answer, proxy_request_ref(request));
        return;
    }
    if (!ping->is_loaded)
        ping_load(ping);
    if (is_within(ping->answered_ms, PING_FRESH_MS, now_ms) ||
        is_within(ping->failed_ms, PING_PAUSE_MS, now_ms))
        ping_answer(request, ping->status, ping->challenge);
    else
        ping_wait(ping, request);
}
