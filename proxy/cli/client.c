/*
 * proxy/cli/client.c - the daemon's admin API, asked one question at a time.
 *
 * Where the daemon is: --admin, else DARTER_ADMIN, else the default. What it says is JSON; a
 * refusal is a problem document (RFC 9457) whose detail becomes our error.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/fetch_sync.h"
#include "base/mem.h"
#include "proxy/cli/cli.h"

#define TOKEN_MAX      1024
#define ANSWER_MAX     (64 * 1024 * 1024u)
#define SHORT_HEX_MIN  4
#define SHA256_HEX_LEN 64

static int read_token(struct cli *cli, struct dt_err *err)
{
    char text[TOKEN_MAX];
    int fd = open(cli->token_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return dt_err_errno(err, DT_EINVAL, errno, "token file %.100s", cli->token_file);
    ssize_t len = read(fd, text, sizeof text - 1);
    int saved = errno;
    dt_close(&fd);
    if (len < 0)
        return dt_err_errno(err, DT_EINVAL, saved, "token file %.100s", cli->token_file);
    text[len] = '\0';
    text[strcspn(text, "\r\n")] = '\0';
    cli->authorization = dt_asprintf("Bearer %s", text);
    explicit_bzero(text, sizeof text);
    return 0;
}

int cli_connect(struct cli *cli, struct dt_err *err)
{
    const char *admin = cli->admin != NULL ? cli->admin : getenv(CLI_ADMIN_ENV);
    if (admin == NULL || admin[0] == '\0')
        admin = CLI_ADMIN_DEFAULT;
    int rc = dt_addr_parse(&cli->addr, admin, err);
    if (rc < 0)
        return rc;
    char text[300];
    bool is_unix = cli->addr.unix_path[0] != '\0';
    (void)dt_text_print(cli->base_url, sizeof cli->base_url, "http://%s",
                        is_unix ? "localhost" : dt_addr_format(text, &cli->addr));
    return cli->token_file != NULL ? read_token(cli, err) : 0;
}

void cli_fini(struct cli *cli)
{
    dt_free_secret(&cli->authorization);
    dt_free(&cli->words);
}

static enum dt_code code_of_status(int status)
{
    switch (status) {
    case 400:
        return DT_EINVAL; /* what was typed makes no sense to the daemon either */
    case 401:
        return DT_EUNAUTHORIZED;
    case 403:
        return DT_EDENIED;
    case 404:
        return DT_ENOTFOUND;
    case 409:
        return DT_ECONFLICT;
    default:
        return DT_EPROTO;
    }
}

static int refused(const struct cli *cli, int status, const json_t *problem, struct dt_err *err)
{
    const char *detail = cli_string(problem, "detail");
    if (detail == NULL)
        return dt_err_set(err, code_of_status(status),
                          "%s answered %d: is this a daemon's admin address?", cli->base_url,
                          status);
    if (status == 401)
        return dt_err_set(err, DT_EUNAUTHORIZED,
                          cli->authorization == NULL
                              ? "the daemon wants a token: give --token-file FILE"
                              : "the daemon wants another token than the one in %.100s",
                          cli->token_file);
    return dt_err_set(err, code_of_status(status), "%.200s", detail);
}

/* curl says of a unix socket only that "localhost port 80" failed: the real reason is asked for. */
static const char *reason_of_socket(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (!dt_text_print(addr.sun_path, sizeof addr.sun_path, "%s", path))
        return "the path is too long";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return strerror(errno);
    int rc = connect(fd, (const struct sockaddr *)&addr, sizeof addr);
    const char *reason = rc < 0 ? strerror(errno) : "the connection broke";
    dt_close(&fd);
    return reason;
}

/* No answer at all: the usual reasons are a daemon that does not run and another address. */
static int unreachable(const struct cli *cli, struct dt_err *err)
{
    const char *path = cli->addr.unix_path;
    char why[sizeof err->msg];
    (void)dt_text_print(why, sizeof why, "%s", err->msg);
    if (path[0] != '\0')
        return dt_err_set(err, err->code,
                          "unix:%.100s: %s; is the daemon running, with this admin-listen?", path,
                          reason_of_socket(path));
    return dt_err_set(err, err->code, "%.160s; is the daemon running? See --admin", why);
}

int cli_ask(json_t **out, const struct cli *cli, const char *method, const char *path,
            struct dt_err *err)
{
    char *url = dt_asprintf("%s%s", cli->base_url, path);
    struct dt_header headers[] = {{"Authorization", cli->authorization}};
    struct dt_fetch_sync_reply reply = {0};
    struct dt_fetch_sync_opts opts = {
        .method = method,
        .url = url,
        .unix_path = cli->addr.unix_path[0] != '\0' ? cli->addr.unix_path : NULL,
        .headers = headers,
        .n_headers = cli->authorization != NULL,
        .max_body_bytes = ANSWER_MAX,
    };
    *out = NULL;
    int rc = dt_fetch_sync(&reply, &opts, err);
    free(url);
    if (rc == -DT_EUNAVAILABLE)
        return unreachable(cli, err);
    if (rc < 0)
        return rc;
    if (reply.len > 0)
        *out = json_loadb(reply.body, reply.len, 0, NULL);
    if (reply.status < 200 || reply.status > 299)
        rc = refused(cli, reply.status, *out, err);
    else if (reply.len > 0 && *out == NULL)
        rc = dt_err_set(err, DT_EPROTO, "%s%s: the answer is no JSON", cli->base_url, path);
    if (rc < 0) {
        json_decref(*out);
        *out = NULL;
    }
    dt_fetch_sync_reply_fini(&reply);
    return rc;
}

int cli_ask_kind(bool *out, const struct cli *cli, struct dt_err *err)
{
    json_t *document = NULL;
    int rc = cli_ask(&document, cli, "GET", "/v1", err);
    const char *program = cli_string(document, "program");
    *out = program != NULL && strcmp(program, "darter-supernode") == 0;
    json_decref(document);
    return rc;
}

int cli_want_supernode(const struct cli *cli, const char *command, struct dt_err *err)
{
    bool is_supernode;
    int rc = cli_ask_kind(&is_supernode, cli, err);
    if (rc < 0 || is_supernode)
        return rc;
    char text[300];
    return dt_err_set(err, DT_EINVAL,
                      "%s asks a supernode, and %.120s is none: give --admin with its "
                      "admin-listen (%s unless changed)",
                      command, dt_addr_format(text, &cli->addr), CLI_ADMIN_SUPERNODE);
}

/* The list is in digest order, so what begins with `hex` stands together: two entries tell none,
 * one and several apart. */
static int find_short(char out[144], const struct cli *cli, const char *hex, struct dt_err *err)
{
    char path[160];
    json_t *page = NULL, *blob;
    size_t i, n_found = 0;
    (void)dt_text_print(path, sizeof path, "/v1/cache?limit=2&after=sha256:%s%0*d", hex,
                        (int)(SHA256_HEX_LEN - strlen(hex)), 0);
    int rc = cli_ask(&page, cli, "GET", path, err);
    if (rc < 0)
        return rc;
    json_array_foreach(json_object_get(page, "blobs"), i, blob)
    {
        const char *digest = cli_string(blob, "digest");
        if (digest == NULL || !dt_text_has_prefix(digest, "sha256:") ||
            !dt_text_has_prefix(digest + strlen("sha256:"), hex))
            continue;
        (void)dt_text_print(out, 144, "%s", digest);
        n_found++;
    }
    json_decref(page);
    if (n_found == 0)
        return dt_err_set(err, DT_ENOTFOUND, "nothing in the cache begins with %s", hex);
    if (n_found > 1)
        return dt_err_set(err, DT_ECONFLICT, "several digests begin with %s: write more of it",
                          hex);
    return 0;
}

int cli_find_digest(char out[144], const struct cli *cli, const char *word, struct dt_err *err)
{
    struct dt_digest digest;
    bool has_algo = strchr(word, ':') != NULL;
    char text[160];
    bool fits = dt_text_print(text, sizeof text, "%s%s", has_algo ? "" : "sha256:", word);
    if (fits && dt_digest_parse(&digest, text, strlen(text), NULL) == 0) {
        (void)dt_digest_format(out, &digest);
        return 0;
    }
    const char *hex = text + strlen("sha256:");
    bool is_hex = fits && dt_text_has_prefix(text, "sha256:") &&
                  strspn(hex, "0123456789abcdef") == strlen(hex);
    if (!is_hex || strlen(hex) < SHORT_HEX_MIN || strlen(hex) >= SHA256_HEX_LEN)
        return dt_err_set(
            err, DT_EINVAL,
            "\"%.80s\" is not a digest: write sha256:..., or its first %d or more hex "
            "digits",
            word, SHORT_HEX_MIN);
    return find_short(out, cli, hex, err);
}

int cli_report(const struct dt_err *err)
{
    char *safe = cli_safe_text(err->msg);
    (void)fprintf(stderr, "darter: %s\n", safe);
    free(safe);
    switch (err->code) {
    case DT_EINVAL:
        return CLI_USAGE;
    case DT_ENOTFOUND:
        return CLI_NOT_FOUND;
    case DT_EUNAVAILABLE:
    case DT_ETIMEOUT:
        return CLI_NO_CONNECTION;
    default:
        return CLI_FAILED;
    }
}
