/*
 * tests/fuzz/image_reference_fuzz.c - any text as an image; what passes survives being written out.
 */
#include "registry-client/ref.h"

#include "base/mem.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = dt_strndup((const char *)data, size);
    struct reg_image image, again;
    struct dt_err err;

    if (reg_image_parse(&image, text, &err) == 0) {
        char *full = dt_asprintf("%s/%s%c%s", image.host, image.repository,
                                 image.reference.is_digest ? '@' : ':', image.reference.text);
        DT_ASSERT(reg_name_is_valid(image.repository, strlen(image.repository)));
        /* A host without dot or port ("MyHost/app") is one only as long as it is capitalised. */
        if (strpbrk(image.host, ".:") != NULL || strcmp(image.host, "localhost") == 0) {
            DT_ASSERT(reg_image_parse(&again, full, &err) == 0);
            DT_ASSERT(strcmp(again.host, image.host) == 0);
            DT_ASSERT(strcmp(again.repository, image.repository) == 0);
            DT_ASSERT(strcmp(again.reference.text, image.reference.text) == 0);
        }
        free(full);
    }
    free(text);
    return 0;
}
