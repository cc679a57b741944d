/*
 * registry-client/manifest.c - what a manifest or index refers to; see manifest.h.
 *
 * What is listed here decides who may read which blob, so a document that two readers could
 * understand in two ways has no children at all: it is refused, and callers hand its bytes on
 * without believing it. Refused are
 *   - both "manifests" and "layers" or "config" (CVE-2021-41190), or a Content-Type of the other
 * kind
 *   - a member twice, or spelled almost like one we read: registries are written in Go, whose JSON
 *     reader ignores case, so "LAYERS" would be checked there and "layers" believed here
 *
 * A new kind of document: a row in LISTS.
 */
#include "registry-client/manifest.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "registry-client/json_priv.h"

#define TYPE_DOCKER     "application/vnd.docker.distribution.manifest."
#define TYPE_OCI        "application/vnd.oci.image."
#define TYPE_INDEX      TYPE_OCI "index.v1+json"
#define TYPE_IMAGE      TYPE_OCI "manifest.v1+json"
#define TYPE_LIST       TYPE_DOCKER "list.v2+json"
#define TYPE_SCHEMA2    TYPE_DOCKER "v2+json"
#define TYPE_ARTIFACT   "application/vnd.oci.artifact.manifest.v1+json"
#define TYPE_SCHEMA1    TYPE_DOCKER "v1+json"
#define TYPE_SCHEMA1JWS TYPE_DOCKER "v1+prettyjws"

const char REG_ACCEPT_ALL_MANIFESTS[] =
    TYPE_INDEX ", " TYPE_IMAGE ", " TYPE_LIST ", " TYPE_SCHEMA2 ", " TYPE_ARTIFACT ", */*";

static const struct {
    const char *name;
    bool is_index;
} TYPES[] = {
    {TYPE_INDEX, true},     {TYPE_LIST, true},     {TYPE_IMAGE, false},      {TYPE_SCHEMA2, false},
    {TYPE_ARTIFACT, false}, {TYPE_SCHEMA1, false}, {TYPE_SCHEMA1JWS, false},
};
#define N_TYPES (sizeof(TYPES) / sizeof(TYPES[0]))

/* The row of a media type; parameters are not looked at. N_TYPES = no manifest type. */
static size_t find_type(const char *media_type)
{
    size_t len = media_type == NULL ? 0 : strcspn(media_type, "; \t");
    size_t i = 0;
    while (i < N_TYPES &&
           !(len == strlen(TYPES[i].name) && strncasecmp(media_type, TYPES[i].name, len) == 0))
        i++;
    return i;
}

bool reg_media_type_is_manifest(const char *media_type)
{
    return find_type(media_type) < N_TYPES;
}

/* ---- members ------------------------------------------------------------------------------------
 */

static const char *const ROOT_MEMBERS[] = {"mediaType", "config",   "layers", "manifests",
                                           "blobs",     "fsLayers", NULL};
static const char *const DESCRIPTOR_MEMBERS[] = {"mediaType", "digest",   "size",
                                                 "urls",      "platform", NULL};
static const char *const PLATFORM_MEMBERS[] = {"os", "architecture", "variant", NULL};
static const char *const FS_LAYER_MEMBERS[] = {"blobSum", NULL};

/* Equal under Go's folding: ASCII case, and the two letters beyond ASCII that fold into it (long s
 * and the Kelvin sign). */
static bool folds_to(const char *name, const char *member)
{
    while (*name != '\0' && *member != '\0') {
        char lower = (char)(*name >= 'A' && *name <= 'Z' ? *name - 'A' + 'a' : *name);
        size_t n = 1;
        if (strncmp(name, "\xc5\xbf", 2) == 0) {
            lower = 's';
            n = 2;
        } else if (strncmp(name, "\xe2\x84\xaa", 3) == 0) {
            lower = 'k';
            n = 3;
        }
        if (lower != (*member >= 'A' && *member <= 'Z' ? *member - 'A' + 'a' : *member))
            return false;
        name += n;
        member++;
    }
    return *name == *member;
}

static int check_members(json_t *object, const char *const *members, struct dt_err *err)
{
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(object, name, value)
    {
        for (size_t i = 0; members[i] != NULL; i++)
            if (strcmp(name, members[i]) != 0 && folds_to(name, members[i]))
                return dt_err_set(err, DT_EINVAL, "manifest: member \"%s\" in another spelling",
                                  members[i]);
    }
    return 0;
}

/* A member that is absent or null (Go prints empty lists so) -> NULL. */
static json_t *member(const json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    return json_is_null(value) ? NULL : value;
}

/* Copies a string member; absent = "". It may become a header or a log line: printable ASCII. */
static int copy_text(char *out, size_t out_size, const json_t *object, const char *name,
                     struct dt_err *err)
{
    json_t *value = member(object, name);
    const char *text = value == NULL ? "" : json_string_value(value);

    out[0] = '\0';
    if (text == NULL || !dt_text_print(out, out_size, "%s", text))
        return dt_err_set(err, DT_EINVAL, "manifest: \"%s\" is too long or not a string", name);
    for (; *text != '\0'; text++)
        if (*text <= 0x20 || *text >= 0x7f)
            return dt_err_set(err, DT_EINVAL, "manifest: \"%s\" has odd characters", name);
    return 0;
}

/* ---- descriptors --------------------------------------------------------------------------------
 */

static int copy_digest(struct reg_descriptor *out, const json_t *object, const char *name,
                       struct dt_err *err)
{
    json_t *value = member(object, name);
    if (!json_is_string(value))
        return dt_err_set(err, DT_EINVAL, "manifest: a descriptor without \"%s\"", name);
    return dt_digest_parse(&out->digest, json_string_value(value), json_string_length(value), err);
}

static int copy_platform(struct reg_descriptor *out, json_t *platform, struct dt_err *err)
{
    char os[32], architecture[32], variant[32];

    if (platform == NULL)
        return 0;
    if (!json_is_object(platform))
        return dt_err_set(err, DT_EINVAL, "manifest: \"platform\" is not an object");
    if (check_members(platform, PLATFORM_MEMBERS, err) < 0 ||
        copy_text(os, sizeof(os), platform, "os", err) < 0 ||
        copy_text(architecture, sizeof(architecture), platform, "architecture", err) < 0 ||
        copy_text(variant, sizeof(variant), platform, "variant", err) < 0)
        return -DT_EINVAL;
    if (os[0] == '\0' && architecture[0] == '\0')
        return 0;
    if (!dt_text_print(out->platform, sizeof(out->platform), "%s/%s%s%s", os, architecture,
                       variant[0] == '\0' ? "" : "/", variant))
        return dt_err_set(err, DT_EINVAL, "manifest: \"platform\" is too long");
    return 0;
}

static int copy_descriptor(struct reg_descriptor *out, json_t *object, struct dt_err *err)
{
    json_t *size = member(object, "size");

    if (check_members(object, DESCRIPTOR_MEMBERS, err) < 0 ||
        copy_digest(out, object, "digest", err) < 0 ||
        copy_text(out->media_type, sizeof(out->media_type), object, "mediaType", err) < 0 ||
        copy_platform(out, member(object, "platform"), err) < 0)
        return -DT_EINVAL;
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return dt_err_set(err, DT_EINVAL, "manifest: a descriptor without a size");
    out->size = (uint64_t)json_integer_value(size);
    out->is_foreign = json_array_size(member(object, "urls")) > 0;
    return 0;
}

static int copy_fs_layer(struct reg_descriptor *out, json_t *object, struct dt_err *err)
{
    out->size = UINT64_MAX;
    if (check_members(object, FS_LAYER_MEMBERS, err) < 0)
        return -DT_EINVAL;
    return copy_digest(out, object, "blobSum", err);
}

/* ---- the document -------------------------------------------------------------------------------
 */

/* Where children stand. The first row whose member is there also tells the kind of document; rows
 * of different groups do not go together. */
static const struct list {
    const char *member;
    const char *deduced_type; /* "" = nothing deduced */
    int group;
    bool is_index;
    int (*copy)(struct reg_descriptor *, json_t *, struct dt_err *);
} LISTS[] = {
    {"manifests", TYPE_INDEX, 1, true, copy_descriptor},
    {"layers", "", 2, false, copy_descriptor},
    {"config", "", 2, false, copy_descriptor},
    {"blobs", TYPE_ARTIFACT, 3, false, copy_descriptor},
    {"fsLayers", TYPE_SCHEMA1, 4, false, copy_fs_layer},
};
#define N_LISTS (sizeof(LISTS) / sizeof(LISTS[0]))

static int add_child(struct reg_manifest *out, const struct list *list, json_t *object,
                     struct dt_err *err)
{
    struct reg_descriptor *child = &out->children[out->n_children];

    if (!json_is_object(object))
        return dt_err_set(err, DT_EINVAL, "manifest: \"%s\" holds no descriptor", list->member);
    int rc = list->copy(child, object, err);
    if (rc < 0)
        return rc;
    /* BuildKit's cache export is an index of plain blobs: the child's own type decides. */
    child->is_manifest = list->is_index && (child->media_type[0] == '\0' ||
                                            reg_media_type_is_manifest(child->media_type));
    out->n_children++;
    return 0;
}

static int add_list(struct reg_manifest *out, const struct list *list, json_t *value,
                    struct dt_err *err)
{
    json_t *object = NULL;
    size_t i = 0;

    if (json_is_object(value) && strcmp(list->member, "config") == 0)
        return add_child(out, list, value, err);
    if (!json_is_array(value))
        return dt_err_set(err, DT_EINVAL, "manifest: \"%s\" has the wrong type", list->member);
    json_array_foreach(value, i, object)
    {
        int rc = add_child(out, list, object, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static size_t list_size(const json_t *value)
{
    return json_is_array(value) ? json_array_size(value) : value != NULL;
}

/* Which kind the document is, and room for all its children. *out_kind NULL = no list at all. */
static int survey(struct reg_manifest *out, const struct list **out_kind, const json_t *root,
                  struct dt_err *err)
{
    size_t n = 0;

    *out_kind = NULL;
    for (size_t i = 0; i < N_LISTS; i++) {
        json_t *value = member(root, LISTS[i].member);
        if (value == NULL)
            continue;
        if (*out_kind == NULL)
            *out_kind = &LISTS[i];
        if ((*out_kind)->group != LISTS[i].group)
            return dt_err_set(err, DT_EINVAL, "manifest: both \"%s\" and \"%s\": ambiguous",
                              (*out_kind)->member, LISTS[i].member);
        n += list_size(value);
    }
    if (n > REG_CHILDREN_MAX)
        return dt_err_set(err, DT_EINVAL, "manifest: %zu children, at most %d are read", n,
                          REG_CHILDREN_MAX);
    out->is_index = *out_kind != NULL && (*out_kind)->is_index;
    out->children = dt_new_array(struct reg_descriptor, n > 0 ? n : 1);
    return 0;
}

/* The document's own type, else the registry's word, else what the lists tell. */
static int settle_type(struct reg_manifest *out, const struct list *kind, const char *content_type,
                       struct dt_err *err)
{
    size_t said = find_type(content_type);
    size_t own = find_type(out->media_type);

    if ((kind != NULL && said < N_TYPES && TYPES[said].is_index != out->is_index) ||
        (kind != NULL && own < N_TYPES && TYPES[own].is_index != out->is_index))
        return dt_err_set(err, DT_EINVAL, "manifest: its type and its content disagree");
    if (out->media_type[0] != '\0')
        return 0;
    const char *type = said < N_TYPES ? TYPES[said].name : kind == NULL ? "" : kind->deduced_type;
    memcpy(out->media_type, type, strlen(type) + 1);
    return 0;
}

int reg_manifest_parse(struct reg_manifest *out, const char *bytes, size_t len,
                       const char *content_type, struct dt_err *err)
{
    const struct list *kind = NULL;
    json_t *root = NULL;

    *out = (struct reg_manifest){.children = NULL};
    int rc = reg_json_load(&root, bytes, len, REG_MANIFEST_MAX, "manifest", err);
    if (rc < 0)
        return rc;
    if ((rc = check_members(root, ROOT_MEMBERS, err)) < 0 ||
        (rc = copy_text(out->media_type, sizeof(out->media_type), root, "mediaType", err)) < 0 ||
        (rc = survey(out, &kind, root, err)) < 0 ||
        (rc = settle_type(out, kind, content_type, err)) < 0)
        goto out;
    for (size_t i = 0; i < N_LISTS && rc == 0; i++) {
        json_t *value = member(root, LISTS[i].member);
        if (value != NULL)
            rc = add_list(out, &LISTS[i], value, err);
    }
out:
    json_decref(root);
    if (rc < 0)
        reg_manifest_fini(out);
    return rc;
}

void reg_manifest_fini(struct reg_manifest *manifest)
{
    free(manifest->children);
    *manifest = (struct reg_manifest){.children = NULL};
}
