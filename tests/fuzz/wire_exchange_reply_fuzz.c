/*
 * tests/fuzz/wire_exchange_reply_fuzz.c - any bytes as a supernode's answer to an exchange.
 */
#include "base/wire/exchange.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_exchange_reply reply, again;
    struct dt_err err = {.code = 0};

    if (wire_exchange_reply_decode(&reply, (const char *)data, size, &err) < 0) {
        DT_ASSERT((err.code == DT_EPROTO || err.code == DT_ETOOBIG) && reply.assignments == NULL);
        DT_ASSERT(reply.bytes == NULL);
        return 0;
    }
    DT_ASSERT((reply.err.code != 0) == (reply.state == WIRE_GONE));
    DT_ASSERT(reply.n_assignments == 0 || reply.state == WIRE_OPEN);
    for (size_t i = 0; i < reply.n_assignments; i++) {
        const struct wire_assignment *row = &reply.assignments[i];
        DT_ASSERT(row->piece < wire_pieces_of(reply.size, reply.piece_size));
        DT_ASSERT(row->address[0] == '\0' || wire_address_is_valid(row->address));
    }
    if (reply.bytes != NULL)
        DT_ASSERT(reply.size <= WIRE_INLINE_MAX && reply.n_assignments == 1 &&
                  reply.assignments[0].is_seed);
    char *first = wire_exchange_reply_encode(&reply);
    DT_ASSERT(wire_exchange_reply_decode(&again, first, strlen(first), NULL) == 0);
    char *second = wire_exchange_reply_encode(&again);
    DT_ASSERT(strcmp(first, second) == 0);
    free(first);
    free(second);
    wire_exchange_reply_fini(&reply);
    wire_exchange_reply_fini(&again);
    return 0;
}
