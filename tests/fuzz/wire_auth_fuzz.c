/*
 * tests/fuzz/wire_auth_fuzz.c - any text as Darter-Auth of a request and of a reply, and as a
 * Darter-Ticket. Nobody without the key gets in: a good one in the corpus, made with the fuzzer's
 * own key, shows that the door does open.
 */
#include "base/wire/wire.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SECRET  "the key of the fuzz target"
#define SITE    "ams1"
#define WALL_MS 1700000000000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dt_keys *keys;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct dt_key_part body = {"{}", 2};
    struct dt_err err = {.code = 0};
    struct dt_digest digest;
    char nonce[33] = "", again[WIRE_TICKET_MAX];

    if (keys == NULL)
        DT_ASSERT(dt_keys_parse(&keys, SECRET, strlen(SECRET), NULL) == 0);
    char *text = dt_strndup((const char *)data, size);
    int rc = wire_auth_check_request(nonce, keys, text, WIRE_PATH_HELLO, body, WALL_MS, &err);
    DT_ASSERT(rc == 0 || rc == -DT_EDENIED || rc == -DT_ETIMEOUT);
    DT_ASSERT(rc < 0 || strlen(nonce) == 32);
    rc = wire_auth_check_reply(keys, text, "0123456789abcdef0123456789abcdef", "{}", 2, &err);
    DT_ASSERT(rc == 0 || rc == -DT_EDENIED);
    dt_digest_of(&digest, DT_SHA256, "blob", 4);
    rc = wire_ticket_check(keys, text, &digest, SITE, WALL_MS, &err);
    DT_ASSERT(rc == 0 || rc == -DT_EUNAUTHORIZED || rc == -DT_EDENIED);
    if (rc == 0) { /* then it is exactly what we would have written */
        wire_ticket_make(again, keys, &digest, SITE, strtoull(text + 3, NULL, 10));
        DT_ASSERT(strcmp(text, again) == 0);
    }
    free(text);
    return 0;
}
