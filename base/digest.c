/*
 * base/digest.c - content digests and hashers on top of OpenSSL's EVP.
 *
 * The algorithms are fetched from OpenSSL once per process: an implicit fetch on every hash costs
 * more than hashing a small manifest does. A hasher lives new -> update* -> final -> free and
 * belongs to one thread at a time; everything else may be called from any.
 *
 * To add an algorithm: a row in `algos`, a value in enum dt_digest_algo, and DT_DIGEST_RAW_MAX.
 */
#include "base/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"

#define HASHER_MAGIC       0x68736872U
#define DIGEST_SHORT_BYTES 6

static const struct {
    const char *prefix;
    const char *openssl_name;
    size_t raw_len;
} algos[] = {
    [DT_SHA256] = {"sha256:", "SHA256", 32},
    [DT_SHA512] = {"sha512:", "SHA512", 64},
};
#define ALGO_END (sizeof(algos) / sizeof(algos[0]))

static pthread_once_t digest_once = PTHREAD_ONCE_INIT;
static EVP_MD *fetched[ALGO_END];
static uint64_t hash_seed;

static void digest_init(void)
{
    for (size_t i = DT_SHA256; i < ALGO_END; i++) {
        fetched[i] = EVP_MD_fetch(NULL, algos[i].openssl_name, NULL);
        DT_ASSERT(fetched[i] != NULL); /* an OpenSSL without SHA-2 cannot run this program */
    }
    DT_ASSERT(getrandom(&hash_seed, sizeof(hash_seed), 0) == (ssize_t)sizeof(hash_seed));
}

static void digest_need_init(void)
{
    DT_ASSERT(pthread_once(&digest_once, digest_init) == 0);
}

static bool algo_is_known(unsigned algo)
{
    return algo == DT_SHA256 || algo == DT_SHA512;
}

size_t dt_digest_raw_len(const struct dt_digest *digest)
{
    DT_ASSERT(algo_is_known(digest->algo));
    return algos[digest->algo].raw_len;
}

/* -1 for anything but 0-9a-f: the specification demands lower case, and one blob must not have
 * two names. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static unsigned algo_of_text(const char *text, size_t len)
{
    for (unsigned i = DT_SHA256; i < ALGO_END; i++) {
        size_t prefix_len = strlen(algos[i].prefix);
        if (len >= prefix_len && memcmp(text, algos[i].prefix, prefix_len) == 0)
            return i;
    }
    return 0;
}

int dt_digest_parse(struct dt_digest *out, const char *text, size_t len, struct dt_err *err)
{
    unsigned algo = algo_of_text(text, len);
    int shown = len < 24 ? (int)len : 24;
    if (algo == 0)
        return dt_err_set(err, DT_EINVAL, "digest '%.*s': only sha256:<hex> and sha512:<hex>",
                          shown, text);
    const char *hex = text + strlen(algos[algo].prefix);
    size_t hex_len = len - strlen(algos[algo].prefix);
    if (hex_len != 2 * algos[algo].raw_len)
        return dt_err_set(err, DT_EINVAL, "digest '%.*s': %zu hex characters, need %zu", shown,
                          text, hex_len, 2 * algos[algo].raw_len);
    struct dt_digest digest = {.algo = (uint8_t)algo};
    for (size_t i = 0; i < algos[algo].raw_len; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return dt_err_set(err, DT_EINVAL, "digest '%.*s': not lower-case hex at %zu", shown,
                              text, 2 * i);
        digest.raw[i] = (uint8_t)(high << 4 | low);
    }
    *out = digest;
    return 0;
}

static char *hex_print(char *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
    return out;
}

char *dt_digest_format(char out[DT_DIGEST_TEXT_MAX], const struct dt_digest *digest)
{
    size_t raw_len = dt_digest_raw_len(digest);
    size_t prefix_len = strlen(algos[digest->algo].prefix);
    memcpy(out, algos[digest->algo].prefix, prefix_len);
    hex_print(out + prefix_len, digest->raw, raw_len);
    return out;
}

char *dt_digest_short(char out[13], const struct dt_digest *digest)
{
    return hex_print(out, digest->raw, DIGEST_SHORT_BYTES);
}

bool dt_digest_equal(const struct dt_digest *a, const struct dt_digest *b)
{
    return a->algo == b->algo && memcmp(a->raw, b->raw, sizeof(a->raw)) == 0;
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood 2014): all input bits reach all output bits. */
static uint64_t hash_finish(uint64_t hash)
{
    hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9ULL;
    hash = (hash ^ hash >> 27) * 0x94d049bb133111ebULL;
    return hash ^ hash >> 31;
}

uint64_t dt_digest_hash(const struct dt_digest *digest)
{
    digest_need_init();
    /* All of it and keyed, although digests look random: whoever asks for a blob may invent its
     * digest, and could otherwise fill one bucket, or one loop, with made-up neighbours. */
    uint64_t hash = hash_seed ^ digest->algo;
    for (size_t i = 0; i < dt_digest_raw_len(digest); i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, digest->raw + i, sizeof(word));
        hash = hash_finish(hash ^ word);
    }
    return hash;
}

void dt_digest_of(struct dt_digest *out, enum dt_digest_algo algo, const void *bytes, size_t len)
{
    DT_ASSERT(algo_is_known(algo));
    digest_need_init();
    struct dt_digest digest = {.algo = (uint8_t)algo};
    DT_ASSERT(EVP_Digest(bytes, len, digest.raw, NULL, fetched[algo], NULL) == 1);
    *out = digest;
}

struct dt_hasher {
    unsigned magic;
    enum dt_digest_algo algo;
    EVP_MD_CTX *ctx; /* owned */
    bool is_final;
};

struct dt_hasher *dt_hasher_new(enum dt_digest_algo algo)
{
    DT_ASSERT(algo_is_known(algo));
    digest_need_init();
    struct dt_hasher *hasher = dt_new(struct dt_hasher);
    hasher->magic = HASHER_MAGIC;
    hasher->algo = algo;
    hasher->ctx = EVP_MD_CTX_new();
    DT_ASSERT(hasher->ctx != NULL); /* out of memory */
    DT_ASSERT(EVP_DigestInit_ex2(hasher->ctx, fetched[algo], NULL) == 1);
    return hasher;
}

void dt_hasher_update(struct dt_hasher *hasher, const void *bytes, size_t len)
{
    DT_ASSERT(hasher->magic == HASHER_MAGIC && !hasher->is_final);
    DT_ASSERT(EVP_DigestUpdate(hasher->ctx, bytes, len) == 1);
}

void dt_hasher_final(struct dt_hasher *hasher, struct dt_digest *out)
{
    DT_ASSERT(hasher->magic == HASHER_MAGIC && !hasher->is_final);
    *out = (struct dt_digest){.algo = (uint8_t)hasher->algo};
    DT_ASSERT(EVP_DigestFinal_ex(hasher->ctx, out->raw, NULL) == 1);
    hasher->is_final = true;
}

void dt_hasher_free(struct dt_hasher **hasher)
{
    if (*hasher == NULL)
        return;
    DT_ASSERT((*hasher)->magic == HASHER_MAGIC);
    EVP_MD_CTX_free((*hasher)->ctx);
    (*hasher)->magic = 0;
    dt_free(hasher);
}

uint64_t dt_hash_bytes(const void *bytes, size_t len)
{
    digest_need_init();
    const uint8_t *in = bytes;
    uint64_t hash = 0xcbf29ce484222325ULL ^ hash_seed;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ in[i]) * 0x100000001b3ULL;
    return hash_finish(hash);
}
