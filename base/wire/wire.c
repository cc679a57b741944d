/*
 * base/wire/wire.c - see wire.h: sums, ids, names, addresses. Pure but for the random ids.
 */
#include "base/wire/wire.h"

#include <arpa/inet.h>
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

void wire_name_copy(wire_name out, const char *name)
{
    DT_ASSERT(dt_text_print(out, sizeof(wire_name), "%s", name != NULL ? name : ""));
}

/* Where no node can be found: "this host", link-local (the cloud's metadata is there), multicast
 * and what is above. Others are made to connect to these addresses, so it matters what they are. */
static bool is_no_host_v4(const uint8_t *ip)
{
    return ip[0] == 0 || ip[0] >= 224 || (ip[0] == 169 && ip[1] == 254);
}

static bool is_no_host(const char *host)
{
    static const uint8_t MAPPED[12] = {[10] = 0xff, [11] = 0xff};
    static const uint8_t NONE[16];
    uint8_t ip[16];
    if (inet_pton(AF_INET, host, ip) == 1)
        return is_no_host_v4(ip);
    if (inet_pton(AF_INET6, host, ip) != 1)
        return true;
    if (memcmp(ip, MAPPED, sizeof(MAPPED)) == 0)
        return is_no_host_v4(ip + sizeof(MAPPED));
    return memcmp(ip, NONE, sizeof(NONE)) == 0 || ip[0] == 0xff ||
           (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80);
}

bool wire_address_is_valid(const char *address)
{
    struct dt_addr parsed;
    char full[WIRE_ADDRESS_MAX + 16];

    if (strlen(address) >= WIRE_ADDRESS_MAX)
        return false;
    if (!dt_text_print(full, sizeof(full), "%s%s", address[0] == ':' ? "127.0.0.1" : "", address))
        return false;
    return dt_addr_parse(&parsed, full, NULL) == 0 && parsed.unix_path[0] == '\0' &&
           parsed.port != 0 && !is_no_host(parsed.host);
}

uint32_t wire_pieces_of(uint64_t size, uint32_t piece_size)
{
    if (size > WIRE_BLOB_SIZE_MAX || piece_size < WIRE_PIECE_SIZE_MIN ||
        piece_size > WIRE_PIECE_SIZE_MAX)
        return 0;
    uint64_t n = (size + piece_size - 1) / piece_size;
    return n <= WIRE_PIECES_MAX ? (uint32_t)n : 0;
}
