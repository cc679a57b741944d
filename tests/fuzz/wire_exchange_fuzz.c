/*
 * tests/fuzz/wire_exchange_fuzz.c - any bytes as a node's exchange; what is accepted keeps within
 * the limits and survives being written and read again.
 */
#include "base/wire/exchange.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_join(const struct wire_join *join)
{
    DT_ASSERT(wire_name_is_valid(join->name) && wire_name_is_valid(join->site));
    DT_ASSERT(join->size == UINT64_MAX || join->size <= WIRE_BLOB_SIZE_MAX);
    DT_ASSERT(join->n_pieces <= WIRE_PIECES_MAX && (join->n_pieces == 0 || join->have != NULL));
    DT_ASSERT(join->upstream != NULL && join->repository != NULL);
    uint64_t beyond = join->n_pieces % 64 == 0 ? 0 : ~0ULL << (join->n_pieces % 64);
    if (join->n_pieces > 0)
        DT_ASSERT((join->have[join->n_pieces / 64] & beyond) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_exchange exchange, again;
    struct dt_err err = {.code = 0};

    if (wire_exchange_decode(&exchange, (const char *)data, size, &err) < 0) {
        DT_ASSERT(err.code == DT_EPROTO || err.code == DT_ETOOBIG);
        DT_ASSERT(exchange.join == NULL && exchange.finished == NULL && exchange.gained == NULL);
        return 0;
    }
    if (exchange.join != NULL)
        check_join(exchange.join);
    for (size_t i = 0; i < exchange.n_gained; i++)
        DT_ASSERT(exchange.gained[i] < WIRE_PIECES_MAX);
    char *first = wire_exchange_encode(&exchange);
    DT_ASSERT(wire_exchange_decode(&again, first, strlen(first), NULL) == 0);
    char *second = wire_exchange_encode(&again);
    DT_ASSERT(strcmp(first, second) == 0);
    free(first);
    free(second);
    wire_exchange_fini(&exchange);
    wire_exchange_fini(&again);
    return 0;
}
