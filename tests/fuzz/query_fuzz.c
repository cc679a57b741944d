/* What comes out of a query string has no control characters, and survives encoding. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/http.h"
#include "base/mem.h"

static void check_decoded(const char *text)
{
    char *encoded = dt_percent_encode(text);
    char again[64];

    for (const char *c = text; *c != '\0'; c++)
        DT_ASSERT((unsigned char)*c >= 0x20 && *c != 0x7f);
    DT_ASSERT(dt_percent_decode(again, sizeof(again), encoded, strlen(encoded), NULL) == 0);
    DT_ASSERT(strcmp(again, text) == 0);
    free(encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *query = dt_strndup((const char *)data, size);
    char out[64];

    if (dt_query_get(out, sizeof(out), query, "ns", NULL) == 1)
        check_decoded(out);
    if (dt_percent_decode(out, sizeof(out), (const char *)data, size, NULL) == 0)
        check_decoded(out);
    free(query);
    return 0;
}
