/*
 * base/wire/hello.c - see hello.h. Pure.
 *
 *   hello  {"v":1,"node":ID,"name":N,"site":N,"rack":N,"address":A, "full":true,"bye":true,
 *           "have":[[digest,size],...],"lost":[digest,...], "up":N,"down":N,"bad":N}
 *   reply  {"v":1,"supernode":N,"site":N,"interval_ms":N, "wants_full":true,"banned":true,
 *           "draining":true, "up_limit":N,"down_limit":N}
 */
#include "base/wire/hello.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/wire/json_priv.h"

void wire_hello_fini(struct wire_hello *hello)
{
    free(hello->have);
    free(hello->lost);
    *hello = (struct wire_hello){.have = NULL};
}

/* Counters of a long life stop at the largest number a message may hold. */
static void put_count(struct dt_text *out, const char *name, uint64_t count)
{
    if (count > 0)
        wire_put_number(out, name, count < WIRE_COUNT_MAX ? count : WIRE_COUNT_MAX);
}

static void put_holdings(struct dt_text *out, const struct wire_hello *hello)
{
    char digest[DT_DIGEST_TEXT_MAX];

    DT_ASSERT(hello->n_have <= WIRE_HOLDINGS_MAX && hello->n_lost <= WIRE_HOLDINGS_MAX);
    for (size_t i = 0; i < hello->n_have; i++)
        dt_text_addf(out, "%s[\"%s\",%" PRIu64 "]", i == 0 ? ",\"have\":[" : ",",
                     dt_digest_format(digest, &hello->have[i].digest), hello->have[i].size);
    if (hello->n_have > 0)
        dt_text_add(out, "]");
    for (size_t i = 0; i < hello->n_lost; i++)
        dt_text_addf(out, "%s\"%s\"", i == 0 ? ",\"lost\":[" : ",",
                     dt_digest_format(digest, &hello->lost[i]));
    if (hello->n_lost > 0)
        dt_text_add(out, "]");
}

char *wire_hello_encode(const struct wire_hello *hello)
{
    struct dt_text out = {0};

    DT_ASSERT(wire_id_is_valid(hello->node) && wire_name_is_valid(hello->name));
    DT_ASSERT(wire_name_is_valid(hello->site) && wire_address_is_valid(hello->address));
    wire_put_begin(&out);
    wire_put_member(&out, "node", hello->node);
    wire_put_member(&out, "name", hello->name);
    wire_put_member(&out, "site", hello->site);
    if (hello->rack[0] != '\0')
        wire_put_member(&out, "rack", hello->rack);
    wire_put_member(&out, "address", hello->address);
    wire_put_flag(&out, "full", hello->is_full);
    wire_put_flag(&out, "bye", hello->is_bye);
    put_holdings(&out, hello);
    put_count(&out, "up", hello->up_bytes);
    put_count(&out, "down", hello->down_bytes);
    put_count(&out, "bad", hello->bad_pieces);
    return wire_put_end(&out);
}

static void get_holdings(struct wire_hello *out, struct wire_reader *reader)
{
    const json_t *have = wire_may_array(reader, reader->root, "have", WIRE_HOLDINGS_MAX);
    const json_t *lost = wire_may_array(reader, reader->root, "lost", WIRE_HOLDINGS_MAX);

    out->n_have = json_array_size(have);
    out->have = out->n_have > 0 ? dt_new_array(struct wire_holding, out->n_have) : NULL;
    for (size_t i = 0; i < out->n_have; i++) {
        const json_t *row = json_array_get(have, i);
        wire_digest_of(&out->have[i].digest, reader, json_array_get(row, 0), "have digest");
        out->have[i].size =
            wire_number_of(reader, json_array_get(row, 1), "have size", WIRE_BLOB_SIZE_MAX);
    }
    out->n_lost = json_array_size(lost);
    out->lost = out->n_lost > 0 ? dt_new_array(struct dt_digest, out->n_lost) : NULL;
    for (size_t i = 0; i < out->n_lost; i++)
        wire_digest_of(&out->lost[i], reader, json_array_get(lost, i), "lost");
}

int wire_hello_decode(struct wire_hello *out, const char *body, size_t len, struct dt_err *err)
{
    struct wire_reader reader;

    *out = (struct wire_hello){.have = NULL};
    wire_reader_init(&reader, "hello", body, len, err);
    wire_get_text(out->node, sizeof(out->node), &reader, reader.root, "node", wire_id_is_valid);
    wire_get_text(out->name, sizeof(out->name), &reader, reader.root, "name", wire_name_is_valid);
    wire_get_text(out->site, sizeof(out->site), &reader, reader.root, "site", wire_name_is_valid);
    wire_may_text(out->rack, sizeof(out->rack), &reader, reader.root, "rack", wire_name_is_valid);
    wire_get_text(out->address, sizeof(out->address), &reader, reader.root, "address",
                  wire_address_is_valid);
    wire_may_flag(&out->is_full, &reader, reader.root, "full");
    wire_may_flag(&out->is_bye, &reader, reader.root, "bye");
    get_holdings(out, &reader);
    wire_may_number(&out->up_bytes, &reader, reader.root, "up", 0, WIRE_COUNT_MAX);
    wire_may_number(&out->down_bytes, &reader, reader.root, "down", 0, WIRE_COUNT_MAX);
    wire_may_number(&out->bad_pieces, &reader, reader.root, "bad", 0, WIRE_COUNT_MAX);
    wire_reader_fini(&reader);
    if (reader.rc < 0)
        wire_hello_fini(out);
    return reader.rc;
}

char *wire_hello_reply_encode(const struct wire_hello_reply *reply)
{
    struct dt_text out = {0};

    DT_ASSERT(wire_name_is_valid(reply->supernode) && wire_name_is_valid(reply->site));
    DT_ASSERT(reply->interval_ms >= WIRE_INTERVAL_MIN_MS &&
              reply->interval_ms <= WIRE_INTERVAL_MAX_MS);
    wire_put_begin(&out);
    wire_put_member(&out, "supernode", reply->supernode);
    wire_put_member(&out, "site", reply->site);
    wire_put_number(&out, "interval_ms", reply->interval_ms);
    wire_put_flag(&out, "wants_full", reply->wants_full);
    wire_put_flag(&out, "banned", reply->is_banned);
    wire_put_flag(&out, "draining", reply->is_draining);
    put_count(&out, "up_limit", reply->up_limit);
    put_count(&out, "down_limit", reply->down_limit);
    return wire_put_end(&out);
}

int wire_hello_reply_decode(struct wire_hello_reply *out, const char *body, size_t len,
                            struct dt_err *err)
{
    struct wire_reader reader;
    uint64_t interval_ms = 0;

    *out = (struct wire_hello_reply){.interval_ms = 0};
    wire_reader_init(&reader, "hello reply", body, len, err);
    wire_get_text(out->supernode, sizeof(out->supernode), &reader, reader.root, "supernode",
                  wire_name_is_valid);
    wire_get_text(out->site, sizeof(out->site), &reader, reader.root, "site", wire_name_is_valid);
    wire_get_number(&interval_ms, &reader, reader.root, "interval_ms", WIRE_INTERVAL_MIN_MS,
                    WIRE_INTERVAL_MAX_MS);
    out->interval_ms = (uint32_t)interval_ms;
    wire_may_flag(&out->wants_full, &reader, reader.root, "wants_full");
    wire_may_flag(&out->is_banned, &reader, reader.root, "banned");
    wire_may_flag(&out->is_draining, &reader, reader.root, "draining");
    wire_may_number(&out->up_limit, &reader, reader.root, "up_limit", 0, WIRE_COUNT_MAX);
    wire_may_number(&out->down_limit, &reader, reader.root, "down_limit", 0, WIRE_COUNT_MAX);
    wire_reader_fini(&reader);
    if (reader.rc < 0)
        *out = (struct wire_hello_reply){.interval_ms = 0};
    return reader.rc;
}
