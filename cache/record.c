/*
 * cache/record.c - bytes as they lie in the index. Pure; see record_priv.h.
 */
#include "cache/record_priv.h"

#include <string.h>

static void put_le(struct dt_text *out, uint64_t value, size_t n_bytes)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    dt_text_add_len(out, bytes, n_bytes);
}

void record_put_u8(struct dt_text *out, uint8_t value)
{
    put_le(out, value, 1);
}

void record_put_u32(struct dt_text *out, uint32_t value)
{
    put_le(out, value, 4);
}

void record_put_u64(struct dt_text *out, uint64_t value)
{
    put_le(out, value, 8);
}

void record_put_string(struct dt_text *out, const char *text)
{
    size_t len = strlen(text);
    record_put_u32(out, (uint32_t)len);
    if (len > 0)
        dt_text_add_len(out, text, len);
}

void record_in_init(struct record_in *in, const void *bytes, size_t len)
{
    *in = (struct record_in){.at = bytes, .end = (const uint8_t *)bytes + len};
}

const uint8_t *record_get_bytes(struct record_in *in, size_t len)
{
    if (in->is_bad || (size_t)(in->end - in->at) < len) {
        in->is_bad = true;
        return NULL;
    }
    const uint8_t *bytes = in->at;
    in->at += len;
    return bytes;
}

static uint64_t get_le(struct record_in *in, size_t n_bytes)
{
    const uint8_t *bytes = record_get_bytes(in, n_bytes);
    uint64_t value = 0;
    for (size_t i = 0; bytes != NULL && i < n_bytes; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t record_get_u8(struct record_in *in)
{
    return (uint8_t)get_le(in, 1);
}

uint32_t record_get_u32(struct record_in *in)
{
    return (uint32_t)get_le(in, 4);
}

uint64_t record_get_u64(struct record_in *in)
{
    return get_le(in, 8);
}

void record_get_string(struct record_in *in, char *out, size_t out_size)
{
    uint32_t len = record_get_u32(in);
    const uint8_t *bytes = record_get_bytes(in, len);
    out[0] = '\0';
    if (bytes == NULL || len >= out_size) {
        in->is_bad = true;
        return;
    }
    memcpy(out, bytes, len);
    out[len] = '\0';
}

bool record_get_equals(struct record_in *in, const char *text)
{
    uint32_t len = record_get_u32(in);
    const uint8_t *bytes = record_get_bytes(in, len);
    return bytes != NULL && len == strlen(text) && memcmp(bytes, text, len) == 0;
}
