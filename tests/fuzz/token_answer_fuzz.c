/*
 * tests/fuzz/token_answer_fuzz.c - any bytes as a token service's answer.
 */
#include "registry-client/token.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t expires_s = 0;
    char *token = NULL;
    struct dt_err err;

    if (reg_token_parse(&token, &expires_s, (const char *)data, size, &err) < 0) {
        DT_ASSERT(token == NULL && err.code == DT_EPROTO);
        return 0;
    }
    DT_ASSERT(token[0] != '\0' && strpbrk(token, " \r\n") == NULL && expires_s > 0);
    free(token);
    return 0;
}
