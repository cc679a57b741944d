/*
 * base/wire/wire.c - see wire.h: sums, ids, names, addresses. Pure but for the random ids.
 */
#include "base/wire/wire.h"

#include <string.h>

#include "base/http.h"
#include "base/text.h"

void wire_sum_of(struct wire_sum *out, const void *bytes, size_t len)
{
    struct dt_digest digest;
    dt_digest_of(&digest, DT_SHA256, bytes, len);
    memcpy(out->bytes, digest.raw, sizeof(out->bytes));
}

bool wire_sum_equal(const struct wire_sum *a, const struct wire_sum *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

void wire_id_make(wire_id out)
{
    uint8_t bytes[WIRE_ID_LEN / 2];

    dt_random_bytes(bytes, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        DT_ASSERT(dt_text_print(out + 2 * i, 3, "%02x", bytes[i]));
}

bool wire_id_is_valid(const char *id)
{
    return strlen(id) == WIRE_ID_LEN && strspn(id, "0123456789abcdef") == WIRE_ID_LEN;
}

bool wire_name_is_valid(const char *name)
{
    static const char ALLOWED[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= WIRE_NAME_MAX && strspn(name, ALLOWED) == len;
}

bool wire_address_is_valid(const char *address)
{
    struct dt_addr parsed;
    char full[WIRE_ADDRESS_MAX + 16];

    if (strlen(address) >= WIRE_ADDRESS_MAX)
        return false;
    if (!dt_text_print(full, sizeof(full), "%s%s", address[0] == ':' ? "0.0.0.0" : "", address))
        return false;
    return dt_addr_parse(&parsed, full, NULL) == 0 && parsed.unix_path[0] == '\0' &&
           parsed.port != 0;
}

uint32_t wire_pieces_of(uint64_t size, uint32_t piece_size)
{
    if (size > WIRE_BLOB_SIZE_MAX || piece_size < WIRE_PIECE_SIZE_MIN ||
        piece_size > WIRE_PIECE_SIZE_MAX)
        return 0;
    uint64_t n = (size + piece_size - 1) / piece_size;
    return n <= WIRE_PIECES_MAX ? (uint32_t)n : 0;
}
