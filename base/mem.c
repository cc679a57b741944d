/*
 * base/mem.c - allocation that never returns NULL.
 *
 * Out of memory is fatal on purpose: a daemon half of whose error paths were never run is worse
 * than one that its supervisor restarts. Threads: any.
 */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Noreturn void mem_die(size_t n, size_t size)
{
    fprintf(stderr, "darter: out of memory: %zu x %zu bytes\n", n, size);
    abort();
}

static size_t mem_product(size_t n, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(n, size, &total))
        mem_die(n, size);
    return total;
}

void *dt_calloc(size_t n, size_t size)
{
    size_t total = mem_product(n, size);
    void *memory = calloc(1, total > 0 ? total : 1);
    if (memory == NULL)
        mem_die(n, size);
    return memory;
}

void *dt_realloc(void *old, size_t size)
{
    /* realloc(p, 0) may free and return NULL: never let it. */
    void *memory = realloc(old, size > 0 ? size : 1);
    if (memory == NULL)
        mem_die(1, size);
    return memory;
}

char *dt_strdup(const char *text)
{
    return text != NULL ? dt_strndup(text, strlen(text)) : NULL;
}

char *dt_strndup(const char *text, size_t len)
{
    size_t used = strnlen(text, len);
    char *copy = dt_calloc(1, used + 1);
    memcpy(copy, text, used);
    return copy;
}

char *dt_asprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    if (len < 0 || text == NULL)
        mem_die(1, strlen(fmt));
    return text;
}

void dt_free_secret(char **secret)
{
    if (*secret != NULL)
        explicit_bzero(*secret, strlen(*secret)); /* memset() before free() may be left out */
    dt_free(secret);
}

void dt_close(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* data that matters was synced before; a late EIO helps nobody */
    *fd = -1;
}
