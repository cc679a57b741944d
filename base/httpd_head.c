/*
 * base/httpd_head.c - is this request head one we accept? Pure functions over bytes.
 *
 * h2o has parsed the head already, but it is lenient where leniency is dangerous: of two Host
 * fields the last wins, Transfer-Encoding next to Content-Length is taken, any method will do, and
 * the fields in question are removed before a handler could look. So the head's bytes, which h2o
 * keeps, are read a second time. Rules: RFC 9112 (3.2 Host and target forms, 5.2 folding,
 * 6.1 and 6.3 framing), RFC 6585 5 (431).
 */
#include "base/httpd_priv.h"

#include <string.h>
#include <strings.h>

#include "base/text.h"

#define METHODS(X)                                                                                 \
    X(DT_GET, "GET")                                                                               \
    X(DT_HEAD, "HEAD")                                                                             \
    X(DT_POST, "POST")                                                                             \
    X(DT_PUT, "PUT")                                                                               \
    X(DT_PATCH, "PATCH")                                                                           \
    X(DT_DELETE, "DELETE")                                                                         \
    X(DT_OPTIONS, "OPTIONS")                                                                       \
    X(DT_CONNECT, "CONNECT")

static const char *const method_names[] = {
#define X(id, name) [id] = name,
    METHODS(X)
#undef X
};

int httpd_method_parse(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof method_names / sizeof method_names[0]; i++)
        if (strlen(method_names[i]) == len && memcmp(method_names[i], name, len) == 0)
            return (int)i;
    return -1;
}

const char *httpd_method_name(enum dt_http_method method)
{
    return method_names[method];
}

static bool is_named(const char *line, size_t len, const char *name)
{
    size_t name_len = strlen(name);

    return len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0;
}

static void count_field(struct httpd_head *head, const char *line, size_t len,
                        const char **first_length, size_t *first_length_len)
{
    head->n_fields++;
    if (line[0] == ' ' || line[0] == '\t')
        head->has_folding = true;
    if (is_named(line, len, "host"))
        head->n_hosts++;
    if (is_named(line, len, "transfer-encoding"))
        head->n_transfer_encodings++;
    if (is_named(line, len, "content-length")) {
        const char *value = line + strlen("content-length:");
        size_t value_len = len - strlen("content-length:");
        dt_text_trim(&value, &value_len);
        if (head->n_lengths++ == 0) {
            *first_length = value;
            *first_length_len = value_len;
        } else if (value_len != *first_length_len || memcmp(value, *first_length, value_len) != 0) {
            head->lengths_differ = true;
        }
    }
}

void httpd_head_scan(struct httpd_head *out, const char *bytes, size_t len)
{
    const char *at = bytes, *end = bytes + len, *first_length = NULL;
    size_t first_length_len = 0;
    bool is_request_line = true;

    *out = (struct httpd_head){0};
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t line_len = (size_t)((newline != NULL ? newline : end) - at);
        const char *line = at;
        at = newline != NULL ? newline + 1 : end;
        if (line_len > 0 && line[line_len - 1] == '\r')
            line_len--;
        if (line_len == 0 && is_request_line)
            continue; /* empty lines before the request line are allowed (RFC 9112 2.2) */
        if (line_len == 0)
            break;
        if (!is_request_line)
            count_field(out, line, line_len, &first_length, &first_length_len);
        is_request_line = false;
    }
    out->len = (size_t)(at - bytes);
}

int httpd_head_check(const struct httpd_head *head, bool is_http_1_1, size_t max_bytes)
{
    if (head->len > max_bytes || head->n_fields > HTTPD_HEADERS_MAX)
        return 431;
    if (head->n_hosts > 1 || (is_http_1_1 && head->n_hosts != 1))
        return 400;
    /* Whoever sends both, or two lengths, may be smuggling a request past us or past a proxy
     * before us; we answer one request and close. */
    if (head->n_transfer_encodings > 1 || head->lengths_differ)
        return 400;
    if (head->n_transfer_encodings > 0 && (head->n_lengths > 0 || !is_http_1_1))
        return 400;
    return head->has_folding ? 400 : 0;
}

bool httpd_host_is_clean(const char *host, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = host[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!is_alnum && (c == '\0' || strchr(".-_~:[]%", c) == NULL))
            return false;
    }
    return true;
}

static bool is_target_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f; /* anything else must come percent-encoded (RFC 3986 2) */
}

bool httpd_target_check(enum dt_http_method method, const char *target, const char **authority,
                        size_t *authority_len)
{
    size_t scheme_len = 0;

    *authority = NULL;
    *authority_len = 0;
    for (const char *c = target; *c != '\0'; c++)
        if (!is_target_char((unsigned char)*c))
            return false;
    if (method == DT_CONNECT) {
        *authority = target;
        *authority_len = strlen(target);
        return *authority_len > 0 && httpd_host_is_clean(target, *authority_len);
    }
    if (target[0] == '/')
        return true;
    if (strcmp(target, "*") == 0)
        return method == DT_OPTIONS;
    if (strncasecmp(target, "http://", 7) == 0)
        scheme_len = 7;
    else if (strncasecmp(target, "https://", 8) == 0)
        scheme_len = 8;
    else
        return false;
    *authority = target + scheme_len;
    *authority_len = strcspn(*authority, "/?#");
    return *authority_len > 0 && httpd_host_is_clean(*authority, *authority_len);
}
