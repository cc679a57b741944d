/*
 * registry-client/ref.c - names, references and request paths; see ref.h.
 *
 * A path is judged in three steps: decode (few escapes are legal), cut at slashes, look at the last
 * segments. From the end, because a repository may be called "team/blobs" or "manifests/tags".
 *
 * A new kind of path: add it to enum reg_kind and to find_tail().
 */
#include "registry-client/ref.h"

#include <string.h>

#include "base/text.h"

#define PATH_MAX_BYTES 2048

static bool is_lower_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_alnum(char c)
{
    return is_lower_alnum(c) || (c >= 'A' && c <= 'Z');
}

/* Bytes of the separator at `text`: ".", "_", "__" or any run of "-". 0 = none. */
static size_t separator_len(const char *text, size_t len)
{
    size_t n = 0;
    if (len > 0 && text[0] == '.')
        return 1;
    if (len > 0 && text[0] == '_')
        return len > 1 && text[1] == '_' ? 2 : 1;
    while (n < len && text[n] == '-')
        n++;
    return n;
}

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* */
static bool is_name_component(const char *text, size_t len)
{
    size_t i = 0;
    for (;;) {
        size_t start = i;
        while (i < len && is_lower_alnum(text[i]))
            i++;
        if (i == start)
            return false;
        if (i == len)
            return true;
        size_t n = separator_len(text + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
}

bool reg_name_is_valid(const char *name, size_t len)
{
    if (len == 0 || len > REG_NAME_MAX)
        return false;
    for (;;) {
        const char *slash = memchr(name, '/', len);
        size_t n = slash == NULL ? len : (size_t)(slash - name);
        if (!is_name_component(name, n))
            return false;
        if (slash == NULL)
            return true;
        name += n + 1;
        len -= n + 1;
    }
}

bool reg_tag_is_valid(const char *tag, size_t len)
{
    if (len == 0 || len > REG_TAG_MAX || tag[0] == '.' || tag[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(tag[i]) && tag[i] != '_' && tag[i] != '.' && tag[i] != '-')
            return false;
    return true;
}

int reg_reference_parse(struct reg_reference *out, const char *text, size_t len, struct dt_err *err)
{
    *out = (struct reg_reference){.is_digest = memchr(text, ':', len) != NULL};
    if (out->is_digest) {
        int rc = dt_digest_parse(&out->digest, text, len, err);
        if (rc < 0)
            return rc;
        (void)dt_digest_format(out->text, &out->digest); /* returns its first argument */
        return 0;
    }
    if (!reg_tag_is_valid(text, len))
        return dt_err_set(err, DT_EINVAL, "not a tag: 1 to %d of [a-zA-Z0-9._-], not led by . or -",
                          REG_TAG_MAX);
    memcpy(out->text, text, len);
    out->text[len] = '\0';
    return 0;
}

bool reg_is_docker_hub(const char *host)
{
    static const char *const NAMES[] = {"docker.io", "registry-1.docker.io", "index.docker.io",
                                        "registry.hub.docker.com"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
        if (dt_text_equal_nocase(host, NAMES[i]))
            return true;
    return false;
}

/* ---- request paths ------------------------------------------------------------------------------
 */

struct segment {
    const char *text;
    size_t len;
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Only what clients really escape: unreserved characters (RFC 3986, 2.3) and the colon of a digest.
 * An escaped slash, dot segment or control would mean one thing here and another upstream. */
static bool decode(char out[PATH_MAX_BYTES + 1], size_t *out_len, const char *path, size_t len)
{
    size_t n = 0;
    if (len > PATH_MAX_BYTES)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = path[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_value(path[i + 1]) : -1;
            int low = i + 2 < len ? hex_value(path[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            if (!is_alnum(c) && memchr("-._~:", c, 5) == NULL)
                return false;
            i += 2;
        } else if (c <= 0x20 || c >= 0x7f || strchr("?#\\\"<>^`{|}", c) != NULL) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    *out_len = n;
    return true;
}

/* No "." and "..", and nothing between two slashes but at the very end. */
static bool segments_are_plain(const char *path)
{
    while (path != NULL) {
        size_t n = strcspn(path, "/");
        bool is_last = path[n] == '\0';
        if ((n == 0 && !is_last) || (n == 1 && path[0] == '.') ||
            (n == 2 && path[0] == '.' && path[1] == '.'))
            return false;
        path = is_last ? NULL : path + n + 1;
    }
    return true;
}

/* Takes the last segment off *head: "a/b/c" -> "a/b" and "c". */
static struct segment pop_segment(struct segment *head)
{
    const char *slash = head->len == 0 ? NULL : memrchr(head->text, '/', head->len);
    struct segment last = *head;
    if (slash != NULL)
        last = (struct segment){slash + 1, head->len - (size_t)(slash + 1 - head->text)};
    head->len = slash == NULL ? 0 : (size_t)(slash - head->text);
    return last;
}

static bool segment_is(struct segment s, const char *word)
{
    return s.len == strlen(word) && memcmp(s.text, word, s.len) == 0;
}

/* Which kind, and what is left as the repository's name. */
static enum reg_kind find_tail(struct segment *name, struct segment *reference, struct segment path)
{
    *name = path;
    *reference = pop_segment(name);
    struct segment verb = pop_segment(name);
    if (segment_is(verb, "manifests"))
        return REG_MANIFEST;
    if (segment_is(verb, "blobs"))
        return segment_is(*reference, "uploads") ? REG_UPLOAD : REG_BLOB;
    if (segment_is(verb, "referrers"))
        return REG_REFERRERS;
    if (segment_is(verb, "tags") && segment_is(*reference, "list"))
        return REG_TAGS;
    if (segment_is(verb, "uploads") && segment_is(pop_segment(name), "blobs"))
        return REG_UPLOAD;
    return REG_OTHER;
}

static int refuse(const char **code_out, const char *code, struct dt_err *err, const char *why)
{
    *code_out = code;
    return dt_err_set(err, DT_EINVAL, "%s", why);
}

static int parse_target(struct reg_path *out, const char **code, struct segment path,
                        struct dt_err *err)
{
    struct segment name, reference;

    out->kind = find_tail(&name, &reference, path);
    if (out->kind == REG_OTHER)
        return 0;
    if (!reg_name_is_valid(name.text, name.len))
        return refuse(code, "NAME_INVALID", err, "not a repository name");
    memcpy(out->repository, name.text, name.len);
    out->repository[name.len] = '\0';
    if (out->kind == REG_TAGS || out->kind == REG_UPLOAD)
        return 0;
    bool is_digest = out->kind != REG_MANIFEST || memchr(reference.text, ':', reference.len);
    int rc = reg_reference_parse(&out->reference, reference.text, reference.len, err);
    if (rc < 0)
        *code = is_digest ? "DIGEST_INVALID" : "MANIFEST_INVALID";
    else if (is_digest && !out->reference.is_digest)
        return refuse(code, "DIGEST_INVALID", err, "a digest is needed here, not a tag");
    return rc;
}

int reg_path_parse(struct reg_path *out, const char **registry_code, const char *path, size_t len,
                   struct dt_err *err)
{
    static const char ROOT[] = "/v2/";
    char decoded[PATH_MAX_BYTES + 1];
    size_t decoded_len = 0;

    *out = (struct reg_path){.kind = REG_PING};
    *registry_code = NULL;
    if (len == strlen("/v2") && memcmp(path, "/v2", len) == 0)
        return 0;
    if (len < strlen(ROOT) || memcmp(path, ROOT, strlen(ROOT)) != 0) {
        *registry_code = "NAME_UNKNOWN";
        return dt_err_set(err, DT_ENOTFOUND, "not below /v2/");
    }
    if (!decode(decoded, &decoded_len, path + strlen(ROOT), len - strlen(ROOT)) ||
        !segments_are_plain(decoded))
        return refuse(registry_code, "NAME_INVALID", err,
                      "path is too long or has a byte, escape or dot segment that no name has");
    if (decoded_len == 0)
        return 0;
    if (strcmp(decoded, "_catalog") == 0) {
        out->kind = REG_CATALOG;
        return 0;
    }
    return parse_target(out, registry_code, (struct segment){decoded, decoded_len}, err);
}
