/*
 * registry-client/host.c - see host_priv.h.
 *
 *   host:port = (name | "[" IPv6 "]") [":" port]
 *
 * The grammar of a name is Docker's (distribution/reference, "domain"): labels of letters, digits
 * and inner hyphens, joined by single dots. An underscore is not among them.
 */
#include "registry-client/host_priv.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/text.h"

#define PORT_DIGITS_MAX 5

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_name(const char *text, size_t len)
{
    bool at_start = true;
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '.' || text[i] == '-') {
            /* Neither starts a label, and a hyphen does not end one. */
            if (at_start || (text[i] == '.' && text[i - 1] == '-'))
                return false;
            at_start = text[i] == '.';
        } else if (is_label_char(text[i])) {
            at_start = false;
        } else {
            return false;
        }
    }
    return len > 0 && !at_start && text[len - 1] != '-';
}

static bool is_bracketed_ipv6(const char *text, size_t len)
{
    char address[INET6_ADDRSTRLEN];
    unsigned char raw[sizeof(struct in6_addr)];

    if (len < 4 || text[0] != '[' || text[len - 1] != ']' || len - 2 >= sizeof(address))
        return false;
    memcpy(address, text + 1, len - 2);
    address[len - 2] = '\0';
    return strlen(address) == len - 2 && inet_pton(AF_INET6, address, raw) == 1;
}

static bool is_port(const char *text, size_t len)
{
    unsigned long long port = 0;
    return len > 0 && len <= PORT_DIGITS_MAX && dt_text_parse_u64(&port, text, len) && port > 0 &&
           port <= 65535;
}

int reg_host_parse(char out[REG_HOST_SIZE], const char *text, size_t len, struct dt_err *err)
{
    size_t host_len = len;

    if (len == 0 || len >= REG_HOST_SIZE)
        return dt_err_set(err, DT_EINVAL, "host name is empty or too long (%zu bytes)", len);
    const char *colon = memrchr(text, ':', len);
    if (colon != NULL && text[len - 1] != ']') {
        host_len = (size_t)(colon - text);
        if (!is_port(colon + 1, len - host_len - 1))
            return dt_err_set(err, DT_EINVAL, "port is not a number from 1 to 65535");
    }
    if (host_len > 255 || !(is_name(text, host_len) || is_bracketed_ipv6(text, host_len)))
        return dt_err_set(err, DT_EINVAL, "not a host name or address");
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] - 'A' + 'a' : text[i]);
    out[len] = '\0';
    return 0;
}
