/*
 * base/wire/exchange.c - a node's word about one blob; see exchange.h. The reply is in
 * exchange_reply.c. Pure.
 *
 *   {"v":1,"node":ID,"digest":D,"session":HEX,"seq":N, "leave":true,"keeps":true, "want":OFFSET,
 *    "join":{...}, "finished":[[piece,from,ms],...], "failed":[[piece,from,why],...],
 *    "gained":[piece,...]}
 *
 * Lists are arrays of arrays: a busy node sends them many times a second.
 */
#include "base/wire/exchange.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/wire/json_priv.h"

#define SESSION_LEN 16

static const char *const WHYS[] = {
#define X(name, word) word,
    WIRE_WHYS(X)
#undef X
};

void wire_exchange_fini(struct wire_exchange *exchange)
{
    if (exchange->join != NULL) {
        free(exchange->join->have);
        free(exchange->join->sums);
        free(exchange->join->upstream);
        free(exchange->join->repository);
        free(exchange->join->sealed_authorization);
    }
    free(exchange->join);
    free(exchange->finished);
    free(exchange->failed);
    free(exchange->gained);
    *exchange = (struct wire_exchange){.seq = 0};
}

/* ---- encoding ---- */

/* Bit i of the set is bit i % 8 of byte i / 8, on every machine. */
static void put_have(struct dt_text *out, const struct wire_join *join)
{
    size_t len = (join->n_pieces + 7) / 8;
    uint8_t *bytes = dt_calloc(len, 1);

    for (uint32_t i = 0; i < join->n_pieces; i++)
        if ((join->have[i / 64] >> (i % 64) & 1) != 0)
            bytes[i / 8] |= (uint8_t)(1u << (i % 8));
    char *text = dt_base64url_encode(bytes, len);
    wire_put_member(out, "have", text);
    free(text);
    free(bytes);
}

static void put_sums(struct dt_text *out, const struct wire_join *join)
{
    char *text = dt_base64url_encode(join->sums, join->n_pieces * sizeof(join->sums[0]));
    dt_text_addf(out, ",\"sums\":\"");
    dt_text_add(out, text);
    dt_text_add(out, "\"");
    free(text);
}

static void put_pieces(struct dt_text *out, const struct wire_join *join)
{
    if (join->size != UINT64_MAX)
        wire_put_number(out, "size", join->size);
    DT_ASSERT(join->size == UINT64_MAX || join->size <= WIRE_BLOB_SIZE_MAX);
    if (join->piece_size == 0) {
        DT_ASSERT(join->n_pieces == 0);
        return;
    }
    DT_ASSERT(join->n_pieces == wire_pieces_of(join->size, join->piece_size));
    wire_put_number(out, "piece_size", join->piece_size);
    if (join->have != NULL && join->n_pieces > 0)
        put_have(out, join);
    if (join->sums != NULL && join->n_pieces > 0)
        put_sums(out, join);
}

static void put_join(struct dt_text *out, const struct wire_join *join)
{
    DT_ASSERT(wire_name_is_valid(join->name) && wire_name_is_valid(join->site));
    DT_ASSERT(wire_address_is_valid(join->address));
    DT_ASSERT(join->up_slots <= WIRE_SLOTS_MAX && join->down_slots <= WIRE_SLOTS_MAX);
    dt_text_addf(out, ",\"join\":{\"name\":\"%s\",\"site\":\"%s\",\"address\":\"%s\"", join->name,
                 join->site, join->address);
    if (join->rack[0] != '\0')
        wire_put_member(out, "rack", join->rack);
    wire_put_number(out, "up_slots", join->up_slots);
    wire_put_number(out, "down_slots", join->down_slots);
    put_pieces(out, join);
    wire_put_flag(out, "takeover", join->is_takeover);
    wire_put_flag(out, "inline", join->takes_inline);
    DT_ASSERT(strlen(join->upstream) <= WIRE_TEXT_MAX);
    wire_put_member(out, "upstream", join->upstream);
    DT_ASSERT(strlen(join->repository) <= WIRE_TEXT_MAX);
    wire_put_member(out, "repository", join->repository);
    if (join->sealed_authorization != NULL) {
        DT_ASSERT(strlen(join->sealed_authorization) <= WIRE_SEALED_MAX);
        wire_put_member(out, "authorization", join->sealed_authorization);
    }
    dt_text_add(out, "}");
}

static void put_finished(struct dt_text *out, const struct wire_exchange *exchange)
{
    DT_ASSERT(exchange->n_finished <= WIRE_REPORTS_MAX);
    for (size_t i = 0; i < exchange->n_finished; i++) {
        const struct wire_finished *row = &exchange->finished[i];
        dt_text_addf(out, "%s[%" PRIu32 ",\"%s\",%" PRIu32 "]", i == 0 ? ",\"finished\":[" : ",",
                     row->piece, row->from, row->took_ms);
    }
    if (exchange->n_finished > 0)
        dt_text_add(out, "]");
}

static void put_failed(struct dt_text *out, const struct wire_exchange *exchange)
{
    DT_ASSERT(exchange->n_failed <= WIRE_REPORTS_MAX);
    for (size_t i = 0; i < exchange->n_failed; i++) {
        const struct wire_failed *row = &exchange->failed[i];
        DT_ASSERT((unsigned)row->why < WIRE_WHY_END);
        dt_text_addf(out, "%s[%" PRIu32 ",\"%s\",\"%s\"]", i == 0 ? ",\"failed\":[" : ",",
                     row->piece, row->from, WHYS[row->why]);
    }
    if (exchange->n_failed > 0)
        dt_text_add(out, "]");
}

static void put_gained(struct dt_text *out, const struct wire_exchange *exchange)
{
    DT_ASSERT(exchange->n_gained <= WIRE_REPORTS_MAX);
    for (size_t i = 0; i < exchange->n_gained; i++)
        dt_text_addf(out, "%s%" PRIu32, i == 0 ? ",\"gained\":[" : ",", exchange->gained[i]);
    if (exchange->n_gained > 0)
        dt_text_add(out, "]");
}

char *wire_exchange_encode(const struct wire_exchange *exchange)
{
    struct dt_text out = {0};
    char digest[DT_DIGEST_TEXT_MAX];

    DT_ASSERT(wire_id_is_valid(exchange->node) && exchange->seq > 0);
    wire_put_begin(&out);
    dt_text_addf(&out, ",\"node\":\"%s\",\"digest\":\"%s\",\"session\":\"%016" PRIx64 "\"",
                 exchange->node, dt_digest_format(digest, &exchange->digest), exchange->session);
    wire_put_number(&out, "seq", exchange->seq);
    wire_put_flag(&out, "leave", exchange->is_leave);
    wire_put_flag(&out, "keeps", exchange->keeps);
    if (exchange->want_off <= WIRE_BLOB_SIZE_MAX)
        wire_put_number(&out, "want", exchange->want_off);
    if (exchange->join != NULL)
        put_join(&out, exchange->join);
    put_finished(&out, exchange);
    put_failed(&out, exchange);
    put_gained(&out, exchange);
    return wire_put_end(&out);
}

/* ---- decoding ---- */

static void get_have(struct wire_join *out, struct wire_reader *reader, const json_t *object)
{
    const json_t *value = json_object_get(object, "have");
    size_t len = (out->n_pieces + 7) / 8;
    uint8_t *bytes = dt_calloc(len > 0 ? len : 1, 1);

    out->have = dt_new_array(uint64_t, out->n_pieces / 64 + 1);
    if (value != NULL &&
        (!json_is_string(value) ||
         !dt_base64url_decode(bytes, len, json_string_value(value), json_string_length(value))))
        wire_reader_fail(reader, "join.have", "not the bits of the blob's pieces");
    for (size_t i = 0; reader->rc == 0 && i < len; i++)
        out->have[i / 8] |= (uint64_t)bytes[i] << (8 * (i % 8));
    if (out->n_pieces % 8 != 0 && bytes[len - 1] >> (out->n_pieces % 8) != 0)
        wire_reader_fail(reader, "join.have", "bits beyond the last piece");
    free(bytes);
}

static void get_sums(struct wire_join *out, struct wire_reader *reader, const json_t *object)
{
    const json_t *value = json_object_get(object, "sums");

    if (value == NULL)
        return;
    out->sums = dt_new_array(struct wire_sum, out->n_pieces);
    if (!json_is_string(value) ||
        !dt_base64url_decode(out->sums, out->n_pieces * sizeof(out->sums[0]),
                             json_string_value(value), json_string_length(value)))
        wire_reader_fail(reader, "join.sums", "not the sums of the blob's pieces");
}

static void get_pieces(struct wire_join *out, struct wire_reader *reader, const json_t *object)
{
    uint64_t piece_size = 0;

    out->size = UINT64_MAX;
    wire_may_number(&out->size, reader, object, "size", 0, WIRE_BLOB_SIZE_MAX);
    wire_may_number(&piece_size, reader, object, "piece_size", WIRE_PIECE_SIZE_MIN,
                    WIRE_PIECE_SIZE_MAX);
    if (reader->rc < 0 || piece_size == 0)
        return;
    out->piece_size = (uint32_t)piece_size;
    out->n_pieces = wire_pieces_of(out->size, out->piece_size);
    if (out->n_pieces == 0 && out->size != 0)
        wire_reader_fail(reader, "join.piece_size", "no size, or too many pieces");
    if (reader->rc < 0 || out->n_pieces == 0)
        return;
    get_have(out, reader, object);
    get_sums(out, reader, object);
}

static void get_join(struct wire_exchange *out, struct wire_reader *reader)
{
    const json_t *object = json_object_get(reader->root, "join");
    uint64_t up_slots = 0, down_slots = 0;

    if (object == NULL || reader->rc < 0)
        return;
    if (!json_is_object(object)) {
        wire_reader_fail(reader, "join", "not an object");
        return;
    }
    struct wire_join *join = out->join = dt_new(struct wire_join);
    wire_get_text(join->name, sizeof(join->name), reader, object, "name", wire_name_is_valid);
    wire_get_text(join->site, sizeof(join->site), reader, object, "site", wire_name_is_valid);
    wire_may_text(join->rack, sizeof(join->rack), reader, object, "rack", wire_name_is_valid);
    wire_get_text(join->address, sizeof(join->address), reader, object, "address",
                  wire_address_is_valid);
    wire_get_number(&up_slots, reader, object, "up_slots", 0, WIRE_SLOTS_MAX);
    wire_get_number(&down_slots, reader, object, "down_slots", 0, WIRE_SLOTS_MAX);
    join->up_slots = (uint32_t)up_slots;
    join->down_slots = (uint32_t)down_slots;
    get_pieces(join, reader, object);
    wire_may_flag(&join->is_takeover, reader, object, "takeover");
    wire_may_flag(&join->takes_inline, reader, object, "inline");
    join->upstream = wire_may_copy(reader, object, "upstream", WIRE_TEXT_MAX);
    join->repository = wire_may_copy(reader, object, "repository", WIRE_TEXT_MAX);
    join->sealed_authorization = wire_may_copy(reader, object, "authorization", WIRE_SEALED_MAX);
    if (join->upstream == NULL || join->repository == NULL)
        wire_reader_fail(reader, "join", "upstream or repository missing");
}

/* A row of a list: an array that begins with a piece; a newer version may add to its end. */
static uint32_t get_piece(struct wire_reader *reader, const json_t *value, const char *field)
{
    return (uint32_t)wire_number_of(reader, value, field, WIRE_PIECES_MAX - 1);
}

static void get_finished(struct wire_exchange *out, struct wire_reader *reader)
{
    const json_t *list = wire_may_array(reader, reader->root, "finished", WIRE_REPORTS_MAX);

    out->n_finished = json_array_size(list);
    out->finished =
        out->n_finished > 0 ? dt_new_array(struct wire_finished, out->n_finished) : NULL;
    for (size_t i = 0; i < out->n_finished; i++) {
        const json_t *row = json_array_get(list, i);
        out->finished[i].piece = get_piece(reader, json_array_get(row, 0), "finished piece");
        wire_text_of(out->finished[i].from, sizeof(wire_id), reader, json_array_get(row, 1),
                     "finished from", wire_id_is_valid);
        out->finished[i].took_ms = (uint32_t)wire_number_of(reader, json_array_get(row, 2),
                                                            "finished took_ms", UINT32_MAX);
    }
}

/* A reason of a newer version is a refusal of some kind. */
static enum wire_why why_of(const char *word)
{
    for (unsigned why = 0; why < WIRE_WHY_END; why++)
        if (strcmp(word, WHYS[why]) == 0)
            return (enum wire_why)why;
    return WIRE_WHY_REFUSED;
}

static void get_failed(struct wire_exchange *out, struct wire_reader *reader)
{
    const json_t *list = wire_may_array(reader, reader->root, "failed", WIRE_REPORTS_MAX);

    out->n_failed = json_array_size(list);
    out->failed = out->n_failed > 0 ? dt_new_array(struct wire_failed, out->n_failed) : NULL;
    for (size_t i = 0; i < out->n_failed; i++) {
        const json_t *row = json_array_get(list, i);
        char word[32] = "";
        out->failed[i].piece = get_piece(reader, json_array_get(row, 0), "failed piece");
        wire_text_of(out->failed[i].from, sizeof(wire_id), reader, json_array_get(row, 1),
                     "failed from", wire_id_is_valid);
        wire_text_of(word, sizeof(word), reader, json_array_get(row, 2), "failed why", NULL);
        out->failed[i].why = why_of(word);
    }
}

static void get_gained(struct wire_exchange *out, struct wire_reader *reader)
{
    const json_t *list = wire_may_array(reader, reader->root, "gained", WIRE_REPORTS_MAX);

    out->n_gained = json_array_size(list);
    out->gained = out->n_gained > 0 ? dt_new_array(uint32_t, out->n_gained) : NULL;
    for (size_t i = 0; i < out->n_gained; i++)
        out->gained[i] = get_piece(reader, json_array_get(list, i), "gained");
}

static bool session_is_valid(const char *text)
{
    return strlen(text) == SESSION_LEN && strspn(text, "0123456789abcdef") == SESSION_LEN;
}

int wire_exchange_decode(struct wire_exchange *out, const char *body, size_t len,
                         struct dt_err *err)
{
    struct wire_reader reader;
    char session[SESSION_LEN + 1] = "";

    *out = (struct wire_exchange){.want_off = UINT64_MAX};
    wire_reader_init(&reader, "exchange", body, len, err);
    wire_get_text(out->node, sizeof(out->node), &reader, reader.root, "node", wire_id_is_valid);
    wire_get_digest(&out->digest, &reader, reader.root, "digest");
    wire_get_text(session, sizeof(session), &reader, reader.root, "session", session_is_valid);
    out->session = strtoull(session, NULL, 16);
    wire_get_number(&out->seq, &reader, reader.root, "seq", 1, WIRE_COUNT_MAX);
    wire_may_flag(&out->is_leave, &reader, reader.root, "leave");
    wire_may_flag(&out->keeps, &reader, reader.root, "keeps");
    wire_may_number(&out->want_off, &reader, reader.root, "want", 0, WIRE_BLOB_SIZE_MAX);
    get_join(out, &reader);
    get_finished(out, &reader);
    get_failed(out, &reader);
    get_gained(out, &reader);
    wire_reader_fini(&reader);
    if (reader.rc < 0)
        wire_exchange_fini(out);
    return reader.rc;
}
