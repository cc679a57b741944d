/*
 * proxy/message.c - one signed message of this node to a supernode, and whether its answer counts.
 */
#include "proxy/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int message_send(struct message *message, const struct message_opts *opts,
                 dt_fetch_whole_f on_answer, void *arg, struct dt_err *err)
{
    size_t len = strlen(opts->body);
    char *url = dt_asprintf("%s%s", opts->url, opts->path);
    message->keys = opts->keys;
    message->url = opts->url;
    wire_auth_request(&message->auth, opts->keys, opts->path, opts->body, len, dt_wall_ms());
    const struct dt_header headers[] = {
        {"Content-Type", "application/json"},
        {WIRE_HEADER_AUTH, message->auth.text},
    };
    int rc = dt_fetch_whole(&message->fetch,
                            &(struct dt_fetch_opts){
                                .method = "POST",
                                .url = url,
                                .headers = headers,
                                .n_headers = sizeof headers / sizeof headers[0],
                                .body = opts->body,
                                .body_len = len,
                                .ca_file = opts->ca_file,
                                .connect_timeout_ms = opts->connect_ms,
                                .head_timeout_ms = opts->total_ms,
                                .total_timeout_ms = opts->total_ms,
                                .max_body_bytes = WIRE_BODY_MAX,
                            },
                            on_answer, arg, err);
    free(url);
    return rc;
}

#define DETAIL_MAX 100

/* The detail of a problem document, for people: an answer that is not signed may say anything. */
static const char *quote_detail(char out[DETAIL_MAX], const char *body, size_t len)
{
    static const char before[] = "\"detail\":\"";
    const char *at = len > 0 ? memmem(body, len, before, sizeof before - 1) : NULL;
    size_t n = 0;
    if (at != NULL)
        for (at += sizeof before - 1; at < body + len && *at != '"' && n < DETAIL_MAX - 3; at++)
            out[2 + n++] = *at >= ' ' && *at <= '~' ? *at : '\'';
    out[0] = n > 0 ? ':' : '\0';
    out[1] = ' ';
    out[2 + n] = '\0';
    return out;
}

int message_check(const struct message *message, struct dt_fetch *fetch, int status,
                  const char *body, size_t len, struct dt_err *err)
{
    char detail[DETAIL_MAX];
    if (status != 200)
        return dt_err_set(err, status == 401 ? DT_EDENIED : DT_EPROTO, "%.80s: HTTP status %d%s%s",
                          message->url, status,
                          status == 401 ? ": another cluster key, or a clock that is wrong" : "",
                          quote_detail(detail, body, len));
    return wire_auth_check_reply(message->keys, dt_fetch_header(fetch, WIRE_HEADER_AUTH),
                                 message->auth.nonce, body, len, err);
}
