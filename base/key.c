/*
 * base/key.c - see key.h. HKDF, HMAC and AES-GCM come from OpenSSL.
 *
 *   keys file -> secrets -> (HKDF) one MAC key per use, one sealing key, one id -> struct key_set
 *
 * A secret is forgotten as soon as the keys are derived. The set is immutable and counted: whoever
 * uses it while a reload puts another one in its place keeps it alive. MACs begin as copies of a
 * context that has its key already, which saves two hash blocks and a fetch each time. A sealed
 * text is base64url of: key id (4 bytes), nonce (12), cipher text, tag (16).
 *
 * A new use: a row in DT_KEY_USES; its key is derived from the row's word.
 */
#include "base/key.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/text.h"

#define KEYS_MAGIC    0x6b657973u
#define KEY_FILE_MAX  (16 * 1024u) /* four secrets and a page of comments */
#define KEY_RAW_LEN   32
#define KEY_ID_BITS   28 /* "k" and seven hex characters */
#define MAC_LEN       16 /* of the 32 bytes of HMAC-SHA-256: 2^128 guesses are enough */
#define SEAL_ID_LEN   4
#define SEAL_NONCE    12 /* random: good for 2^32 messages under one key (NIST SP 800-38D, 8.3) */
#define SEAL_TAG      16
#define SEAL_OVERHEAD (SEAL_ID_LEN + SEAL_NONCE + SEAL_TAG)
#define SEALED_MAX    (DT_SEAL_MAX + SEAL_OVERHEAD)

struct key {
    uint32_t id;
    EVP_MAC_CTX *macs[DT_KEY_USE_END]; /* owned; keyed, never updated: copied for each MAC */
    uint8_t seal[KEY_RAW_LEN];
};

struct key_set {
    atomic_uint n_refs;
    size_t n;
    struct key keys[DT_KEYS_MAX];
};

struct dt_keys {
    unsigned magic;
    char *file; /* owned; NULL = they came from memory */
    pthread_mutex_t lock;
    struct key_set *set; /* counted; swapped under the lock */
};

/* ---- algorithms, once per process ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static EVP_KDF *hkdf;
static EVP_MAC *hmac;
static EVP_CIPHER *aes;

static void fetch_algorithms(void)
{
    hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    aes = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    DT_ASSERT(hkdf != NULL && hmac != NULL && aes != NULL); /* not a usable OpenSSL */
}

void dt_random_bytes(void *out, size_t len)
{
    DT_ASSERT(len <= INT32_MAX && RAND_bytes(out, (int)len) == 1);
}

/* ---- from a secret to its keys ---- */

static void derive(uint8_t *out, size_t out_len, const char *secret, size_t len, const char *word)
{
    char info[64];
    DT_ASSERT(dt_text_print(info, sizeof(info), "darter 1 %s", word));
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(hkdf);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (char *)secret, len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, strlen(info)),
        OSSL_PARAM_construct_end(),
    };
    DT_ASSERT(ctx != NULL && EVP_KDF_derive(ctx, out, out_len, params) == 1);
    EVP_KDF_CTX_free(ctx);
}

static EVP_MAC_CTX *keyed_mac(const uint8_t raw[KEY_RAW_LEN])
{
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    DT_ASSERT(ctx != NULL && EVP_MAC_init(ctx, raw, KEY_RAW_LEN, params) == 1);
    return ctx;
}

static void key_init(struct key *out, const char *secret, size_t len)
{
    static const char *const WORDS[] = {
#define X(name, word) word,
        DT_KEY_USES(X)
#undef X
    };
    uint8_t raw[KEY_RAW_LEN], id[4];

    for (size_t use = 0; use < DT_KEY_USE_END; use++) {
        derive(raw, sizeof(raw), secret, len, WORDS[use]);
        out->macs[use] = keyed_mac(raw);
    }
    derive(out->seal, sizeof(out->seal), secret, len, "seal");
    derive(id, sizeof(id), secret, len, "id");
    out->id = ((uint32_t)id[0] << 24 | (uint32_t)id[1] << 16 | (uint32_t)id[2] << 8 | id[3]) >>
              (32 - KEY_ID_BITS);
    OPENSSL_cleanse(raw, sizeof(raw));
}

static void set_unref(struct key_set **set)
{
    struct key_set *gone = *set;

    *set = NULL;
    if (gone == NULL || atomic_fetch_sub(&gone->n_refs, 1) > 1)
        return;
    for (size_t i = 0; i < gone->n; i++)
        for (size_t use = 0; use < DT_KEY_USE_END; use++)
            EVP_MAC_CTX_free(gone->keys[i].macs[use]);
    OPENSSL_cleanse(gone, sizeof(*gone));
    free(gone);
}

/* ---- the file ---- */

static int check_secret(const char *secret, size_t len, unsigned line, struct dt_err *err)
{
    if (len < DT_KEY_MIN || len > DT_KEY_LINE_MAX)
        return dt_err_set(err, DT_EINVAL, "line %u: a key has %u to %u characters, this one %zu",
                          line, DT_KEY_MIN, DT_KEY_LINE_MAX, len);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)secret[i] < 0x20 || secret[i] == 0x7f)
            return dt_err_set(err, DT_EINVAL, "line %u: a control character at column %zu", line,
                              i + 1);
    return 0;
}

static int add_line(struct key_set *set, const char *text, size_t len, unsigned line,
                    struct dt_err *err)
{
    if (len > 0 && text[len - 1] == '\r')
        len--;
    dt_text_trim(&text, &len);
    if (len == 0 || text[0] == '#')
        return 0;
    int rc = check_secret(text, len, line, err);
    if (rc < 0)
        return rc;
    if (set->n == DT_KEYS_MAX)
        return dt_err_set(err, DT_EINVAL, "line %u: more than %u keys", line, DT_KEYS_MAX);
    key_init(&set->keys[set->n++], text, len);
    return 0;
}

static int set_parse(struct key_set **out, const char *text, size_t len, struct dt_err *err)
{
    struct key_set *set = dt_new(struct key_set);
    int rc = 0;
    unsigned line = 0;

    DT_ASSERT(pthread_once(&once, fetch_algorithms) == 0);
    atomic_init(&set->n_refs, 1);
    for (size_t pos = 0; rc == 0 && pos < len;) {
        const char *end = memchr(text + pos, '\n', len - pos);
        size_t line_len = end == NULL ? len - pos : (size_t)(end - (text + pos));
        rc = add_line(set, text + pos, line_len, ++line, err);
        pos += line_len + 1;
    }
    if (rc == 0 && set->n == 0)
        rc = dt_err_set(err, DT_EINVAL, "no key in it");
    if (rc == 0) {
        *out = set;
        set = NULL;
    }
    set_unref(&set);
    return rc;
}

static int read_all(char *out, size_t *len, int fd)
{
    size_t pos = 0;

    while (pos < KEY_FILE_MAX + 1) {
        ssize_t n = read(fd, out + pos, KEY_FILE_MAX + 1 - pos);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        pos += (size_t)n;
    }
    *len = pos;
    return 0;
}

static int set_load(struct key_set **out, const char *file, struct dt_err *err)
{
    struct dt_err why = {.code = 0};
    struct stat st;
    char *text = NULL;
    size_t len = 0;
    int rc = 0;

    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = dt_err_errno(err, DT_EINVAL, errno, "cluster key file %s", file);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = dt_err_set(err, DT_EINVAL, "cluster key file %s: not a regular file", file);
        goto out;
    }
    /* A credential of systemd is root's, and an ACL lets the service read it: that ACL's mask is
     * what stands in the group's bits (systemd.exec(5), LoadCredential=). */
    mode_t others = S_IRWXG | S_IRWXO;
    if (st.st_uid == 0 && st.st_gid == 0 && geteuid() != 0)
        others &= ~(mode_t)S_IRGRP;
    if ((st.st_mode & others) != 0) {
        rc = dt_err_set(err, DT_EINVAL,
                        "cluster key file %s: others may read it (mode %04o): chmod 0600", file,
                        (unsigned)(st.st_mode & 07777));
        goto out;
    }
    text = dt_calloc(KEY_FILE_MAX + 1, 1);
    if (read_all(text, &len, fd) < 0) {
        rc = dt_err_errno(err, DT_EINVAL, errno, "cluster key file %s", file);
        goto out;
    }
    if (len > KEY_FILE_MAX)
        rc = dt_err_set(err, DT_EINVAL, "cluster key file %s: more than %u bytes", file,
                        KEY_FILE_MAX);
    else if (set_parse(out, text, len, &why) < 0)
        rc = dt_err_set(err, DT_EINVAL, "cluster key file %s: %s", file, why.msg);
out:
    if (text != NULL)
        OPENSSL_cleanse(text, KEY_FILE_MAX + 1);
    free(text);
    dt_close(&fd);
    return rc;
}

static struct dt_keys *keys_new(struct key_set *set, const char *file)
{
    struct dt_keys *keys = dt_new(struct dt_keys);
    keys->magic = KEYS_MAGIC;
    keys->file = dt_strdup(file);
    keys->set = set;
    DT_ASSERT(pthread_mutex_init(&keys->lock, NULL) == 0);
    return keys;
}

int dt_keys_load(struct dt_keys **out, const char *file, struct dt_err *err)
{
    struct key_set *set = NULL;

    *out = NULL;
    int rc = set_load(&set, file, err);
    if (rc == 0)
        *out = keys_new(set, file);
    return rc;
}

int dt_keys_parse(struct dt_keys **out, const char *text, size_t len, struct dt_err *err)
{
    struct key_set *set = NULL;

    *out = NULL;
    int rc = set_parse(&set, text, len, err);
    if (rc == 0)
        *out = keys_new(set, NULL);
    return rc;
}

int dt_keys_reload(struct dt_keys *keys, struct dt_err *err)
{
    struct key_set *set = NULL;

    DT_ASSERT(keys->magic == KEYS_MAGIC && keys->file != NULL);
    int rc = set_load(&set, keys->file, err);
    if (rc < 0)
        return rc;
    DT_ASSERT(pthread_mutex_lock(&keys->lock) == 0);
    struct key_set *old = keys->set;
    keys->set = set;
    DT_ASSERT(pthread_mutex_unlock(&keys->lock) == 0);
    set_unref(&old);
    return 0;
}

void dt_keys_free(struct dt_keys **keys)
{
    if (*keys == NULL)
        return;
    DT_ASSERT((*keys)->magic == KEYS_MAGIC);
    (*keys)->magic = 0;
    set_unref(&(*keys)->set);
    DT_ASSERT(pthread_mutex_destroy(&(*keys)->lock) == 0);
    free((*keys)->file);
    dt_free(keys);
}

static struct key_set *set_ref(struct dt_keys *keys)
{
    DT_ASSERT(keys->magic == KEYS_MAGIC);
    DT_ASSERT(pthread_mutex_lock(&keys->lock) == 0);
    struct key_set *set = keys->set;
    atomic_fetch_add(&set->n_refs, 1);
    DT_ASSERT(pthread_mutex_unlock(&keys->lock) == 0);
    return set;
}

const char *dt_keys_print(char out[DT_KEYS_TEXT_MAX], struct dt_keys *keys)
{
    struct key_set *set = set_ref(keys);
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < set->n; i++) {
        DT_ASSERT(dt_text_print(out + len, DT_KEYS_TEXT_MAX - len, "%sk%07x", i > 0 ? " " : "",
                                set->keys[i].id));
        len += strlen(out + len);
    }
    set_unref(&set);
    return out;
}

/* ---- MACs ---- */

static void mac_print(char out[DT_MAC_TEXT_MAX], const struct key *key, enum dt_key_use use,
                      const struct dt_key_part *parts, size_t n)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    char hex[2 * MAC_LEN + 1];
    size_t mac_len = 0;
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(key->macs[use]);

    DT_ASSERT(ctx != NULL);
    for (size_t i = 0; i < n; i++) {
        uint8_t len[8];
        for (size_t byte = 0; byte < sizeof(len); byte++)
            len[byte] = (uint8_t)((uint64_t)parts[i].len >> (56 - 8 * byte));
        DT_ASSERT(EVP_MAC_update(ctx, len, sizeof(len)) == 1);
        if (parts[i].len > 0) /* the pointer may be NULL then */
            DT_ASSERT(EVP_MAC_update(ctx, parts[i].bytes, parts[i].len) == 1);
    }
    DT_ASSERT(EVP_MAC_final(ctx, mac, &mac_len, sizeof(mac)) == 1 && mac_len >= MAC_LEN);
    EVP_MAC_CTX_free(ctx);
    for (size_t i = 0; i < MAC_LEN; i++)
        DT_ASSERT(dt_text_print(hex + 2 * i, 3, "%02x", mac[i]));
    DT_ASSERT(dt_text_print(out, DT_MAC_TEXT_MAX, "k%07x.%s", key->id, hex));
}

void dt_keys_sign(char out[DT_MAC_TEXT_MAX], struct dt_keys *keys, enum dt_key_use use,
                  const struct dt_key_part *parts, size_t n)
{
    struct key_set *set = set_ref(keys);
    mac_print(out, &set->keys[0], use, parts, n);
    set_unref(&set);
}

#define MAC_ID_LEN 8 /* "k3f2a91c" */

static bool is_mac_text(const char *mac)
{
    static const char FORM[] = "kxxxxxxx.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

    if (strlen(mac) != sizeof(FORM) - 1)
        return false;
    for (size_t i = 0; i < sizeof(FORM) - 1; i++)
        if (FORM[i] == 'x' ? strchr("0123456789abcdef", mac[i]) == NULL : mac[i] != FORM[i])
            return false;
    return true;
}

int dt_keys_check(struct dt_keys *keys, enum dt_key_use use, const char *mac,
                  const struct dt_key_part *parts, size_t n, struct dt_err *err)
{
    char expected[DT_MAC_TEXT_MAX], id[MAC_ID_LEN + 1];
    bool is_known = false, is_good = false;

    if (!is_mac_text(mac))
        return dt_err_set(err, DT_EDENIED, "the MAC is malformed");
    struct key_set *set = set_ref(keys);
    for (size_t i = 0; i < set->n && !is_good; i++) {
        DT_ASSERT(dt_text_print(id, sizeof(id), "k%07x", set->keys[i].id));
        if (memcmp(id, mac, MAC_ID_LEN) != 0) /* ids are no secret; two keys may share one */
            continue;
        is_known = true;
        mac_print(expected, &set->keys[i], use, parts, n);
        is_good = CRYPTO_memcmp(expected, mac, strlen(expected)) == 0;
    }
    set_unref(&set);
    if (is_good)
        return 0;
    return is_known ? dt_err_set(err, DT_EDENIED, "the MAC is wrong")
                    : dt_err_set(err, DT_EDENIED, "no such cluster key: %.*s", MAC_ID_LEN, mac);
}

/* ---- sealing ---- */

/* One message on its way through AES-GCM. */
struct gcm {
    const uint8_t *nonce;
    const char *context;
    const uint8_t *in;
    uint8_t *out, *tag;
    size_t len; /* of in and out */
};

/* For opening, the tag is compared: returns whether it fitted. */
static bool gcm_run(const struct gcm *job, const struct key *key, bool is_seal)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    size_t context_len = strlen(job->context);
    int len = 0;

    DT_ASSERT(ctx != NULL && context_len <= INT32_MAX && job->len <= SEALED_MAX);
    DT_ASSERT(EVP_CipherInit_ex2(ctx, aes, key->seal, job->nonce, is_seal, NULL) == 1);
    DT_ASSERT(EVP_CipherUpdate(ctx, NULL, &len, (const uint8_t *)job->context, (int)context_len) ==
              1);
    DT_ASSERT(EVP_CipherUpdate(ctx, job->out, &len, job->in, (int)job->len) == 1);
    if (!is_seal)
        DT_ASSERT(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, job->tag) == 1);
    bool is_good = EVP_CipherFinal_ex(ctx, job->out + job->len, &len) == 1;
    if (is_seal)
        DT_ASSERT(is_good &&
                  EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, job->tag) == 1);
    EVP_CIPHER_CTX_free(ctx);
    return is_good;
}

static void put_id(uint8_t out[SEAL_ID_LEN], uint32_t id)
{
    for (size_t i = 0; i < SEAL_ID_LEN; i++)
        out[i] = (uint8_t)(id >> (24 - 8 * i));
}

char *dt_keys_seal(struct dt_keys *keys, const char *context, const char *plain)
{
    size_t len = strlen(plain), sealed_len = len + SEAL_OVERHEAD;
    DT_ASSERT(len <= DT_SEAL_MAX);
    uint8_t *sealed = dt_calloc(sealed_len, 1);
    uint8_t *nonce = sealed + SEAL_ID_LEN, *body = nonce + SEAL_NONCE;
    struct key_set *set = set_ref(keys);

    put_id(sealed, set->keys[0].id);
    dt_random_bytes(nonce, SEAL_NONCE);
    const struct gcm job = {.nonce = nonce,
                            .context = context,
                            .in = (const uint8_t *)plain,
                            .out = body,
                            .tag = body + len,
                            .len = len};
    DT_ASSERT(gcm_run(&job, &set->keys[0], true));
    char *text = dt_base64url_encode(sealed, sealed_len);
    set_unref(&set);
    free(sealed);
    return text;
}

/* false: not under any of the keys. `plain` has room for the sealed length. */
static bool open_any(uint8_t *plain, const struct key_set *set, const char *context,
                     uint8_t *sealed, size_t sealed_len)
{
    size_t len = sealed_len - SEAL_OVERHEAD;
    uint8_t *nonce = sealed + SEAL_ID_LEN, *body = nonce + SEAL_NONCE;

    const struct gcm job = {.nonce = nonce,
                            .context = context,
                            .in = body,
                            .out = plain,
                            .tag = body + len,
                            .len = len};
    for (size_t i = 0; i < set->n; i++) {
        uint8_t id[SEAL_ID_LEN];
        put_id(id, set->keys[i].id);
        if (memcmp(id, sealed, sizeof(id)) == 0 && gcm_run(&job, &set->keys[i], false))
            return true;
    }
    return false;
}

int dt_keys_open(char **out, struct dt_keys *keys, const char *context, const char *sealed,
                 struct dt_err *err)
{
    size_t text_len = strlen(sealed), raw_len = text_len * 3 / 4, plain_len = 0;
    uint8_t *raw = NULL, *plain = NULL;
    struct key_set *set = NULL;
    int rc = -DT_EDENIED;

    *out = NULL;
    if (raw_len < SEAL_OVERHEAD || raw_len > SEALED_MAX)
        return dt_err_set(err, DT_EDENIED, "sealed text: %zu characters cannot be right", text_len);
    plain_len = raw_len - SEAL_OVERHEAD;
    raw = dt_calloc(raw_len, 1);
    plain = dt_calloc(raw_len + 1, 1);
    set = set_ref(keys);
    if (!dt_base64url_decode(raw, raw_len, sealed, text_len)) {
        rc = dt_err_set(err, DT_EDENIED, "sealed text: not base64url");
        goto out;
    }
    if (!open_any(plain, set, context, raw, raw_len) || memchr(plain, 0, plain_len) != NULL) {
        rc = dt_err_set(err, DT_EDENIED, "sealed text: not by our key, or for something else");
        goto out;
    }
    plain[plain_len] = '\0';
    *out = (char *)plain;
    plain = NULL;
    rc = 0;
out:
    if (plain != NULL)
        OPENSSL_cleanse(plain, raw_len + 1);
    free(plain);
    free(raw);
    set_unref(&set);
    return rc;
}
