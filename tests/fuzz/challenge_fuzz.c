/*
 * tests/fuzz/challenge_fuzz.c - any text as WWW-Authenticate.
 */
#include "registry-client/challenge.h"

#include "base/mem.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dt_strndup((const char *)data, size);
    struct reg_challenge c;
    struct dt_err err;

    if (reg_challenge_parse(&c, text, &err) == 0) {
        DT_ASSERT(c.scheme != REG_AUTH_NONE);
        DT_ASSERT(c.scheme != REG_AUTH_BEARER || c.realm[0] != '\0');
        for (const char *p = c.realm; *p != '\0'; p++)
            DT_ASSERT((unsigned char)*p >= 0x20);
    } else {
        DT_ASSERT(c.scheme == REG_AUTH_NONE && err.code == DT_EPROTO);
    }
    free(text);
    return 0;
}
