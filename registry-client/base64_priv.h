/*
 * registry-client/base64_priv.h - base64 of RFC 4648, section 4, for Basic credentials. Pure.
 */
#ifndef DARTER_REGISTRY_CLIENT_BASE64_PRIV_H
#define DARTER_REGISTRY_CLIENT_BASE64_PRIV_H

#include <stdbool.h>
#include <stddef.h>

/* NUL-terminated, padded; caller frees (and wipes). */
char *reg_base64_encode(const void *bytes, size_t len);
/* Padding may be missing; anything else odd is refused. *out is NUL-terminated, *out_len without
 * the NUL; caller frees (and wipes). False: *out is NULL. */
bool reg_base64_decode(char **out, size_t *out_len, const char *text, size_t len);

#endif
