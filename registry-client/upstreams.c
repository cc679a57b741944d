/*
 * registry-client/upstreams.c - the `upstreams:` list of the file, --upstream, and the accounts
 * they name.
 *
 *   section (per file) -> flags replace by name -> docker.io when nothing is named -> checked
 *
 * A key of an upstream or of an endpoint is a row of one of the two tables below: the name, and the
 * field of the struct of borrowed texts it fills. Secrets are read from the files named here, once,
 * and live in the endpoint only. Main thread only.
 */
#include "registry-client/upstreams.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/http.h"
#include "base/mem.h"
#include "base/units.h"

#define DEFAULT_UPSTREAM "docker.io=https://registry-1.docker.io"
/* The key Docker's config.json has had for Docker Hub since its first registry. */
#define DOCKER_HUB_AUTH_KEY "https://index.docker.io/v1/"
#define UPSTREAM_NAME_MAX   260

const char reg_upstreams_sample[] =
    "# The registries to be a mirror of. `name` is what images are pulled by and what ?ns= says;\n"
    "# endpoints are tried in order: the origin first, standby registries after it.\n"
    "upstreams:\n"
    "  - name: docker.io\n"
    "    endpoints:\n"
    "      - url: https://registry-1.docker.io\n"
    "#  - name: harbor.example\n"
    "#    endpoints:\n"
    "#      - url: https://harbor.example\n"
    "#        ca-file: /etc/darter/harbor-ca.pem     # instead of the system's certificates\n"
    "#        username: robot$darter                 # our own account, with password-file\n"
    "#        password-file: /etc/darter/harbor.password\n"
    "#      - url: https://harbor-standby.example\n"
    "#        docker-config: /root/.docker/config.json   # our own account, as docker login wrote "
    "it\n"
    "#        insecure: false                        # true = certificates are not checked\n"
    "#    own-credentials: false    # true = clients need no account: they read what ours can "
    "read\n"
    "#    revalidate: 60s           # ask about manifests by digest too (Harbor's scan policy); 0s "
    "= "
    "never\n"
    "#    touch: 1h                 # repeat a cached manifest's GET there, at most this often, so "
    "that\n"
    "#                              # its record of pulls stays true (Harbor's retention); 0s = "
    "never\n";

/* ---- a mapping into a struct of borrowed texts ---- */

struct key_row {
    const char *name;
    size_t offset; /* of a const char * */
};

struct endpoint_texts {
    const char *url, *ca_file, *insecure, *username, *password_file, *docker_config;
};
static const struct key_row endpoint_keys[] = {
    {"url", offsetof(struct endpoint_texts, url)},
    {"ca-file", offsetof(struct endpoint_texts, ca_file)},
    {"insecure", offsetof(struct endpoint_texts, insecure)},
    {"username", offsetof(struct endpoint_texts, username)},
    {"password-file", offsetof(struct endpoint_texts, password_file)},
    {"docker-config", offsetof(struct endpoint_texts, docker_config)},
    {NULL, 0},
};

struct upstream_texts {
    const char *name, *own_credentials, *revalidate, *touch;
    const struct dt_yaml *endpoints;
};
static const struct key_row upstream_keys[] = {
    {"name", offsetof(struct upstream_texts, name)},
    {"own-credentials", offsetof(struct upstream_texts, own_credentials)},
    {"revalidate", offsetof(struct upstream_texts, revalidate)},
    {"touch", offsetof(struct upstream_texts, touch)},
    {NULL, 0},
};

static const struct key_row *find_key(const struct key_row *rows, const char *name)
{
    for (; rows->name != NULL; rows++)
        if (strcmp(rows->name, name) == 0)
            return rows;
    return NULL;
}

/* One scalar of a mapping into the struct at `texts`. */
static int take_key(void *texts, const struct key_row *rows, const char *key,
                    const struct dt_yaml *value, struct dt_err *err)
{
    const struct key_row *row = find_key(rows, key);
    if (row == NULL)
        return dt_err_set(err, DT_EINVAL, "line %u: \"%.60s\" is not a key here", value->line, key);
    if (value->kind != DT_YAML_SCALAR)
        return dt_err_set(err, DT_EINVAL, "line %u: %s takes a single value", value->line, key);
    *(const char **)(void *)((char *)texts + row->offset) = value->text;
    return 0;
}

static int parse_bool(bool *out, const char *key, const char *text, struct dt_err *err)
{
    *out = false;
    if (text == NULL || strcmp(text, "false") == 0)
        return 0;
    if (strcmp(text, "true") != 0)
        return dt_err_set(err, DT_EINVAL, "%s: \"%.60s\" is neither true nor false", key, text);
    *out = true;
    return 0;
}

/* ---- one endpoint ---- */

/* The key under which `docker login` keeps this endpoint's account. */
static int docker_config_key(char out[300], const char *upstream, const char *url,
                             struct dt_err *err)
{
    if (strcmp(upstream, "docker.io") == 0) {
        (void)dt_text_print(out, 300, "%s", DOCKER_HUB_AUTH_KEY);
        return 0;
    }
    struct dt_url parts;
    int rc = dt_url_parse(&parts, url, err);
    if (rc < 0)
        return rc;
    const char *origin = strstr(dt_url_origin(out, &parts), "://");
    memmove(out, origin + 3, strlen(origin + 3) + 1);
    dt_url_fini(&parts);
    return 0;
}

static int read_credentials(struct reg_endpoint *endpoint, const struct endpoint_texts *texts,
                            const char *upstream, struct dt_err *err)
{
    bool by_file = texts->username != NULL || texts->password_file != NULL;
    if (by_file && (texts->username == NULL || texts->password_file == NULL))
        return dt_err_set(err, DT_EINVAL, "username and password-file belong together: give both");
    if (by_file && texts->docker_config != NULL)
        return dt_err_set(err, DT_EINVAL,
                          "give either username with password-file, or docker-config");
    int rc = 0;
    char key[300];
    if (by_file)
        rc = reg_credentials_from_file(&endpoint->credentials, texts->username,
                                       texts->password_file, err);
    if (texts->docker_config != NULL) {
        rc = docker_config_key(key, upstream, endpoint->url, err);
        if (rc == 0)
            rc = reg_credentials_from_docker_config(&endpoint->credentials, texts->docker_config,
                                                    key, err);
    }
    endpoint->has_credentials = rc == 0 && (by_file || texts->docker_config != NULL);
    return rc;
}

static int build_endpoint(struct reg_endpoint *out, unsigned index, const char *upstream,
                          const struct endpoint_texts *texts, struct dt_err *err)
{
    bool insecure;
    if (texts->url == NULL)
        return dt_err_set(err, DT_EINVAL, "an endpoint needs a url");
    int rc = parse_bool(&insecure, "insecure", texts->insecure, err);
    if (rc == 0)
        rc = reg_endpoint_init(out, texts->url, index, err);
    if (rc < 0)
        return rc;
    out->insecure_tls = insecure;
    if (texts->ca_file != NULL)
        out->ca_file = dt_strdup(texts->ca_file);
    rc = read_credentials(out, texts, upstream, err);
    if (rc < 0)
        reg_endpoint_fini(out);
    return rc;
}

/* An item of `endpoints`: a mapping, or the URL alone. */
static int take_endpoint(struct reg_endpoint *out, unsigned index, const char *upstream,
                         const struct dt_yaml *node, struct dt_err *err)
{
    struct endpoint_texts texts = {0};
    if (node->kind == DT_YAML_SEQUENCE)
        return dt_err_set(err, DT_EINVAL, "line %u: an endpoint is a url, or keys with a url",
                          node->line);
    if (node->kind == DT_YAML_SCALAR)
        texts.url = node->text;
    int rc = 0;
    for (size_t i = 0; rc == 0 && node->kind == DT_YAML_MAPPING && i < node->n; i++)
        rc = take_key(&texts, endpoint_keys, node->keys[i], node->items[i], err);
    if (rc < 0)
        return rc;
    struct dt_err why = {0};
    rc = build_endpoint(out, index, upstream, &texts, &why);
    if (rc < 0)
        (void)dt_err_set(err, (enum dt_code)why.code, "line %u: %.200s", node->line, why.msg);
    return rc;
}

/* ---- one upstream ---- */

/* Names travel in ?ns= and in cache keys: a registry's host, or a word of the same letters. */
static int check_name(const char *name, struct dt_err *err)
{
    size_t len = strlen(name);
    if (len == 0 || len > UPSTREAM_NAME_MAX)
        return dt_err_set(err, DT_EINVAL, "an upstream's name has 1 to %d characters",
                          UPSTREAM_NAME_MAX);
    for (const char *c = name; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr(".-_:[]", *c) == NULL)
            return dt_err_set(err, DT_EINVAL,
                              "\"%.80s\" is not a registry's name: write it as in an image, like "
                              "docker.io or harbor.example:5000",
                              name);
    return 0;
}

static char *lower_case(const char *text)
{
    char *copy = dt_strdup(text);
    for (char *c = copy; *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    return copy;
}

static int take_endpoints(struct reg_upstream *out, const struct dt_yaml *list, struct dt_err *err)
{
    if (list == NULL || list->kind != DT_YAML_SEQUENCE || list->n == 0)
        return dt_err_set(err, DT_EINVAL, "upstream %.80s needs a list of endpoints", out->name);
    if (list->n > REG_ENDPOINTS_MAX)
        return dt_err_set(err, DT_ETOOBIG, "upstream %.80s has more than %d endpoints", out->name,
                          REG_ENDPOINTS_MAX);
    out->endpoints = dt_new_array(struct reg_endpoint, list->n);
    for (; out->n_endpoints < list->n; out->n_endpoints++) {
        size_t i = out->n_endpoints;
        int rc = take_endpoint(&out->endpoints[i], (unsigned)i, out->name, list->items[i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int build_upstream(struct reg_upstream *out, const struct upstream_texts *texts,
                          struct dt_err *err)
{
    if (texts->name == NULL)
        return dt_err_set(err, DT_EINVAL, "an upstream needs a name");
    int rc = check_name(texts->name, err);
    if (rc < 0)
        return rc;
    out->name = lower_case(texts->name);
    rc = parse_bool(&out->own_credentials, "own-credentials", texts->own_credentials, err);
    if (rc == 0 && texts->revalidate != NULL)
        rc = dt_duration_parse(&out->revalidate_ms, texts->revalidate, err);
    if (rc == 0 && texts->touch != NULL)
        rc = dt_duration_parse(&out->touch_ms, texts->touch, err);
    if (rc == 0)
        rc = take_endpoints(out, texts->endpoints, err);
    if (rc == 0 && out->own_credentials && !out->endpoints[0].has_credentials)
        rc = dt_err_set(err, DT_EINVAL,
                        "own-credentials: %.80s has no account: give its first endpoint username "
                        "and password-file, or docker-config",
                        out->name);
    return rc;
}

static int take_upstream(struct reg_upstream *out, const struct dt_yaml *node, struct dt_err *err)
{
    if (node->kind != DT_YAML_MAPPING)
        return dt_err_set(err, DT_EINVAL, "line %u: an upstream has a name and endpoints",
                          node->line);
    struct upstream_texts texts = {0};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < node->n; i++) {
        if (strcmp(node->keys[i], "endpoints") == 0)
            texts.endpoints = node->items[i];
        else
            rc = take_key(&texts, upstream_keys, node->keys[i], node->items[i], err);
    }
    if (rc < 0)
        return rc;
    struct dt_err why = {0};
    rc = build_upstream(out, &texts, &why);
    if (rc < 0) {
        reg_upstream_fini(out);
        *out = (struct reg_upstream){0};
        bool has_line = dt_text_has_prefix(why.msg, "line ");
        if (has_line)
            (void)dt_err_set(err, (enum dt_code)why.code, "%.230s", why.msg);
        else
            (void)dt_err_set(err, (enum dt_code)why.code, "line %u: %.200s", node->line, why.msg);
    }
    return rc;
}

/* ---- the list ---- */

static struct reg_upstream *find_upstream(struct reg_upstreams *upstreams, const char *name)
{
    for (size_t i = 0; i < upstreams->n; i++)
        if (strcmp(upstreams->list[i].name, name) == 0)
            return &upstreams->list[i];
    return NULL;
}

static void append_upstream(struct reg_upstreams *upstreams, const struct reg_upstream *upstream)
{
    upstreams->list = dt_realloc(upstreams->list, (upstreams->n + 1) * sizeof *upstreams->list);
    upstreams->list[upstreams->n++] = *upstream;
}

int reg_upstreams_take_section(struct reg_upstreams *upstreams, const char *key,
                               const struct dt_yaml *node, struct dt_err *err)
{
    if (strcmp(key, "upstreams") != 0)
        return 0;
    if (node->kind != DT_YAML_SEQUENCE)
        return dt_err_set(err, DT_EINVAL,
                          "upstreams: a list is needed, each item with a name and "
                          "endpoints");
    if (node->n > REG_UPSTREAMS_MAX)
        return dt_err_set(err, DT_ETOOBIG, "upstreams: more than %d", REG_UPSTREAMS_MAX);
    for (size_t i = 0; i < node->n; i++) {
        struct reg_upstream upstream = {0};
        int rc = take_upstream(&upstream, node->items[i], err);
        if (rc < 0)
            return rc;
        if (find_upstream(upstreams, upstream.name) != NULL) {
            rc = dt_err_set(err, DT_EINVAL, "line %u: upstream %.80s is named twice",
                            node->items[i]->line, upstream.name);
            reg_upstream_fini(&upstream);
            return rc;
        }
        append_upstream(upstreams, &upstream);
    }
    return 1;
}

/* `text` as of --upstream: in the place of its namesake, else at the end. */
static int merge_flag(struct reg_upstreams *upstreams, const char *text, struct dt_err *err)
{
    struct reg_upstream upstream = {0};
    struct dt_err why = {0};
    int rc = reg_upstream_parse_flag(&upstream, text, &why);
    if (rc == 0) {
        rc = check_name(upstream.name, &why);
        if (rc == 0 && upstream.n_endpoints > REG_ENDPOINTS_MAX)
            rc = dt_err_set(&why, DT_ETOOBIG, "more than %d endpoints", REG_ENDPOINTS_MAX);
        if (rc < 0)
            reg_upstream_fini(&upstream);
    }
    if (rc < 0)
        return dt_err_set(err, (enum dt_code)why.code, "upstream: %.220s", why.msg);
    struct reg_upstream *namesake = find_upstream(upstreams, upstream.name);
    if (namesake == NULL) {
        append_upstream(upstreams, &upstream);
        return 0;
    }
    reg_upstream_fini(namesake);
    *namesake = upstream;
    return 0;
}

int reg_upstreams_finish(struct reg_upstreams *upstreams, const struct dt_strings *flags,
                         char **default_name, struct dt_err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < flags->n; i++)
        rc = merge_flag(upstreams, flags->items[i], err);
    if (rc == 0 && upstreams->n == 0)
        rc = merge_flag(upstreams, DEFAULT_UPSTREAM, err);
    if (rc < 0)
        return rc;
    if (*default_name == NULL)
        *default_name = dt_strdup(upstreams->list[0].name);
    char *wanted = lower_case(*default_name);
    if (find_upstream(upstreams, wanted) == NULL)
        rc = dt_err_set(err, DT_EINVAL,
                        "default-upstream: no upstream is named \"%.80s\" (the first is %.80s)",
                        wanted, upstreams->list[0].name);
    free(*default_name);
    *default_name = wanted;
    return rc;
}

static bool is_same_upstream(const struct reg_upstream *a, const struct reg_upstream *b)
{
    if (strcmp(a->name, b->name) != 0 || a->n_endpoints != b->n_endpoints ||
        a->own_credentials != b->own_credentials || a->revalidate_ms != b->revalidate_ms ||
        a->touch_ms != b->touch_ms)
        return false;
    for (size_t i = 0; i < a->n_endpoints; i++)
        if (strcmp(a->endpoints[i].url, b->endpoints[i].url) != 0)
            return false;
    return true;
}

bool reg_upstreams_are_same(const struct reg_upstreams *a, const struct reg_upstreams *b)
{
    bool is_same = a->n == b->n;
    for (size_t i = 0; is_same && i < a->n; i++)
        is_same = is_same_upstream(&a->list[i], &b->list[i]);
    return is_same;
}

void reg_upstreams_fini(struct reg_upstreams *upstreams)
{
    for (size_t i = 0; i < upstreams->n; i++)
        reg_upstream_fini(&upstreams->list[i]);
    dt_free(&upstreams->list);
    upstreams->n = 0;
}
