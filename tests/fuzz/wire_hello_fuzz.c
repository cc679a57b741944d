/*
 * tests/fuzz/wire_hello_fuzz.c - any bytes as a node's hello, and as the reply to one.
 */
#include "base/wire/hello.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_hello(const char *body, size_t len)
{
    struct wire_hello hello, again;
    struct dt_err err = {.code = 0};

    if (wire_hello_decode(&hello, body, len, &err) < 0) {
        DT_ASSERT((err.code == DT_EPROTO || err.code == DT_ETOOBIG) && hello.have == NULL);
        return;
    }
    DT_ASSERT(hello.n_have <= WIRE_HOLDINGS_MAX && wire_address_is_valid(hello.address));
    char *first = wire_hello_encode(&hello);
    DT_ASSERT(wire_hello_decode(&again, first, strlen(first), NULL) == 0);
    char *second = wire_hello_encode(&again);
    DT_ASSERT(strcmp(first, second) == 0);
    free(first);
    free(second);
    wire_hello_fini(&hello);
    wire_hello_fini(&again);
}

static void try_reply(const char *body, size_t len)
{
    struct wire_hello_reply reply, again;
    struct dt_err err = {.code = 0};

    if (wire_hello_reply_decode(&reply, body, len, &err) < 0) {
        DT_ASSERT(err.code == DT_EPROTO || err.code == DT_ETOOBIG);
        return;
    }
    char *first = wire_hello_reply_encode(&reply);
    DT_ASSERT(wire_hello_reply_decode(&again, first, strlen(first), NULL) == 0);
    DT_ASSERT(strcmp(reply.supernode, again.supernode) == 0);
    DT_ASSERT(reply.interval_ms == again.interval_ms && reply.up_limit == again.up_limit);
    free(first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_hello((const char *)data, size);
    try_reply((const char *)data, size);
    return 0;
}
