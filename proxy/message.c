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

int message_check(const struct message *message, struct dt_fetch *fetch, int status,
                  const char *body, size_t len, struct dt_err *err)
{
    if (status != 200)
        return dt_err_set(err, status == 401 ? DT_EDENIED : DT_EPROTO, "%.120s: HTTP status %d%s",
                          message->url, status,
                          status == 401 ? ": another cluster key, or a clock that is wrong" : "");
    return wire_auth_check_reply(message->keys, dt_fetch_header(fetch, WIRE_HEADER_AUTH),
                                 message->auth.nonce, body, len, err);
}
