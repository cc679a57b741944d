/*
 * base/log_format.c - log lines and their escapes.
 *
 * Key=value lines are plain ASCII whatever went in: control bytes, 0x7f and everything above are
 * written \xNN, so that no value can end a line, move a cursor or look like another letter. JSON
 * takes the same text apart again; every value is a string, because a type that changes from line
 * to line (a task id that happens to be all digits) breaks whoever indexes the log.
 *
 * Pure; any thread.
 */
#include "base/log_priv.h"

#include <string.h>

#include "base/err.h"

#define MIN_QUOTE_SIZE 16

static const char hex_digits[] = "0123456789abcdef";

static bool is_plain(char c)
{
    return c >= 0x20 && c < 0x7f;
}

/* Longest escape: \xNN. Returns its length. */
static size_t escape_byte(char out[5], char c, bool is_quoted)
{
    unsigned char byte = (unsigned char)c;
    bool is_literal = is_plain(c) && !(is_quoted && (c == '"' || c == '\\'));
    if (is_literal)
        (void)dt_text_print(out, 5, "%c", c); /* all of these fit */
    else if (is_plain(c))
        (void)dt_text_print(out, 5, "\\%c", c);
    else if (c == '\n' || c == '\r' || c == '\t')
        (void)dt_text_print(out, 5, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
    else
        (void)dt_text_print(out, 5, "\\x%c%c", hex_digits[byte >> 4], hex_digits[byte & 15]);
    return strlen(out);
}

static bool needs_quotes(const char *value)
{
    size_t len = strlen(value);
    for (size_t i = 0; i < len; i++)
        if (!is_plain(value[i]) || strchr(" \"\\=", value[i]) != NULL)
            return true;
    return len == 0;
}

const char *dt_log_quote(char *out, size_t out_size, const char *value)
{
    DT_ASSERT(out_size >= MIN_QUOTE_SIZE);
    if (value == NULL)
        value = "-";
    if (!needs_quotes(value) && dt_text_print(out, out_size, "%s", value))
        return out;
    size_t used = 0, room = out_size - strlen("...\"") - 1;
    out[used++] = '"';
    for (; *value != '\0'; value++) {
        char escaped[5];
        size_t len = escape_byte(escaped, *value, true);
        if (used + len > room)
            break;
        memcpy(out + used, escaped, len);
        used += len;
    }
    (void)dt_text_print(out + used, out_size - used, *value != '\0' ? "...\"" : "\""); /* room */
    return out;
}

/* Appends bytes without control characters, up to `limit` bytes of the whole text. */
static void add_clean(struct dt_text *out, const char *text, size_t limit)
{
    for (; *text != '\0'; text++) {
        char escaped[5];
        size_t len = escape_byte(escaped, *text, false);
        if (out->len + len > limit)
            return;
        dt_text_add_len(out, escaped, len);
    }
}

void dt_log_format_kv(struct dt_text *out, const struct log_event *event)
{
    size_t limit = out->len + LOG_LINE_MAX - 1;
    const char *const parts[] = {event->time,      event->level, event->thread,
                                 event->component, event->event, event->body};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i][0] == '\0')
            continue;
        add_clean(out, i > 0 ? " " : "", limit);
        add_clean(out, parts[i], limit);
    }
    dt_text_add(out, "\n");
}

/* ---- JSON ---- */

static int hex_value(char c)
{
    const char *at = c != '\0' ? strchr(hex_digits, c) : NULL;
    return at != NULL ? (int)(at - hex_digits) : -1;
}

/* Reads one possibly escaped character of a quoted value; returns how many bytes it took. A byte
 * above 0x7f stays as it was written, \xNN: JSON has no way to say "a byte". */
static size_t unescape(char *out, const char *text)
{
    *out = text[0];
    if (text[0] != '\\')
        return 1;
    const char *named = text[1] != '\0' ? strchr("nrt\"\\", text[1]) : NULL;
    if (named != NULL) {
        *out = "\n\r\t\"\\"[named - "nrt\"\\"];
        return 2;
    }
    int high = text[1] == 'x' ? hex_value(text[2]) : -1;
    int low = high >= 0 ? hex_value(text[3]) : -1;
    if (low < 0 || high > 7)
        return 1;
    *out = (char)(high << 4 | low);
    return 4;
}

static void json_add_char(struct dt_text *out, char c)
{
    unsigned char byte = (unsigned char)c;
    if (c == '"' || c == '\\')
        dt_text_addf(out, "\\%c", c);
    else if (is_plain(c))
        dt_text_add_len(out, &c, 1);
    else if (byte < 0x80)
        dt_text_addf(out, "\\u%04x", byte);
    else
        dt_text_addf(out, "\\\\x%02x", byte);
}

static void json_add_string(struct dt_text *out, const char *text, size_t len)
{
    dt_text_add(out, "\"");
    for (size_t i = 0; i < len; i++)
        json_add_char(out, text[i]);
    dt_text_add(out, "\"");
}

/* The value that starts at `text`: up to a space, or the closing quote. Returns its end. */
static const char *json_add_value(struct dt_text *out, const char *text)
{
    if (*text != '"') {
        size_t len = strcspn(text, " ");
        json_add_string(out, text, len);
        return text + len;
    }
    dt_text_add(out, "\"");
    for (text++; *text != '\0' && *text != '"';) {
        char c;
        text += unescape(&c, text);
        json_add_char(out, c);
    }
    dt_text_add(out, "\"");
    return *text == '"' ? text + 1 : text;
}

/* One `key=value` or bare word as a member of the object. Returns where it ended. */
static const char *json_add_member(struct dt_text *out, const char *text)
{
    size_t key_len = strcspn(text, "= ");
    json_add_string(out, text, key_len);
    dt_text_add(out, ":");
    if (text[key_len] == '=')
        return json_add_value(out, text + key_len + 1);
    dt_text_add(out, "true");
    return text + key_len;
}

void dt_log_format_json(struct dt_text *out, const struct log_event *event)
{
    size_t limit = out->len + LOG_LINE_MAX - strlen(",\"cut\":true}\n");
    const char *const names[] = {"ts", "level", "thread", "component", "event"};
    const char *const values[] = {event->time, event->level, event->thread, event->component,
                                  event->event};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        dt_text_addf(out, "%s\"%s\":", i > 0 ? "," : "{", names[i]);
        json_add_string(out, values[i], strnlen(values[i], 64));
    }
    for (const char *at = event->body + strspn(event->body, " "); *at != '\0';) {
        struct dt_text member = {0};
        at = json_add_member(&member, at);
        at += strspn(at, " ");
        bool fits = out->len + 1 + member.len <= limit;
        dt_text_add(out, fits ? "," : ",\"cut\":true");
        dt_text_add(out, fits ? dt_text_str(&member) : "");
        dt_text_fini(&member);
        if (!fits)
            break;
    }
    dt_text_add(out, "}\n");
}
