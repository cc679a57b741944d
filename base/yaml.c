/*
 * base/yaml.c - a YAML text as a tree of nodes, with limits; the one door to libyaml.
 *
 *   text -> libyaml events -> struct dt_yaml tree -> dt_yaml_free()
 *
 * One document of plain data: scalars stay text, and whoever reads them knows what they should be.
 * Refused: aliases (they make small files large), duplicate keys (one of the two is not what the
 * writer meant), keys that are not scalars, NUL inside a scalar, a second document, and anything
 * beyond the limits. An empty text is an empty mapping. The line of a mapping's value is the line
 * of its key: that is where a person looks. Pure; any thread.
 */
#include "base/config.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/config_priv.h"
#include "base/mem.h"

#define YAML_NODES_MAX 65536
#define YAML_KEYS_MAX  1024 /* of one mapping: the search for duplicates is quadratic */
#define YAML_ITEMS_MIN 4

struct yaml_reader {
    yaml_parser_t parser;
    unsigned n_nodes;
    unsigned err_line;
    struct dt_err *err;
};

static int yaml_fail(struct yaml_reader *reader, size_t mark_line, const char *reason)
{
    reader->err_line = (unsigned)mark_line + 1;
    return dt_err_set(reader->err, DT_EINVAL, "%s", reason);
}

static int event_next(struct yaml_reader *reader, yaml_event_t *event)
{
    if (yaml_parser_parse(&reader->parser, event) == 1)
        return 0;
    const char *problem = reader->parser.problem;
    return yaml_fail(reader, reader->parser.problem_mark.line,
                     problem != NULL ? problem : "not YAML");
}

void dt_yaml_free(struct dt_yaml **node)
{
    if (*node == NULL)
        return;
    for (size_t i = 0; i < (*node)->n; i++) {
        dt_yaml_free(&(*node)->items[i]);
        if ((*node)->keys != NULL)
            free((*node)->keys[i]);
    }
    free((*node)->items);
    free((*node)->keys);
    free((*node)->text);
    dt_free(node);
}

/* Takes *key (NULL in a sequence) and *item. */
static void node_append(struct dt_yaml *node, char **key, struct dt_yaml **item)
{
    /* Capacity is the next power of two: grow when n is one. */
    if (node->n == 0 || (node->n >= YAML_ITEMS_MIN && (node->n & (node->n - 1)) == 0)) {
        size_t capacity = node->n == 0 ? YAML_ITEMS_MIN : node->n * 2;
        node->items = dt_realloc(node->items, capacity * sizeof(node->items[0]));
        if (node->kind == DT_YAML_MAPPING)
            node->keys = dt_realloc(node->keys, capacity * sizeof(node->keys[0]));
    }
    if (node->kind == DT_YAML_MAPPING)
        node->keys[node->n] = *key;
    node->items[node->n++] = *item;
    *key = NULL;
    *item = NULL;
}

static bool is_null(const yaml_event_t *event, const char *text)
{
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

/* The text of a scalar; "" for YAML's null. NULL on failure. */
static char *scalar_take(struct yaml_reader *reader, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (memchr(text, '\0', len) != NULL) {
        (void)yaml_fail(reader, event->start_mark.line, "a NUL character inside a value");
        return NULL;
    }
    return is_null(event, text) ? dt_strdup("") : dt_strndup(text, len);
}

static int node_read(struct dt_yaml **out, struct yaml_reader *reader, const yaml_event_t *event,
                     unsigned depth);

/* The children of `node` until its end event. */
static int sequence_read(struct dt_yaml *node, struct yaml_reader *reader, unsigned depth)
{
    for (;;) {
        yaml_event_t event;
        struct dt_yaml *item = NULL;
        char *no_key = NULL;
        int rc = event_next(reader, &event);
        if (rc < 0)
            return rc;
        bool is_end = event.type == YAML_SEQUENCE_END_EVENT;
        if (!is_end)
            rc = node_read(&item, reader, &event, depth);
        yaml_event_delete(&event);
        if (is_end || rc < 0)
            return rc;
        node_append(node, &no_key, &item);
    }
}

/* A key that may be added to `node`, or NULL. */
static char *key_read(const struct dt_yaml *node, struct yaml_reader *reader,
                      const yaml_event_t *event)
{
    size_t line = event->start_mark.line;
    if (event->type != YAML_SCALAR_EVENT) {
        (void)yaml_fail(reader, line, "a key must be a plain word");
        return NULL;
    }
    char *key = scalar_take(reader, event);
    if (key == NULL)
        return NULL;
    const char *reason = NULL;
    if (dt_yaml_get(node, key) != NULL)
        reason = "duplicate key";
    else if (node->n >= YAML_KEYS_MAX)
        reason = "too many keys";
    if (reason == NULL)
        return key;
    reader->err_line = (unsigned)line + 1;
    (void)dt_err_set(reader->err, DT_EINVAL, "%s '%.64s'", reason, key);
    free(key);
    return NULL;
}

static int mapping_read(struct dt_yaml *node, struct yaml_reader *reader, unsigned depth)
{
    for (;;) {
        yaml_event_t event;
        struct dt_yaml *value = NULL;
        int rc = event_next(reader, &event);
        if (rc < 0)
            return rc;
        if (event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return 0;
        }
        unsigned line = (unsigned)event.start_mark.line + 1;
        char *key = key_read(node, reader, &event);
        yaml_event_delete(&event);
        if (key == NULL)
            return -DT_EINVAL;
        rc = event_next(reader, &event);
        if (rc == 0) {
            rc = node_read(&value, reader, &event, depth);
            yaml_event_delete(&event);
        }
        if (rc < 0) {
            free(key);
            return rc;
        }
        value->line = line;
        node_append(node, &key, &value);
    }
}

/* `depth` containers are around this node. */
static int node_read(struct dt_yaml **out, struct yaml_reader *reader, const yaml_event_t *event,
                     unsigned depth)
{
    size_t line = event->start_mark.line;
    if (event->type == YAML_ALIAS_EVENT)
        return yaml_fail(reader, line, "aliases (*name) are not supported");
    if (++reader->n_nodes > YAML_NODES_MAX)
        return yaml_fail(reader, line, "too many values");
    if (depth >= DT_YAML_DEPTH_MAX && event->type != YAML_SCALAR_EVENT)
        return yaml_fail(reader, line, "nested too deeply");

    int rc = -DT_EINVAL;
    struct dt_yaml *node = dt_new(struct dt_yaml);
    node->line = (unsigned)line + 1;
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        node->kind = DT_YAML_SEQUENCE;
        rc = sequence_read(node, reader, depth + 1);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        node->kind = DT_YAML_MAPPING;
        rc = mapping_read(node, reader, depth + 1);
    } else {
        DT_ASSERT(event->type == YAML_SCALAR_EVENT); /* libyaml's grammar leaves nothing else */
        node->kind = DT_YAML_SCALAR;
        node->text = scalar_take(reader, event);
        rc = node->text != NULL ? 0 : -DT_EINVAL;
    }
    if (rc < 0) {
        dt_yaml_free(&node);
        return rc;
    }
    *out = node;
    return 0;
}

/* Stream: one document at most, and nothing after it. */
static int stream_read(struct dt_yaml **out, struct yaml_reader *reader)
{
    for (;;) {
        yaml_event_t event;
        int rc = event_next(reader, &event);
        if (rc < 0)
            return rc;
        yaml_event_type_t type = event.type;
        bool is_frame = type == YAML_STREAM_START_EVENT || type == YAML_DOCUMENT_START_EVENT ||
                        type == YAML_DOCUMENT_END_EVENT || type == YAML_STREAM_END_EVENT;
        if (type == YAML_DOCUMENT_START_EVENT && *out != NULL)
            rc = yaml_fail(reader, event.start_mark.line, "a second document");
        else if (!is_frame)
            rc = node_read(out, reader, &event, 0);
        yaml_event_delete(&event);
        if (rc < 0 || type == YAML_STREAM_END_EVENT)
            return rc;
    }
}

int dt_yaml_parse_at(struct dt_yaml **out, const char *text, size_t len, unsigned *err_line,
                     struct dt_err *err)
{
    struct yaml_reader reader = {.err_line = 1, .err = err};
    struct dt_yaml *root = NULL;
    *err_line = 1;
    if (len > DT_YAML_BYTES_MAX)
        return dt_err_set(err, DT_ETOOBIG, "more than %d bytes", DT_YAML_BYTES_MAX);
    DT_ASSERT(yaml_parser_initialize(&reader.parser) == 1); /* fails only without memory */
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
    int rc = stream_read(&root, &reader);
    yaml_parser_delete(&reader.parser);
    *err_line = reader.err_line;
    if (rc < 0) {
        dt_yaml_free(&root);
        return rc;
    }
    if (root == NULL) {
        root = dt_new(struct dt_yaml);
        root->kind = DT_YAML_MAPPING;
        root->line = 1;
    }
    *out = root;
    return 0;
}

int dt_yaml_parse(struct dt_yaml **out, const char *text, size_t len, struct dt_err *err)
{
    unsigned line;
    struct dt_err reason = {0};
    int rc = dt_yaml_parse_at(out, text, len, &line, &reason);
    if (rc < 0)
        return dt_err_set(err, (enum dt_code)reason.code, "line %u: %s", line, reason.msg);
    return 0;
}

const struct dt_yaml *dt_yaml_get(const struct dt_yaml *mapping, const char *key)
{
    if (mapping->kind != DT_YAML_MAPPING)
        return NULL;
    for (size_t i = 0; i < mapping->n; i++)
        if (strcmp(mapping->keys[i], key) == 0)
            return mapping->items[i];
    return NULL;
}
