/*
 * supernode/bits.h - a set of small numbers that is searched together with others. Pure.
 *
 * Two levels: one bit per member in words[], one bit per non-zero word in summary[]. So "somebody
 * who is idle AND holds piece 7 AND stands in rack 3" costs a few ANDs, also among 10,000 peers
 * and also when the answer is nobody. Memory: capacity / 8 bytes and 1/64 of it.
 */
#ifndef DARTER_SUPERNODE_BITS_H
#define DARTER_SUPERNODE_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SUPERNODE_NONE UINT32_MAX

struct supernode_bits {
    uint64_t *words;   /* owned */
    uint64_t *summary; /* inside words' allocation */
    uint32_t n_words;
};

static inline uint32_t supernode_bits_words(uint32_t n_bits)
{
    return (n_bits + 63) / 64;
}

/* Makes room for members below `capacity`; those inside stay. */
static inline void supernode_bits_grow(struct supernode_bits *bits, uint32_t capacity)
{
    uint32_t n_words = supernode_bits_words(capacity);
    uint64_t *words = dt_new_array(uint64_t, n_words + supernode_bits_words(n_words));
    uint64_t *summary = words + n_words;
    if (bits->n_words > 0) {
        memcpy(words, bits->words, bits->n_words * sizeof(*words));
        memcpy(summary, bits->summary, supernode_bits_words(bits->n_words) * sizeof(*summary));
    }
    free(bits->words);
    *bits = (struct supernode_bits){.words = words, .summary = summary, .n_words = n_words};
}

static inline void supernode_bits_fini(struct supernode_bits *bits)
{
    free(bits->words);
    *bits = (struct supernode_bits){0};
}

static inline void supernode_bits_set(struct supernode_bits *bits, uint32_t i)
{
    bits->words[i / 64] |= 1ULL << (i % 64);
    bits->summary[i / 4096] |= 1ULL << (i / 64 % 64);
}

static inline void supernode_bits_clear(struct supernode_bits *bits, uint32_t i)
{
    bits->words[i / 64] &= ~(1ULL << (i % 64));
    if (bits->words[i / 64] == 0)
        bits->summary[i / 4096] &= ~(1ULL << (i / 64 % 64));
}

/* The lowest set bit at or after `from`, else the lowest; x is not 0. */
static inline uint32_t supernode_bits_lowest(uint64_t x, uint32_t from)
{
    uint64_t later = x & (~0ULL << from);
    return (uint32_t)__builtin_ctzll(later ? later : x);
}

/* A member of a, b and c, searched in a circle from about `from`; SUPERNODE_NONE = there is none.
 * The same set may be given twice. All have the same capacity. */
static inline uint32_t supernode_bits_match(const struct supernode_bits *a,
                                            const struct supernode_bits *b,
                                            const struct supernode_bits *c, uint32_t from)
{
    uint32_t n_summary = supernode_bits_words(a->n_words);
    uint32_t first = from / 4096, word = from / 64 % 64;
    for (uint32_t i = 0, s = first; i <= n_summary; i++, s = s + 1 < n_summary ? s + 1 : 0) {
        uint64_t mask = a->summary[s] & b->summary[s] & c->summary[s];
        if (i == 0)
            mask &= ~0ULL << word;
        else if (i == n_summary)
            mask &= ~(~0ULL << word); /* back where we began: what was skipped there */
        for (; mask != 0; mask &= mask - 1) {
            uint32_t w = s * 64 + (uint32_t)__builtin_ctzll(mask);
            uint64_t x = a->words[w] & b->words[w] & c->words[w];
            if (x != 0)
                return w * 64 + supernode_bits_lowest(x, from % 64);
        }
    }
    return SUPERNODE_NONE;
}

/* Flat sets of pieces, one row per peer: no summary, they are always combined whole. */
static inline bool supernode_row_test(const uint64_t *row, uint32_t i)
{
    return row[i / 64] >> (i % 64) & 1;
}

static inline void supernode_row_set(uint64_t *row, uint32_t i)
{
    row[i / 64] |= 1ULL << (i % 64);
}

static inline void supernode_row_clear(uint64_t *row, uint32_t i)
{
    row[i / 64] &= ~(1ULL << (i % 64));
}

#endif
