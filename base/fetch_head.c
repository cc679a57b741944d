/*
 * base/fetch_head.c - the head of a response: what is kept of it, and what is refused.
 *
 *   {0} -> line* -> is_complete -> (trailer lines)* ; reset for the next hop ; fini
 *
 * Pure: no I/O, no clock, no curl; fuzzed. Stricter than curl about framing, since the length of
 * a blob decides where its bytes go: two Content-Lengths, or a transfer coding other than chunked,
 * end the fetch (RFC 9112 6.1, 6.3).
 */
#include "base/fetch_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void fetch_head_reset(struct fetch_head *head)
{
    dt_text_clear(&head->bytes);
    head->n_fields = 0;
    head->seen_bytes = 0;
    head->status = 0;
    head->length = 0;
    head->has_length = head->is_chunked = head->is_complete = false;
}

void fetch_head_fini(struct fetch_head *head)
{
    dt_text_fini(&head->bytes);
    free(head->fields);
    *head = (struct fetch_head){.n_fields = 0};
}

static void add_string(struct dt_text *bytes, const char *text, size_t len)
{
    dt_text_add_len(bytes, text, len);
    dt_text_add_len(bytes, "", 1);
}

static int status_line(struct fetch_head *head, const char *line, size_t len, struct dt_err *err)
{
    const char *space = memchr(line, ' ', len);
    unsigned long long status = 0;

    if (space == NULL || line + len < space + 4 || !dt_text_parse_u64(&status, space + 1, 3) ||
        status < 100)
        return dt_err_set(err, DT_EPROTO, "unreadable status line");
    head->status = (int)status;
    return 0;
}

/* What the field that was just stored says about where the body ends. */
static int framing_check(struct fetch_head *head, const char *name, const char *value,
                         struct dt_err *err)
{
    unsigned long long length;

    if (dt_text_equal_nocase(name, "content-length")) {
        if (head->has_length || !dt_text_parse_u64(&length, value, strlen(value)))
            return dt_err_set(err, DT_EPROTO, "%s Content-Length '%.40s'",
                              head->has_length ? "a second" : "unreadable", value);
        head->has_length = true;
        head->length = length;
    }
    if (dt_text_equal_nocase(name, "transfer-encoding")) {
        if (head->is_chunked || !dt_text_equal_nocase(value, "chunked"))
            return dt_err_set(err, DT_EPROTO, "unsupported Transfer-Encoding '%.40s'", value);
        head->is_chunked = true;
    }
    return 0;
}

/* RFC 9112 5.2: a line that begins with a blank goes on with the value before it. */
static int folded_line(struct fetch_head *head, const char *line, size_t len, struct dt_err *err)
{
    const char *name;

    if (head->n_fields == 0)
        return dt_err_set(err, DT_EPROTO, "response head begins with a folded line");
    name = head->bytes.data + head->fields[head->n_fields - 1].name_at;
    if (dt_text_equal_nocase(name, "content-length") ||
        dt_text_equal_nocase(name, "transfer-encoding"))
        return dt_err_set(err, DT_EPROTO, "folded %s", name);
    head->bytes.len--; /* the NUL that ended the value */
    dt_text_add_len(&head->bytes, " ", 1);
    add_string(&head->bytes, line, len);
    return 0;
}

static int field_line(struct fetch_head *head, const char *line, size_t len, struct dt_err *err)
{
    const char *colon = memchr(line, ':', len);
    size_t name_len = colon != NULL ? (size_t)(colon - line) : 0, value_len;
    const char *name = line, *value;
    struct fetch_field *field;

    dt_text_trim(&name, &name_len);
    if (name_len == 0)
        return dt_err_set(err, DT_EPROTO, "a header line without a name");
    value = colon + 1;
    value_len = len - (size_t)(value - line);
    dt_text_trim(&value, &value_len);
    if (head->n_fields == head->capacity) {
        head->capacity = head->capacity > 0 ? 2 * head->capacity : 16;
        head->fields = dt_realloc(head->fields, head->capacity * sizeof(*head->fields));
    }
    field = &head->fields[head->n_fields++];
    field->name_at = head->bytes.len;
    add_string(&head->bytes, name, name_len);
    field->value_at = head->bytes.len;
    add_string(&head->bytes, value, value_len);
    return framing_check(head, head->bytes.data + field->name_at,
                         head->bytes.data + field->value_at, err);
}

/* Only a head that is not 1xx is final; one that switches protocols was never asked for. */
static int head_end(struct fetch_head *head, struct dt_err *err)
{
    size_t seen_bytes = head->seen_bytes;

    if (head->status == 0 || head->status == 101)
        return dt_err_set(err, DT_EPROTO, "unexpected response head (status %d)", head->status);
    if (head->status >= 200) {
        head->is_complete = true;
        return 0;
    }
    fetch_head_reset(head);
    head->seen_bytes = seen_bytes; /* interim heads without end must not be free of charge */
    return 0;
}

int fetch_head_line(struct fetch_head *head, const char *line, size_t len, struct dt_err *err)
{
    const char *text = line;
    size_t text_len = len;

    head->seen_bytes += len;
    if (head->seen_bytes > DT_FETCH_HEADER_MAX)
        return dt_err_set(err, DT_EPROTO, "response head is longer than %d bytes",
                          DT_FETCH_HEADER_MAX);
    if (head->is_complete)
        return 0; /* a trailer: nothing here uses one */
    while (text_len > 0 && (text[text_len - 1] == '\n' || text[text_len - 1] == '\r'))
        text_len--;
    if (text_len == 0)
        return head_end(head, err);
    if (memchr(text, '\0', text_len) != NULL || memchr(text, '\r', text_len) != NULL ||
        memchr(text, '\n', text_len) != NULL)
        return dt_err_set(err, DT_EPROTO, "control character in the response head");
    if (head->status == 0)
        return status_line(head, text, text_len, err);
    if (*text == ' ' || *text == '\t') {
        dt_text_trim(&text, &text_len);
        return folded_line(head, text, text_len, err);
    }
    return field_line(head, text, text_len, err);
}

uint64_t fetch_head_content_length(const struct fetch_head *head)
{
    /* RFC 9112 6.3: chunked overrides a length. */
    return head->has_length && !head->is_chunked ? head->length : UINT64_MAX;
}

const char *fetch_head_get(const struct fetch_head *head, const char *name)
{
    for (size_t i = 0; i < head->n_fields; i++)
        if (dt_text_equal_nocase(head->bytes.data + head->fields[i].name_at, name))
            return head->bytes.data + head->fields[i].value_at;
    return NULL;
}
