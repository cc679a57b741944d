/*
 * registry-client/manifest.h - what a manifest or index refers to. Pure.
 *
 * Accepts Docker schema 2 manifests and lists, OCI manifests and indexes, artifacts with unknown
 * config types. Schema 1 is recognised by type and has no trusted children (its blobSums are
 * listed). Input is at most REG_MANIFEST_MAX bytes; depth, number of children and string lengths
 * are limited. Documents that two readers could understand in two ways are refused (manifest.c): a
 * caller hands their bytes on and believes none of their children.
 */
#ifndef DARTER_REGISTRY_CLIENT_MANIFEST_H
#define DARTER_REGISTRY_CLIENT_MANIFEST_H

#include "base/digest.h"

#define REG_MANIFEST_MAX   (4 * 1024 * 1024u)
#define REG_CHILDREN_MAX   4096
#define REG_MEDIA_TYPE_MAX 127
#define REG_JSON_DEPTH_MAX 64

/* All manifest types, for Accept when resolving a tag: a registry asked without the right type
 * answers with another digest (docs/internals/registry-behaviour.md). */
extern const char REG_ACCEPT_ALL_MANIFESTS[];

struct reg_descriptor {
    struct dt_digest digest;
    uint64_t size; /* UINT64_MAX = not given (schema 1) */
    char media_type[REG_MEDIA_TYPE_MAX + 1];
    bool is_manifest;  /* child of an index (or subject): lives under /manifests/, not /blobs/ */
    bool is_foreign;   /* has urls: the registry may not hold it */
    char platform[64]; /* "linux/arm64/v8" or "" */
};
struct reg_manifest {
    char media_type[REG_MEDIA_TYPE_MAX + 1]; /* the document's own, else deduced, else "" */
    bool is_index;
    struct reg_descriptor *children; /* owned: config, layers, manifests, subject excluded */
    size_t n_children;
};
/* `content_type` is what the registry said, may be NULL. Errors: DT_EINVAL (not JSON, not an
 * object, too deep, too many children, bad digest), DT_ETOOBIG. */
int reg_manifest_parse(struct reg_manifest *out, const char *bytes, size_t len,
                       const char *content_type, struct dt_err *);
void reg_manifest_fini(struct reg_manifest *);
bool reg_media_type_is_manifest(const char *media_type); /* parameters after ';' are ignored */

#endif
