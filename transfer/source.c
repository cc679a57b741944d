/*
 * transfer/source.c - the words for kinds of sources.
 */
#include "transfer/source.h"

const char *source_kind_word(enum source_kind kind)
{
    static const char *const WORDS[] = {
#define X(name, word) [name] = word,
        SOURCE_KINDS(X)
#undef X
    };
    DT_ASSERT(kind < SOURCE_KIND_END);
    return WORDS[kind];
}
