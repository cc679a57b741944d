/*
 * tests/fuzz/manifest_fuzz.c - any bytes as a manifest; what comes out keeps the header's promises.
 */
#include "registry-client/manifest.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const TYPES[] = {
        NULL,
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json; charset=utf-8",
    };
    struct reg_manifest m;
    struct dt_err err;

    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (reg_manifest_parse(&m, (const char *)data, size, TYPES[i], &err) < 0) {
            DT_ASSERT(m.children == NULL && err.code != 0);
            continue;
        }
        DT_ASSERT(m.n_children <= REG_CHILDREN_MAX);
        for (size_t k = 0; k < m.n_children; k++) {
            DT_ASSERT(dt_digest_raw_len(&m.children[k].digest) >= 32);
            DT_ASSERT(strpbrk(m.children[k].media_type, "\r\n ") == NULL);
            DT_ASSERT(m.is_index || !m.children[k].is_manifest);
        }
        reg_manifest_fini(&m);
    }
    return 0;
}
