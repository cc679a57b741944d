/*
 * base/percent.c - percent-encoding (RFC 3986 2.1) and query strings.
 *
 * Pure; any thread. A '+' stays a '+': media types and digests carry it, and nothing that is asked
 * of a registry carries a space. Control characters are refused even when escaped: what comes out
 * goes into log lines, headers and file names.
 */
#include "base/http.h"

#include <string.h>

#include "base/mem.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One decoded character from text[0..len); *used says how many bytes it took. -1 = bad. */
static int decode_one(size_t *used, const char *text, size_t len)
{
    unsigned char c = (unsigned char)text[0];

    *used = 1;
    if (c == '%') {
        int high = len > 2 ? hex_value(text[1]) : -1;
        int low = len > 2 ? hex_value(text[2]) : -1;
        if (high < 0 || low < 0)
            return -1;
        *used = 3;
        c = (unsigned char)(high * 16 + low);
    }
    return c < 0x20 || c == 0x7f ? -1 : c;
}

int dt_percent_decode(char *out, size_t out_size, const char *text, size_t len, struct dt_err *err)
{
    size_t n = 0, used;

    for (size_t i = 0; i < len; i += used) {
        int c = decode_one(&used, text + i, len - i);
        if (c < 0)
            return dt_err_set(err, DT_EINVAL, "bad percent-escape or control character at byte %zu",
                              i);
        if (n + 1 >= out_size)
            return dt_err_set(err, DT_EINVAL, "longer than %zu bytes", out_size - 1);
        out[n++] = (char)c;
    }
    if (out_size == 0)
        return dt_err_set(err, DT_EINVAL, "no room to decode into");
    out[n] = '\0';
    return 0;
}

char *dt_percent_encode(const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-._~";
    char *out = dt_calloc(strlen(text) + 1, 3);
    size_t n = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (strchr(unreserved, c) != NULL) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = hex[c >> 4];
            out[n++] = hex[c & 15];
        }
    }
    return out;
}

/* "n%73" is the key "ns": who strips a key and who reads it must agree on that. */
static bool key_equals(const char *text, size_t len, const char *key)
{
    size_t used;

    for (size_t i = 0; i < len; i += used, key++)
        if (*key == '\0' || decode_one(&used, text + i, len - i) != (unsigned char)*key)
            return false;
    return *key == '\0';
}

int dt_query_get(char *out, size_t out_size, const char *query, const char *key, struct dt_err *err)
{
    while (query != NULL && *query != '\0') {
        size_t pair_len = strcspn(query, "&");
        size_t key_len = strcspn(query, "&=");

        if (key_len > 0 && key_equals(query, key_len, key)) {
            size_t value_at = key_len < pair_len ? key_len + 1 : pair_len;
            int rc = dt_percent_decode(out, out_size, query + value_at, pair_len - value_at, err);
            return rc < 0 ? rc : 1;
        }
        query += pair_len + (query[pair_len] == '&');
    }
    return 0;
}
