/*
 * registry-client/json_priv.h - strangers' JSON through one narrow gate, then jansson.
 *
 * Pure. Before jansson sees a byte the gate checks length, nesting and the number of values: a
 * document of a few megabytes of "[[],[]," would otherwise cost a hundred times its size in memory.
 * Refused besides: members named twice (two readers would choose differently), NUL inside strings,
 * anything after the document. Error messages never quote the document: it may hold secrets.
 */
#ifndef DARTER_REGISTRY_CLIENT_JSON_PRIV_H
#define DARTER_REGISTRY_CLIENT_JSON_PRIV_H

#include <stddef.h>

#include <jansson.h>

#include "base/err.h"

#define REG_JSON_VALUES_MAX (128 * 1024u) /* 4096 descriptors with 30 members each */

/* The document must be an object. `what` names it in the message. Errors: DT_EINVAL, DT_ETOOBIG. */
int reg_json_load(json_t **out, const char *bytes, size_t len, size_t max_len, const char *what,
                  struct dt_err *err);
/* Wipes every string of the tree, then releases it. Harmless on NULL. */
void reg_json_wipe(json_t **root);

#endif
