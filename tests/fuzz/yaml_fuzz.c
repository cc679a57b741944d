/*
 * tests/fuzz/yaml_fuzz.c - the YAML reader: any text is a tree within the limits, or an error.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_node(const struct dt_yaml *node, unsigned depth)
{
    DT_ASSERT(depth <= DT_YAML_DEPTH_MAX && node->line > 0);
    DT_ASSERT((node->kind == DT_YAML_SCALAR) == (node->text != NULL));
    DT_ASSERT(node->kind != DT_YAML_SCALAR || node->n == 0);
    for (size_t i = 0; i < node->n; i++) {
        if (node->kind == DT_YAML_MAPPING)
            DT_ASSERT(dt_yaml_get(node, node->keys[i]) == node->items[i]); /* no duplicates */
        check_node(node->items[i], depth + 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dt_yaml *root = NULL;
    struct dt_err err = {0};
    int rc = dt_yaml_parse(&root, (const char *)data, size, &err);
    DT_ASSERT((rc == 0) == (root != NULL));
    DT_ASSERT(rc == 0 || (err.code == -rc && strncmp(err.msg, "line ", 5) == 0));
    if (root != NULL)
        check_node(root, 0);
    dt_yaml_free(&root);
    return 0;
}
