/* Any Accept value gives an answer; with an exact entry in front of it, the answer is yes. */
#include <stdint.h>
#include <stdlib.h>

#include "base/http.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *accept = dt_strndup((const char *)data, size);
    char *with_exact = dt_asprintf("application/json, %s", accept);

    (void)dt_accept_admits(accept, "application/vnd.oci.image.manifest.v1+json");
    (void)dt_accept_admits(accept, "strange");
    (void)dt_accept_admits("text/*;q=0.5, */*", accept);
    DT_ASSERT(dt_accept_admits(with_exact, "application/json"));
    free(with_exact);
    free(accept);
    return 0;
}
