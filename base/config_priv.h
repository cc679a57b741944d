/*
 * base/config_priv.h - between the reader (config.c), the values (config_value.c), the tree
 * (yaml.c) and the printers (config_print.c) of base/config.h.
 */
#ifndef DARTER_BASE_CONFIG_PRIV_H
#define DARTER_BASE_CONFIG_PRIV_H

#include "base/config.h"

/* Sets one field from text; a LIST is replaced by the words of the text. Errors: DT_EINVAL, with a
 * reason that does not name the option: the caller knows where the text came from. */
int dt_option_set(void *config, const struct dt_option *, const char *text, struct dt_err *err);
void dt_option_list_clear(void *config, const struct dt_option *);
void dt_option_list_add(void *config, const struct dt_option *, const char *item);
/* Releases what the field owns and zeroes it. */
void dt_option_fini(void *config, const struct dt_option *);
/* As text that dt_option_set() reads back to the same value. */
void dt_option_print(const void *config, const struct dt_option *, struct dt_text *out);

/* "DARTER_CACHE_MAX"; the string is the caller's. */
char *dt_option_env_name(const struct dt_config_spec *, const struct dt_option *);

/* The name of the table that `name` was probably meant to be, or NULL. A key of the file is never
 * meant to be a flag-only option. */
const char *dt_option_nearest(const struct dt_option *options, const char *name, bool is_key);

/* dt_yaml_parse() with the line of the error apart from its message. */
int dt_yaml_parse_at(struct dt_yaml **out, const char *text, size_t len, unsigned *err_line,
                     struct dt_err *err);

/* The flags every program has, with their help. */
struct dt_config_verb {
    const char *flag; /* "help" */
    const char *help;
};
extern const struct dt_config_verb dt_config_verbs[]; /* ended by flag == NULL */

#endif
