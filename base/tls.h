/*
 * base/tls.h - TLS contexts for our listeners; the OpenSSL door for certificates.
 *
 * A context is made once, shared read-only by all loops, and replaced whole on reload; whoever
 * holds a reference may go on using it. TLS 1.2 and 1.3, ALPN http/1.1 only, tickets, no
 * renegotiation (docs/internals/http-server.md).
 */
#ifndef DARTER_BASE_TLS_H
#define DARTER_BASE_TLS_H

#include "base/err.h"

struct dt_tls; /* wraps an SSL_CTX */

/* PEM files. Errors: DT_EINVAL with the file and OpenSSL's reason (also: key does not match). */
int dt_tls_server_new(struct dt_tls **out, const char *cert_file, const char *key_file,
                      struct dt_err *err);
/* One more reference. Any thread. */
struct dt_tls *dt_tls_ref(struct dt_tls *);
/* Gives one reference up; NULL is fine. Connections that were made with it go on. Any thread. */
void dt_tls_free(struct dt_tls **);
/* The SSL_CTX, for base/httpd.c only. Borrowed. */
void *dt_tls_ctx(struct dt_tls *);

#endif
