/*
 * registry-client/token_answer.c - what a token service answers; see reg_token_parse(). Pure.
 *
 * Distribution token specification, "Token Response Fields": "token", or "access_token" where OAuth
 * 2 is meant; "expires_in" in seconds.
 */
#include "base/mem.h"
#include "registry-client/json_priv.h"
#include "registry-client/token.h"

#define ANSWER_MAX     (256 * 1024u)
#define TOKEN_MAX      (32 * 1024u)
#define LIFE_DEFAULT_S 60u
#define LIFE_MAX_S     (24 * 3600u)

/* It goes into a header as it is: visible ASCII only, or a service could add headers of its own. */
static bool is_token(const char *text)
{
    size_t len = 0;
    for (; text[len] != '\0'; len++)
        if (text[len] <= 0x20 || text[len] >= 0x7f)
            return false;
    return len > 0 && len <= TOKEN_MAX;
}

static const char *find_token(const json_t *root)
{
    static const char *const NAMES[] = {"token", "access_token"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        const char *text = json_string_value(json_object_get(root, NAMES[i]));
        if (text != NULL && text[0] != '\0')
            return text;
    }
    return NULL;
}

/* Zero, negative or no number at all: some services do that, and the default is safe. */
static uint64_t life_s(const json_t *expires_in)
{
    double seconds = json_number_value(expires_in);
    if (!(seconds >= 1))
        return LIFE_DEFAULT_S;
    return seconds < LIFE_MAX_S ? (uint64_t)seconds : LIFE_MAX_S;
}

int reg_token_parse(char **out_token, uint64_t *expires_s, const char *json, size_t len,
                    struct dt_err *err)
{
    struct dt_err why = {.code = 0};
    json_t *root = NULL;
    int rc = 0;

    *out_token = NULL;
    *expires_s = LIFE_DEFAULT_S;
    if (reg_json_load(&root, json, len, ANSWER_MAX, "token answer", &why) < 0)
        return dt_err_set(err, DT_EPROTO, "%s", why.msg);
    const char *token = find_token(root);
    if (token == NULL || !is_token(token)) {
        rc = dt_err_set(err, DT_EPROTO, "token answer: %s",
                        token == NULL ? "no token in it" : "a token no header can carry");
    } else {
        *out_token = dt_strdup(token);
        *expires_s = life_s(json_object_get(root, "expires_in"));
    }
    reg_json_wipe(&root);
    return rc;
}
