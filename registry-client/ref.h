/*
 * registry-client/ref.h - names, references and request paths of the OCI distribution API. Pure.
 *
 * Grammar (distribution-spec v1.1, "Pulling manifests"): a repository name is
 *   [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*     at most 255 bytes
 * a tag is [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}; a digest is base/digest.h's.
 */
#ifndef DARTER_REGISTRY_CLIENT_REF_H
#define DARTER_REGISTRY_CLIENT_REF_H

#include "base/digest.h"

#define REG_NAME_MAX 255
#define REG_TAG_MAX  128

bool reg_name_is_valid(const char *name, size_t len);
bool reg_tag_is_valid(const char *tag, size_t len);

/* A manifest reference: a tag or a digest. */
struct reg_reference {
    bool is_digest;
    char text[DT_DIGEST_TEXT_MAX]; /* as it goes into a URL; a tag is never longer */
    struct dt_digest digest;       /* when is_digest */
};
int reg_reference_parse(struct reg_reference *out, const char *text, size_t len, struct dt_err *);

/* Docker Hub by any name that clients, auth files and old settings have for it? */
bool reg_is_docker_hub(const char *host);

/* What a path on /v2/ asks for. */
enum reg_kind {
    REG_PING,      /* /v2/ and /v2 */
    REG_MANIFEST,  /* /v2/<name>/manifests/<reference> */
    REG_BLOB,      /* /v2/<name>/blobs/<digest> */
    REG_TAGS,      /* /v2/<name>/tags/list */
    REG_REFERRERS, /* /v2/<name>/referrers/<digest> */
    REG_UPLOAD,    /* /v2/<name>/blobs/uploads/... : never served, see 405 */
    REG_CATALOG,   /* /v2/_catalog */
    REG_OTHER,     /* below /v2/, unknown extension: passed through */
};
struct reg_path {
    enum reg_kind kind;
    char repository[REG_NAME_MAX + 1]; /* "" for ping, catalog, other */
    struct reg_reference reference;    /* manifest, blob, referrers */
};
/* `path` is the raw path without query. Percent-encoding is accepted only as %3A / %3a in a digest
 * and %2D..., never as %2F, %00 or dot segments (h2o hands us raw bytes on purpose).
 * Errors: DT_ENOTFOUND (not below /v2/), DT_EINVAL (bad name -> code NAME_INVALID, bad digest ->
 * DIGEST_INVALID, bad tag -> MANIFEST_INVALID; *registry_code says which). */
int reg_path_parse(struct reg_path *out, const char **registry_code, const char *path, size_t len,
                   struct dt_err *);

#endif
