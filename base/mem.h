/*
 * base/mem.h - memory does not fail.
 *
 * Every allocation of the project goes through here; running out is fatal, loudly. What a stranger
 * can make us allocate is bounded where his bytes are read, against a named limit. Beside it stand
 * the units memory is counted in, and the same courtesy for descriptors. Any thread.
 */
#ifndef DARTER_BASE_MEM_H
#define DARTER_BASE_MEM_H

#include <stddef.h>

#define KIB 1024ULL
#define MIB (1024ULL * KIB)
#define GIB (1024ULL * MIB)

/* Zeroed memory; never NULL. Release with free(). n * size is checked for overflow. */
void *dt_calloc(size_t n, size_t size);
void *dt_realloc(void *old, size_t size);
char *dt_strdup(const char *text); /* NULL stays NULL: what is absent has an absent copy */
char *dt_strndup(const char *text, size_t len);
char *dt_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define dt_new(type)          ((type *)dt_calloc(1, sizeof(type)))
#define dt_new_array(type, n) ((type *)dt_calloc((n), sizeof(type)))

/* free(*p) and *p = NULL, for pointers to any object type. */
#define dt_free(p)                                                                                 \
    do {                                                                                           \
        free(*(p));                                                                                \
        *(p) = NULL;                                                                               \
    } while (0)

/* The one way to release a string that holds a secret: wiped, freed, NULL. Harmless on NULL. */
void dt_free_secret(char **secret);

/* Closes *fd if it is >= 0 and sets it to -1. */
void dt_close(int *fd);

/* `ptr` to a member -> pointer to the struct that holds it. */
#define dt_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
