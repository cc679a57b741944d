/*
 * tests/unit/registry_client_ref_test.c - names and request paths, by table.
 */
#include "registry-client/ref.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEX64  "3f2a91c04b7e00112233445566778899aabbccddeeff00112233445566778899"
#define SHA256 "sha256:" HEX64
#define SHA512 "sha512:" HEX64 HEX64
#define N(a)   (sizeof(a) / sizeof((a)[0]))

static char *repeat(char c, size_t n)
{
    char *text = dt_new_array(char, n + 1);
    memset(text, c, n);
    return text;
}

static void name__follows_the_grammar(void **state)
{
    static const struct {
        const char *name;
        bool is_valid;
    } ROWS[] = {
        {"a", true},
        {"library/nginx", true},
        {"a.b_c__d-e---f/g0", true},
        {"0", true},
        {"", false},
        {"/a", false},
        {"a/", false},
        {"a//b", false},
        {"A", false},
        {"a___b", false},
        {"a..b", false},
        {"a._b", false},
        {"-a", false},
        {"a-", false},
        {"a.", false},
        {"_a", false},
        {"a/../b", false},
        {"a b", false},
        {"a:b", false},
        {"a/./b", false},
        {"\xc3\xa9", false},
    };
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++)
        if (reg_name_is_valid(ROWS[i].name, strlen(ROWS[i].name)) != ROWS[i].is_valid)
            fail_msg("%s", ROWS[i].name);
}

static void name__is_at_most_255_bytes(void **state)
{
    char *name = repeat('a', 256);
    (void)state;
    assert_true(reg_name_is_valid(name, 255));
    assert_false(reg_name_is_valid(name, 256));
    assert_false(reg_name_is_valid("a\0b", 3));
    free(name);
}

static void tag__follows_the_grammar(void **state)
{
    char *tag = repeat('t', 129);
    (void)state;
    assert_true(reg_tag_is_valid("latest", 6));
    assert_true(reg_tag_is_valid("_V1.2-rc", 8));
    assert_true(reg_tag_is_valid(tag, 128));
    assert_false(reg_tag_is_valid(tag, 129));
    assert_false(reg_tag_is_valid("", 0));
    assert_false(reg_tag_is_valid(".a", 2));
    assert_false(reg_tag_is_valid("-a", 2));
    assert_false(reg_tag_is_valid("a+b", 3));
    assert_false(reg_tag_is_valid("a/b", 3));
    free(tag);
}

static void reference__is_a_digest_when_it_has_a_colon(void **state)
{
    struct reg_reference ref;
    struct dt_err err;
    (void)state;
    assert_int_equal(reg_reference_parse(&ref, SHA512, strlen(SHA512), &err), 0);
    assert_true(ref.is_digest);
    assert_string_equal(ref.text, SHA512);
    assert_int_equal(ref.digest.algo, DT_SHA512);
    assert_int_equal(reg_reference_parse(&ref, "v1xx", 2, &err), 0);
    assert_false(ref.is_digest);
    assert_string_equal(ref.text, "v1");
    assert_int_equal(reg_reference_parse(&ref, "sha256:12", 9, &err), -DT_EINVAL);
    assert_int_equal(reg_reference_parse(&ref, "a b", 3, &err), -DT_EINVAL);
}

static void docker_hub__is_known_by_all_its_names(void **state)
{
    static const char *const HUB[] = {"docker.io", "index.docker.io", "registry-1.docker.io",
                                      "registry.hub.docker.com", "Docker.IO"};
    static const char *const OTHERS[] = {"", "docker.io.test", "xdocker.io", "docker.io:443",
                                         "hub.docker.com"};
    (void)state;
    for (size_t i = 0; i < sizeof(HUB) / sizeof(HUB[0]); i++)
        if (!reg_is_docker_hub(HUB[i]))
            fail_msg("%s is Docker Hub", HUB[i]);
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++)
        if (reg_is_docker_hub(OTHERS[i]))
            fail_msg("\"%s\" is not Docker Hub", OTHERS[i]);
}

static void path__names_what_is_asked(void **state)
{
    static const struct {
        const char *path;
        enum reg_kind kind;
        const char *repository, *reference;
    } ROWS[] = {
        {"/v2", REG_PING, "", ""},
        {"/v2/", REG_PING, "", ""},
        {"/v2/_catalog", REG_CATALOG, "", ""},
        {"/v2/library/nginx/manifests/1.25", REG_MANIFEST, "library/nginx", "1.25"},
        {"/v2/a/manifests/" SHA256, REG_MANIFEST, "a", SHA256},
        {"/v2/a/manifests/sha256%3A" HEX64, REG_MANIFEST, "a", SHA256},
        {"/v2/a/blobs/sha256%3a" HEX64, REG_BLOB, "a", SHA256},
        {"/v2/a%2Db/blobs/" SHA512, REG_BLOB, "a-b", SHA512},
        {"/v2/a/b/tags/list", REG_TAGS, "a/b", ""},
        {"/v2/a/referrers/" SHA256, REG_REFERRERS, "a", SHA256},
        {"/v2/a/blobs/uploads/", REG_UPLOAD, "a", ""},
        {"/v2/a/blobs/uploads", REG_UPLOAD, "a", ""},
        {"/v2/a/blobs/uploads/0b1c-22", REG_UPLOAD, "a", ""},
        /* words of the API are good names too */
        {"/v2/a/manifests/b/manifests/v1", REG_MANIFEST, "a/manifests/b", "v1"},
        {"/v2/a/blobs/uploads/manifests/v1", REG_MANIFEST, "a/blobs/uploads", "v1"},
        {"/v2/manifests/tags/list", REG_TAGS, "manifests", ""},
        {"/v2/a/tags/other", REG_OTHER, "", ""},
        {"/v2/_oci/ext/discover", REG_OTHER, "", ""},
        {"/v2/x/", REG_OTHER, "", ""},
        {"/v2/x", REG_OTHER, "", ""},
        {"/v2/_catalog/", REG_OTHER, "", ""},
    };
    struct reg_path path;
    struct dt_err err;
    const char *code = "unset";
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        if (reg_path_parse(&path, &code, ROWS[i].path, strlen(ROWS[i].path), &err) != 0)
            fail_msg("%s: %s", ROWS[i].path, err.msg);
        if (path.kind != ROWS[i].kind)
            fail_msg("%s: kind %d", ROWS[i].path, path.kind);
        assert_null(code);
        assert_string_equal(path.repository, ROWS[i].repository);
        assert_string_equal(path.reference.text, ROWS[i].reference);
    }
}

static void path__says_what_is_wrong(void **state)
{
    static const struct {
        const char *path;
        int rc;
        const char *code;
    } ROWS[] = {
        {"", -DT_ENOTFOUND, "NAME_UNKNOWN"},
        {"/", -DT_ENOTFOUND, "NAME_UNKNOWN"},
        {"/v1/_ping", -DT_ENOTFOUND, "NAME_UNKNOWN"},
        {"/v2x/a/tags/list", -DT_ENOTFOUND, "NAME_UNKNOWN"},
        {"/V2/", -DT_ENOTFOUND, "NAME_UNKNOWN"},
        {"/v2/A/manifests/v1", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/manifests/v1", -DT_EINVAL, "NAME_INVALID"},
        {"/v2//manifests/v1", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a//b/tags/list", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/../b/tags/list", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/./manifests/v1", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/%2e%2E/manifests/v1", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/..", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/%2e", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a%2Fb/manifests/v1", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/v1%00", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/v%", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/v%2", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/v%zz", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/v%2D%2", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/a b", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/a\tb", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/v1?x", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a\\b/manifests/v1", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/\xc3\xa9", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/a/manifests/", -DT_EINVAL, "MANIFEST_INVALID"},
        {"/v2/a/manifests/-v1", -DT_EINVAL, "MANIFEST_INVALID"},
        {"/v2/a/manifests/v1+x", -DT_EINVAL, "MANIFEST_INVALID"},
        {"/v2/a/manifests/sha256:baddigeststring", -DT_EINVAL, "DIGEST_INVALID"},
        {"/v2/a/blobs/latest", -DT_EINVAL, "DIGEST_INVALID"},
        {"/v2/a/blobs/", -DT_EINVAL, "DIGEST_INVALID"},
        {"/v2/a/blobs/md5:12", -DT_EINVAL, "DIGEST_INVALID"},
        {"/v2/a/referrers/v1", -DT_EINVAL, "DIGEST_INVALID"},
        {"/v2/blobs/uploads/", -DT_EINVAL, "NAME_INVALID"},
        {"/v2/tags/list", -DT_EINVAL, "NAME_INVALID"},
    };
    struct reg_path path;
    struct dt_err err;
    const char *code = NULL;
    (void)state;
    for (size_t i = 0; i < N(ROWS); i++) {
        int rc = reg_path_parse(&path, &code, ROWS[i].path, strlen(ROWS[i].path), &err);
        if (rc != ROWS[i].rc || code == NULL || strcmp(code, ROWS[i].code) != 0)
            fail_msg("%s: rc %d, code %s", ROWS[i].path, rc, code == NULL ? "-" : code);
    }
    assert_int_equal(reg_path_parse(&path, &code, "/v2/a\0b", 7, &err), -DT_EINVAL);
}

static void path__is_bounded(void **state)
{
    char *long_text = repeat('a', 3000);
    char *path_text = dt_asprintf("/v2/%s", long_text);
    struct reg_path path;
    const char *code = NULL;
    struct dt_err err;
    (void)state;
    assert_int_equal(reg_path_parse(&path, &code, path_text, strlen(path_text), &err), -DT_EINVAL);
    assert_int_equal(reg_path_parse(&path, &code, path_text, 2048 + 4, &err), 0);
    free(path_text);
    path_text = dt_asprintf("/v2/%.*s/tags/list", 256, long_text);
    assert_int_equal(reg_path_parse(&path, &code, path_text, strlen(path_text), &err), -DT_EINVAL);
    free(path_text);
    free(long_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name__follows_the_grammar),
        cmocka_unit_test(name__is_at_most_255_bytes),
        cmocka_unit_test(tag__follows_the_grammar),
        cmocka_unit_test(reference__is_a_digest_when_it_has_a_colon),
        cmocka_unit_test(docker_hub__is_known_by_all_its_names),
        cmocka_unit_test(path__names_what_is_asked),
        cmocka_unit_test(path__says_what_is_wrong),
        cmocka_unit_test(path__is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
