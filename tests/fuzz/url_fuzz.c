/* A URL that is accepted is plain, and means the same when its parts are put together again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/http.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dt_strndup((const char *)data, size);
    struct dt_url url, again;
    char origin[300];
    char *joined;

    if (dt_url_parse(&url, text, NULL) == 0) {
        DT_ASSERT(url.path[0] == '/' && url.port != 0);
        DT_ASSERT(strpbrk(url.host, "@/?#%[] \\") == NULL && url.host[0] != '\0');
        joined = dt_asprintf("%s%s", dt_url_origin(origin, &url), url.path);
        /* One '/' may have been added to a text of the longest length. */
        if (strlen(joined) <= DT_URL_MAX) {
            DT_ASSERT(dt_url_parse(&again, joined, NULL) == 0);
            DT_ASSERT(strcmp(again.host, url.host) == 0 && again.port == url.port);
            DT_ASSERT(strcmp(again.path, url.path) == 0);
            dt_url_fini(&again);
        }
        free(joined);
        dt_url_fini(&url);
    }
    free(text);
    return 0;
}
