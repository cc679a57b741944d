/*
 * base/fetch_sync.c - one HTTP request that blocks the calling thread.
 *
 *   handle made -> performed -> freed; nothing is kept between requests
 *
 * Any thread that may wait; curl's global state is made on first use.
 */
#include "base/fetch_sync.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/mem.h"
#include "base/text.h"

#define CONNECT_TIMEOUT_MS 5000
#define TOTAL_TIMEOUT_MS   30000

#define SET(easy, option, value) DT_ASSERT(curl_easy_setopt((easy), (option), (value)) == CURLE_OK)

struct sync_body {
    struct dt_text text;
    size_t max_bytes;
    bool is_too_big;
};

static void init_curl(void)
{
    DT_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    struct sync_body *body = arg;
    if (size * n > body->max_bytes - body->text.len) {
        body->is_too_big = true;
        return 0; /* curl ends the transfer: fewer bytes taken than offered */
    }
    dt_text_add_len(&body->text, bytes, size * n);
    return size * n;
}

static struct curl_slist *headers_of(const struct dt_fetch_sync_opts *opts)
{
    struct curl_slist *list = NULL;
    for (size_t i = 0; i < opts->n_headers; i++) {
        char *line = dt_asprintf("%s: %s", opts->headers[i].name, opts->headers[i].value);
        list = curl_slist_append(list, line);
        DT_ASSERT(list != NULL);
        free(line);
    }
    return list;
}

static int error_of(CURLcode code, const struct sync_body *body, const char *where, const char *why,
                    struct dt_err *err)
{
    if (why[0] == '\0')
        why = curl_easy_strerror(code);
    if (body->is_too_big)
        return dt_err_set(err, DT_ETOOBIG, "%.100s: the answer is larger than %zu bytes", where,
                          body->max_bytes);
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return dt_err_set(err, DT_EINVAL, "%.100s: %.120s", where, why);
    case CURLE_OPERATION_TIMEDOUT:
        return dt_err_set(err, DT_ETIMEOUT, "%.100s: %.120s", where, why);
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return dt_err_set(err, DT_EUNAVAILABLE, "%.100s: %.120s", where, why);
    default:
        return dt_err_set(err, DT_EPROTO, "%.100s: %.120s", where, why);
    }
}

int dt_fetch_sync(struct dt_fetch_sync_reply *out, const struct dt_fetch_sync_opts *opts,
                  struct dt_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sync_body body = {.max_bytes = opts->max_body_bytes};
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;

    *out = (struct dt_fetch_sync_reply){0};
    (void)pthread_once(&once, init_curl);
    CURL *easy = curl_easy_init();
    DT_ASSERT(easy != NULL);
    struct curl_slist *headers = headers_of(opts);
    SET(easy, CURLOPT_ERRORBUFFER, why);
    SET(easy, CURLOPT_URL, opts->url);
    SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(easy, CURLOPT_PROXY, "");
    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_HTTPHEADER, headers);
    SET(easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(easy, CURLOPT_WRITEDATA, &body);
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS,
        (long)(opts->connect_timeout_ms != 0 ? opts->connect_timeout_ms : CONNECT_TIMEOUT_MS));
    SET(easy, CURLOPT_TIMEOUT_MS,
        (long)(opts->total_timeout_ms != 0 ? opts->total_timeout_ms : TOTAL_TIMEOUT_MS));
    if (opts->unix_path != NULL)
        SET(easy, CURLOPT_UNIX_SOCKET_PATH, opts->unix_path);
    if (opts->method != NULL)
        SET(easy, CURLOPT_CUSTOMREQUEST, opts->method);
    CURLcode code = curl_easy_perform(easy);
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status); /* 0 when there is none */
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
    const char *where = opts->unix_path != NULL ? opts->unix_path : opts->url;
    if (code != CURLE_OK) {
        dt_text_fini(&body.text);
        return error_of(code, &body, where, why, err);
    }
    out->status = (int)status;
    out->len = body.text.len;
    dt_text_add(&body.text, ""); /* an empty body is an empty string */
    out->body = dt_text_take(&body.text);
    return 0;
}

void dt_fetch_sync_reply_fini(struct dt_fetch_sync_reply *reply)
{
    free(reply->body);
    *reply = (struct dt_fetch_sync_reply){0};
}
