/*
 * base/err.c - the table behind error codes, and the end of the line for bugs.
 *
 * A message is formatted before it is stored, so passing err->msg as an argument while filling the
 * same err is fine ("%s:%u: %s"). Control characters become '?': a message is one line wherever
 * it is printed.
 *
 * Threads: any; nothing here is shared but what is to be done before an abort. To add a code: one
 * row of DT_CODES in base/err.h.
 */
#include "base/err.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

static const struct {
    const char *name;
    const char *registry;
    int http_status;
    bool is_retryable;
} codes[DT_CODE_END] = {[DT_OK] = {"OK", "UNKNOWN", 200, false},
/* "DT_EIO" + 3 = "EIO": the prefix is C's namespace and says nothing to people. */
#define X(name, status, oci, retry) [name] = {&#name[3], oci, status, retry},
                        DT_CODES(X)
#undef X
};

static void err_store(struct dt_err *err, enum dt_code code, const char *text, bool is_cut)
{
    err->code = (int)code;
    size_t len = strnlen(text, sizeof(err->msg) - 1);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        err->msg[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    err->msg[len] = '\0';
    if (is_cut)
        memcpy(err->msg + sizeof(err->msg) - 4, "...", 4);
}

int dt_err_set(struct dt_err *err, enum dt_code code, const char *fmt, ...)
{
    DT_ASSERT(code > DT_OK && code < DT_CODE_END);
    if (err == NULL)
        return -(int)code;
    char text[sizeof(err->msg)];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    DT_ASSERT(len >= 0);
    err_store(err, code, text, (size_t)len >= sizeof(text));
    return -(int)code;
}

int dt_err_errno(struct dt_err *err, enum dt_code code, int saved_errno, const char *fmt, ...)
{
    DT_ASSERT(code > DT_OK && code < DT_CODE_END);
    if (err == NULL)
        return -(int)code;
    char reason_buf[96];
    const char *reason = strerror_r(saved_errno, reason_buf, sizeof(reason_buf));
    char text[sizeof(err->msg)];
    /* The reason is worth more than the tail of a long path: keep room for it. */
    size_t room = sizeof(text) - strnlen(reason, sizeof(reason_buf)) - 2;
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, room, fmt, args);
    va_end(args);
    DT_ASSERT(len >= 0);
    size_t used = (size_t)len < room ? (size_t)len : room - 1;
    int tail = snprintf(text + used, sizeof(text) - used, ": %s", reason);
    DT_ASSERT(tail > 0);
    err_store(err, code, text, used + (size_t)tail >= sizeof(text));
    return -(int)code;
}

static unsigned code_index(int code)
{
    unsigned index = code < 0 ? 0U - (unsigned)code : (unsigned)code;
    return index < DT_CODE_END ? index : DT_EIO; /* a code from nowhere is our failure: 500 */
}

const char *dt_code_name(int code)
{
    return codes[code_index(code)].name;
}

int dt_code_http_status(int code)
{
    return codes[code_index(code)].http_status;
}

const char *dt_code_registry(int code)
{
    return codes[code_index(code)].registry;
}

bool dt_code_is_retryable(int code)
{
    return codes[code_index(code)].is_retryable;
}

static void (*_Atomic before_abort)(void);

void dt_assert_before(void (*last_words)(void))
{
    atomic_store(&before_abort, last_words);
}

void dt_assert_failed(const char *cond, const char *file, int line, const char *func)
{
    void (*last_words)(void) = atomic_load(&before_abort);
    if (last_words != NULL)
        last_words();
    fprintf(stderr, "darter: bug: assertion failed: %s (%s:%d, %s)\n", cond, file, line, func);
    fflush(stderr);
    abort();
}
