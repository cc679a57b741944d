/*
 * tests/fuzz/record_fuzz.c - records of the index as a damaged disk may hand them back: refused, or
 * within their limits, and never read beyond their end.
 *
 * Input: first as an entry of the index; then its first byte says how many fields to read, and each
 * following byte of a program of so many bytes which kind comes next out of the rest.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cache/index_priv.h"
#include "cache/pieces.h"
#include "cache/record_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const uint8_t *data, size_t size)
{
    struct dt_digest digest = {.algo = DT_SHA256};
    struct index_entry entry;
    if (!index_entry_decode(&entry, &digest, (struct index_slice){data, size}))
        return;
    DT_ASSERT(dt_digest_equal(&entry.pub.digest, &digest));
    DT_ASSERT(entry.pub.size <= CACHE_BLOB_SIZE_MAX && entry.pub.present_bytes <= entry.pub.size);
    DT_ASSERT(entry.pub.n_pieces <= CACHE_BLOB_SIZE_MAX / CACHE_PIECE_SIZE_MIN);
    DT_ASSERT(entry.pub.n_present_pieces <= entry.pub.n_pieces);
    DT_ASSERT(memchr(entry.pub.media_type, '\0', sizeof(entry.pub.media_type)) != NULL);
}

static void read_field(struct record_in *in, uint8_t kind)
{
    char text[16];
    size_t left = (size_t)(in->end - in->at);
    switch (kind % 6) {
    case 0:
        (void)record_get_u8(in);
        break;
    case 1:
        (void)record_get_u32(in);
        break;
    case 2:
        (void)record_get_u64(in);
        break;
    case 3:
        record_get_string(in, text, sizeof(text));
        DT_ASSERT(memchr(text, '\0', sizeof(text)) != NULL);
        break;
    case 4:
        DT_ASSERT(!record_get_equals(in, "library/alpine") || left >= 4 + strlen("library/alpine"));
        break;
    default:
        DT_ASSERT((record_get_bytes(in, kind) != NULL) == (!in->is_bad && left >= kind));
    }
    DT_ASSERT(in->at <= in->end && (size_t)(in->end - in->at) <= left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of its own: what is read beyond the end is read beyond the allocation. */
    uint8_t *copy = dt_calloc(size, 1);
    struct record_in in;
    if (size > 0)
        memcpy(copy, data, size);
    check_entry(copy, size);
    size_t n_fields = size > 0 ? copy[0] % 32 : 0;
    if (size > n_fields) {
        record_in_init(&in, copy + 1 + n_fields, size - 1 - n_fields);
        for (size_t i = 0; i < n_fields; i++)
            read_field(&in, copy[1 + i]);
    }
    free(copy);
    return 0;
}
