/* Any Range value against any size resolves inside the blob. Input: 8 bytes size, then the value.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/http.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t blob_size = 0;
    size_t n = size < sizeof(blob_size) ? size : sizeof(blob_size);
    char *value = dt_strndup((const char *)data + n, size - n);
    struct dt_range range;

    memcpy(&blob_size, data, n);
    range = dt_range_parse(value, blob_size);
    if (range.kind == DT_RANGE_SATISFIABLE)
        DT_ASSERT(range.first <= range.last && range.last < blob_size);
    free(value);
    return 0;
}
