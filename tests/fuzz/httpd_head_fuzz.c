/*
 * tests/fuzz/httpd_head_fuzz.c - the second look at a request head, on any bytes.
 *
 * Besides not crashing: the head never ends after the input, and what the checks let through holds
 * what the handler relies on.
 */
#include "base/httpd_priv.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct httpd_head head;
    char *text = dt_calloc(1, size + 1);
    const char *authority;
    size_t authority_len;

    memcpy(text, data, size);
    httpd_head_scan(&head, text, size);
    DT_ASSERT(head.len <= size);
    if (httpd_head_check(&head, true, 64 * KIB) == 0)
        DT_ASSERT(head.n_hosts == 1 && head.n_fields <= HTTPD_HEADERS_MAX && head.len <= 64 * KIB);
    for (int method = DT_GET; method <= DT_CONNECT; method++) {
        const char *name = httpd_method_name((enum dt_http_method)method);
        DT_ASSERT(httpd_method_parse(name, strlen(name)) == method);
        if (!httpd_target_check((enum dt_http_method)method, text, &authority, &authority_len))
            continue;
        DT_ASSERT(strpbrk(text, " \r\n\t") == NULL);
        if (authority != NULL) {
            DT_ASSERT(authority >= text && authority + authority_len <= text + size);
            DT_ASSERT(httpd_host_is_clean(authority, authority_len));
        }
    }
    free(text);
    return 0;
}
