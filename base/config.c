/*
 * base/config.c - from defaults, file, environment and flags to a filled config struct.
 *
 *   verbs (--help ...) -> defaults -> file -> environment -> flags
 *
 * Each step overwrites the one before, so precedence is the order of the calls in config_fill().
 * Flags are walked twice: first for --config alone, which also finds misspelt flags before any file
 * is opened, then for all. Main thread only: the environment is read here.
 *
 * To add a verb: a row of dt_config_verbs and a branch in verb_text().
 */
#include "base/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config_priv.h"
#include "base/mem.h"
#include "base/version.h"

#define CONFIG_FLAG "config"

const struct dt_config_verb dt_config_verbs[] = {
    {"help", "Print this help."},
    {"version", "Print the version."},
    {"print-config", "Print a documented sample of the configuration file."},
    {"print-man", "Print the manual page (mdoc)."},
    {NULL, NULL},
};

struct config_reader {
    void *config;
    const struct dt_config_spec *spec;
    struct dt_err *err;
};

static const struct dt_option *option_find(const struct dt_option *options, const char *name,
                                           size_t len)
{
    for (; options->name != NULL; options++)
        if (strlen(options->name) == len && memcmp(options->name, name, len) == 0)
            return options;
    return NULL;
}

/* ---- verbs ---- */

/* Appends what a verb prints. */
static void verb_text(struct dt_text *out, const struct dt_config_spec *spec, const char *verb)
{
    if (strcmp(verb, "help") == 0)
        dt_config_print_help(spec, out);
    else if (strcmp(verb, "version") == 0)
        dt_text_addf(out, "%s %s\n", spec->program, DARTER_VERSION);
    else if (strcmp(verb, "print-config") == 0)
        dt_config_print_sample(spec, out);
    else
        dt_config_print_man(spec, out);
}

static const char *verb_of(const char *arg)
{
    if (strcmp(arg, "-h") == 0)
        return "help";
    if (!dt_text_has_prefix(arg, "--"))
        return NULL;
    for (const struct dt_config_verb *verb = dt_config_verbs; verb->flag != NULL; verb++)
        if (strcmp(arg + 2, verb->flag) == 0)
            return verb->flag;
    return NULL;
}

/* Help must work when all else is wrong, so this looks at nothing but the words. 1 = served. */
static int verbs_serve(const struct dt_config_spec *spec, int argc, char **argv, struct dt_err *err)
{
    const char *verb = NULL;
    for (int i = 1; i < argc && verb == NULL; i++)
        verb = verb_of(argv[i]);
    if (verb == NULL)
        return 0;
    struct dt_text out = {0};
    verb_text(&out, spec, verb);
    bool is_printed = fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    int saved_errno = errno;
    dt_text_fini(&out);
    return is_printed ? 1 : dt_err_errno(err, DT_EIO, saved_errno, "cannot write to stdout");
}

/* ---- flags ---- */

struct config_flag {
    const struct dt_option *option;
    const char *text; /* borrowed from argv, or static */
};

static int flag_unknown(const struct config_reader *reader, const char *name, size_t len)
{
    char *copy = dt_strndup(name, len);
    const char *nearest = dt_option_nearest(reader->spec->options, copy, false);
    int rc = nearest != NULL
                 ? dt_err_set(reader->err, DT_EINVAL,
                              "unknown option '--%.64s', did you mean '--%s'?", copy, nearest)
                 : dt_err_set(reader->err, DT_EINVAL, "unknown option '--%.64s', see --help", copy);
    free(copy);
    return rc;
}

/* "--no-NAME" of a BOOL. */
static const struct dt_option *option_find_negated(const struct dt_option *options,
                                                   const char *name, size_t len)
{
    if (len <= 3 || !dt_text_has_prefix(name, "no-"))
        return NULL;
    const struct dt_option *option = option_find(options, name + 3, len - 3);
    return option != NULL && option->kind == DT_OPT_BOOL ? option : NULL;
}

/* Reads the flag at argv[*index] and moves on. `argv` ends with NULL, as main's does. */
static int flag_next(struct config_flag *out, const struct config_reader *reader, char **argv,
                     int *index)
{
    const char *arg = argv[(*index)++];
    if (!dt_text_has_prefix(arg, "--") || arg[2] == '\0')
        return dt_err_set(reader->err, DT_EINVAL, "unexpected argument '%.64s', see --help", arg);
    const char *name = arg + 2;
    size_t len = strcspn(name, "=");
    const char *value = name[len] == '=' ? name + len + 1 : NULL;
    out->option = option_find(reader->spec->options, name, len);
    if (out->option == NULL) {
        out->option = option_find_negated(reader->spec->options, name, len);
        out->text = "false";
        if (out->option == NULL)
            return flag_unknown(reader, name, len);
        if (value != NULL)
            return dt_err_set(reader->err, DT_EINVAL, "--no-%s takes no value", out->option->name);
        return 0;
    }
    if (value == NULL && out->option->kind == DT_OPT_BOOL)
        value = "true";
    if (value == NULL && argv[*index] != NULL)
        value = argv[(*index)++];
    if (value == NULL)
        return dt_err_set(reader->err, DT_EINVAL, "--%s needs a value: --%s=%s", out->option->name,
                          out->option->name,
                          out->option->argument != NULL ? out->option->argument : "VALUE");
    out->text = value;
    return 0;
}

/* The last --config, or NULL. Finds every misspelt flag on the way. */
static int flags_find_file(const char **out_path, const struct config_reader *reader, int argc,
                           char **argv)
{
    *out_path = NULL;
    for (int i = 1; i < argc;) {
        struct config_flag flag;
        int rc = flag_next(&flag, reader, argv, &i);
        if (rc < 0)
            return rc;
        if (strcmp(flag.option->name, CONFIG_FLAG) == 0)
            *out_path = flag.text;
    }
    return 0;
}

static int flags_apply(const struct config_reader *reader, int argc, char **argv)
{
    const struct dt_option *options = reader->spec->options;
    size_t n_options = 0;
    while (options[n_options].name != NULL)
        n_options++;
    bool *is_list_started = dt_new_array(bool, n_options); /* owned */
    int rc = 0;
    for (int i = 1; i < argc && rc == 0;) {
        struct config_flag flag;
        struct dt_err why = {0};
        DT_ASSERT(flag_next(&flag, reader, argv, &i) == 0); /* flags_find_file() took them all */
        if (flag.option->kind == DT_OPT_LIST) {
            /* The first one replaces what file and environment said, the others add to it. */
            if (!is_list_started[flag.option - options])
                dt_option_list_clear(reader->config, flag.option);
            is_list_started[flag.option - options] = true;
            dt_option_list_add(reader->config, flag.option, flag.text);
        } else if (dt_option_set(reader->config, flag.option, flag.text, &why) < 0) {
            rc = dt_err_set(reader->err, DT_EINVAL, "--%s: %s", flag.option->name, why.msg);
        }
    }
    free(is_list_started);
    return rc;
}

/* ---- the file ---- */

/* 1 = read, 0 = there is none and that is fine. */
static int file_slurp(struct dt_text *out, const char *path, bool may_be_missing,
                      struct dt_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT && may_be_missing)
        return 0;
    if (fd < 0)
        return dt_err_errno(err, DT_EIO, errno, "cannot open %s", path);
    char chunk[4096];
    ssize_t n;
    /* One byte too many is enough for the parser to refuse it. */
    while ((n = read(fd, chunk, sizeof(chunk))) != 0 && out->len <= DT_YAML_BYTES_MAX) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        dt_text_add_len(out, chunk, (size_t)n);
    }
    int rc = n < 0 ? dt_err_errno(err, DT_EIO, errno, "cannot read %s", path) : 1;
    dt_close(&fd);
    return rc;
}

static int list_from_node(const struct config_reader *reader, const struct dt_option *option,
                          const struct dt_yaml *node, struct dt_err *why)
{
    dt_option_list_clear(reader->config, option);
    for (size_t i = 0; i < node->n; i++) {
        if (node->items[i]->kind != DT_YAML_SCALAR)
            return dt_err_set(why, DT_EINVAL, "item %zu is not a plain value", i + 1);
        dt_option_list_add(reader->config, option, node->items[i]->text);
    }
    return 0;
}

static int option_from_node(const struct config_reader *reader, const struct dt_option *option,
                            const struct dt_yaml *node, struct dt_err *why)
{
    if (option->is_flag_only)
        return dt_err_set(why, DT_EINVAL, "can only be given as a flag");
    if (option->kind == DT_OPT_LIST && node->kind == DT_YAML_SEQUENCE)
        return list_from_node(reader, option, node, why);
    if (node->kind != DT_YAML_SCALAR)
        return dt_err_set(why, DT_EINVAL, "needs one plain value");
    if (option->kind != DT_OPT_LIST)
        return dt_option_set(reader->config, option, node->text, why);
    dt_option_list_clear(reader->config, option);
    if (node->text[0] != '\0')
        dt_option_list_add(reader->config, option, node->text);
    return 0;
}

static int key_unknown(const struct config_reader *reader, const char *path, const char *key,
                       unsigned line)
{
    const char *nearest = dt_option_nearest(reader->spec->options, key, true);
    if (nearest != NULL)
        return dt_err_set(reader->err, DT_EINVAL, "%s:%u: unknown key '%.64s', did you mean '%s'?",
                          path, line, key, nearest);
    return dt_err_set(reader->err, DT_EINVAL, "%s:%u: unknown key '%.64s'", path, line, key);
}

static int key_apply(const struct config_reader *reader, const char *path, const char *key,
                     const struct dt_yaml *node)
{
    struct dt_err why = {0};
    const struct dt_option *option = option_find(reader->spec->options, key, strlen(key));
    if (option != NULL) {
        if (option_from_node(reader, option, node, &why) < 0)
            return dt_err_set(reader->err, DT_EINVAL, "%s:%u: %s: %s", path, node->line, key,
                              why.msg);
        return 0;
    }
    int rc = 0;
    if (reader->spec->on_section != NULL)
        rc = reader->spec->on_section(reader->config, key, node, &why);
    if (rc < 0)
        return dt_err_set(reader->err, (enum dt_code) - rc, "%s:%u: %s", path, node->line, why.msg);
    return rc > 0 ? 0 : key_unknown(reader, path, key, node->line);
}

static int file_apply(const struct config_reader *reader, const char *path, bool may_be_missing)
{
    struct dt_text text = {0};
    struct dt_yaml *root = NULL;
    int rc = file_slurp(&text, path, may_be_missing, reader->err);
    if (rc <= 0)
        goto out;
    unsigned line;
    struct dt_err why = {0};
    rc = dt_yaml_parse_at(&root, dt_text_str(&text), text.len, &line, &why);
    if (rc < 0) {
        (void)dt_err_set(reader->err, (enum dt_code)why.code, "%s:%u: %s", path, line, why.msg);
        goto out;
    }
    /* "---" and nothing else is an empty scalar: nothing said, nothing wrong. */
    bool is_empty = root->kind == DT_YAML_SCALAR && root->text[0] == '\0';
    if (root->kind != DT_YAML_MAPPING && !is_empty)
        rc =
            dt_err_set(reader->err, DT_EINVAL, "%s:%u: needs 'key: value' lines", path, root->line);
    for (size_t i = 0; i < root->n && rc == 0; i++)
        rc = key_apply(reader, path, root->keys[i], root->items[i]);
out:
    dt_yaml_free(&root);
    dt_text_fini(&text);
    return rc;
}

/* ---- all together ---- */

static void defaults_apply(const struct config_reader *reader)
{
    for (const struct dt_option *option = reader->spec->options; option->name != NULL; option++) {
        if (option->default_text == NULL)
            continue;
        /* A default that does not parse is a bug in the table. */
        DT_ASSERT(dt_option_set(reader->config, option, option->default_text, NULL) == 0);
    }
}

static int env_apply(const struct config_reader *reader)
{
    int rc = 0;
    for (const struct dt_option *option = reader->spec->options; option->name != NULL && rc == 0;
         option++) {
        char *name = dt_option_env_name(reader->spec, option);
        const char *text = option->is_flag_only ? NULL : getenv(name);
        struct dt_err why = {0};
        /* Empty is "not set": unit files and compose files leave empty variables behind. */
        if (text != NULL && text[0] != '\0' &&
            dt_option_set(reader->config, option, text, &why) < 0)
            rc = dt_err_set(reader->err, DT_EINVAL, "%s: %s", name, why.msg);
        free(name);
    }
    return rc;
}

static int config_fill(const struct config_reader *reader, int argc, char **argv,
                       const char *default_file)
{
    const char *path;
    int rc = flags_find_file(&path, reader, argc, argv);
    if (rc < 0)
        return rc;
    defaults_apply(reader);
    if (path != NULL)
        rc = file_apply(reader, path, false);
    else if (default_file != NULL)
        rc = file_apply(reader, default_file, true);
    if (rc == 0)
        rc = env_apply(reader);
    return rc == 0 ? flags_apply(reader, argc, argv) : rc;
}

int dt_config_load(void *config, const struct dt_config_spec *spec, int argc, char **argv,
                   const char *default_file, struct dt_err *err)
{
    int rc = verbs_serve(spec, argc, argv, err);
    if (rc != 0)
        return rc;
    const struct config_reader reader = {.config = config, .spec = spec, .err = err};
    rc = config_fill(&reader, argc, argv, default_file);
    if (rc < 0)
        dt_config_fini(config, spec);
    return rc;
}

void dt_config_fini(void *config, const struct dt_config_spec *spec)
{
    for (const struct dt_option *option = spec->options; option->name != NULL; option++)
        dt_option_fini(config, option);
}

void dt_config_each(const void *config, const struct dt_config_spec *spec,
                    void (*emit)(void *arg, const char *name, const char *value), void *arg)
{
    struct dt_text value = {0};
    for (const struct dt_option *option = spec->options; option->name != NULL; option++) {
        dt_text_clear(&value);
        dt_option_print(config, option, &value);
        emit(arg, option->name, dt_text_str(&value));
    }
    dt_text_fini(&value);
}
