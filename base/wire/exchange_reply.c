/*
 * base/wire/exchange_reply.c - what the supernode answers to an exchange; see exchange.h. Pure.
 *
 *   {"v":1,"state":WORD,"seq":N, "code":NAME,"reason":TEXT, "size":N,"piece_size":N,
 *    "ticket":TEXT, "down_limit":N, "assignments":[[piece,from,address,is_seed,sum?],...],
 *    "bytes":BASE64URL}
 */
#include "base/wire/exchange.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/wire/json_priv.h"

#define SUM_HEX_LEN (2 * sizeof(struct wire_sum))

static const char *const STATES[] = {
#define X(name, word) word,
    WIRE_STATES(X)
#undef X
};

void wire_exchange_reply_fini(struct wire_exchange_reply *reply)
{
    free(reply->assignments);
    free(reply->bytes);
    *reply = (struct wire_exchange_reply){.seq = 0};
}

/* ---- encoding ---- */

static void put_assignment(struct dt_text *out, const struct wire_assignment *row)
{
    DT_ASSERT(wire_id_is_valid(row->from));
    DT_ASSERT(row->address[0] == '\0' || wire_address_is_valid(row->address));
    dt_text_addf(out, "[%" PRIu32 ",\"%s\",\"%s\",%s", row->piece, row->from, row->address,
                 row->is_seed ? "true" : "false");
    if (row->has_sum) {
        static const char DIGITS[] = "0123456789abcdef";
        char hex[SUM_HEX_LEN];
        for (size_t i = 0; i < SUM_HEX_LEN; i++)
            hex[i] = DIGITS[row->sum.bytes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
        dt_text_addf(out, ",\"%.*s\"", (int)SUM_HEX_LEN, hex);
    }
    dt_text_add(out, "]");
}

/* All of the blob is one assigned piece, and that comes from who speaks. */
static bool may_be_inline(const struct wire_exchange_reply *reply)
{
    return reply->size <= WIRE_INLINE_MAX && reply->size <= reply->piece_size &&
           reply->n_assignments == 1 && reply->assignments[0].is_seed &&
           reply->assignments[0].address[0] == '\0';
}

static void put_bytes(struct dt_text *out, const struct wire_exchange_reply *reply)
{
    DT_ASSERT(may_be_inline(reply));
    char *text = dt_base64url_encode(reply->bytes, (size_t)reply->size);
    dt_text_add(out, ",\"bytes\":\"");
    dt_text_add(out, text);
    dt_text_add(out, "\"");
    free(text);
}

static void put_open(struct dt_text *out, const struct wire_exchange_reply *reply)
{
    DT_ASSERT(wire_pieces_of(reply->size, reply->piece_size) > 0);
    DT_ASSERT(reply->n_assignments <= WIRE_ASSIGNMENTS_MAX);
    wire_put_number(out, "size", reply->size);
    wire_put_number(out, "piece_size", reply->piece_size);
    for (size_t i = 0; i < reply->n_assignments; i++) {
        dt_text_add(out, i == 0 ? ",\"assignments\":[" : ",");
        put_assignment(out, &reply->assignments[i]);
    }
    if (reply->n_assignments > 0)
        dt_text_add(out, "]");
    if (reply->bytes != NULL)
        put_bytes(out, reply);
}

char *wire_exchange_reply_encode(const struct wire_exchange_reply *reply)
{
    struct dt_text out = {0};

    DT_ASSERT((unsigned)reply->state < WIRE_STATE_END);
    wire_put_begin(&out);
    wire_put_member(&out, "state", STATES[reply->state]);
    wire_put_number(&out, "seq", reply->seq);
    if (reply->state == WIRE_GONE) {
        wire_put_member(&out, "code", dt_code_name(reply->err.code));
        wire_put_member(&out, "reason", reply->err.msg);
    }
    if (reply->state == WIRE_OPEN)
        put_open(&out, reply);
    if (reply->ticket[0] != '\0')
        wire_put_member(&out, "ticket", reply->ticket);
    if (reply->down_limit > 0)
        wire_put_number(&out, "down_limit",
                        reply->down_limit < WIRE_COUNT_MAX ? reply->down_limit : WIRE_COUNT_MAX);
    return wire_put_end(&out);
}

/* ---- decoding ---- */

static void get_state(enum wire_state *out, struct wire_reader *reader)
{
    char word[16] = "";

    wire_get_text(word, sizeof(word), reader, reader->root, "state", NULL);
    for (unsigned state = 0; state < WIRE_STATE_END; state++)
        if (strcmp(word, STATES[state]) == 0) {
            *out = (enum wire_state)state;
            return;
        }
    wire_reader_fail(reader, "state", "unknown");
}

/* A code of a newer version is a supernode that cannot serve, whatever the reason. */
static int code_of(const char *name)
{
    for (int code = DT_OK + 1; code < DT_CODE_END; code++)
        if (strcmp(name, dt_code_name(code)) == 0)
            return code;
    return DT_EUNAVAILABLE;
}

static bool text_is_printable(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text >= 0x7f)
            return false;
    return true;
}

static void get_gone(struct wire_exchange_reply *out, struct wire_reader *reader)
{
    char code[32] = "";
    char reason[sizeof(out->err.msg)] = "no reason given";

    wire_get_text(code, sizeof(code), reader, reader->root, "code", NULL);
    wire_may_text(reason, sizeof(reason), reader, reader->root, "reason", text_is_printable);
    (void)dt_err_set(&out->err, (enum dt_code)code_of(code), "%s", reason); /* a value here */
}

static bool sum_is_valid(const char *text)
{
    return strlen(text) == SUM_HEX_LEN && strspn(text, "0123456789abcdef") == SUM_HEX_LEN;
}

static void sum_parse(struct wire_sum *out, const char *hex)
{
    for (size_t i = 0; i < sizeof(out->bytes); i++) {
        const char byte[] = {hex[2 * i], hex[2 * i + 1], '\0'};
        out->bytes[i] = (uint8_t)strtoul(byte, NULL, 16);
    }
}

static bool source_is_valid(const char *address)
{
    /* Our own host as seen from there would be ours: no ":port" here. */
    return address[0] == '\0' || (address[0] != ':' && wire_address_is_valid(address));
}

static void get_assignment(struct wire_assignment *out, struct wire_reader *reader,
                           const json_t *row, uint32_t n_pieces)
{
    char sum[SUM_HEX_LEN + 1] = "";
    const json_t *is_seed = json_array_get(row, 3);

    out->piece =
        (uint32_t)wire_number_of(reader, json_array_get(row, 0), "assigned piece", n_pieces - 1);
    wire_text_of(out->from, sizeof(out->from), reader, json_array_get(row, 1), "assigned from",
                 wire_id_is_valid);
    wire_text_of(out->address, sizeof(out->address), reader, json_array_get(row, 2),
                 "assigned address", source_is_valid);
    if (!json_is_boolean(is_seed))
        wire_reader_fail(reader, "assigned seed", "neither true nor false");
    out->is_seed = json_is_true(is_seed);
    out->has_sum = json_array_size(row) > 4;
    if (out->has_sum)
        wire_text_of(sum, sizeof(sum), reader, json_array_get(row, 4), "assigned sum",
                     sum_is_valid);
    if (out->has_sum && reader->rc == 0)
        sum_parse(&out->sum, sum);
}

static void get_bytes(struct wire_exchange_reply *out, struct wire_reader *reader)
{
    const json_t *value = json_object_get(reader->root, "bytes");

    if (value == NULL || reader->rc < 0)
        return;
    if (!may_be_inline(out)) {
        wire_reader_fail(reader, "bytes", "not beside the one piece of a small blob from the seed");
        return;
    }
    out->bytes = dt_calloc((size_t)out->size, 1);
    if (!json_is_string(value) ||
        !dt_base64url_decode(out->bytes, (size_t)out->size, json_string_value(value),
                             json_string_length(value)))
        wire_reader_fail(reader, "bytes", "not those of the blob");
}

static void get_open(struct wire_exchange_reply *out, struct wire_reader *reader)
{
    uint64_t piece_size = 0;

    wire_get_number(&out->size, reader, reader->root, "size", 1, WIRE_BLOB_SIZE_MAX);
    wire_get_number(&piece_size, reader, reader->root, "piece_size", WIRE_PIECE_SIZE_MIN,
                    WIRE_PIECE_SIZE_MAX);
    out->piece_size = (uint32_t)piece_size;
    uint32_t n_pieces = wire_pieces_of(out->size, out->piece_size);
    if (n_pieces == 0)
        wire_reader_fail(reader, "piece_size", "too many pieces");
    const json_t *list = wire_may_array(reader, reader->root, "assignments", WIRE_ASSIGNMENTS_MAX);
    out->n_assignments = json_array_size(list);
    if (out->n_assignments > 0)
        out->assignments = dt_new_array(struct wire_assignment, out->n_assignments);
    for (size_t i = 0; i < out->n_assignments; i++)
        get_assignment(&out->assignments[i], reader, json_array_get(list, i), n_pieces);
    get_bytes(out, reader);
}

int wire_exchange_reply_decode(struct wire_exchange_reply *out, const char *body, size_t len,
                               struct dt_err *err)
{
    struct wire_reader reader;

    *out = (struct wire_exchange_reply){.seq = 0};
    wire_reader_init(&reader, "exchange reply", body, len, err);
    get_state(&out->state, &reader);
    wire_get_number(&out->seq, &reader, reader.root, "seq", 0, WIRE_COUNT_MAX);
    if (out->state == WIRE_GONE)
        get_gone(out, &reader);
    if (out->state == WIRE_OPEN)
        get_open(out, &reader);
    /* It goes into a header: printable, spaces between its parts. */
    wire_may_text(out->ticket, sizeof(out->ticket), &reader, reader.root, "ticket",
                  text_is_printable);
    wire_may_number(&out->down_limit, &reader, reader.root, "down_limit", 0, WIRE_COUNT_MAX);
    wire_reader_fini(&reader);
    if (reader.rc < 0)
        wire_exchange_reply_fini(out);
    return reader.rc;
}
