/*
 * tests/unit/proxy_route_test.c - request targets and what they mean, as a table.
 */
#include "proxy/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/text.h"

#define HEX    "3f2a91c04b7e3f2a91c04b7e3f2a91c04b7e3f2a91c04b7e3f2a91c04b7e3f2a"
#define DIGEST "sha256:" HEX

static struct reg_upstream upstreams[] = {
    {.name = (char[]){"harbor.test:1234"}},
    {.name = (char[]){"docker.io"}},
    {.name = (char[]){"ghcr.io"}},
    {.name = (char[]){"[::1]:5000"}},
};
#define N_UPSTREAMS (sizeof(upstreams) / sizeof(upstreams[0]))
#define DOCKER_HUB  1

struct row {
    const char *target;
    int code;             /* 0 or enum dt_code */
    const char *upstream; /* or, with a code, the registry code */
    enum reg_kind kind;
    const char *repository;
    const char *path; /* for upstream */
};

static const struct row rows[] = {
    /* what runtimes send */
    {"/v2/library/nginx/manifests/1.25?ns=docker.io", 0, "docker.io", REG_MANIFEST, "library/nginx",
     "/v2/library/nginx/manifests/1.25"},
    {"/v2/p/r/blobs/" DIGEST "?ns=harbor.test%3A1234", 0, "harbor.test:1234", REG_BLOB, "p/r",
     "/v2/p/r/blobs/" DIGEST},
    {"/v2/p/r/blobs/sha256%3A" HEX "?ns=HARBOR.test%3a1234", 0, "harbor.test:1234", REG_BLOB, "p/r",
     "/v2/p/r/blobs/" DIGEST},
    {"/v2/", 0, "docker.io", REG_PING, "", "/v2/"},
    {"/v2", 0, "docker.io", REG_PING, "", "/v2/"},
    {"http://ghcr.io/v2/a/b/tags/list?n=5", 0, "ghcr.io", REG_TAGS, "a/b", "/v2/a/b/tags/list?n=5"},
    {"http://harbor.test:1234/v2/a/b/manifests/x", 0, "harbor.test:1234", REG_MANIFEST, "a/b",
     "/v2/a/b/manifests/x"},
    {"https://ghcr.io:443/v2/a/b/manifests/x", 0, "ghcr.io", REG_MANIFEST, "a/b",
     "/v2/a/b/manifests/x"},
    {"http://[::1]:5000/v2/a/b/manifests/x", 0, "[::1]:5000", REG_MANIFEST, "a/b",
     "/v2/a/b/manifests/x"},
    {"http://127.0.0.1:65001/v2/a/b/manifests/x?ns=ghcr.io", 0, "ghcr.io", REG_MANIFEST, "a/b",
     "/v2/a/b/manifests/x"},
    /* Docker Hub's names and short repositories */
    {"/v2/nginx/manifests/1?ns=registry-1.docker.io", 0, "docker.io", REG_MANIFEST, "library/nginx",
     "/v2/library/nginx/manifests/1"},
    {"/v2/nginx/manifests/1?ns=Index.Docker.io", 0, "docker.io", REG_MANIFEST, "library/nginx",
     "/v2/library/nginx/manifests/1"},
    {"/v2/nginx/tags/list", 0, "docker.io", REG_TAGS, "library/nginx",
     "/v2/library/nginx/tags/list"},
    {"/v2/nginx/manifests/1?ns=ghcr.io", 0, "ghcr.io", REG_MANIFEST, "nginx",
     "/v2/nginx/manifests/1"},
    /* ns goes, the rest of the query stays in order */
    {"/v2/a/b/referrers/" DIGEST "?artifactType=x%2Fy&ns=ghcr.io&n=3", 0, "ghcr.io", REG_REFERRERS,
     "a/b", "/v2/a/b/referrers/" DIGEST "?artifactType=x%2Fy&n=3"},
    {"/v2/_catalog?ns=ghcr.io&n=3&last=b", 0, "ghcr.io", REG_CATALOG, "",
     "/v2/_catalog?n=3&last=b"},
    {"/v2/a/b/manifests/x?&&ns=ghcr.io&", 0, "ghcr.io", REG_MANIFEST, "a/b", "/v2/a/b/manifests/x"},
    {"/v2/a/b/manifests/x?%6es=ghcr.io", 0, "ghcr.io", REG_MANIFEST, "a/b", "/v2/a/b/manifests/x"},
    {"/v2/a/b/manifests/x?nsx=1", 0, "docker.io", REG_MANIFEST, "a/b", "/v2/a/b/manifests/x?nsx=1"},
    /* never an open relay */
    {"/v2/a/b/manifests/x?ns=evil.test", DT_ENOTFOUND, "NAME_UNKNOWN", 0, "", ""},
    {"/v2/a/b/manifests/x?ns=", DT_ENOTFOUND, "NAME_UNKNOWN", 0, "", ""},
    {"/v2/a/b/manifests/x?ns", DT_ENOTFOUND, "NAME_UNKNOWN", 0, "", ""},
    {"/v2/a/b/manifests/x?ns=harbor.test", DT_ENOTFOUND, "NAME_UNKNOWN", 0, "", ""},
    {"http://evil.test/v2/a/b/manifests/x", DT_ENOTFOUND, "NAME_UNKNOWN", 0, "", ""},
    {"http://harbor.test/v2/a/b/manifests/x", DT_ENOTFOUND, "NAME_UNKNOWN", 0, "", ""},
    /* what two readers could read differently */
    {"/v2/a/b/manifests/x?ns=ghcr.io&ns=docker.io", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"/v2/a/b/manifests/x?ns=ghcr.io&n%73=ghcr.io", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"/v2/a/b/manifests/x?ns=%zz", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"/v2/a/b/manifests/x?%z=1", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"/v2/a/b/manifests/x?ns=ghcr.io%00x", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"/v2/a/b/manifests/x y", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"/v2/a/b/manifests/x#y", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"/v2/a/b/manifests/\xc3\xa4", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"http://user:pw@ghcr.io/v2/", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"ftp://ghcr.io/v2/", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"*", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    {"", DT_EINVAL, "UNSUPPORTED", 0, "", ""},
    /* the path's own errors keep their code */
    {"/v2/A/b/manifests/x?ns=ghcr.io", DT_EINVAL, "NAME_INVALID", 0, "", ""},
    {"/v2/a/b/blobs/sha256:bad", DT_EINVAL, "DIGEST_INVALID", 0, "", ""},
    {"/", DT_ENOTFOUND, NULL, 0, "", ""},
    {"/etc/passwd", DT_ENOTFOUND, NULL, 0, "", ""},
};

static int parse(struct proxy_route *route, const char **code, const char *target)
{
    struct dt_err err = {0};
    int rc = proxy_route_parse(route, code, upstreams, N_UPSTREAMS, DOCKER_HUB, target, &err);
    assert_int_equal(rc == 0 ? 0 : -rc, err.code);
    return rc;
}

static void route__says_upstream_and_object(void **state)
{
    struct proxy_route route;
    const char *code;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        int rc = parse(&route, &code, row->target);
        if (-rc != row->code)
            fail_msg("%s: %d instead of %d", row->target, -rc, row->code);
        if (rc < 0) {
            if (row->upstream != NULL)
                assert_string_equal(code, row->upstream);
            continue;
        }
        assert_null(code);
        assert_string_equal(route.upstream->name, row->upstream);
        assert_int_equal(route.path.kind, row->kind);
        assert_string_equal(route.path.repository, row->repository);
        assert_string_equal(route.upstream_path, row->path);
    }
}

static void route__refuses_targets_beyond_the_limit(void **state)
{
    static char target[2 * PROXY_TARGET_MAX];
    struct proxy_route route;
    const char *code;

    (void)state;
    memset(target, 'a', sizeof(target) - 1);
    memcpy(target, "/v2/a/b/tags/list?n=", 20);
    target[PROXY_TARGET_MAX] = '\0';
    assert_int_equal(parse(&route, &code, target), -DT_ETOOBIG);
    assert_string_equal(code, "SIZE_INVALID");
    target[PROXY_TARGET_MAX - 1] = '\0';
    assert_int_equal(parse(&route, &code, target), 0);
    assert_string_equal(route.upstream_path, target);
}

static void route__refuses_what_becomes_too_long_by_completion(void **state)
{
    static char target[PROXY_TARGET_MAX];
    struct proxy_route route;
    const char *code;

    (void)state;
    memset(target, 'a', sizeof(target) - 1);
    memcpy(target, "/v2/nginx/tags/list?n=", 22);
    assert_int_equal(parse(&route, &code, target), -DT_ETOOBIG);
    assert_string_equal(code, "SIZE_INVALID");
    memset(target, 0, sizeof(target));
    memcpy(target, "/v2/", 4);
    memset(target + 4, 'a', REG_NAME_MAX); /* library/ would not fit */
    memcpy(target + 4 + REG_NAME_MAX, "/tags/list", 10);
    assert_int_equal(parse(&route, &code, target), -DT_EINVAL);
    assert_string_equal(code, "NAME_INVALID");
}

static void route__without_upstreams_refuses(void **state)
{
    struct proxy_route route;
    const char *code;

    (void)state;
    assert_int_equal(proxy_route_parse(&route, &code, upstreams, 0, 0, "/v2/", NULL),
                     -DT_ENOTFOUND);
    assert_string_equal(code, "NAME_UNKNOWN");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(route__says_upstream_and_object),
        cmocka_unit_test(route__refuses_targets_beyond_the_limit),
        cmocka_unit_test(route__refuses_what_becomes_too_long_by_completion),
        cmocka_unit_test(route__without_upstreams_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
