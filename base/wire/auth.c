/*
 * base/wire/auth.c - Darter-Auth: who shows it holds the cluster key. See wire.h.
 *
 *   request  "v1 <wall ms> <nonce> <mac>"   MAC over version and moment, nonce, "POST", path, body
 *   reply    "v1 <mac>"                     MAC over the version, the request's nonce, body
 *
 * A request may be repeated by whoever overheard it, for as long as the clocks' tolerance: messages
 * are facts that may be told twice. A reply fits one request only. Pure: the clock is an argument.
 */
#include "base/wire/wire.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"

#define VERSION_TEXT "v1"
#define NONCE_BYTES  16
#define NONCE_LEN    ((size_t)2 * NONCE_BYTES)

static struct dt_key_part part_of(const char *text)
{
    return (struct dt_key_part){text, strlen(text)};
}

void wire_auth_request(struct wire_auth *out, struct dt_keys *keys, const char *path,
                       const void *body, size_t len, uint64_t wall_ms)
{
    uint8_t random[NONCE_BYTES];
    char moment[32], mac[DT_MAC_TEXT_MAX];

    dt_random_bytes(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        DT_ASSERT(dt_text_print(out->nonce + 2 * i, 3, "%02x", random[i]));
    DT_ASSERT(dt_text_print(moment, sizeof(moment), VERSION_TEXT " %" PRIu64, wall_ms));
    const struct dt_key_part parts[] = {
        part_of(moment), part_of(out->nonce), part_of("POST"), part_of(path), {body, len}};
    dt_keys_sign(mac, keys, DT_KEY_REQUEST, parts, sizeof(parts) / sizeof(parts[0]));
    DT_ASSERT(dt_text_print(out->text, sizeof(out->text), "%s %s %s", moment, out->nonce, mac));
}

/* The pieces of a header, in place of the spaces NULs. */
struct header {
    char text[WIRE_AUTH_MAX];
    char *moment, *nonce, *mac;
};

static bool header_split(struct header *out, const char *header)
{
    if (header == NULL || !dt_text_print(out->text, sizeof(out->text), "%s", header) ||
        !dt_text_has_prefix(out->text, VERSION_TEXT " "))
        return false;
    out->moment = out->text + strlen(VERSION_TEXT " ");
    out->nonce = strchr(out->moment, ' ');
    if (out->nonce == NULL)
        return false;
    *out->nonce++ = '\0';
    out->mac = strchr(out->nonce, ' ');
    if (out->mac == NULL)
        return false;
    *out->mac++ = '\0';
    return strlen(out->nonce) == NONCE_LEN && strspn(out->nonce, "0123456789abcdef") == NONCE_LEN;
}

int wire_auth_check_request(char nonce[33], struct dt_keys *keys, const char *header,
                            const char *path, struct dt_key_part body, uint64_t wall_ms,
                            struct dt_err *err)
{
    struct header parsed;
    struct dt_err why = {.code = 0};
    unsigned long long sent_ms;
    char moment[32];

    if (!header_split(&parsed, header) ||
        !dt_text_parse_u64(&sent_ms, parsed.moment, strlen(parsed.moment)) ||
        sent_ms > WIRE_COUNT_MAX)
        return dt_err_set(err, DT_EDENIED, "%s " WIRE_HEADER_AUTH,
                          header == NULL ? "no" : "malformed");
    DT_ASSERT(dt_text_print(moment, sizeof(moment), VERSION_TEXT " %s", parsed.moment));
    const struct dt_key_part parts[] = {part_of(moment), part_of(parsed.nonce), part_of("POST"),
                                        part_of(path), body};
    if (dt_keys_check(keys, DT_KEY_REQUEST, parsed.mac, parts, sizeof(parts) / sizeof(parts[0]),
                      &why) < 0)
        return dt_err_set(err, DT_EDENIED, WIRE_HEADER_AUTH ": %s", why.msg);
    uint64_t skew_ms = sent_ms > wall_ms ? sent_ms - wall_ms : wall_ms - sent_ms;
    if (skew_ms > WIRE_CLOCK_SKEW_MS)
        return dt_err_set(err, DT_ETIMEOUT,
                          "the clocks differ by %" PRIu64 " s, or the request is that old: at most "
                          "%u s; is NTP running?",
                          skew_ms / 1000, WIRE_CLOCK_SKEW_MS / 1000);
    DT_ASSERT(dt_text_print(nonce, NONCE_LEN + 1, "%s", parsed.nonce));
    return 0;
}

void wire_auth_reply(char out[WIRE_AUTH_MAX], struct dt_keys *keys, const char *nonce,
                     const void *body, size_t len)
{
    char mac[DT_MAC_TEXT_MAX];
    const struct dt_key_part parts[] = {part_of(VERSION_TEXT), part_of(nonce), {body, len}};

    dt_keys_sign(mac, keys, DT_KEY_REPLY, parts, sizeof(parts) / sizeof(parts[0]));
    DT_ASSERT(dt_text_print(out, WIRE_AUTH_MAX, VERSION_TEXT " %s", mac));
}

int wire_auth_check_reply(struct dt_keys *keys, const char *header, const char *nonce,
                          const void *body, size_t len, struct dt_err *err)
{
    struct dt_err why = {.code = 0};
    const struct dt_key_part parts[] = {part_of(VERSION_TEXT), part_of(nonce), {body, len}};

    if (header == NULL || !dt_text_has_prefix(header, VERSION_TEXT " "))
        return dt_err_set(err, DT_EDENIED, "reply: %s " WIRE_HEADER_AUTH,
                          header == NULL ? "no" : "malformed");
    if (dt_keys_check(keys, DT_KEY_REPLY, header + strlen(VERSION_TEXT " "), parts,
                      sizeof(parts) / sizeof(parts[0]), &why) < 0)
        return dt_err_set(err, DT_EDENIED, "reply: " WIRE_HEADER_AUTH ": %s", why.msg);
    return 0;
}
