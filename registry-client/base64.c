/*
 * registry-client/base64.c - see base64_priv.h.
 */
#include "registry-client/base64_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *reg_base64_encode(const void *bytes, size_t len)
{
    const unsigned char *in = bytes;
    char *out = dt_new_array(char, (len + 2) / 3 * 4 + 1);
    char *p = out;

    for (size_t i = 0; i < len; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned v = (unsigned)in[i] << 16;
        v |= n > 1 ? (unsigned)in[i + 1] << 8 : 0;
        v |= n > 2 ? (unsigned)in[i + 2] : 0;
        *p++ = ALPHABET[v >> 18];
        *p++ = ALPHABET[v >> 12 & 63];
        *p++ = n > 1 ? ALPHABET[v >> 6 & 63] : '=';
        *p++ = n > 2 ? ALPHABET[v & 63] : '=';
    }
    return out;
}

bool reg_base64_decode(char **out, size_t *out_len, const char *text, size_t len)
{
    unsigned bits = 0, n_bits = 0;
    size_t n = 0;

    *out = NULL;
    if (len % 4 == 0 && len > 0 && text[len - 1] == '=')
        len -= text[len - 2] == '=' ? 2 : 1;
    if (len % 4 == 1)
        return false;
    char *bytes = dt_new_array(char, len / 4 * 3 + 3);
    for (size_t i = 0; i < len; i++) {
        const char *digit = text[i] == '\0' ? NULL : strchr(ALPHABET, text[i]);
        if (digit == NULL) {
            explicit_bzero(bytes, n);
            free(bytes);
            return false;
        }
        bits = (bits << 6 | (unsigned)(digit - ALPHABET)) & 0xffff;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            bytes[n++] = (char)(bits >> n_bits & 0xff);
        }
    }
    *out = bytes;
    *out_len = n;
    return true;
}
