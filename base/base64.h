/*
 * base/base64.h - bytes as text (RFC 4648). Pure; any thread.
 *
 * base64url (section 5, here without padding) needs no escaping anywhere: messages, sealed texts,
 * tokens. base64 (section 4) is what HTTP's Basic and Docker's files are written in.
 */
#ifndef DARTER_BASE_BASE64_H
#define DARTER_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

/* Characters for so many bytes, without padding and NUL. */
#define DT_BASE64URL_LEN(bytes) (((bytes)*4 + 2) / 3)

/* NUL-terminated; owned by the caller. */
char *dt_base64url_encode(const void *bytes, size_t len);
/* Writes exactly out_len bytes. false: the text is not the encoding of exactly so many; `out` may
 * have been written to. One text for each value: spare bits must be zero. */
bool dt_base64url_decode(void *out, size_t out_len, const char *text, size_t len);

/* NUL-terminated, padded; caller frees (and wipes). */
char *dt_base64_encode(const void *bytes, size_t len);
/* Padding may be missing; anything else odd is refused. *out is NUL-terminated, *out_len without
 * the NUL; caller frees (and wipes). false: *out is NULL. */
bool dt_base64_decode(char **out, size_t *out_len, const char *text, size_t len);

#endif
