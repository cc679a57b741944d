/*
 * tests/fuzz/proxy_grant_fuzz.c - any Authorization header: a grant never outlives its ttl.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "proxy/grant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *authorization = dt_strndup((const char *)data, size);

    DT_ASSERT(proxy_grant_life_ms(authorization, 1700000000000, 60000) <= 60000);
    free(authorization);
    return 0;
}
