/* A Content-Range that is accepted lies inside its blob. */
#include <stdint.h>
#include <stdlib.h>

#include "base/http.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *value = dt_strndup((const char *)data, size);
    uint64_t first, last, total;
    struct dt_err err = {0};

    if (dt_content_range_parse(&first, &last, &total, value, &err) == 0)
        DT_ASSERT(first <= last && last < total);
    else
        DT_ASSERT(err.code == DT_EPROTO);
    free(value);
    return 0;
}
