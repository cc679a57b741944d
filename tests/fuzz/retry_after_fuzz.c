/* Retry-After never asks for more than the limit. */
#include <stdint.h>
#include <stdlib.h>

#include "base/http.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *value = dt_strndup((const char *)data, size);

    DT_ASSERT(dt_retry_after_parse(value, 784111777000ULL, 60000) <= 60000);
    (void)dt_retry_after_parse(value, 0, UINT64_MAX);
    free(value);
    return 0;
}
