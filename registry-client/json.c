/*
 * registry-client/json.c - see json_priv.h.
 */
#include "registry-client/json_priv.h"

#include <string.h>

#include "registry-client/manifest.h"

/* Brackets and commas outside strings are all it takes to bound depth and count; whether the rest
 * is JSON is jansson's job. */
static int check_shape(const char *bytes, size_t len, const char *what, struct dt_err *err)
{
    size_t depth = 0, n_values = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        char c = bytes[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        in_string = c == '"';
        depth += c == '[' || c == '{';
        n_values += c == '[' || c == '{' || c == ',';
        if ((c == ']' || c == '}') && depth > 0)
            depth--;
        if (depth > REG_JSON_DEPTH_MAX)
            return dt_err_set(err, DT_EINVAL, "%s: nested deeper than %d at byte %zu", what,
                              REG_JSON_DEPTH_MAX, i);
        if (n_values > REG_JSON_VALUES_MAX)
            return dt_err_set(err, DT_EINVAL, "%s: more than %u values", what, REG_JSON_VALUES_MAX);
    }
    return 0;
}

int reg_json_load(json_t **out, const char *bytes, size_t len, size_t max_len, const char *what,
                  struct dt_err *err)
{
    json_error_t where;

    *out = NULL;
    if (len > max_len)
        return dt_err_set(err, DT_ETOOBIG, "%s: %zu bytes, at most %zu are read", what, len,
                          max_len);
    int rc = check_shape(bytes, len, what, err);
    if (rc < 0)
        return rc;
    json_t *root = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &where);
    /* where.text quotes the document and stays here. */
    if (root == NULL)
        return dt_err_set(err, DT_EINVAL, "%s: not JSON, or a member twice (line %d, column %d)",
                          what, where.line, where.column);
    if (!json_is_object(root)) {
        reg_json_wipe(&root);
        return dt_err_set(err, DT_EINVAL, "%s: JSON, but not an object", what);
    }
    *out = root;
    return 0;
}

/* Recursion is bounded by REG_JSON_DEPTH_MAX. */
static void wipe_strings(json_t *value)
{
    const char *name = NULL;
    json_t *child = NULL;
    size_t i = 0;

    if (json_is_string(value))
        explicit_bzero((char *)json_string_value(value), json_string_length(value));
    json_array_foreach(value, i, child) wipe_strings(child);
    json_object_foreach(value, name, child) wipe_strings(child);
}

void reg_json_wipe(json_t **root)
{
    if (*root != NULL)
        wipe_strings(*root);
    json_decref(*root);
    *root = NULL;
}
