/*
 * base/base64.c - see base64.h.
 */
#include "base/base64.h"

#include <stdint.h>

#include "base/mem.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *dt_base64url_encode(const void *bytes, size_t len)
{
    const uint8_t *in = bytes;
    char *out = dt_calloc(DT_BASE64URL_LEN(len) + 1, 1);
    size_t pos = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            out[pos++] = ALPHABET[bits >> (n_bits - 6) & 63];
    }
    if (n_bits > 0)
        out[pos++] = ALPHABET[bits << (6 - n_bits) & 63];
    return out;
}

static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool dt_base64url_decode(void *out, size_t out_len, const char *text, size_t len)
{
    uint8_t *to = out;
    size_t pos = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;

    if (len != DT_BASE64URL_LEN(out_len))
        return false;
    for (size_t i = 0; i < len; i++) {
        int value = value_of(text[i]);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            to[pos++] = (uint8_t)(bits >> n_bits);
        }
    }
    return (bits & ((1u << n_bits) - 1)) == 0;
}
