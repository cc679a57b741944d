/*
 * base/tls.c - TLS contexts for our listeners.
 *
 * A context is read-only once made. Sessions resume by ticket, on any loop (the ticket keys are
 * the context's own, random per process). The session id context is the certificate's digest, so a
 * session of one listener is never taken by another with a different certificate.
 */
#include "base/tls.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/mem.h"
#include "base/text.h"

struct dt_tls {
    SSL_CTX *ctx; /* owned; each connection holds a reference of its own */
    _Atomic unsigned n_refs;
};

static int fail(struct dt_err *err, const char *what, const char *file)
{
    char reason[160] = "unknown reason";
    unsigned long code = ERR_peek_error(); /* the first entry is the cause */

    const char *text = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) /* a file */
                                              : ERR_reason_error_string(code);
    if (code != 0 && text != NULL)
        (void)dt_text_print(reason, sizeof reason, "%s", text);
    ERR_clear_error();
    return dt_err_set(err, DT_EINVAL, "%s %s: %s", what, file, reason);
}

/* RFC 7301: a client that offers only other protocols is told so, not served by accident. */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                   const unsigned char *in, unsigned int in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";

    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_len, ours, sizeof ours - 1, in,
                              in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

static int session_context_set(SSL_CTX *ctx)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;

    if (X509_digest(SSL_CTX_get0_certificate(ctx), EVP_sha256(), digest, &len) != 1)
        return 0;
    return SSL_CTX_set_session_id_context(ctx, digest, len);
}

int dt_tls_server_new(struct dt_tls **out, const char *cert_file, const char *key_file,
                      struct dt_err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    int rc;

    if (ctx == NULL)
        return fail(err, "cannot make a TLS context for", cert_file);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); /* 34 KiB less per idle connection */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        rc = fail(err, "cannot require TLS 1.2 for", cert_file);
        goto out;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, cert_file) != 1) {
        rc = fail(err, "cannot read certificate", cert_file);
        goto out;
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        rc = fail(err, "cannot use as the certificate's private key (PEM)", key_file);
        goto out;
    }
    if (session_context_set(ctx) != 1) {
        rc = fail(err, "cannot digest certificate", cert_file);
        goto out;
    }
    *out = dt_new(struct dt_tls);
    (*out)->ctx = ctx;
    atomic_store(&(*out)->n_refs, 1);
    ctx = NULL;
    rc = 0;
out:
    SSL_CTX_free(ctx);
    return rc;
}

struct dt_tls *dt_tls_ref(struct dt_tls *tls)
{
    (void)atomic_fetch_add(&tls->n_refs, 1);
    return tls;
}

void dt_tls_free(struct dt_tls **tls)
{
    struct dt_tls *gone = *tls;

    *tls = NULL;
    if (gone == NULL || atomic_fetch_sub(&gone->n_refs, 1) != 1)
        return;
    SSL_CTX_free(gone->ctx);
    free(gone);
}

void *dt_tls_ctx(struct dt_tls *tls)
{
    return tls->ctx;
}
