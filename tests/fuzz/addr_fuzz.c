/* An address that is accepted prints as one that reads the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/http.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dt_strndup((const char *)data, size);
    struct dt_addr addr, again;
    char printed[300];

    if (dt_addr_parse(&addr, text, NULL) == 0) {
        DT_ASSERT(dt_addr_parse(&again, dt_addr_format(printed, &addr), NULL) == 0);
        DT_ASSERT(strcmp(again.host, addr.host) == 0 && again.port == addr.port);
        DT_ASSERT(strcmp(again.unix_path, addr.unix_path) == 0);
        DT_ASSERT(dt_addr_is_local(&again) == dt_addr_is_local(&addr));
    }
    free(text);
    return 0;
}
