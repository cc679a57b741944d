/*
 * registry-client/challenge.c - WWW-Authenticate, read with tolerance; see challenge.h.
 *
 *   header    = challenge *( "," challenge )
 *   challenge = scheme [ 1*SP ( token68 | param *( "," param ) ) ]       RFC 9110, 11.6.1
 *
 * A comma separates parameters as well as challenges: after one, "word =" goes on with the same
 * challenge and "word" alone starts the next. Unquoted values may hold what RFC 9110 forbids there
 * (a URL): they end at a comma or a space.
 */
#include "registry-client/challenge.h"

#include <string.h>

#include "base/text.h"

struct scanner {
    const char *at;
    bool is_bad; /* broken syntax: nothing after it can be trusted */
};

struct word {
    const char *text;
    size_t len;
};

static bool is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static void skip_space(struct scanner *s)
{
    s->at += strspn(s->at, " \t");
}

static struct word read_token(struct scanner *s)
{
    struct word w = {s->at, 0};
    while (is_token_char(*s->at))
        s->at++;
    w.len = (size_t)(s->at - w.text);
    return w;
}

static bool word_is(struct word w, const char *name)
{
    char text[16];
    if (w.len >= sizeof(text))
        return false;
    memcpy(text, w.text, w.len);
    text[w.len] = '\0';
    return dt_text_equal_nocase(text, name);
}

/* One byte of a value; out NULL = the value is of no interest. False: does not fit. */
static bool put(char *out, size_t out_size, size_t *len, char c)
{
    if (out == NULL)
        return true;
    if (*len + 1 >= out_size)
        return false;
    out[(*len)++] = c;
    out[*len] = '\0';
    return true;
}

/* Reads token or quoted-string. Controls are refused: values end up in URLs and log lines. */
static bool read_value(struct scanner *s, char *out, size_t out_size)
{
    bool is_quoted = *s->at == '"';
    const char *end = is_quoted ? "\"" : ", \t";
    size_t len = 0;

    if (is_quoted)
        s->at++;
    while (*s->at != '\0' && strchr(end, *s->at) == NULL) {
        if (is_quoted && *s->at == '\\' && s->at[1] != '\0')
            s->at++;
        if ((unsigned char)*s->at < 0x20 || *s->at == 0x7f || !put(out, out_size, &len, *s->at))
            return false;
        s->at++;
    }
    if (is_quoted && *s->at != '"')
        return false; /* the end came first: stay on the NUL */
    s->at += is_quoted;
    return true;
}

struct field {
    const char *name;
    char *out;
    size_t out_size;
    bool is_set;
};

static bool read_param(struct scanner *s, struct word name, struct field *fields, size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++) {
        if (!word_is(name, fields[i].name))
            continue;
        /* Twice the same parameter: two readers would choose differently. */
        if (fields[i].is_set)
            return false;
        fields[i].is_set = true;
        return read_value(s, fields[i].out, fields[i].out_size);
    }
    return read_value(s, NULL, 0);
}

/* "abc==" after a scheme: skipped, no scheme of ours uses it. */
static bool skip_token68(struct scanner *s)
{
    const char *p = s->at;
    while (is_token_char(*p) || *p == '/')
        p++;
    p += strspn(p, "=");
    const char *end = p + strspn(p, " \t");
    if (p == s->at || (*end != ',' && *end != '\0'))
        return false;
    s->at = end;
    return true;
}

/* Parameters up to the next challenge or the end. */
static void read_params(struct scanner *s, struct field *fields, size_t n_fields)
{
    for (;;) {
        struct scanner ahead = *s;
        ahead.at += strspn(ahead.at, " \t,");
        struct word name = read_token(&ahead);
        skip_space(&ahead);
        if (name.len == 0 || *ahead.at != '=')
            return;
        ahead.at++;
        skip_space(&ahead);
        bool is_read = read_param(&ahead, name, fields, n_fields);
        skip_space(&ahead);
        s->at = ahead.at;
        if (!is_read || (*s->at != ',' && *s->at != '\0')) {
            s->is_bad = true;
            return;
        }
    }
}

/* Reads one challenge; *out stays zero when its scheme is not ours. */
static void read_challenge(struct scanner *s, struct reg_challenge *out)
{
    struct field fields[] = {
        {"realm", out->realm, sizeof(out->realm), false},
        {"service", out->service, sizeof(out->service), false},
        {"scope", out->scope, sizeof(out->scope), false},
        {"error", out->error, sizeof(out->error), false},
    };
    struct word scheme = read_token(s);
    bool has_space = *s->at == ' ' || *s->at == '\t';

    *out = (struct reg_challenge){.scheme = REG_AUTH_NONE};
    skip_space(s);
    if (scheme.len == 0 || (!has_space && *s->at != ',' && *s->at != '\0')) {
        s->is_bad = true;
        return;
    }
    if (word_is(scheme, "bearer") || word_is(scheme, "basic")) {
        read_params(s, fields, sizeof(fields) / sizeof(fields[0]));
        out->scheme = word_is(scheme, "basic") ? REG_AUTH_BASIC : REG_AUTH_BEARER;
    } else if (!skip_token68(s)) {
        read_params(s, NULL, 0);
    }
}

/* RFC 6750 lets a Bearer challenge go without a realm; without one there is nobody to ask. */
static bool is_usable(const struct reg_challenge *c)
{
    return c->scheme == REG_AUTH_BASIC || (c->scheme == REG_AUTH_BEARER && c->realm[0] != '\0');
}

int reg_challenge_parse(struct reg_challenge *out, const char *www_authenticate, struct dt_err *err)
{
    struct scanner s = {.at = www_authenticate};
    struct reg_challenge one;

    *out = (struct reg_challenge){.scheme = REG_AUTH_NONE};
    for (;;) {
        s.at += strspn(s.at, " \t,");
        if (*s.at == '\0' || s.is_bad)
            break;
        read_challenge(&s, &one);
        if (!s.is_bad && is_usable(&one) && one.scheme > out->scheme)
            *out = one;
    }
    if (s.is_bad || out->scheme == REG_AUTH_NONE) {
        *out = (struct reg_challenge){.scheme = REG_AUTH_NONE};
        return dt_err_set(err, DT_EPROTO, "%s",
                          s.is_bad
                              ? "WWW-Authenticate is malformed or too long"
                              : "WWW-Authenticate names neither Bearer with a realm nor Basic");
    }
    return 0;
}
