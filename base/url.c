/*
 * base/url.c - an http or https URL cut into its parts (RFC 3986, narrowed).
 *
 * Pure; any thread. Narrower than the RFC on purpose: what two parsers could read differently
 * (userinfo, spaces, escapes in the host, port 0) is refused, since URLs come from redirects and
 * absolute-form requests and decide whom we talk to. A fragment is cut off: it is never sent.
 */
#include "base/http.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"

#define HOST_MAX 253 /* RFC 1035 2.3.4, as text */

static const struct {
    const char *name;
    uint16_t port;
} schemes[] = {{"http", 80}, {"https", 443}};

static uint16_t default_port(const char *scheme)
{
    return strcmp(scheme, schemes[0].name) == 0 ? schemes[0].port : schemes[1].port;
}

/* Behind "scheme://", or NULL when it is neither of ours. */
static const char *scheme_read(struct dt_url *url, const char *text)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i].name);
        if (strncasecmp(text, schemes[i].name, len) != 0 || strncmp(text + len, "://", 3) != 0)
            continue;
        (void)dt_text_print(url->scheme, sizeof(url->scheme), "%s", schemes[i].name);
        url->port = schemes[i].port;
        return text + len + 3;
    }
    return NULL;
}

/* Letters, digits, '-', '_' (seen in the wild) and dots between labels that are not empty; one dot
 * may close the name. Lower-cased into url->host. */
static bool name_read(struct dt_url *url, const char *text, size_t len)
{
    if (len == 0 || len > HOST_MAX || text[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", c) == NULL || c == '\0')
            return false;
        if (c == '.' && i + 1 < len && text[i + 1] == '.')
            return false;
        url->host[i] = c;
    }
    url->host[len] = '\0';
    return true;
}

/* "[...]" at text; returns its length with the brackets, or 0. */
static size_t ipv6_read(struct dt_url *url, const char *text, size_t len)
{
    const char *close = memchr(text, ']', len);
    char literal[INET6_ADDRSTRLEN];
    struct in6_addr addr;

    if (close == NULL || (size_t)(close - text - 1) >= sizeof(literal))
        return 0;
    (void)dt_text_print(literal, sizeof(literal), "%.*s", (int)(close - text - 1), text + 1);
    if (inet_pton(AF_INET6, literal, &addr) != 1)
        return 0; /* zone ids too: they mean nothing to anybody but this machine */
    (void)inet_ntop(AF_INET6, &addr, url->host, sizeof(url->host)); /* cannot fail: it fits */
    return (size_t)(close - text) + 1;
}

static bool authority_read(struct dt_url *url, const char *text, size_t len)
{
    unsigned long long port;
    size_t host_len;

    if (len > 0 && text[0] == '[') {
        host_len = ipv6_read(url, text, len);
        if (host_len == 0)
            return false;
    } else {
        const char *colon = memchr(text, ':', len);
        host_len = colon != NULL ? (size_t)(colon - text) : len;
        if (!name_read(url, text, host_len))
            return false;
    }
    if (host_len == len)
        return true;
    if (text[host_len] != ':' || len - host_len > 6 ||
        !dt_text_parse_u64(&port, text + host_len + 1, len - host_len - 1) || port == 0 ||
        port > UINT16_MAX)
        return false;
    url->port = (uint16_t)port;
    return true;
}

int dt_url_parse(struct dt_url *out, const char *text, struct dt_err *err)
{
    struct dt_url url = {.path = NULL};
    const char *rest;
    size_t len = strnlen(text, DT_URL_MAX + 1), authority_len, path_len;

    if (len > DT_URL_MAX)
        return dt_err_set(err, DT_EINVAL, "URL is longer than %d bytes", DT_URL_MAX);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
            return dt_err_set(err, DT_EINVAL, "URL holds a space or control character at byte %zu",
                              i);
    rest = scheme_read(&url, text);
    if (rest == NULL)
        return dt_err_set(err, DT_EINVAL, "URL must begin with http:// or https://: '%.60s'", text);
    authority_len = strcspn(rest, "/?#");
    /* The text is not repeated here: it may hold a password. */
    if (memchr(rest, '@', authority_len) != NULL)
        return dt_err_set(err, DT_EINVAL, "URL must not hold a user name or password");
    if (!authority_read(&url, rest, authority_len))
        return dt_err_set(err, DT_EINVAL, "URL has a bad host or port: '%.*s'",
                          (int)(authority_len < 80 ? authority_len : 80), rest);
    rest += authority_len;
    path_len = strcspn(rest, "#");
    url.path = dt_asprintf("%s%.*s", *rest == '/' ? "" : "/", (int)path_len, rest);
    *out = url;
    return 0;
}

void dt_url_fini(struct dt_url *url)
{
    dt_free(&url->path);
}

char *dt_url_origin(char out[300], const struct dt_url *url)
{
    bool is_ipv6 = strchr(url->host, ':') != NULL;
    char port[8] = "";

    /* One key per origin: a default port is the same whether it was written or not. */
    if (url->port != default_port(url->scheme))
        (void)dt_text_print(port, sizeof(port), ":%u", (unsigned)url->port);
    (void)dt_text_print(out, 300, "%s://%s%s%s%s", url->scheme, is_ipv6 ? "[" : "", url->host,
                        is_ipv6 ? "]" : "", port);
    return out;
}
