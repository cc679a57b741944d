/*
 * base/base64.c - see base64.h. The two kinds differ in two characters and in padding.
 */
#include "base/base64.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char URL_ALPHABET[] = LETTERS_AND_DIGITS "-_";
static const char ALPHABET[] = LETTERS_AND_DIGITS "+/";

/* Returns the number of characters. */
static size_t encode(char *out, const uint8_t *in, size_t len, const char *alphabet)
{
    size_t pos = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (n_bits += 8; n_bits >= 6; n_bits -= 6)
            out[pos++] = alphabet[bits >> (n_bits - 6) & 63];
    }
    if (n_bits > 0)
        out[pos++] = alphabet[bits << (6 - n_bits) & 63];
    return pos;
}

static int value_of(char c, const char *alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == alphabet[62] ? 62 : c == alphabet[63] ? 63 : -1;
}

/* Room for len * 3 / 4 bytes. *spare: the bits of the last character that are in no byte. */
static bool decode(uint8_t *out, unsigned *spare, const char *text, size_t len,
                   const char *alphabet)
{
    size_t pos = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;

    for (size_t i = 0; i < len; i++) {
        int value = value_of(text[i], alphabet);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[pos++] = (uint8_t)(bits >> n_bits);
        }
    }
    *spare = bits & ((1u << n_bits) - 1);
    return true;
}

char *dt_base64url_encode(const void *bytes, size_t len)
{
    char *out = dt_calloc(DT_BASE64URL_LEN(len) + 1, 1);

    (void)encode(out, bytes, len, URL_ALPHABET);
    return out;
}

bool dt_base64url_decode(void *out, size_t out_len, const char *text, size_t len)
{
    unsigned spare;

    return len == DT_BASE64URL_LEN(out_len) && decode(out, &spare, text, len, URL_ALPHABET) &&
           spare == 0;
}

char *dt_base64_encode(const void *bytes, size_t len)
{
    size_t full_len = (len + 2) / 3 * 4;
    char *out = dt_calloc(full_len + 1, 1);
    size_t pos = encode(out, bytes, len, ALPHABET);

    memset(out + pos, '=', full_len - pos);
    return out;
}

bool dt_base64_decode(char **out, size_t *out_len, const char *text, size_t len)
{
    unsigned spare;

    *out = NULL;
    if (len % 4 == 0 && len > 0 && text[len - 1] == '=')
        len -= text[len - 2] == '=' ? 2 : 1;
    if (len % 4 == 1)
        return false;
    size_t n = len * 3 / 4;
    char *bytes = dt_calloc(n + 1, 1);
    if (!decode((uint8_t *)bytes, &spare, text, len, ALPHABET)) {
        explicit_bzero(bytes, n); /* a part of a password, maybe */
        free(bytes);
        return false;
    }
    *out = bytes;
    *out_len = n;
    return true;
}
