/*
 * tests/fuzz/cluster_key_fuzz.c - any bytes as a cluster key file, and as a sealed text. Keys that
 * were accepted sign, check, seal and open.
 */
#include "base/key.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_sealed(struct dt_keys *keys, const uint8_t *data, size_t size)
{
    char *text = dt_strndup((const char *)data, size), *plain = NULL;
    struct dt_err err = {.code = 0};
    int rc = dt_keys_open(&plain, keys, "context", text, &err);

    DT_ASSERT(rc == 0 ? plain != NULL : rc == -DT_EDENIED && plain == NULL);
    dt_free_secret(&plain);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct dt_key_part part = {data, size};
    char mac[DT_MAC_TEXT_MAX], *plain = NULL;
    struct dt_keys *keys = NULL;
    struct dt_err err = {.code = 0};
    static const char SECRET[] = "the key of the fuzz target";

    if (dt_keys_parse(&keys, (const char *)data, size, &err) < 0) {
        DT_ASSERT(keys == NULL && err.code == DT_EINVAL);
        DT_ASSERT(dt_keys_parse(&keys, SECRET, strlen(SECRET), NULL) == 0);
    }
    dt_keys_sign(mac, keys, DT_KEY_TICKET, &part, 1);
    DT_ASSERT(dt_keys_check(keys, DT_KEY_TICKET, mac, &part, 1, NULL) == 0);
    char *sealed = dt_keys_seal(keys, "context", mac);
    DT_ASSERT(dt_keys_open(&plain, keys, "context", sealed, NULL) == 0);
    DT_ASSERT(strcmp(plain, mac) == 0);
    dt_free_secret(&plain);
    free(sealed);
    try_sealed(keys, data, size);
    dt_keys_free(&keys);
    return 0;
}
