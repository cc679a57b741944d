/*
 * base/fetch_easy.c - one curl handle: its options, its callbacks, its errors in our words.
 *
 *   fetch_easy_new -> (fetch_easy_aim -> transfer)* -> fetch_easy_free
 *
 * Callbacks run inside curl: they may pause or stop the transfer, and nothing else of curl's is
 * legal there (docs/internals/fetch.md). HTTP/1.1 only: a paused HTTP/2 stream would go on to
 * fill memory up to its window.
 */
#include "base/fetch_priv.h"

#include <string.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "base/mem.h"

/* What one recv() may bring. Measured (docs/internals/fetch.md): above 512 KiB a transfer gains
 * little, and a paused one holds up to this much twice. */
#define BUFFER_MAX (512 * 1024)
#define BUFFER_MIN (16 * 1024)

#define CONNECT_TIMEOUT_MS 5000

/* Fields that speak for the caller and therefore stay with the host they were meant for. */
static const char *const credentials[] = {"authorization", "cookie", "proxy-authorization"};

_Static_assert(CURL_ERROR_SIZE <= sizeof(((struct dt_fetch *)0)->curl_msg), "curl's message fits");

#define SET(easy, option, value) DT_ASSERT(curl_easy_setopt((easy), (option), (value)) == CURLE_OK)

/* ---- callbacks ---- */

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct dt_fetch *fetch = arg;
    bool was_complete = fetch->head.is_complete;

    if (fetch->is_cancelled || fetch->err.code != 0)
        return 0;
    if (fetch_head_line(&fetch->head, line, size * n, &fetch->err) < 0)
        return 0;
    if (was_complete || !fetch->head.is_complete)
        return size * n;
    return fetch_on_head(fetch) ? size * n : 0;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
    switch (fetch_on_data(arg, bytes, size * n)) {
    case FETCH_TAKEN:
        return size * n;
    case FETCH_PAUSE:
        return CURL_WRITEFUNC_PAUSE;
    case FETCH_STOP:
        break;
    }
    return size * n + 1; /* whatever was offered, this is not it */
}

/* ---- options ---- */

static struct curl_slist *append(struct curl_slist *list, const char *line)
{
    list = curl_slist_append(list, line);
    DT_ASSERT(list != NULL); /* out of memory */
    return list;
}

static void header_add(struct dt_fetch *fetch, const char *line, bool may_leave_home)
{
    fetch->headers = append(fetch->headers, line);
    if (may_leave_home)
        fetch->no_creds = append(fetch->no_creds, line);
}

static bool is_credential(const char *name)
{
    for (size_t i = 0; i < sizeof(credentials) / sizeof(credentials[0]); i++)
        if (dt_text_equal_nocase(name, credentials[i]))
            return true;
    return false;
}

/* A name or value that could end its line would let its giver write the rest of the request. */
static bool is_plain(const struct dt_header *header)
{
    size_t len = strlen(header->name);

    return len > 0 && strcspn(header->name, ": \t\r\n") == len &&
           header->value[strcspn(header->value, "\r\n")] == '\0';
}

static int headers_set(struct dt_fetch *fetch, const struct dt_fetch_opts *opts, struct dt_err *err)
{
    bool has_encoding = false;

    for (size_t i = 0; i < opts->n_headers; i++) {
        const struct dt_header *header = &opts->headers[i];
        char *line;

        if (!is_plain(header))
            return dt_err_set(err, DT_EINVAL, "request header '%.40s' cannot be sent",
                              header->name);
        /* curl's way to say "empty" is a semicolon; with a colon it would drop the header. */
        line = dt_asprintf("%s%s%s", header->name, header->value[0] == '\0' ? ";" : ": ",
                           header->value);
        header_add(fetch, line, !is_credential(header->name));
        has_encoding = has_encoding || dt_text_equal_nocase(header->name, "accept-encoding");
        free(line);
    }
    /* Digests are over the bytes as stored. */
    if (!has_encoding)
        header_add(fetch, "Accept-Encoding: identity", true);
    header_add(fetch, "Expect:", true); /* no round trip is spent on asking for leave to POST */
    return 0;
}

static int method_set(struct dt_fetch *fetch, const struct dt_fetch_opts *opts, struct dt_err *err)
{
    const char *method = opts->method != NULL ? opts->method : "GET";

    if (strcmp(method, "HEAD") == 0) {
        fetch->is_head = true;
        SET(fetch->easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "POST") == 0) {
        SET(fetch->easy, CURLOPT_POST, 1L);
        SET(fetch->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)opts->body_len);
        SET(fetch->easy, CURLOPT_COPYPOSTFIELDS, opts->body != NULL ? opts->body : "");
    } else if (strcmp(method, "GET") != 0) {
        return dt_err_set(err, DT_EINVAL, "cannot fetch with method '%.20s'", method);
    }
    fetch->may_redirect = opts->follow_redirects && strcmp(method, "POST") != 0;
    return 0;
}

static void tls_set(CURL *easy, const struct dt_fetch_opts *opts)
{
    SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (opts->ca_file != NULL) {
        SET(easy, CURLOPT_CAINFO, opts->ca_file);
        SET(easy, CURLOPT_CAPATH, (char *)NULL); /* this CA instead of the system's, not beside */
    }
    if (opts->insecure_tls) {
        SET(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        SET(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static long buffer_size(uint64_t max_body_bytes)
{
    if (max_body_bytes == 0 || max_body_bytes > BUFFER_MAX)
        return BUFFER_MAX;
    return max_body_bytes < BUFFER_MIN ? BUFFER_MIN : (long)max_body_bytes;
}

int fetch_easy_new(struct dt_fetch *fetch, const struct dt_fetch_opts *opts, struct dt_err *err)
{
    CURL *easy = curl_easy_init();
    uint64_t connect_ms =
        opts->connect_timeout_ms != 0 ? opts->connect_timeout_ms : CONNECT_TIMEOUT_MS;

    DT_ASSERT(easy != NULL); /* out of memory */
    fetch->easy = easy;
    SET(easy, CURLOPT_PRIVATE, fetch);
    SET(easy, CURLOPT_SHARE, fetch->multi->share);
    SET(easy, CURLOPT_ERRORBUFFER, fetch->curl_msg);
    SET(easy, CURLOPT_HEADERFUNCTION, on_header);
    SET(easy, CURLOPT_HEADERDATA, fetch);
    SET(easy, CURLOPT_WRITEFUNCTION, on_body);
    SET(easy, CURLOPT_WRITEDATA, fetch);
    SET(easy, CURLOPT_NOSIGNAL, 1L);
    SET(easy, CURLOPT_NOPROGRESS, 1L);
    SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(easy, CURLOPT_PROXY, ""); /* or http_proxy of our environment would decide */
    SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    SET(easy, CURLOPT_FOLLOWLOCATION, 0L);
    SET(easy, CURLOPT_PATH_AS_IS, 1L);
    SET(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    /* Without it, removing a handle during a DNS lookup waits for the resolver's thread. */
    SET(easy, CURLOPT_QUICK_EXIT, 1L);
    SET(easy, CURLOPT_BUFFERSIZE, buffer_size(opts->max_body_bytes));
    SET(easy, CURLOPT_FRESH_CONNECT, opts->fresh_connection ? 1L : 0L);
    SET(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    SET(easy, CURLOPT_USERAGENT, fetch_multi_user_agent(fetch->multi));
    tls_set(easy, opts);
    if (method_set(fetch, opts, err) < 0)
        return -DT_EINVAL;
    return headers_set(fetch, opts, err);
}

void fetch_easy_aim(struct dt_fetch *fetch)
{
    struct dt_url url;

    DT_ASSERT(dt_url_parse(&url, fetch->url, NULL) == 0); /* we made this text out of one */
    (void)dt_url_origin(fetch->origin, &url);
    dt_url_fini(&url);
    SET(fetch->easy, CURLOPT_URL, fetch->url);
    SET(fetch->easy, CURLOPT_HTTPHEADER, fetch->headers);
}

void fetch_easy_free(struct dt_fetch *fetch)
{
    curl_easy_cleanup(fetch->easy);
    fetch->easy = NULL;
    curl_slist_free_all(fetch->headers);
    curl_slist_free_all(fetch->no_creds);
    fetch->headers = fetch->no_creds = NULL;
}

void fetch_easy_set_low_mark(struct dt_fetch *fetch, unsigned bytes)
{
    int value = (int)bytes;

    if (fetch->low_mark == bytes || fetch->fd < 0)
        return;
    /* Refused: then we are woken more often. */
    (void)setsockopt(fetch->fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof(value));
    fetch->low_mark = bytes;
}

void fetch_easy_note_socket(struct dt_fetch *fetch, int fd, bool is_removed)
{
    /* A paused transfer may end without being told of its socket again: the mark must not stay on
     * the connection, or the next answer would wait behind it. */
    if (is_removed && fetch->low_mark > 1)
        fetch_easy_set_low_mark(fetch, 1);
    fetch->fd = is_removed ? -1 : fd;
}

int fetch_easy_unpause(struct dt_fetch *fetch)
{
    return (int)curl_easy_pause(fetch->easy, CURLPAUSE_CONT);
}

/* ---- errors ---- */

/* Anything not listed is the other side breaking HTTP or TLS. */
static const struct {
    CURLcode curl_code;
    enum dt_code code;
} verdicts[] = {
    {CURLE_COULDNT_RESOLVE_HOST, DT_EUNAVAILABLE}, {CURLE_COULDNT_CONNECT, DT_EUNAVAILABLE},
    {CURLE_INTERFACE_FAILED, DT_EUNAVAILABLE},     {CURLE_SEND_ERROR, DT_EUNAVAILABLE},
    {CURLE_RECV_ERROR, DT_EUNAVAILABLE},           {CURLE_GOT_NOTHING, DT_EUNAVAILABLE},
    {CURLE_PARTIAL_FILE, DT_EUNAVAILABLE}, /* closed in the middle of the body */
    {CURLE_OPERATION_TIMEDOUT, DT_ETIMEOUT},
};

int fetch_easy_error(struct dt_fetch *fetch, int curl_code, struct dt_err *err)
{
    enum dt_code code = DT_EPROTO;

    if (curl_code == CURLE_OK)
        return 0;
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++)
        if ((int)verdicts[i].curl_code == curl_code)
            code = verdicts[i].code;
    return dt_err_set(err, code, "%s: %.150s", fetch->origin,
                      fetch->curl_msg[0] != '\0' ? fetch->curl_msg
                                                 : curl_easy_strerror((CURLcode)curl_code));
}
