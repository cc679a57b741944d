/*
 * registry-client/error.c - error bodies and statuses of the distribution API; see error.h.
 */
#include "registry-client/error.h"

/* Bytes of the well-formed UTF-8 sequence at `text` (RFC 3629), 0 when there is none. The string's
 * NUL stops every look ahead. */
static size_t utf8_len(const unsigned char *text)
{
    static const struct {
        unsigned char first, last, second_min, second_max;
        size_t len;
    } ROWS[] = {
        {0x01, 0x7f, 0x00, 0xff, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        if (text[0] < ROWS[i].first || text[0] > ROWS[i].last)
            continue;
        for (size_t k = 1; k < ROWS[i].len; k++) {
            unsigned char min = k == 1 ? ROWS[i].second_min : 0x80;
            unsigned char max = k == 1 ? ROWS[i].second_max : 0xbf;
            if (text[k] < min || text[k] > max)
                return 0;
        }
        return ROWS[i].len;
    }
    return 0;
}

static void print_string(struct dt_text *out, const char *text)
{
    dt_text_add(out, "\"");
    while (*text != '\0') {
        size_t len = utf8_len((const unsigned char *)text);
        if (len == 0)
            dt_text_add(out, "\xef\xbf\xbd"); /* U+FFFD: Go clients drop a body that is no JSON */
        else if (*text == '"' || *text == '\\')
            dt_text_addf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            dt_text_addf(out, "\\u%04x", (unsigned)*text);
        else
            dt_text_add_len(out, text, len);
        text += len == 0 ? 1 : len;
    }
    dt_text_add(out, "\"");
}

void reg_error_print(struct dt_text *out, int code, const char *registry_code, const char *message)
{
    dt_text_add(out, "{\"errors\":[{\"code\":");
    print_string(out, registry_code == NULL ? dt_code_registry(code) : registry_code);
    dt_text_add(out, ",\"message\":");
    print_string(out, message);
    dt_text_add(out, "}]}");
}

int reg_status_code(int http_status)
{
    static const struct {
        int status, code;
    } ROWS[] = {
        {401, DT_EUNAUTHORIZED}, {403, DT_EDENIED}, {404, DT_ENOTFOUND}, {405, DT_EMETHOD},
        {412, DT_EPOLICY},       {416, DT_ERANGE},  {429, DT_EBUSY},
    };
    if (http_status >= 200 && http_status <= 299)
        return DT_OK;
    if (http_status >= 500 && http_status <= 599)
        return DT_EUNAVAILABLE;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++)
        if (ROWS[i].status == http_status)
            return ROWS[i].code;
    return DT_EPROTO;
}
