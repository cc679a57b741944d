/*
 * base/err.h - failures are values.
 *
 * A function that can fail returns 0 or a negative `enum dt_code` and fills `struct dt_err` once,
 * where the failure happened. Callers pass it on or handle it, never both. `struct dt_err` is a
 * plain value: it is copied, and it crosses threads inside messages.
 *
 * A new code: one row in DT_CODES. It feeds names, HTTP statuses, registry error codes and the
 * answer to "is it worth trying the next source?".
 */
#ifndef DARTER_BASE_ERR_H
#define DARTER_BASE_ERR_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* code, HTTP status, registry code (OCI distribution spec, "Error Codes"), retry elsewhere? */
#define DT_CODES(X)                                                                                \
    X(DT_EINVAL, 400, "UNSUPPORTED", false)         /* malformed input */                          \
    X(DT_EUNAUTHORIZED, 401, "UNAUTHORIZED", false) /* credentials missing or refused */           \
    X(DT_EDENIED, 403, "DENIED", false)             /* known, and not allowed */                   \
    X(DT_ENOTFOUND, 404, "NAME_UNKNOWN", false)     /* definitely not there */                     \
    X(DT_EMETHOD, 405, "UNSUPPORTED", false)        /* this resource cannot do that */             \
    X(DT_ECONFLICT, 409, "UNSUPPORTED", false)      /* somebody else holds it */                   \
    X(DT_EPOLICY, 412, "DENIED", false)             /* registry policy forbids it */               \
    X(DT_ETOOBIG, 413, "SIZE_INVALID", false)       /* over a named limit */                       \
    X(DT_ERANGE, 416, "UNSUPPORTED", false)         /* range not satisfiable */                    \
    X(DT_EBUSY, 503, "TOOMANYREQUESTS", true)       /* rate limited or over capacity */            \
    X(DT_EIO, 500, "UNKNOWN", true)                 /* a local system call failed */               \
    X(DT_ENOSPACE, 507, "UNKNOWN", false)           /* disk or quota full */                       \
    X(DT_EPROTO, 502, "UNKNOWN", true)              /* the other side broke its protocol */        \
    X(DT_EMISMATCH, 502, "DIGEST_INVALID", true)    /* bytes do not hash to their digest */        \
    X(DT_EUNAVAILABLE, 503, "UNAVAILABLE", true)    /* refused, reset, 5xx, breaker open */        \
    X(DT_ETIMEOUT, 503, "UNAVAILABLE", true)        /* a deadline passed */                        \
    X(DT_ECANCELLED, 503, "UNAVAILABLE", false)     /* we stopped it ourselves */

enum dt_code {
    DT_OK = 0,
#define X(name, status, oci, retry) name,
    DT_CODES(X)
#undef X
        DT_CODE_END
};

struct dt_err {
    int code;      /* enum dt_code; 0 = no error */
    char msg[240]; /* what, where, what to do; one line, no secrets */
};

/* Fills *err (NULL is allowed) and returns -code: `return dt_err_set(err, ...)` reads well. */
int dt_err_set(struct dt_err *err, enum dt_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* As dt_err_set() with ": <strerror(saved_errno)>" added. */
int dt_err_errno(struct dt_err *err, enum dt_code code, int saved_errno, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Table look-ups; `code` may be given negative or positive. Returned strings are static. */
const char *dt_code_name(int code);     /* "EMISMATCH" */
int dt_code_http_status(int code);      /* 502 */
const char *dt_code_registry(int code); /* "DIGEST_INVALID" */
bool dt_code_is_retryable(int code);    /* another source may do better */

/* Bugs are asserts, and asserts stay on in release builds: a daemon that lies is worse than one
 * that restarts. */
#define DT_ASSERT(cond)                                                                            \
    do {                                                                                           \
        if (__builtin_expect(!(cond), 0))                                                          \
            dt_assert_failed(#cond, __FILE__, __LINE__, __func__);                                 \
    } while (0)

/* What the log does first, so that the lines that led to a failed assert are not lost. One for the
 * process; NULL = nothing. */
void dt_assert_before(void (*last_words)(void));
_Noreturn void dt_assert_failed(const char *cond, const char *file, int line, const char *func);

#endif
