/*
 * tests/unit/options_kit.h - a daemon's options from the text of a file and from flags, in a folder
 * of the test's own. Which daemon's: the test's main() fills `kit` in.
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
#include "transfer/process.h"

#define ARGS_MAX 16

static struct {
    const char *program;
    size_t size; /* of the struct of options, which begins with those of the process */
    int (*load)(void *options, int argc, char **argv, struct dt_err *err);
} kit;

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
static int load(void *out, const char *file, const char *flags, struct dt_err *err)
{
    char *argv[ARGS_MAX] = {(char *)kit.program, (char *)"--config", config_path};
    char *copy = dt_strdup(flags), *rest = NULL;
    int argc = 3;
    for (char *word = strtok_r(copy, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < ARGS_MAX - 1);
        argv[argc++] = word;
    }
    write_file(config_path, file);
    memset(out, 0, kit.size);
    *err = (struct dt_err){0};
    int rc = kit.load(out, argc, argv, err);
    free(copy);
    return rc;
}

static void loads(void *out, const char *file, const char *flags)
{
    struct dt_err err;
    if (load(out, file, flags, &err) != 0)
        fail_msg("refused: %s", err.msg);
}

static void is_refused(const char *file, const char *flags, const char *word)
{
    struct transfer_process_options *options = dt_calloc(1, kit.size);
    struct dt_err err;
    assert_true(load(options, file, flags, &err) < 0);
    if (strstr(err.msg, word) == NULL)
        fail_msg("\"%s\" says nothing about \"%s\"", err.msg, word);
    assert_null(options->upstreams.list);
    assert_null(options->admin_listen);
    free(options);
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
