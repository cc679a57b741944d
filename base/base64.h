/*
 * base/base64.h - bytes as text that needs no escaping anywhere: base64url without padding
 * (RFC 4648, section 5). Pure; any thread.
 */
#ifndef DARTER_BASE_BASE64_H
#define DARTER_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Characters for so many bytes, without the NUL. */
#define DT_BASE64URL_LEN(bytes) (((bytes)*4 + 2) / 3)

/* NUL-terminated; owned by the caller. */
char *dt_base64url_encode(const void *bytes, size_t len);
/* Writes exactly out_len bytes. false: the text is not the encoding of exactly so many; `out` may
 * have been written to. One text for each value: spare bits must be zero. */
bool dt_base64url_decode(void *out, size_t out_len, const char *text, size_t len);

#endif
