/*
 * tests/unit/options_kit.h - a daemon's options from the text of a file and from flags, in a folder
 * of the test's own.
 *
 * Whoever includes it says before which daemon's: OPTIONS (the struct), OPTIONS_LOAD (its function)
 * and OPTIONS_PROGRAM.
 */
#ifndef DARTER_TESTS_OPTIONS_KIT_H
#define DARTER_TESTS_OPTIONS_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

#define ARGS_MAX 16

static char folder[] = "/tmp/darter-options-XXXXXX";
static char config_path[64], password_path[64];

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

/* `flags` are separated by blanks; `file` is the text of --config. */
static int load(OPTIONS *out, const char *file, const char *flags, struct dt_err *err)
{
    char *argv[ARGS_MAX] = {(char *)OPTIONS_PROGRAM, (char *)"--config", config_path};
    char *copy = dt_strdup(flags), *rest = NULL;
    int argc = 3;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < ARGS_MAX - 1);
        argv[argc++] = word;
    }
    write_file(config_path, file);
    *out = (OPTIONS){0};
    *err = (struct dt_err){0};
    int rc = OPTIONS_LOAD(out, argc, argv, err);
    free(copy);
    return rc;
}

static void loads(OPTIONS *out, const char *file, const char *flags)
{
    struct dt_err err;
    if (load(out, file, flags, &err) != 0)
        fail_msg("refused: %s", err.msg);
}

static void is_refused(const char *file, const char *flags, const char *word)
{
    OPTIONS options;
    struct dt_err err;
    assert_true(load(&options, file, flags, &err) < 0);
    if (strstr(err.msg, word) == NULL)
        fail_msg("\"%s\" says nothing about \"%s\"", err.msg, word);
    assert_null(options.process.upstreams.list);
    assert_null(options.listen);
}

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    (void)dt_text_print(config_path, sizeof config_path, "%s/config.yaml", folder);
    (void)dt_text_print(password_path, sizeof password_path, "%s/password", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(config_path);
    (void)unlink(password_path);
    return rmdir(folder);
}

#endif
