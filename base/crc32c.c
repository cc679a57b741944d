/*
 * base/crc32c.c - CRC-32C (Castagnoli; RFC 3720 appendix B.4): cheap evidence that a piece on disk
 * is still what was written. Not a digest: it finds accidents, not lies.
 *
 * x86-64 with SSE4.2 uses the crc32 instruction, anything else eight tables ("slicing-by-8"). The
 * choice is made once per process. Threads: any.
 */
#include "base/digest.h"

#include <pthread.h>
#include <string.h>

#include "base/crc32c_priv.h"

#define CRC32C_POLYNOMIAL 0x82f63b78U /* reflected */
#define SLICES            8

static pthread_once_t crc_once = PTHREAD_ONCE_INIT;
static uint32_t table[SLICES][256];
static bool has_instruction;

static void crc_init(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? CRC32C_POLYNOMIAL : 0);
        table[0][byte] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++)
        for (uint32_t byte = 0; byte < 256; byte++)
            table[slice][byte] =
                table[slice - 1][byte] >> 8 ^ table[0][table[slice - 1][byte] & 0xff];
#if defined(__x86_64__)
    __builtin_cpu_init();
    has_instruction = __builtin_cpu_supports("sse4.2");
#endif
}

static void crc_need_init(void)
{
    DT_ASSERT(pthread_once(&crc_once, crc_init) == 0);
}

uint32_t dt_crc32c_portable(uint32_t crc, const void *bytes, size_t len)
{
    crc_need_init();
    const uint8_t *in = bytes;
    crc = ~crc;
    for (; len >= SLICES; in += SLICES, len -= SLICES) {
        /* Bytes one by one, not a loaded word: the same on either byte order. */
        crc ^=
            (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
        crc = table[7][crc & 0xff] ^ table[6][crc >> 8 & 0xff] ^ table[5][crc >> 16 & 0xff] ^
              table[4][crc >> 24] ^ table[3][in[4]] ^ table[2][in[5]] ^ table[1][in[6]] ^
              table[0][in[7]];
    }
    for (; len > 0; in++, len--)
        crc = crc >> 8 ^ table[0][(crc ^ *in) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *in,
                                                               size_t len)
{
    uint64_t state = (uint32_t)~crc;
    for (; len >= sizeof(uint64_t); in += sizeof(uint64_t), len -= sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, in, sizeof(word));
        state = __builtin_ia32_crc32di(state, word);
    }
    uint32_t tail = (uint32_t)state;
    for (; len > 0; in++, len--)
        tail = __builtin_ia32_crc32qi(tail, *in);
    return ~tail;
}
#endif

uint32_t dt_crc32c(uint32_t crc, const void *bytes, size_t len)
{
    crc_need_init();
#if defined(__x86_64__)
    if (has_instruction)
        return crc_hardware(crc, bytes, len);
#endif
    return dt_crc32c_portable(crc, bytes, len);
}
