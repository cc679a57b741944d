/*
 * tests/fuzz/proxy_route_fuzz.c - any request target: whatever is accepted names a configured
 * upstream, stays below /v2/, and does not carry ns on.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "proxy/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct reg_upstream upstreams[] = {
    {.name = (char[]){"docker.io"}},
    {.name = (char[]){"harbor.test:1234"}},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *target = dt_strndup((const char *)data, size);
    struct proxy_route *route = dt_new(struct proxy_route);
    struct dt_err err = {0};
    const char *code = NULL;
    int rc = proxy_route_parse(route, &code, upstreams, 2, size % 3, target, &err);

    if (rc == 0) {
        DT_ASSERT(route->upstream == &upstreams[0] || route->upstream == &upstreams[1]);
        DT_ASSERT(strncmp(route->upstream_path, "/v2/", 4) == 0);
        DT_ASSERT(strpbrk(route->upstream_path, " \t\r\n#") == NULL);
        route->upstream_path[strcspn(route->upstream_path, "?")] = '\0';
        DT_ASSERT(strstr(route->upstream_path, "/../") == NULL);
        DT_ASSERT(strstr(route->upstream_path, "/./") == NULL);
        DT_ASSERT(strncmp(route->query, "ns=", 3) != 0 && strstr(route->query, "&ns=") == NULL);
    } else {
        DT_ASSERT(err.code == -rc && err.msg[0] != '\0');
    }
    free(route);
    free(target);
    return 0;
}
