/*
 * tests/unit/base_yaml_test.c - plain data becomes a tree; all else is refused with its line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/config.h"

static struct dt_yaml *parse(const char *text)
{
    struct dt_yaml *root = NULL;
    struct dt_err err = {0};
    assert_int_equal(dt_yaml_parse(&root, text, strlen(text), &err), 0);
    return root;
}

static void yaml__becomes_a_tree_with_lines(void **state)
{
    (void)state;
    struct dt_yaml *root = parse("# comment\n"
                                 "name: 'a b'\n"
                                 "upstreams:\n"
                                 "  - name: docker.io\n"
                                 "    urls: [x, y, z, u, v, w]\n"
                                 "  - plain\n");
    assert_int_equal(root->kind, DT_YAML_MAPPING);
    assert_int_equal(root->n, 2);
    const struct dt_yaml *name = dt_yaml_get(root, "name");
    assert_string_equal(name->text, "a b");
    assert_int_equal(name->line, 2);
    const struct dt_yaml *upstreams = dt_yaml_get(root, "upstreams");
    assert_int_equal(upstreams->kind, DT_YAML_SEQUENCE);
    assert_int_equal(upstreams->line, 3); /* the key's line */
    assert_int_equal(upstreams->items[0]->line, 4);
    const struct dt_yaml *urls = dt_yaml_get(upstreams->items[0], "urls");
    assert_int_equal(urls->n, 6);
    assert_string_equal(urls->items[5]->text, "w");
    assert_string_equal(upstreams->items[1]->text, "plain");
    assert_null(dt_yaml_get(root, "absent"));
    assert_null(dt_yaml_get(upstreams, "name"));
    dt_yaml_free(&root);
    assert_null(root);
    dt_yaml_free(&root);
}

static void yaml__nothing_is_an_empty_mapping(void **state)
{
    (void)state;
    static const char *const empty[] = {"", "\n\n", "# only a comment\n"};
    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        struct dt_yaml *root = parse(empty[i]);
        assert_int_equal(root->kind, DT_YAML_MAPPING);
        assert_int_equal(root->n, 0);
        dt_yaml_free(&root);
    }
}

static void yaml__null_is_empty_unless_quoted(void **state)
{
    (void)state;
    struct dt_yaml *root = parse("a: ~\nb: null\nc:\nd: '~'\n");
    assert_string_equal(dt_yaml_get(root, "a")->text, "");
    assert_string_equal(dt_yaml_get(root, "b")->text, "");
    assert_string_equal(dt_yaml_get(root, "c")->text, "");
    assert_string_equal(dt_yaml_get(root, "d")->text, "~");
    dt_yaml_free(&root);
}

static void refused(const char *text, size_t len, const char *reason)
{
    struct dt_yaml *root = NULL;
    struct dt_err err = {0};
    int rc = dt_yaml_parse(&root, text, len, &err);
    assert_true(rc < 0 && rc == -err.code);
    assert_null(root);
    if (strcmp(err.msg, reason) != 0)
        fail_msg("'%s', not '%s'", err.msg, reason);
}

static void yaml__says_line_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        {"a: 1\nb: *x\n", "line 2: aliases (*name) are not supported"},
        {"a: 1\nb: 2\na: 3\n", "line 3: duplicate key 'a'"},
        {"a: 1\n[b]: 2\n", "line 2: a key must be a plain word"},
        {"a: 1\n*b : 2\n", "line 2: a key must be a plain word"},
        {"a: 1\nb: \"x\\0y\"\n", "line 2: a NUL character inside a value"},
        {"\"x\\0y\": 1\n", "line 1: a NUL character inside a value"},
        {"a: 1\n---\nb: 1\n", "line 2: a second document"},
        {"a: [1, 2\n", "line 2: did not find expected ',' or ']'"},
        {"a: 1\n@b: 2\n", "line 2: found character that cannot start any token"},
        {"a: [1, *x]\n", "line 1: aliases (*name) are not supported"},
        {"a:\n - {b: [}\n", "line 2: did not find expected node content"},
        {"a: \x01\n", "line 1: control characters are not allowed"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        refused(cases[i].text, strlen(cases[i].text), cases[i].reason);
}

static void yaml__has_limits(void **state)
{
    (void)state;
    refused("[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", 35, "line 1: nested too deeply");
    struct dt_yaml *root = parse("[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]");
    dt_yaml_free(&root);

    char *large = malloc(DT_YAML_BYTES_MAX + 1);
    assert_non_null(large);
    memset(large, '\n', DT_YAML_BYTES_MAX + 1);
    refused(large, DT_YAML_BYTES_MAX + 1, "line 1: more than 1048576 bytes");
    assert_int_equal(dt_yaml_parse(&root, large, DT_YAML_BYTES_MAX, NULL), 0);
    dt_yaml_free(&root);
    for (size_t i = 0; i < DT_YAML_BYTES_MAX; i += 2)
        memcpy(large + i, "1,", 2);
    large[0] = '[';
    large[1] = '\n';
    refused(large, DT_YAML_BYTES_MAX, "line 2: too many values");
    free(large);

    struct dt_text keys = {0};
    for (int i = 0; i < 1025; i++)
        dt_text_addf(&keys, "k%d: v\n", i);
    refused(dt_text_str(&keys), keys.len, "line 1025: too many keys 'k1024'");
    dt_text_fini(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml__becomes_a_tree_with_lines),
        cmocka_unit_test(yaml__nothing_is_an_empty_mapping),
        cmocka_unit_test(yaml__null_is_empty_unless_quoted),
        cmocka_unit_test(yaml__says_line_and_reason),
        cmocka_unit_test(yaml__has_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
