/*
 * base/wire/json_priv.h - reading and writing the JSON of this folder's messages.
 *
 * Reading: strangers' bytes go through a gate that bounds length, nesting and the number of values
 * before jansson sees them. Then fields are asked for one by one; the first one that is wrong is
 * remembered with its name, and everything after it is a no-op, so that a decoder reads as a list
 * of its fields and checks once. Members nobody asks for are ignored: that is how messages grow.
 *
 * Writing: straight into a text. All strings of a message are free of what JSON escapes, or go
 * through wire_put_member().
 */
#ifndef DARTER_BASE_WIRE_JSON_PRIV_H
#define DARTER_BASE_WIRE_JSON_PRIV_H

#include <jansson.h>

#include "base/text.h"
#include "base/wire/wire.h"

#define WIRE_DEPTH_MAX  8u
#define WIRE_VALUES_MAX 32768u /* commas and brackets; the fullest message has 16,000 */

struct wire_reader {
    const char *what; /* the message, for errors */
    json_t *root;     /* owned */
    struct dt_err *err;
    int rc; /* 0 until something is wrong */
};

/* Opens a message and checks its version. On failure rc is set; fini() always. */
void wire_reader_init(struct wire_reader *, const char *what, const char *body, size_t len,
                      struct dt_err *err);
void wire_reader_fini(struct wire_reader *);
void wire_reader_fail(struct wire_reader *, const char *field, const char *why);

/* Of `object`, the member `field`. Numbers lie within min..max. The _may_ ones leave *out alone
 * when the member is absent. */
void wire_get_number(uint64_t *out, struct wire_reader *, const json_t *object, const char *field,
                     uint64_t min, uint64_t max);
void wire_may_number(uint64_t *out, struct wire_reader *, const json_t *object, const char *field,
                     uint64_t min, uint64_t max);
void wire_may_flag(bool *out, struct wire_reader *, const json_t *object, const char *field);
/* A string that `is_valid` (NULL = any of visible ASCII) of at most `size` - 1 bytes. The _may_ one
 * leaves *out alone when it is absent. */
typedef bool (*wire_valid_f)(const char *);
void wire_get_text(char *out, size_t size, struct wire_reader *, const json_t *object,
                   const char *field, wire_valid_f is_valid);
void wire_may_text(char *out, size_t size, struct wire_reader *, const json_t *object,
                   const char *field, wire_valid_f is_valid);
/* An owned copy, of at least one byte; NULL when absent. */
char *wire_may_copy(struct wire_reader *, const json_t *object, const char *field, size_t max_len);
void wire_get_digest(struct dt_digest *out, struct wire_reader *, const json_t *object,
                     const char *field);
/* An array of at most max elements; NULL when absent or wrong. Borrowed. */
const json_t *wire_may_array(struct wire_reader *, const json_t *object, const char *field,
                             size_t max);

/* The same for elements of an array that is no object: reads `value` itself. */
uint64_t wire_number_of(struct wire_reader *, const json_t *value, const char *field, uint64_t max);
void wire_text_of(char *out, size_t size, struct wire_reader *, const json_t *value,
                  const char *field, wire_valid_f is_valid);
void wire_digest_of(struct dt_digest *out, struct wire_reader *, const json_t *value,
                    const char *field);

void wire_put_begin(struct dt_text *); /* {"v":1 */
/* ,"name":value */
void wire_put_number(struct dt_text *, const char *name, uint64_t value);
void wire_put_flag(struct dt_text *, const char *name, bool value); /* nothing when false */
/* Quoted, with escapes; bytes that are no printable ASCII become "?". */
void wire_put_member(struct dt_text *, const char *name, const char *text);
char *wire_put_end(struct dt_text *); /* closes the object; asserts WIRE_BODY_MAX */

#endif
