/*
 * tests/fuzz/ref_path_fuzz.c - any bytes as a request path; what passes is canonical.
 */
#include "registry-client/ref.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reg_path path, again;
    struct dt_err err;
    const char *code = NULL;
    char text[1024];

    if (reg_path_parse(&path, &code, (const char *)data, size, &err) < 0) {
        DT_ASSERT(code != NULL && err.code != 0);
        return 0;
    }
    DT_ASSERT(code == NULL);
    if (path.repository[0] != '\0')
        DT_ASSERT(reg_name_is_valid(path.repository, strlen(path.repository)));
    if (path.kind != REG_MANIFEST && path.kind != REG_BLOB)
        return 0;
    int len = snprintf(text, sizeof(text), "/v2/%s/%s/%s", path.repository,
                       path.kind == REG_BLOB ? "blobs" : "manifests", path.reference.text);
    DT_ASSERT(reg_path_parse(&again, &code, text, (size_t)len, &err) == 0);
    DT_ASSERT(again.kind == path.kind && strcmp(again.repository, path.repository) == 0);
    DT_ASSERT(strcmp(again.reference.text, path.reference.text) == 0);
    return 0;
}
