/*
 * cache/index_entry.c - one entry of the index: a blob or an object, and its committed pieces.
 *
 * These functions keep four databases and the totals in step, so nobody else writes to them:
 * ENTRIES, ORDER (who goes first when room is needed: everything that is not pinned), PIECES (only
 * PARTIAL blobs) and BODIES (only objects).
 *
 * A new field: append it to entry_encode() and index_entry_decode() under the next ENTRY_VERSION; a
 * decoder accepts all versions up to its own, and the directory's format number (cache/layout.c)
 * changes only when older programs must keep away.
 */
#include "cache/index_priv.h"

#include <string.h>

#include "cache/pieces.h"
#include "cache/record_priv.h"
#include "base/mem.h"

#define ENTRY_VERSION  1
#define PIECES_VERSION 1

enum { FLAG_PINNED = 1, FLAG_OBJECT = 2, FLAG_NEEDS_VERIFY = 4 };

static void entry_encode(struct dt_text *out, const struct index_entry *entry)
{
    const struct cache_entry *pub = &entry->pub;
    unsigned flags = (pub->is_pinned ? FLAG_PINNED : 0) | (pub->is_object ? FLAG_OBJECT : 0) |
                     (entry->needs_verify ? FLAG_NEEDS_VERIFY : 0);
    record_put_u8(out, ENTRY_VERSION);
    record_put_u8(out, (uint8_t)pub->state);
    record_put_u8(out, (uint8_t)flags);
    record_put_u64(out, pub->size);
    record_put_u64(out, pub->present_bytes);
    record_put_u32(out, pub->piece_size);
    record_put_u32(out, pub->n_pieces);
    record_put_u32(out, pub->n_present_pieces);
    record_put_u64(out, pub->created_ms);
    record_put_u64(out, pub->used_ms);
    record_put_u64(out, pub->verified_ms);
    record_put_u64(out, pub->hits);
    record_put_string(out, pub->media_type);
}

/* Numbers a writer of records could have written: a damaged count must not make us allocate. */
static bool is_plausible(const struct cache_entry *pub)
{
    return (pub->state == CACHE_PARTIAL || pub->state == CACHE_SEALED) &&
           pub->size <= CACHE_BLOB_SIZE_MAX && pub->present_bytes <= pub->size &&
           pub->n_pieces <= CACHE_BLOB_SIZE_MAX / CACHE_PIECE_SIZE_MIN &&
           pub->n_present_pieces <= pub->n_pieces;
}

bool index_entry_decode(struct index_entry *out, const struct dt_digest *digest,
                        struct index_slice value)
{
    struct cache_entry *pub = &out->pub;
    struct record_in in;
    record_in_init(&in, value.data, value.len);
    *out = (struct index_entry){.pub.digest = *digest};
    uint8_t version = record_get_u8(&in);
    uint8_t state = record_get_u8(&in);
    uint8_t flags = record_get_u8(&in);
    pub->state = (enum cache_state)state;
    pub->is_pinned = flags & FLAG_PINNED;
    pub->is_object = flags & FLAG_OBJECT;
    out->needs_verify = flags & FLAG_NEEDS_VERIFY;
    pub->size = record_get_u64(&in);
    pub->present_bytes = record_get_u64(&in);
    pub->piece_size = record_get_u32(&in);
    pub->n_pieces = record_get_u32(&in);
    pub->n_present_pieces = record_get_u32(&in);
    pub->created_ms = record_get_u64(&in);
    pub->used_ms = record_get_u64(&in);
    pub->verified_ms = record_get_u64(&in);
    pub->hits = record_get_u64(&in);
    record_get_string(&in, pub->media_type, sizeof(pub->media_type));
    return !in.is_bad && version == ENTRY_VERSION && is_plausible(pub);
}

int index_entry_get(struct index_entry *out, struct index_view *view,
                    const struct dt_digest *digest, struct dt_err *err)
{
    struct index_key key;
    struct index_slice value;
    char name[13];
    index_key_digest(&key, digest);
    int rc = index_get(view, INDEX_ENTRIES, index_key_slice(&key), &value, err);
    if (rc == -DT_ENOTFOUND)
        return dt_err_set(err, DT_ENOTFOUND, "blob %s is not in the cache",
                          dt_digest_short(name, digest));
    if (rc == 0 && !index_entry_decode(out, digest, value))
        return dt_err_set(err, DT_EIO, "index record of %s is damaged",
                          dt_digest_short(name, digest));
    return rc;
}

static void totals_count(struct index_totals *totals, const struct cache_entry *entry, int sign)
{
    uint64_t one = (uint64_t)(int64_t)sign; /* wraps to minus one: these are counters mod 2^64 */
    totals->used_bytes += one * entry->size;
    if (entry->is_pinned)
        totals->pinned_bytes += one * entry->size;
    if (entry->is_object)
        totals->n_objects += one;
    else if (entry->state == CACHE_SEALED)
        totals->n_sealed += one;
    else
        totals->n_partial += one;
}

static int order_set(struct index_view *view, const struct cache_entry *entry, bool is_there,
                     struct dt_err *err)
{
    struct index_key key;
    if (entry->is_pinned)
        return 0;
    index_key_order(&key, entry->used_ms, &entry->digest);
    if (is_there)
        return index_put(view, INDEX_ORDER, index_key_slice(&key), (struct index_slice){"", 0},
                         err);
    int rc = index_del(view, INDEX_ORDER, index_key_slice(&key), err);
    return rc == -DT_ENOTFOUND ? 0 : rc;
}

int index_entry_put(struct index_view *view, const struct index_entry *entry, struct dt_err *err)
{
    struct index_entry old;
    int rc = index_entry_get(&old, view, &entry->pub.digest, NULL);
    bool is_new = rc == -DT_ENOTFOUND;
    if (rc < 0 && !is_new)
        return dt_err_set(err, DT_EIO, "index record to be replaced is damaged");
    bool is_order_same = !is_new && old.pub.used_ms == entry->pub.used_ms &&
                         old.pub.is_pinned == entry->pub.is_pinned;
    if (!is_new && !is_order_same && (rc = order_set(view, &old.pub, false, err)) < 0)
        return rc;
    if (!is_order_same && (rc = order_set(view, &entry->pub, true, err)) < 0)
        return rc;
    struct index_key key;
    struct dt_text text = {0};
    index_key_digest(&key, &entry->pub.digest);
    entry_encode(&text, entry);
    rc = index_put(view, INDEX_ENTRIES, index_key_slice(&key),
                   (struct index_slice){text.data, text.len}, err);
    dt_text_fini(&text);
    if (rc < 0)
        return rc;
    if (!is_new)
        totals_count(&view->totals, &old.pub, -1);
    totals_count(&view->totals, &entry->pub, +1);
    return 0;
}

int index_entry_remove(struct index_view *view, const struct index_entry *entry, struct dt_err *err)
{
    static const enum index_db rest[] = {INDEX_PIECES, INDEX_BODIES};
    struct index_key key;
    index_key_digest(&key, &entry->pub.digest);
    int rc = index_del(view, INDEX_ENTRIES, index_key_slice(&key), err);
    if (rc == 0)
        rc = order_set(view, &entry->pub, false, err);
    for (size_t i = 0; rc == 0 && i < sizeof(rest) / sizeof(rest[0]); i++) {
        rc = index_del(view, rest[i], index_key_slice(&key), err);
        if (rc == -DT_ENOTFOUND)
            rc = 0;
    }
    if (rc == 0)
        totals_count(&view->totals, &entry->pub, -1);
    return rc;
}

/* ---- committed pieces ---- */

void index_pieces_init(struct index_pieces *out, uint32_t piece_size, uint32_t n)
{
    *out = (struct index_pieces){.piece_size = piece_size, .n = n};
    out->is_present = dt_new_array(bool, n + 1); /* + 1: an empty blob has no pieces */
    out->crc = dt_new_array(uint32_t, n + 1);
}

void index_pieces_fini(struct index_pieces *pieces)
{
    dt_free(&pieces->is_present);
    dt_free(&pieces->crc);
    *pieces = (struct index_pieces){0};
}

static bool pieces_decode(struct index_pieces *out, struct index_slice value)
{
    struct record_in in;
    record_in_init(&in, value.data, value.len);
    uint8_t version = record_get_u8(&in);
    uint32_t piece_size = record_get_u32(&in);
    uint32_t n = record_get_u32(&in);
    /* The length decides, not the count: a damaged count must not make us allocate. */
    if (in.is_bad || version != PIECES_VERSION || (size_t)(in.end - in.at) != (size_t)n * 5)
        return false;
    index_pieces_init(out, piece_size, n);
    for (uint32_t i = 0; i < n; i++) {
        out->is_present[i] = record_get_u8(&in) != 0;
        out->crc[i] = record_get_u32(&in);
        out->n_present += out->is_present[i];
    }
    return true;
}

int index_pieces_get(struct index_pieces *out, struct index_view *view,
                     const struct dt_digest *digest, struct dt_err *err)
{
    struct index_key key;
    struct index_slice value;
    index_key_digest(&key, digest);
    *out = (struct index_pieces){0};
    int rc = index_get(view, INDEX_PIECES, index_key_slice(&key), &value, err);
    if (rc == -DT_ENOTFOUND || (rc == 0 && !pieces_decode(out, value)))
        return dt_err_set(err, DT_ENOTFOUND, "no committed pieces");
    return rc;
}

int index_pieces_put(struct index_view *view, const struct dt_digest *digest,
                     const struct index_pieces *pieces, struct dt_err *err)
{
    struct index_key key;
    struct dt_text text = {0};
    index_key_digest(&key, digest);
    record_put_u8(&text, PIECES_VERSION);
    record_put_u32(&text, pieces->piece_size);
    record_put_u32(&text, pieces->n);
    for (uint32_t i = 0; i < pieces->n; i++) {
        record_put_u8(&text, pieces->is_present[i]);
        record_put_u32(&text, pieces->crc[i]);
    }
    int rc = index_put(view, INDEX_PIECES, index_key_slice(&key),
                       (struct index_slice){text.data, text.len}, err);
    dt_text_fini(&text);
    return rc;
}
