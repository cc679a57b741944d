/*
 * base/config.h - one table of options feeds the flags, the environment, the YAML file, --help,
 * the man page and the documented sample.
 *
 * Precedence: flag > environment > file > default. A scalar option is a row of `struct dt_option`;
 * structured parts of the file (the list of upstreams) are handed to a callback as a parsed tree.
 * An empty environment variable counts as not set; the items of a LIST are separated by spaces
 * there and in default_text. Unknown keys and bad values are refused with file, line, and reason.
 * Read at start and on SIGHUP, on main only.
 */
#ifndef DARTER_BASE_CONFIG_H
#define DARTER_BASE_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/text.h"

enum dt_option_kind {
    DT_OPT_STRING,   /* char * (owned by the config struct) */
    DT_OPT_SIZE,     /* uint64_t bytes: "20GiB" */
    DT_OPT_DURATION, /* uint64_t milliseconds: "30s" */
    DT_OPT_UINT,     /* unsigned */
    DT_OPT_BOOL,     /* bool; the flag alone means true, --no-NAME false */
    DT_OPT_LIST,     /* struct dt_strings; the flag may be repeated */
};

struct dt_yaml;

struct dt_strings {
    char **items; /* owned */
    size_t n;
};

struct dt_option {
    const char *name; /* "cache-max": flag --cache-max, key cache-max, env DARTER_CACHE_MAX */
    enum dt_option_kind kind;
    size_t offset;            /* of the field in the config struct */
    const char *default_text; /* as a person would write it; NULL = empty */
    const char *argument;     /* "SIZE", "IP:PORT": for --help */
    const char *help;         /* one sentence or more; wrapped by the printers */
    bool is_reloadable;       /* SIGHUP may change it */
    bool is_flag_only;        /* --config: neither a key of the file nor a variable */
};

struct dt_config_spec {
    const char *program;             /* "darter-proxy" */
    const char *summary;             /* one line */
    const struct dt_option *options; /* ended by name == NULL */
    const char *env_prefix;          /* "DARTER_" */
    /* Structured keys of the file, e.g. "upstreams". NULL = none. Return 1 = taken, 0 = not my key,
     * negative = error set (the reader adds file and line of the node). */
    int (*on_section)(void *config, const char *key, const struct dt_yaml *node,
                      struct dt_err *err);
    const char *sections_sample; /* text of the documented sample for those keys */
    const char *man_tail;        /* mdoc: the last sections (signals, exit status); or NULL */
};

/* A parsed YAML node: scalar, sequence or mapping. Depth, size and aliases are limited. */
enum dt_yaml_kind { DT_YAML_SCALAR, DT_YAML_SEQUENCE, DT_YAML_MAPPING };
struct dt_yaml {
    enum dt_yaml_kind kind;
    unsigned line;          /* 1-based; of a mapping's value: the line of its key */
    char *text;             /* SCALAR; "" for null */
    struct dt_yaml **items; /* SEQUENCE: items; MAPPING: values */
    char **keys;            /* MAPPING */
    size_t n;
};
#define DT_YAML_BYTES_MAX (1024 * 1024)
#define DT_YAML_DEPTH_MAX 16
int dt_yaml_parse(struct dt_yaml **out, const char *text, size_t len, struct dt_err *err);
void dt_yaml_free(struct dt_yaml **);
const struct dt_yaml *dt_yaml_get(const struct dt_yaml *mapping, const char *key); /* or NULL */

/* Fills `config` (a zeroed struct): defaults, then the file named by --config (or by
 * `default_file`, if it exists), then the environment, then argv. 0 = go on, 1 = --help, --version,
 * --print-config or --print-man was served on stdout: exit 0; negative: err says file, line, why,
 * and the options are released (what on_section took is the caller's, as always). */
int dt_config_load(void *config, const struct dt_config_spec *, int argc, char **argv,
                   const char *default_file, struct dt_err *err);
void dt_config_fini(void *config, const struct dt_config_spec *);
/* As JSON-ready text pairs for /v1/config: calls emit(name, value text) for every option. */
void dt_config_each(const void *config, const struct dt_config_spec *,
                    void (*emit)(void *arg, const char *name, const char *value), void *arg);
void dt_config_print_help(const struct dt_config_spec *, struct dt_text *out);
void dt_config_print_man(const struct dt_config_spec *, struct dt_text *out);    /* mdoc */
void dt_config_print_sample(const struct dt_config_spec *, struct dt_text *out); /* YAML */

#endif
