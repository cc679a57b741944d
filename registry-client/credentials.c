/*
 * registry-client/credentials.c - our own accounts; see credentials.h.
 *
 * Every copy of a secret made here is wiped before it is freed: buffers by explicit_bzero(), JSON
 * by reg_json_wipe(). Messages say which file and what is wrong with it, never what stands in it.
 */
#define LOG_COMPONENT "credentials"
#include "registry-client/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "registry-client/host_priv.h"
#include "registry-client/json_priv.h"
#include "registry-client/ref.h"

#define SECRET_FILE_MAX   (64 * 1024u)
#define DOCKER_CONFIG_MAX (1024 * 1024u)

void reg_credentials_fini(struct reg_credentials *credentials)
{
    dt_free_secret(&credentials->username);
    dt_free_secret(&credentials->password);
    dt_free_secret(&credentials->identity_token);
}

/* ---- files --------------------------------------------------------------------------------------
 */

static int read_all(int fd, char *buf, size_t size, size_t *out_len, const char *file,
                    struct dt_err *err)
{
    *out_len = 0;
    for (;;) {
        ssize_t n = read(fd, buf + *out_len, size - *out_len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dt_err_errno(err, DT_EIO, errno, "read %s", file);
        *out_len += (size_t)n;
        if (n == 0)
            return 0;
        if (*out_len == size)
            return dt_err_set(err, DT_ETOOBIG, "%s: longer than %zu bytes", file, size - 1);
    }
}

/* The whole file in a buffer of `max` + 1 bytes; the caller wipes all of it. */
static int read_secret_file(char **out, size_t *out_len, const char *file, size_t max,
                            struct dt_err *err)
{
    struct stat st;
    int rc = 0;

    *out = NULL;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, DT_EIO, errno, "open %s", file);
    if (fstat(fd, &st) == 0 && (st.st_mode & S_IROTH) != 0)
        dt_log_warn("file_readable_by_others", "file=%s mode=%04o", DT_LOG_Q(file),
                    (unsigned)(st.st_mode & 07777));
    *out = dt_new_array(char, max + 1);
    rc = read_all(fd, *out, max + 1, out_len, file, err);
    if (rc < 0) {
        explicit_bzero(*out, max + 1);
        dt_free(out);
    }
    dt_close(&fd);
    return rc;
}

/* Basic cannot carry a colon in the name (RFC 7617, 2), and no header can carry controls. */
static bool is_username(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || text[i] == ':')
            return false;
    return len > 0;
}

int reg_credentials_from_file(struct reg_credentials *out, const char *username,
                              const char *password_file, struct dt_err *err)
{
    char *text = NULL;
    size_t size = 0;

    *out = (struct reg_credentials){.username = NULL};
    if (!is_username(username, strlen(username)))
        return dt_err_set(err, DT_EINVAL, "user name is empty or has a colon or a control");
    int rc = read_secret_file(&text, &size, password_file, SECRET_FILE_MAX, err);
    if (rc < 0)
        return rc;
    const char *newline = memchr(text, '\n', size);
    size_t len = newline == NULL ? size : (size_t)(newline - text);
    len -= len > 0 && text[len - 1] == '\r';
    if (len == 0 || memchr(text, '\0', len) != NULL) {
        rc = dt_err_set(err, DT_EINVAL, "%s: the first line holds no password", password_file);
    } else {
        out->username = dt_strdup(username);
        out->password = dt_strndup(text, len);
        out->identity_token = dt_strdup("");
    }
    explicit_bzero(text, size);
    free(text);
    return rc;
}

int reg_credentials_from_docker_config(struct reg_credentials *out, const char *file,
                                       const char *host, struct dt_err *err)
{
    struct dt_err why = {.code = 0};
    char *text = NULL;
    size_t len = 0;

    *out = (struct reg_credentials){.username = NULL};
    int rc = read_secret_file(&text, &len, file, DOCKER_CONFIG_MAX, err);
    if (rc < 0)
        return rc;
    rc = reg_credentials_parse_docker_config(out, text, len, host, &why);
    if (rc < 0)
        rc = dt_err_set(err, (enum dt_code)why.code, "%s: %s", file, why.msg);
    explicit_bzero(text, len);
    free(text);
    return rc;
}

/* ---- Docker's config.json
 * ------------------------------------------------------------------------ */

/* A key of "auths" as a bare host: "https://index.docker.io/v1/" -> "docker.io". False: the key
 * names something narrower than a registry (podman's "quay.io/team"), or nothing. */
static bool key_host(char out[REG_HOST_SIZE], const char *key)
{
    static const char *const PATHS[] = {"", "/", "/v1", "/v1/", "/v2", "/v2/"};

    if (dt_text_has_prefix(key, "https://"))
        key += strlen("https://");
    else if (dt_text_has_prefix(key, "http://"))
        key += strlen("http://");
    size_t len = strcspn(key, "/");
    const char *path = key + len;
    bool is_whole = false;
    for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++)
        is_whole = is_whole || strcmp(path, PATHS[i]) == 0;
    if (!is_whole || reg_host_parse(out, key, len, NULL) < 0)
        return false;
    if (reg_is_docker_hub(out))
        memcpy(out, "docker.io", sizeof("docker.io"));
    return true;
}

/* The exact key first, then the first that names the same host. */
static json_t *find_entry(json_t *auths, const char *host)
{
    char wanted[REG_HOST_SIZE], found[REG_HOST_SIZE];
    const char *key = NULL;
    json_t *entry = json_object_get(auths, host);

    if (entry != NULL || !key_host(wanted, host))
        return entry;
    json_object_foreach(auths, key,
                        entry) if (key_host(found, key) && strcmp(found, wanted) == 0) return entry;
    return NULL;
}

/* "auth" is base64 of user:password; Docker pads the password with NULs in some versions. */
static bool take_auth(struct reg_credentials *out, const char *auth, size_t len)
{
    char *pair = NULL;
    size_t pair_len = 0;

    if (!dt_base64_decode(&pair, &pair_len, auth, len))
        return false;
    size_t wipe_len = pair_len;
    while (pair_len > 0 && pair[pair_len - 1] == '\0')
        pair_len--;
    const char *colon = memchr(pair, ':', pair_len);
    bool is_good = colon != NULL && memchr(pair, '\0', pair_len) == NULL &&
                   is_username(pair, (size_t)(colon - pair));
    if (is_good) {
        out->username = dt_strndup(pair, (size_t)(colon - pair));
        out->password = dt_strndup(colon + 1, pair_len - (size_t)(colon + 1 - pair));
    }
    explicit_bzero(pair, wipe_len);
    free(pair);
    return is_good;
}

static const char *string_member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text == NULL ? "" : text;
}

static int take_entry(struct reg_credentials *out, const json_t *entry, struct dt_err *err)
{
    const char *auth = string_member(entry, "auth");
    const char *username = string_member(entry, "username");
    const char *password = string_member(entry, "password");
    const char *identity_token = string_member(entry, "identitytoken");

    if (auth[0] != '\0' && !take_auth(out, auth, strlen(auth)))
        return dt_err_set(err, DT_EINVAL, "docker config: \"auth\" is not base64 of user:password");
    if (auth[0] == '\0' && username[0] != '\0') {
        if (!is_username(username, strlen(username)))
            return dt_err_set(err, DT_EINVAL, "docker config: odd characters in \"username\"");
        out->username = dt_strdup(username);
        out->password = dt_strdup(password);
    }
    if (out->username == NULL) {
        out->username = dt_strdup("");
        out->password = dt_strdup("");
    }
    out->identity_token = dt_strdup(identity_token);
    if (out->password[0] == '\0' && identity_token[0] == '\0')
        return dt_err_set(err, DT_ENOTFOUND, "docker config: the entry holds no password");
    return 0;
}

int reg_credentials_parse_docker_config(struct reg_credentials *out, const char *json, size_t len,
                                        const char *host, struct dt_err *err)
{
    json_t *root = NULL;

    *out = (struct reg_credentials){.username = NULL};
    int rc = reg_json_load(&root, json, len, DOCKER_CONFIG_MAX, "docker config", err);
    if (rc < 0)
        return rc;
    json_t *entry = find_entry(json_object_get(root, "auths"), host);
    bool has_helper = string_member(root, "credsStore")[0] != '\0' ||
                      find_entry(json_object_get(root, "credHelpers"), host) != NULL;
    /* Where a helper is set, Docker Desktop leaves an empty entry behind. */
    if (has_helper && json_object_size(entry) == 0)
        rc =
            dt_err_set(err, DT_ENOTFOUND,
                       "docker config: a credential helper keeps the account; helpers are not run");
    else if (!json_is_object(entry))
        rc = dt_err_set(err, DT_ENOTFOUND, "docker config: no entry for this registry");
    else
        rc = take_entry(out, entry, err);
    reg_json_wipe(&root);
    if (rc < 0)
        reg_credentials_fini(out);
    return rc;
}

char *reg_credentials_basic(const struct reg_credentials *credentials)
{
    char *pair = dt_asprintf("%s:%s", credentials->username, credentials->password);
    char *encoded = dt_base64_encode(pair, strlen(pair));
    char *basic = dt_asprintf("Basic %s", encoded);

    dt_free_secret(&pair);
    dt_free_secret(&encoded);
    return basic;
}
