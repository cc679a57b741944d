/*
 * proxy/route.c - from a raw request target to an upstream and an object. Pure; any thread.
 *
 * The target is untrusted. It is cut once, here: what goes upstream is rebuilt from the parsed
 * parts wherever the path is one of the specification's, so that nobody behind this file can read
 * it differently. `ns` is ours: it chooses the upstream and never travels on.
 *
 * A new kind of path: registry-client/ref.h, then a row in `path_formats`.
 */
#include "proxy/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/http.h"
#include "base/mem.h"
#include "base/text.h"

#define NS_MAX 300 /* a host name of 253 bytes, brackets and a port */

/* Sets what the client is told, and fills err. */
static int route_refuse(const char **registry_code, const char *code, struct dt_err *err,
                        enum dt_code what, const char *message, const char *shown)
{
    *registry_code = code;
    return dt_err_set(err, what, "%s%s%.80s", message, shown != NULL ? ": " : "",
                      shown != NULL ? shown : "");
}

/* The bytes a target may hold at all: no space, no control, nothing beyond ASCII, no fragment. */
static bool target_is_clean(const char *target)
{
    for (const char *c = target; *c != '\0'; c++)
        if (*c <= 0x20 || *c >= 0x7f || *c == '#')
            return false;
    return true;
}

/* One "key=value" of the query; 1 = it was ns (decoded into ns), 0 = another. */
static int param_read(char ns[NS_MAX], const char *param, size_t len, struct dt_err *err)
{
    char key[PROXY_TARGET_MAX];
    const char *equals = memchr(param, '=', len);
    size_t key_len = equals != NULL ? (size_t)(equals - param) : len;

    /* Keys are decoded too: "%6es" is "ns" to whoever reads it behind us. */
    if (dt_percent_decode(key, sizeof(key), param, key_len, err) < 0)
        return -DT_EINVAL;
    if (strcmp(key, "ns") != 0)
        return 0;
    ns[0] = '\0';
    if (equals != NULL && dt_percent_decode(ns, NS_MAX, equals + 1, len - key_len - 1, err) < 0)
        return -DT_EINVAL;
    return 1;
}

/* Copies the query into out->query without its ns. *has_ns tells whether there was one. */
static int query_read(struct proxy_route *out, bool *has_ns, char ns[NS_MAX], const char *query,
                      struct dt_err *err)
{
    size_t used = 0;

    *has_ns = false;
    while (*query != '\0') {
        size_t len = strcspn(query, "&");
        int is_ns = param_read(ns, query, len, err);
        if (is_ns < 0)
            return is_ns;
        if (is_ns > 0 && *has_ns)
            return dt_err_set(err, DT_EINVAL, "the query names ns twice");
        *has_ns = *has_ns || is_ns > 0;
        if (is_ns == 0 && len > 0) {
            if (used > 0)
                out->query[used++] = '&';
            memcpy(out->query + used, query, len); /* never longer than the target itself */
            used += len;
        }
        query += len + (query[len] == '&');
    }
    out->query[used] = '\0';
    return 0;
}

/* "host:port" as an upstream may be named; the scheme's own port may be left out there. */
static struct reg_upstream *upstream_of_url(struct reg_upstream *upstreams, size_t n_upstreams,
                                            const struct dt_url *url)
{
    bool is_ipv6 = strchr(url->host, ':') != NULL;
    unsigned default_port = strcmp(url->scheme, "https") == 0 ? 443 : 80;
    struct reg_upstream *found = NULL;
    char name[NS_MAX];

    if (dt_text_print(name, sizeof(name), "%s%s%s:%u", is_ipv6 ? "[" : "", url->host,
                      is_ipv6 ? "]" : "", (unsigned)url->port))
        found = reg_upstream_find(upstreams, n_upstreams, name);
    if (found != NULL || url->port != default_port)
        return found;
    *strrchr(name, ':') = '\0';
    return reg_upstream_find(upstreams, n_upstreams, name);
}

/* How a path that the specification knows is written for upstream: repository, then reference. */
static const char *const path_formats[] = {
    [REG_MANIFEST] = "/v2/%s/manifests/%s",
    [REG_BLOB] = "/v2/%s/blobs/%s",
    [REG_TAGS] = "/v2/%s/tags/list%s",
    [REG_REFERRERS] = "/v2/%s/referrers/%s",
};

static int route_print(struct proxy_route *out, const char *raw, size_t raw_len, struct dt_err *err)
{
    char path[PROXY_TARGET_MAX];
    const char *format = NULL, *question = out->query[0] != '\0' ? "?" : "";
    size_t kind = (size_t)out->path.kind;
    bool fits;

    if (kind < sizeof(path_formats) / sizeof(path_formats[0]))
        format = path_formats[kind];
    if (kind == REG_PING)
        fits = dt_text_print(path, sizeof(path), "/v2/");
    else if (format == NULL)
        fits = dt_text_print(path, sizeof(path), "%.*s", (int)raw_len, raw);
    else
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* a row of the table above */
        fits = dt_text_print(path, sizeof(path), format, out->path.repository,
                             kind == REG_TAGS ? "" : out->path.reference.text);
#pragma GCC diagnostic pop
    if (!fits || !dt_text_print(out->upstream_path, sizeof(out->upstream_path), "%s%s%s", path,
                                question, out->query))
        return dt_err_set(err, DT_ETOOBIG, "request target is too long");
    return 0;
}

/* "nginx" is "library/nginx" at Docker Hub, and only there. */
static int route_complete_name(struct proxy_route *out, struct dt_err *err)
{
    char name[REG_NAME_MAX + 1];

    if (!reg_is_docker_hub(out->upstream->name) || out->path.repository[0] == '\0' ||
        strchr(out->path.repository, '/') != NULL)
        return 0;
    if (!dt_text_print(name, sizeof(name), "library/%s", out->path.repository))
        return dt_err_set(err, DT_EINVAL, "repository name is too long");
    memcpy(out->path.repository, name, sizeof(name));
    return 0;
}

/* Everything behind the choice between the two forms of a target. `url` is NULL in origin-form. */
static int route_read(struct proxy_route *out, const char **registry_code,
                      struct reg_upstream *upstreams, size_t n_upstreams, const struct dt_url *url,
                      const char *path, struct dt_err *err)
{
    size_t path_len = strcspn(path, "?");
    bool has_ns = false;
    char ns[NS_MAX] = "";
    int rc;

    if (query_read(out, &has_ns, ns, path[path_len] == '?' ? path + path_len + 1 : "", err) < 0) {
        *registry_code = "UNSUPPORTED";
        return -DT_EINVAL;
    }
    if (has_ns)
        out->upstream = reg_upstream_find(upstreams, n_upstreams, ns);
    else if (url != NULL)
        out->upstream = upstream_of_url(upstreams, n_upstreams, url);
    if (out->upstream == NULL)
        return route_refuse(registry_code, "NAME_UNKNOWN", err, DT_ENOTFOUND,
                            "no such upstream here",
                            has_ns        ? ns
                            : url != NULL ? url->host
                                          : NULL);
    rc = reg_path_parse(&out->path, registry_code, path, path_len, err);
    if (rc < 0)
        return rc;
    *registry_code = "NAME_INVALID";
    rc = route_complete_name(out, err);
    if (rc < 0)
        return rc;
    *registry_code = "SIZE_INVALID";
    rc = route_print(out, path, path_len, err);
    if (rc == 0)
        *registry_code = NULL;
    return rc;
}

int proxy_route_parse(struct proxy_route *out, const char **registry_code,
                      struct reg_upstream *upstreams, size_t n_upstreams, size_t default_upstream,
                      const char *target, struct dt_err *err)
{
    struct dt_url url = {.path = NULL};
    bool is_origin_form = target[0] == '/';
    int rc;

    out->upstream =
        is_origin_form && default_upstream < n_upstreams ? &upstreams[default_upstream] : NULL;
    out->upstream_path[0] = out->query[0] = '\0';
    memset(&out->path, 0, sizeof(out->path));
    if (strnlen(target, PROXY_TARGET_MAX) >= PROXY_TARGET_MAX)
        return route_refuse(registry_code, "SIZE_INVALID", err, DT_ETOOBIG,
                            "request target is too long", NULL);
    if (!target_is_clean(target))
        return route_refuse(registry_code, "UNSUPPORTED", err, DT_EINVAL,
                            "request target holds a character that must be escaped", NULL);
    *registry_code = "UNSUPPORTED";
    if (!is_origin_form && dt_url_parse(&url, target, err) < 0)
        return -DT_EINVAL;
    rc = route_read(out, registry_code, upstreams, n_upstreams, is_origin_form ? NULL : &url,
                    is_origin_form ? target : url.path, err);
    dt_url_fini(&url);
    return rc;
}
