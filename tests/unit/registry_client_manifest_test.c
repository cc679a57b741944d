/*
 * tests/unit/registry_client_manifest_test.c - what documents refer to, and which are refused.
 */
#include "registry-client/manifest.h"

#include "base/mem.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX64 "3f2a91c04b7e00112233445566778899aabbccddeeff00112233445566778899"
#define D     "\"digest\":\"sha256:" HEX64 "\",\"size\":7"
#define DESC  "{" D "}"
#define N(a)  (sizeof(a) / sizeof((a)[0]))

#define OCI_IMAGE   "application/vnd.oci.image.manifest.v1+json"
#define OCI_INDEX   "application/vnd.oci.image.index.v1+json"
#define DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define SCHEMA1     "application/vnd.docker.distribution.manifest.v1+json"

static int parse(struct reg_manifest *out, const char *json, const char *type)
{
    struct dt_err err = {.code = 0};
    int rc = reg_manifest_parse(out, json, strlen(json), type, &err);
    assert_int_equal(rc, -err.code);
    return rc;
}

static void image__lists_layers_and_config(void **state)
{
    static const char JSON[] =
        "{\"schemaVersion\":2,\"mediaType\":\"" OCI_IMAGE "\","
        "\"config\":{\"mediaType\":\"application/vnd.cncf.helm.config.v1+json\"," D "},"
        "\"layers\":[{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\"," D ","
        "\"urls\":[\"http://x\"],\"annotations\":{\"Size\":\"x\"}},{" D ",\"urls\":[]}],"
        "\"subject\":{\"digest\":\"anything\"}}";
    struct reg_manifest m;
    (void)state;
    assert_int_equal(parse(&m, JSON, OCI_IMAGE "; charset=utf-8"), 0);
    assert_string_equal(m.media_type, OCI_IMAGE);
    assert_false(m.is_index);
    assert_int_equal(m.n_children, 3);
    assert_true(m.children[0].is_foreign);
    assert_false(m.children[0].is_manifest);
    assert_false(m.children[1].is_foreign);
    assert_int_equal(m.children[1].size, 7);
    assert_string_equal(m.children[2].media_type, "application/vnd.cncf.helm.config.v1+json");
    reg_manifest_fini(&m);
    reg_manifest_fini(&m);
    assert_null(m.children);
}

static void index__lists_manifests_with_platforms(void **state)
{
    static const char JSON[] =
        "{\"manifests\":[{\"mediaType\":\"" OCI_IMAGE "\"," D
        ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}},"
        "{" D ",\"platform\":{\"os\":\"linux\",\"architecture\":\"amd64\"}},"
        "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\"," D ",\"platform\":{}}]}";
    struct reg_manifest m;
    (void)state;
    assert_int_equal(parse(&m, JSON, NULL), 0);
    assert_true(m.is_index);
    assert_string_equal(m.media_type, OCI_INDEX);
    assert_int_equal(m.n_children, 3);
    assert_string_equal(m.children[0].platform, "linux/arm64/v8");
    assert_string_equal(m.children[1].platform, "linux/amd64");
    assert_string_equal(m.children[2].platform, "");
    assert_true(m.children[0].is_manifest);
    assert_true(m.children[1].is_manifest);
    assert_false(m.children[2].is_manifest); /* BuildKit's cache: blobs in an index */
    reg_manifest_fini(&m);
}

static void type__is_own_then_said_then_deduced(void **state)
{
    static const struct {
        const char *json, *said, *type;
    } ROWS[] = {
        {"{\"mediaType\":\"application/x\",\"layers\":[]}", OCI_IMAGE, "application/x"},
        {"{\"layers\":null}", OCI_IMAGE, OCI_IMAGE},
        {"{\"manifests\":[]}", DOCKER_LIST, DOCKER_LIST},
        {"{\"manifests\":[]}", "application/json", OCI_INDEX},
        {"{\"layers\":[]}", "text/html", ""},
        {"{\"blobs\":[]}", NULL, "application/vnd.oci.artifact.manifest.v1+json"},
        {"{\"fsLayers\":[]}", NULL, SCHEMA1},
        {"{}", NULL, ""},
        {"{\"mediaType\":null}", "", ""},
    };
    struct reg_manifest m;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        assert_int_equal(parse(&m, ROWS[i].json, ROWS[i].said), 0);
        assert_string_equal(m.media_type, ROWS[i].type);
        assert_int_equal(m.n_children, 0);
        reg_manifest_fini(&m);
    }
}

static void schema1__lists_blob_sums_without_sizes(void **state)
{
    struct reg_manifest m;
    (void)state;
    assert_int_equal(parse(&m,
                           "{\"schemaVersion\":1,\"fsLayers\":[{\"blobSum\":\"sha256:" HEX64 "\"}],"
                           "\"history\":[{\"v1Compatibility\":\"{}\"}]}",
                           SCHEMA1),
                     0);
    assert_int_equal(m.n_children, 1);
    assert_true(m.children[0].size == UINT64_MAX);
    reg_manifest_fini(&m);
}

static void document__is_refused_when_it_could_be_read_in_two_ways(void **state)
{
    static const struct {
        const char *json, *said;
    } ROWS[] = {
        {"{\"manifests\":[],\"layers\":[]}", NULL}, /* CVE-2021-41190 */
        {"{\"manifests\":[],\"config\":" DESC "}", NULL},
        {"{\"layers\":[],\"fsLayers\":[]}", NULL},
        {"{\"layers\":[],\"layers\":[]}", NULL},
        {"{\"layers\":[],\"Layers\":[]}", NULL},
        {"{\"LAYERS\":[]}", NULL},
        {"{\"layer\xc5\xbf\":[]}", NULL}, /* long s */
        {"{\"blob\\u017f\":[]}", NULL},   /* the same, escaped */
        {"{\"layers\":[{" D ",\"DIGEST\":\"x\"}]}", NULL},
        {"{\"manifests\":[{" D ",\"platform\":{\"OS\":\"x\"}}]}", NULL},
        {"{\"fsLayers\":[{\"blobsum\":\"sha256:" HEX64 "\"}]}", NULL},
        {"{\"manifests\":[]}", OCI_IMAGE},
        {"{\"layers\":[]}", DOCKER_LIST},
        {"{\"mediaType\":\"" OCI_INDEX "\",\"layers\":[]}", NULL},
        {"{\"mediaType\":\"" OCI_IMAGE "\",\"manifests\":[]}", NULL},
    };
    struct reg_manifest m;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++)
        if (parse(&m, ROWS[i].json, ROWS[i].said) != -DT_EINVAL)
            fail_msg("accepted: %s", ROWS[i].json);
}

static void document__is_refused_when_malformed(void **state)
{
    static const char *const ROWS[] = {
        "",
        "null",
        "[]",
        "7",
        "{",
        "{} x",
        "{}{}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\"}",
        "{\"layers\":{}}",
        "{\"layers\":[7]}",
        "{\"layers\":[null]}",
        "{\"config\":[7]}",
        "{\"config\":\"x\"}",
        "{\"layers\":[{\"size\":7}]}",
        "{\"layers\":[{\"digest\":7,\"size\":7}]}",
        "{\"layers\":[{\"digest\":\"sha256:1\",\"size\":7}]}",
        "{\"layers\":[{\"digest\":\"sha256:" HEX64 "\"}]}",
        "{\"layers\":[{\"digest\":\"sha256:" HEX64 "\",\"size\":-1}]}",
        "{\"layers\":[{\"digest\":\"sha256:" HEX64 "\",\"size\":1.5}]}",
        "{\"layers\":[{\"digest\":\"sha256:" HEX64 "\",\"size\":99999999999999999999}]}",
        "{\"layers\":[{\"mediaType\":7," D "}]}",
        "{\"layers\":[{\"mediaType\":\"a\\r\\nX: y\"," D "}]}",
        "{\"mediaType\":\"a b\"}",
        "{\"mediaType\":7}",
        "{\"manifests\":[{" D ",\"platform\":7}]}",
        "{\"manifests\":[{" D ",\"platform\":{\"os\":\"a\\nb\"}}]}",
        "{\"manifests\":[{" D ",\"platform\":{\"os\":\"1234567890123456789012345678901\","
        "\"architecture\":\"1234567890123456789012345678901\",\"variant\":\"v8\"}}]}",
        "{\"manifests\":[{" D ",\"platform\":{\"os\":\"12345678901234567890123456789012\"}}]}",
        "{\"fsLayers\":[{}]}",
    };
    struct reg_manifest m;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        if (parse(&m, ROWS[i], NULL) != -DT_EINVAL)
            fail_msg("accepted: %s", ROWS[i]);
        assert_null(m.children);
    }
    struct dt_err err;
    assert_int_equal(reg_manifest_parse(&m, "{}\0", 3, NULL, &err), -DT_EINVAL);
    assert_int_equal(reg_manifest_parse(&m, "{\"a\0\":1}", 8, NULL, &err), -DT_EINVAL);
}

/* {"<member>":[item,item,...]} with n items. */
static char *document_of(const char *member, const char *item, size_t n)
{
    struct dt_text text = {0};
    dt_text_addf(&text, "{\"%s\":[", member);
    for (size_t i = 0; i < n; i++)
        dt_text_addf(&text, "%s%s", i == 0 ? "" : ",", item);
    dt_text_add(&text, "]}");
    return dt_text_take(&text);
}

static void limits__hold(void **state)
{
    struct reg_manifest m;
    struct dt_err err;
    (void)state;
    char *json = document_of("layers", DESC, REG_CHILDREN_MAX);
    assert_int_equal(parse(&m, json, NULL), 0);
    assert_int_equal(m.n_children, REG_CHILDREN_MAX);
    reg_manifest_fini(&m);
    free(json);

    json = document_of("layers", DESC, REG_CHILDREN_MAX + 1);
    assert_int_equal(parse(&m, json, NULL), -DT_EINVAL);
    free(json);

    json = document_of("x", "[]", 100000);
    assert_int_equal(parse(&m, json, NULL), -DT_EINVAL);
    free(json);

    json = dt_new_array(char, REG_MANIFEST_MAX + 2);
    memset(json, ' ', REG_MANIFEST_MAX + 1);
    memcpy(json, "{}", 2);
    assert_int_equal(reg_manifest_parse(&m, json, REG_MANIFEST_MAX, NULL, &err), 0);
    reg_manifest_fini(&m);
    assert_int_equal(reg_manifest_parse(&m, json, REG_MANIFEST_MAX + 1, NULL, &err), -DT_ETOOBIG);
    free(json);
}

static void depth__is_limited_outside_strings_only(void **state)
{
    struct dt_text text = {0};
    struct reg_manifest m;
    (void)state;
    for (size_t depth = REG_JSON_DEPTH_MAX; depth <= REG_JSON_DEPTH_MAX + 1; depth++) {
        dt_text_clear(&text);
        dt_text_add(&text, "{\"x\":");
        for (size_t i = 1; i < depth; i++)
            dt_text_add(&text, "[");
        dt_text_add(&text, "\"[[[[[[\\\"[[[\"");
        for (size_t i = 1; i < depth; i++)
            dt_text_add(&text, "]");
        dt_text_add(&text, "}");
        assert_int_equal(parse(&m, text.data, NULL), depth > REG_JSON_DEPTH_MAX ? -DT_EINVAL : 0);
        reg_manifest_fini(&m);
    }
    /* Never closed, and far deeper than any stack. */
    dt_text_clear(&text);
    for (size_t i = 0; i < 100000; i++)
        dt_text_add(&text, "[");
    assert_int_equal(parse(&m, text.data, NULL), -DT_EINVAL);
    dt_text_clear(&text);
    dt_text_add(&text, "]]]]]{}\"\\");
    assert_int_equal(parse(&m, text.data, NULL), -DT_EINVAL);
    dt_text_fini(&text);
}

static void media_type__is_known_with_parameters_and_in_any_case(void **state)
{
    (void)state;
    assert_true(reg_media_type_is_manifest(OCI_INDEX));
    assert_true(reg_media_type_is_manifest(DOCKER_LIST "; charset=utf-8"));
    assert_true(reg_media_type_is_manifest("Application/Vnd.oci.image.manifest.v1+JSON"));
    assert_false(reg_media_type_is_manifest(OCI_INDEX "x"));
    assert_false(reg_media_type_is_manifest("application/json"));
    assert_false(reg_media_type_is_manifest(""));
    assert_false(reg_media_type_is_manifest(NULL));
}

static void accept__names_every_type_a_tag_can_have(void **state)
{
    static const char *const TYPES[] = {
        OCI_INDEX, OCI_IMAGE, DOCKER_LIST, "application/vnd.docker.distribution.manifest.v2+json",
        "*/*",
    };
    (void)state;
    for (size_t i = 0; i < N(TYPES); i++)
        assert_non_null(strstr(REG_ACCEPT_ALL_MANIFESTS, TYPES[i]));
    /* schema 1 must lose to everything else */
    assert_null(strstr(REG_ACCEPT_ALL_MANIFESTS, "distribution.manifest.v1+"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image__lists_layers_and_config),
        cmocka_unit_test(index__lists_manifests_with_platforms),
        cmocka_unit_test(type__is_own_then_said_then_deduced),
        cmocka_unit_test(schema1__lists_blob_sums_without_sizes),
        cmocka_unit_test(document__is_refused_when_it_could_be_read_in_two_ways),
        cmocka_unit_test(document__is_refused_when_malformed),
        cmocka_unit_test(limits__hold),
        cmocka_unit_test(depth__is_limited_outside_strings_only),
        cmocka_unit_test(media_type__is_known_with_parameters_and_in_any_case),
        cmocka_unit_test(accept__names_every_type_a_tag_can_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
