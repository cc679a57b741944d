/*
 * tests/unit/base_wire_kit.h - messages changed by hand, for the tests of their decoders.
 */
#ifndef DARTER_TESTS_UNIT_BASE_WIRE_KIT_H
#define DARTER_TESTS_UNIT_BASE_WIRE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* A copy of `message` in which the first `old` became `new`; owned by the caller. */
static inline char *wire_kit_replace(const char *message, const char *old, const char *new)
{
    const char *at = strstr(message, old);
    struct dt_text out = {0};
    assert_non_null(at); /* a change that changes nothing would test nothing */
    dt_text_add_len(&out, message, (size_t)(at - message));
    dt_text_add(&out, new);
    dt_text_add(&out, at + strlen(old));
    return dt_text_take(&out);
}

struct wire_kit_change {
    const char *old, *new, *why; /* why: what the error message must hold; NULL = it is accepted */
};

#endif
