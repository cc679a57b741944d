/*
 * base/addr.c - where to listen: "127.0.0.1:65001", "[::1]:80", "unix:/run/x.sock".
 *
 * Pure; any thread. Numeric only: a listener that waits for DNS at boot is a listener that
 * sometimes is not there.
 */
#include "base/http.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"

static int bad_addr(const char *text, struct dt_err *err)
{
    return dt_err_set(err, DT_EINVAL,
                      "'%.60s' is not an address: want 127.0.0.1:80, [::1]:80 or unix:/path", text);
}

static int unix_parse(struct dt_addr *out, const char *path, struct dt_err *err)
{
    if (path[0] != '/' || !dt_text_print(out->unix_path, sizeof(out->unix_path), "%s", path))
        return dt_err_set(
            err, DT_EINVAL,
            "'%.120s' is not a socket path: want an absolute one of at most %zu bytes", path,
            sizeof(out->unix_path) - 1);
    return 0;
}

int dt_addr_parse(struct dt_addr *out, const char *text, struct dt_err *err)
{
    struct dt_addr addr = {.port = 0};
    const char *colon = strrchr(text, ':');
    bool is_ipv6 = text[0] == '[';
    char host[INET6_ADDRSTRLEN];
    unsigned char binary[sizeof(struct in6_addr)];
    unsigned long long port;
    int rc;

    if (dt_text_has_prefix(text, "unix:")) {
        rc = unix_parse(&addr, text + strlen("unix:"), err);
        if (rc == 0)
            *out = addr;
        return rc;
    }
    if (colon == NULL || strlen(colon) > 6 ||
        !dt_text_parse_u64(&port, colon + 1, strlen(colon + 1)) || port > UINT16_MAX)
        return bad_addr(text, err);
    if (is_ipv6 && (colon - text < 3 || colon[-1] != ']'))
        return bad_addr(text, err);
    if (!dt_text_print(host, sizeof(host), "%.*s", (int)(colon - text) - (is_ipv6 ? 2 : 0),
                       text + is_ipv6))
        return bad_addr(text, err);
    if (inet_pton(is_ipv6 ? AF_INET6 : AF_INET, host, binary) != 1)
        return bad_addr(text, err);
    (void)inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, binary, addr.host, sizeof(addr.host));
    addr.port = (uint16_t)port;
    *out = addr;
    return 0;
}

bool dt_addr_is_local(const struct dt_addr *addr)
{
    static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct in6_addr binary;

    if (addr->unix_path[0] != '\0')
        return true;
    if (inet_pton(AF_INET6, addr->host, &binary) != 1)
        return dt_text_has_prefix(addr->host, "127.");
    if (memcmp(binary.s6_addr, mapped, sizeof(mapped)) == 0)
        return binary.s6_addr[12] == 127;
    return IN6_IS_ADDR_LOOPBACK(&binary);
}

char *dt_addr_format(char out[300], const struct dt_addr *addr)
{
    bool is_ipv6 = strchr(addr->host, ':') != NULL;

    if (addr->unix_path[0] != '\0')
        (void)dt_text_print(out, 300, "unix:%s", addr->unix_path);
    else
        (void)dt_text_print(out, 300, "%s%s%s:%u", is_ipv6 ? "[" : "", addr->host,
                            is_ipv6 ? "]" : "", (unsigned)addr->port);
    return out;
}
