/*
 * base/wire/ticket.c - Darter-Ticket: may this one read pieces of this blob here? See wire.h.
 *
 *   "v1 <expires wall ms> <site> <mac>"   MAC over version and expiry, site, digest
 *
 * A ticket names no node: whoever was let into the site's swarm got it, and pieces are checked by
 * who receives them. Pure: the clock is an argument.
 */
#include "base/wire/wire.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"

#define VERSION_TEXT "v1"

/* The MAC's parts; `first` is "v1 <expires>". */
struct claim {
    char digest[DT_DIGEST_TEXT_MAX];
    struct dt_key_part parts[3];
};

static void claim_init(struct claim *out, const char *first, const char *site,
                       const struct dt_digest *digest)
{
    dt_digest_format(out->digest, digest);
    out->parts[0] = (struct dt_key_part){first, strlen(first)};
    out->parts[1] = (struct dt_key_part){site, strlen(site)};
    out->parts[2] = (struct dt_key_part){out->digest, strlen(out->digest)};
}

void wire_ticket_make(char out[WIRE_TICKET_MAX], struct dt_keys *keys,
                      const struct dt_digest *digest, const char *site, uint64_t expires_wall_ms)
{
    struct claim claim;
    char first[32], mac[DT_MAC_TEXT_MAX];

    DT_ASSERT(wire_name_is_valid(site) && expires_wall_ms <= WIRE_COUNT_MAX);
    DT_ASSERT(dt_text_print(first, sizeof(first), VERSION_TEXT " %" PRIu64, expires_wall_ms));
    claim_init(&claim, first, site, digest);
    dt_keys_sign(mac, keys, DT_KEY_TICKET, claim.parts, 3);
    DT_ASSERT(dt_text_print(out, WIRE_TICKET_MAX, "%s %s %s", first, site, mac));
}

/* Cuts `text` into its three parts, in place. false: malformed. */
static bool ticket_split(char *text, char **site, char **mac, unsigned long long *expires_ms)
{
    if (!dt_text_has_prefix(text, VERSION_TEXT " "))
        return false;
    char *expires = text + strlen(VERSION_TEXT " ");
    *site = strchr(expires, ' ');
    if (*site == NULL)
        return false;
    *(*site)++ = '\0';
    *mac = strchr(*site, ' ');
    if (*mac == NULL)
        return false;
    *(*mac)++ = '\0';
    return wire_name_is_valid(*site) && dt_text_parse_u64(expires_ms, expires, strlen(expires)) &&
           *expires_ms <= WIRE_COUNT_MAX;
}

int wire_ticket_check(struct dt_keys *keys, const char *ticket, const struct dt_digest *digest,
                      const char *site, uint64_t wall_ms, struct dt_err *err)
{
    struct claim claim;
    struct dt_err why = {.code = 0};
    char text[WIRE_TICKET_MAX], *its_site = NULL, *mac = NULL;
    unsigned long long expires_ms = 0;

    if (ticket == NULL)
        return dt_err_set(err, DT_EUNAUTHORIZED, "no " WIRE_HEADER_TICKET);
    if (!dt_text_print(text, sizeof(text), "%s", ticket) ||
        !ticket_split(text, &its_site, &mac, &expires_ms))
        return dt_err_set(err, DT_EUNAUTHORIZED, WIRE_HEADER_TICKET ": malformed");
    claim_init(&claim, text, its_site, digest); /* `text` now ends after the expiry */
    if (dt_keys_check(keys, DT_KEY_TICKET, mac, claim.parts, 3, &why) < 0)
        return dt_err_set(err, DT_EUNAUTHORIZED, WIRE_HEADER_TICKET ": %s", why.msg);
    if (wall_ms >= expires_ms)
        return dt_err_set(err, DT_EUNAUTHORIZED, WIRE_HEADER_TICKET ": expired %llu s ago",
                          (wall_ms - expires_ms) / 1000);
    if (strcmp(its_site, site) != 0)
        return dt_err_set(err, DT_EDENIED, WIRE_HEADER_TICKET ": of site %s, this is %s", its_site,
                          site);
    return 0;
}
