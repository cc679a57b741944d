/*
 * base/wire/json.c - see json_priv.h. Pure.
 */
#include "base/wire/json_priv.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"

/* Brackets and commas outside strings are all it takes to bound depth and count; whether the rest
 * is JSON is jansson's job. */
static const char *shape_fault(const char *body, size_t len)
{
    size_t depth = 0, n_values = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        char c = body[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
            continue;
        }
        in_string = c == '"';
        depth += c == '[' || c == '{';
        n_values += c == '[' || c == '{' || c == ',';
        depth -= (c == ']' || c == '}') && depth > 0;
        if (depth > WIRE_DEPTH_MAX)
            return "nested too deeply";
        if (n_values > WIRE_VALUES_MAX)
            return "too many values";
    }
    return NULL;
}

void wire_reader_fail(struct wire_reader *reader, const char *field, const char *why)
{
    if (reader->rc == 0)
        reader->rc = dt_err_set(reader->err, DT_EPROTO, "%s: %s: %s", reader->what, field, why);
}

static void reader_load(struct wire_reader *reader, const char *body, size_t len)
{
    json_error_t where;
    const char *fault = shape_fault(body, len);

    if (fault != NULL) {
        wire_reader_fail(reader, "body", fault);
        return;
    }
    reader->root = json_loadb(body, len, JSON_REJECT_DUPLICATES, &where);
    if (reader->root == NULL) /* where.text quotes the message, which may hold secrets */
        wire_reader_fail(reader, "body", "not JSON, or a member twice");
    else if (!json_is_object(reader->root))
        wire_reader_fail(reader, "body", "not an object");
}

void wire_reader_init(struct wire_reader *reader, const char *what, const char *body, size_t len,
                      struct dt_err *err)
{
    *reader = (struct wire_reader){.what = what, .err = err};
    if (len > WIRE_BODY_MAX) {
        reader->rc =
            dt_err_set(err, DT_ETOOBIG, "%s: %zu bytes, at most %u", what, len, WIRE_BODY_MAX);
        return;
    }
    reader_load(reader, body, len);
    if (reader->rc < 0)
        return;
    const json_t *version = json_object_get(reader->root, "v");
    if (!json_is_integer(version))
        wire_reader_fail(reader, "v", "no version");
    else if (json_integer_value(version) != WIRE_VERSION)
        reader->rc = dt_err_set(err, DT_EPROTO, "%s: v: version %" PRId64 ", this is %d", what,
                                (int64_t)json_integer_value(version), WIRE_VERSION);
}

void wire_reader_fini(struct wire_reader *reader)
{
    json_decref(reader->root);
    reader->root = NULL;
}

/* ---- numbers and flags ---- */

static void read_number(uint64_t *out, struct wire_reader *reader, const json_t *value,
                        const char *field, uint64_t min, uint64_t max)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value))
        wire_reader_fail(reader, field, "not an integer");
    else if (number < 0 || (uint64_t)number < min || (uint64_t)number > max)
        wire_reader_fail(reader, field, "out of range");
    if (reader->rc == 0)
        *out = (uint64_t)number;
}

void wire_get_number(uint64_t *out, struct wire_reader *reader, const json_t *object,
                     const char *field, uint64_t min, uint64_t max)
{
    if (reader->rc == 0)
        read_number(out, reader, json_object_get(object, field), field, min, max);
}

void wire_may_number(uint64_t *out, struct wire_reader *reader, const json_t *object,
                     const char *field, uint64_t min, uint64_t max)
{
    if (json_object_get(object, field) != NULL)
        wire_get_number(out, reader, object, field, min, max);
}

uint64_t wire_number_of(struct wire_reader *reader, const json_t *value, const char *field,
                        uint64_t max)
{
    uint64_t number = 0;

    if (reader->rc == 0)
        read_number(&number, reader, value, field, 0, max);
    return number;
}

void wire_may_flag(bool *out, struct wire_reader *reader, const json_t *object, const char *field)
{
    const json_t *value = json_object_get(object, field);

    if (value != NULL && !json_is_boolean(value))
        wire_reader_fail(reader, field, "neither true nor false");
    if (value != NULL && reader->rc == 0)
        *out = json_is_true(value);
}

/* ---- strings ---- */

static bool is_visible(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return false;
    return true;
}

void wire_text_of(char *out, size_t size, struct wire_reader *reader, const json_t *value,
                  const char *field, wire_valid_f is_valid)
{
    const char *text = json_string_value(value);

    if (text == NULL)
        wire_reader_fail(reader, field, "not a string");
    else if (json_string_length(value) >= size)
        wire_reader_fail(reader, field, "too long");
    else if (!(is_valid == NULL ? is_visible : is_valid)(text))
        wire_reader_fail(reader, field, "malformed");
    if (reader->rc == 0)
        DT_ASSERT(dt_text_print(out, size, "%s", text));
}

void wire_get_text(char *out, size_t size, struct wire_reader *reader, const json_t *object,
                   const char *field, wire_valid_f is_valid)
{
    wire_text_of(out, size, reader, json_object_get(object, field), field, is_valid);
}

void wire_may_text(char *out, size_t size, struct wire_reader *reader, const json_t *object,
                   const char *field, wire_valid_f is_valid)
{
    const json_t *value = json_object_get(object, field);
    if (value != NULL)
        wire_text_of(out, size, reader, value, field, is_valid);
}

char *wire_may_copy(struct wire_reader *reader, const json_t *object, const char *field,
                    size_t max_len)
{
    const json_t *value = json_object_get(object, field);
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);

    if (value == NULL)
        return NULL;
    if (text == NULL || len == 0 || len > max_len || !is_visible(text))
        wire_reader_fail(reader, field, "not a string of visible ASCII within the limit");
    return reader->rc == 0 ? dt_strdup(text) : NULL;
}

void wire_digest_of(struct dt_digest *out, struct wire_reader *reader, const json_t *value,
                    const char *field)
{
    if (reader->rc < 0)
        return;
    if (!json_is_string(value) ||
        dt_digest_parse(out, json_string_value(value), json_string_length(value), NULL) < 0)
        wire_reader_fail(reader, field, "not a digest");
}

void wire_get_digest(struct dt_digest *out, struct wire_reader *reader, const json_t *object,
                     const char *field)
{
    wire_digest_of(out, reader, json_object_get(object, field), field);
}

const json_t *wire_may_array(struct wire_reader *reader, const json_t *object, const char *field,
                             size_t max)
{
    const json_t *array = json_object_get(object, field);

    if (array != NULL && !json_is_array(array))
        wire_reader_fail(reader, field, "not an array");
    else if (json_array_size(array) > max)
        wire_reader_fail(reader, field, "too many elements");
    return reader->rc == 0 ? array : NULL;
}

/* ---- writing ---- */

void wire_put_begin(struct dt_text *out)
{
    dt_text_addf(out, "{\"v\":%d", WIRE_VERSION);
}

void wire_put_number(struct dt_text *out, const char *name, uint64_t value)
{
    DT_ASSERT(value <= WIRE_COUNT_MAX);
    dt_text_addf(out, ",\"%s\":%" PRIu64, name, value);
}

void wire_put_flag(struct dt_text *out, const char *name, bool value)
{
    if (value)
        dt_text_addf(out, ",\"%s\":true", name);
}

static void put_text(struct dt_text *out, const char *text)
{
    dt_text_add_len(out, "\"", 1);
    for (; *text != '\0'; text++) {
        char c = *text >= 0x20 && *text < 0x7f ? *text : '?';
        if (c == '"' || c == '\\')
            dt_text_add_len(out, "\\", 1);
        dt_text_add_len(out, &c, 1);
    }
    dt_text_add_len(out, "\"", 1);
}

void wire_put_member(struct dt_text *out, const char *name, const char *text)
{
    dt_text_addf(out, ",\"%s\":", name);
    put_text(out, text);
}

char *wire_put_end(struct dt_text *out)
{
    dt_text_add(out, "}");
    DT_ASSERT(out->len <= WIRE_BODY_MAX);
    return dt_text_take(out);
}
