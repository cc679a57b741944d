/*
 * base/crc32c.c - CRC-32C (Castagnoli; RFC 3720 appendix B.4): cheap evidence that a piece on disk
 * is still what was written. Not a digest: it finds accidents, not lies.
 *
 * x86-64 with SSE4.2 uses the crc32 instruction, anything else eight tables ("slicing-by-8"). The
 * instruction takes three cycles and can begin one each cycle, so long inputs are cut into three
 * lanes that run side by side; a CRC is linear, so a lane's result is moved over the bytes behind
 * it by a table and added. The choice is made once per process. Threads: any.
 */
#include "base/digest.h"

#include <pthread.h>
#include <string.h>

#include "base/crc32c_priv.h"

#define CRC32C_POLYNOMIAL 0x82f63b78U /* reflected */
#define SLICES            8
#define LANE_BYTES        4096u

static pthread_once_t crc_once = PTHREAD_ONCE_INIT;
static uint32_t table[SLICES][256];
static bool has_instruction;
/* over_lane[i][b]: the state b << 8 * i after LANE_BYTES zeros more. */
static uint32_t over_lane[4][256];

/* Linear: what one bit becomes is computed, the rest is the sum of its bits. */
static void lanes_init(void)
{
    for (unsigned bit = 0; bit < 32; bit++) {
        uint32_t state = 1u << bit;
        for (unsigned i = 0; i < LANE_BYTES; i++)
            state = state >> 8 ^ table[0][state & 0xff];
        for (unsigned byte = 0; byte < 256; byte++)
            if (byte >> bit % 8 & 1)
                over_lane[bit / 8][byte] ^= state;
    }
}

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
    lanes_init();
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
static uint32_t move_over_lane(uint32_t state)
{
    return over_lane[0][state & 0xff] ^ over_lane[1][state >> 8 & 0xff] ^
           over_lane[2][state >> 16 & 0xff] ^ over_lane[3][state >> 24];
}

static uint64_t word_at(const uint8_t *in)
{
    uint64_t word;
    memcpy(&word, in, sizeof(word));
    return word;
}

__attribute__((target("sse4.2"))) static uint32_t crc_three_lanes(uint32_t state, const uint8_t *in)
{
    uint64_t a = state, b = 0, c = 0;
    for (size_t i = 0; i < LANE_BYTES; i += sizeof(uint64_t)) {
        a = __builtin_ia32_crc32di(a, word_at(in + i));
        b = __builtin_ia32_crc32di(b, word_at(in + LANE_BYTES + i));
        c = __builtin_ia32_crc32di(c, word_at(in + 2 * LANE_BYTES + i));
    }
    return move_over_lane(move_over_lane((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t crc, const uint8_t *in,
                                                               size_t len)
{
    uint64_t state = (uint32_t)~crc;
    for (; len >= 3 * LANE_BYTES; in += 3 * LANE_BYTES, len -= 3 * LANE_BYTES)
        state = crc_three_lanes((uint32_t)state, in);
    for (; len >= sizeof(uint64_t); in += sizeof(uint64_t), len -= sizeof(uint64_t))
        state = __builtin_ia32_crc32di(state, word_at(in));
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
