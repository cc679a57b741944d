/*
 * tests/fuzz/digest_fuzz.c - digests as text: one digest has one spelling, and only that is taken.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/digest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_digest digest;
    struct dt_err err = {0};
    int rc = dt_digest_parse(&digest, (const char *)data, size, &err);
    if (rc < 0) {
        DT_ASSERT(rc == -DT_EINVAL && err.code == DT_EINVAL && err.msg[0] != '\0');
        return 0;
    }
    char text[DT_DIGEST_TEXT_MAX];
    dt_digest_format(text, &digest);
    DT_ASSERT(strlen(text) == size && memcmp(text, data, size) == 0);
    struct dt_digest again;
    DT_ASSERT(dt_digest_parse(&again, text, size, NULL) == 0);
    DT_ASSERT(dt_digest_equal(&digest, &again));
    DT_ASSERT(dt_digest_hash(&digest) == dt_digest_hash(&again));
    return 0;
}
