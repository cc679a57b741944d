/*
 * tests/unit/base_config_test.c - precedence, kinds, and errors that name file, line and reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config.h"
#include "base/mem.h"
#include "base/version.h"

struct sample {
    char *config_file;
    char *listen;
    uint64_t cache_max;
    uint64_t stall_ms;
    unsigned loops;
    bool is_verbose;
    bool is_shared;
    struct dt_strings mirrors;
    char *section; /* owned */
};

#define AT(field) offsetof(struct sample, field)
static const struct dt_option options[] = {
    {"config", DT_OPT_STRING, AT(config_file), NULL, "FILE", "Read this.", false, true},
    {"listen", DT_OPT_STRING, AT(listen), "127.0.0.1:1", "IP:PORT", "Where.", false, false},
    {"cache-max", DT_OPT_SIZE, AT(cache_max), "20GiB", "SIZE", "Room.", true, false},
    {"stall", DT_OPT_DURATION, AT(stall_ms), "10s", "DURATION", "Patience.", false, false},
    {"loops", DT_OPT_UINT, AT(loops), "0", "NUMBER", "Loops.", false, false},
    {"verbose", DT_OPT_BOOL, AT(is_verbose), NULL, NULL, "Talk.", false, false},
    {"share", DT_OPT_BOOL, AT(is_shared), "true", NULL, "Give.", false, false},
    {"mirror", DT_OPT_LIST, AT(mirrors), "a b", "URL", "Where else.", false, false},
    {.name = NULL},
};

static int take_section(void *config, const char *key, const struct dt_yaml *node,
                        struct dt_err *err)
{
    struct sample *sample = config;
    if (strcmp(key, "section") != 0)
        return 0;
    if (node->kind != DT_YAML_SCALAR)
        return dt_err_set(err, DT_ETOOBIG, "section: one word, please");
    sample->section = dt_strdup(node->text);
    return 1;
}

static const struct dt_config_spec spec = {
    .program = "sample",
    .summary = "a sample",
    .options = options,
    .env_prefix = "DARTER_TEST_",
    .on_section = take_section,
    .sections_sample = "section: word\n",
};

static char file_path[] = "/tmp/darter-config-test-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(file_path);
    if (fd < 0)
        return -1;
    return close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

static void write_file(const char *text)
{
    FILE *file = fopen(file_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void release(struct sample *sample)
{
    dt_config_fini(sample, &spec);
    dt_free(&sample->section);
}

#define LOAD(sample, default_file, err, ...)                                                       \
    load(sample, default_file, err, (const char *[]){"sample", ##__VA_ARGS__, NULL})

static int load(struct sample *sample, const char *default_file, struct dt_err *err,
                const char **argv)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    *sample = (struct sample){0};
    *err = (struct dt_err){0};
    return dt_config_load(sample, &spec, argc, (char **)argv, default_file, err);
}

static void config__has_defaults_without_any_file(void **state)
{
    (void)state;
    struct sample sample;
    struct dt_err err;
    assert_int_equal(LOAD(&sample, "/nonexistent/darter.yaml", &err), 0);
    assert_null(sample.config_file);
    assert_string_equal(sample.listen, "127.0.0.1:1");
    assert_true(sample.cache_max == 20 * GIB);
    assert_int_equal(sample.stall_ms, 10000);
    assert_true(sample.is_shared && !sample.is_verbose);
    assert_int_equal(sample.mirrors.n, 2);
    assert_string_equal(sample.mirrors.items[1], "b");
    release(&sample);
    assert_null(sample.listen);
    assert_int_equal(sample.mirrors.n, 0);
}

static void config__flag_beats_environment_beats_file_beats_default(void **state)
{
    (void)state;
    struct sample sample;
    struct dt_err err;
    write_file("listen: file\ncache-max: 1GiB\nstall: 1s\nmirror: [f1, f2, f3]\nloops: 3\n");
    setenv("DARTER_TEST_CACHE_MAX", "2GiB", 1);
    setenv("DARTER_TEST_STALL", "2s", 1);
    setenv("DARTER_TEST_MIRROR", " e1  e2 ", 1);
    setenv("DARTER_TEST_LOOPS", "", 1); /* empty is not set */
    setenv("DARTER_TEST_CONFIG", "/nonexistent", 1);
    int rc = LOAD(&sample, file_path, &err, "--stall=3s", "--verbose");
    assert_int_equal(rc, 0);
    assert_string_equal(sample.listen, "file");
    assert_true(sample.cache_max == 2 * GIB);
    assert_int_equal(sample.stall_ms, 3000);
    assert_int_equal(sample.loops, 3);
    assert_true(sample.is_verbose);
    assert_int_equal(sample.mirrors.n, 2);
    assert_string_equal(sample.mirrors.items[0], "e1");
    release(&sample);

    rc = LOAD(&sample, NULL, &err, "--mirror", "m1", "--config", file_path, "--mirror=m2");
    assert_int_equal(rc, 0);
    assert_string_equal(sample.config_file, file_path);
    assert_string_equal(sample.listen, "file");
    assert_int_equal(sample.mirrors.n, 2);
    assert_string_equal(sample.mirrors.items[0], "m1");
    assert_string_equal(sample.mirrors.items[1], "m2");
    release(&sample);
    unsetenv("DARTER_TEST_CACHE_MAX");
    unsetenv("DARTER_TEST_STALL");
    unsetenv("DARTER_TEST_MIRROR");
    unsetenv("DARTER_TEST_LOOPS");
    unsetenv("DARTER_TEST_CONFIG");
}

static void config__reads_every_kind_from_the_file(void **state)
{
    (void)state;
    struct sample sample;
    struct dt_err err;
    write_file("---\nlisten: \"\"\nverbose: yes\nshare: OFF\nmirror: one,two\nsection: taken\n");
    assert_int_equal(LOAD(&sample, file_path, &err), 0);
    assert_null(sample.listen);
    assert_true(sample.is_verbose && !sample.is_shared);
    assert_int_equal(sample.mirrors.n, 1);
    assert_string_equal(sample.mirrors.items[0], "one,two");
    assert_string_equal(sample.section, "taken");
    release(&sample);
    write_file("---\n");
    assert_int_equal(LOAD(&sample, file_path, &err), 0);
    release(&sample);
    write_file("mirror:\n");
    assert_int_equal(LOAD(&sample, file_path, &err), 0);
    assert_int_equal(sample.mirrors.n, 0);
    release(&sample);
}

static void config__errors_name_file_line_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *reason;
    } cases[] = {
        {"listen: x\ncache_max: 1\n", ":2: unknown key 'cache_max', did you mean 'cache-max'?"},
        {"bananas: 1\n", ":1: unknown key 'bananas'"},
        {"a-key-with-a-name-that-is-much-longer-than-any-option-has: 1\n",
         ":1: unknown key 'a-key-with-a-name-that-is-much-longer-than-any-option-has'"},
        {"konfig: 1\n", ":1: unknown key 'konfig'"}, /* config would not help */
        {"cache-max: 10%\n", ":1: cache-max: '10%' is not a size: write 512, 64KiB, 1.5GiB, 20GB"},
        {"stall: 5\n", ":1: stall: '5' is not a duration: write 250ms, 30s, 5m, 12h, 7d"},
        {"loops: 4294967296\n", ":1: loops: '4294967296' is not a number from 0 to 4294967295"},
        {"loops: -1\n", ":1: loops: '-1' is not a number from 0 to 4294967295"},
        {"verbose: maybe\n", ":1: verbose: 'maybe' is neither true nor false"},
        {"listen: [a]\n", ":1: listen: needs one plain value"},
        {"mirror:\n  a: b\n", ":1: mirror: needs one plain value"},
        {"mirror: [a, [b]]\n", ":1: mirror: item 2 is not a plain value"},
        {"\nconfig: /x\n", ":2: config: can only be given as a flag"},
        {"# x\nsection: []\n", ":2: section: one word, please"},
        {"- a\n", ":1: needs 'key: value' lines"},
        {"word\n", ":1: needs 'key: value' lines"},
        {"a: 1\nb: [\n", ":3: did not find expected node content"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sample sample;
        struct dt_err err;
        write_file(cases[i].text);
        assert_true(LOAD(&sample, file_path, &err) < 0);
        assert_int_equal(strncmp(err.msg, file_path, strlen(file_path)), 0);
        assert_string_equal(err.msg + strlen(file_path), cases[i].reason);
        assert_null(sample.listen); /* released */
    }
}

static void config__keeps_the_code_of_a_section(void **state)
{
    (void)state;
    struct sample sample;
    struct dt_err err;
    write_file("section: []\n");
    assert_int_equal(LOAD(&sample, file_path, &err), -DT_ETOOBIG);
}

static void config__a_named_file_must_exist_and_be_readable(void **state)
{
    (void)state;
    struct sample sample;
    struct dt_err err;
    assert_int_equal(LOAD(&sample, NULL, &err, "--config=/nonexistent/x"), -DT_EIO);
    assert_string_equal(err.msg, "cannot open /nonexistent/x: No such file or directory");
    assert_int_equal(LOAD(&sample, NULL, &err, "--config=/"), -DT_EIO);
    assert_string_equal(err.msg, "cannot read /: Is a directory");
    assert_int_equal(LOAD(&sample, NULL, &err, "--config=/dev/zero"), -DT_ETOOBIG);
    assert_string_equal(err.msg, "/dev/zero:1: more than 1048576 bytes");
}

static void config__flags_may_be_negated_and_repeated(void **state)
{
    (void)state;
    struct sample sample;
    struct dt_err err;
    int rc = LOAD(&sample, NULL, &err, "--no-share", "--verbose=false", "--loops", "1", "--loops=2",
                  "--listen=");
    assert_int_equal(rc, 0);
    assert_true(!sample.is_shared && !sample.is_verbose);
    assert_int_equal(sample.loops, 2);
    assert_null(sample.listen);
    release(&sample);
}

static void config__flag_errors_say_what_to_do(void **state)
{
    (void)state;
    static const struct {
        const char *arg;
        const char *reason;
    } cases[] = {
        {"--chache-max=1", "unknown option '--chache-max', did you mean '--cache-max'?"},
        {"--bananas", "unknown option '--bananas', see --help"},
        {"--no-listen", "unknown option '--no-listen', did you mean '--listen'?"},
        {"--no-share=1", "--no-share takes no value"},
        {"--listen", "--listen needs a value: --listen=IP:PORT"},
        {"word", "unexpected argument 'word', see --help"},
        {"--", "unexpected argument '--', see --help"},
        {"-v", "unexpected argument '-v', see --help"},
        {"--loops=x", "--loops: 'x' is not a number from 0 to 4294967295"},
        {"--share=x", "--share: 'x' is neither true nor false"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sample sample;
        struct dt_err err;
        assert_int_equal(LOAD(&sample, NULL, &err, cases[i].arg), -DT_EINVAL);
        assert_string_equal(err.msg, cases[i].reason);
    }
}

static void config__bad_environment_names_the_variable(void **state)
{
    (void)state;
    struct sample sample;
    struct dt_err err;
    setenv("DARTER_TEST_STALL", "soon", 1);
    int rc = LOAD(&sample, NULL, &err);
    unsetenv("DARTER_TEST_STALL");
    assert_int_equal(rc, -DT_EINVAL);
    assert_non_null(strstr(err.msg, "DARTER_TEST_STALL: 'soon' is not a duration"));
}

struct pairs {
    struct dt_text text;
};

static void emit_pair(void *arg, const char *name, const char *value)
{
    struct pairs *pairs = arg;
    dt_text_addf(&pairs->text, "%s=%s\n", name, value);
}

static void config_each__prints_values_that_read_back(void **state)
{
    (void)state;
    struct sample sample;
    struct dt_err err;
    struct pairs pairs = {0};
    int rc = LOAD(&sample, NULL, &err, "--cache-max=1234567", "--stall=90061001ms", "--listen=");
    assert_int_equal(rc, 0);
    dt_config_each(&sample, &spec, emit_pair, &pairs);
    assert_string_equal(dt_text_str(&pairs.text), "config=\nlisten=\ncache-max=1234567\n"
                                                  "stall=90061001ms\nloops=0\nverbose=false\n"
                                                  "share=true\nmirror=a b\n");
    release(&sample);
    dt_text_clear(&pairs.text);
    rc = LOAD(&sample, NULL, &err, "--cache-max=18446744073709551615", "--stall=5m");
    assert_int_equal(rc, 0);
    dt_config_each(&sample, &spec, emit_pair, &pairs);
    assert_non_null(strstr(dt_text_str(&pairs.text), "cache-max=18446744073709551615\nstall=5m\n"));
    release(&sample);
    sample.stall_ms = UINT64_MAX;
    dt_text_clear(&pairs.text);
    dt_config_each(&sample, &spec, emit_pair, &pairs);
    assert_non_null(strstr(dt_text_str(&pairs.text), "stall=18446744073709551615ms\n"));
    dt_text_fini(&pairs.text);
}

/* What a verb prints on stdout. */
static char *served(const char *flag)
{
    char path[] = "/tmp/darter-config-out-XXXXXX";
    int fd = mkstemp(path), saved = dup(STDOUT_FILENO);
    assert_true(fd >= 0 && saved >= 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(fflush(stdout), 0);
    assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    struct sample sample;
    struct dt_err err;
    /* Served although another flag is wrong. */
    int rc = LOAD(&sample, NULL, &err, "--bananas", flag);
    assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
    close(saved);
    assert_int_equal(rc, 1);
    char *text = dt_calloc(1, 16384);
    assert_true(pread(fd, text, 16383, 0) > 0);
    close(fd);
    return text;
}

static void verbs__are_served_whatever_else_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *flag;
        const char *part;
    } cases[] = {
        {"--version", "sample " DARTER_VERSION "\n"},
        {"--help", "  --cache-max=SIZE\n        Room. Default: 20GiB. SIGHUP changes it.\n"},
        {"-h", "  --share\n        Give. --no-share turns it off. Default: true.\n"},
        {"--print-config", "# Room. SIGHUP changes it.\n#cache-max: 20GiB\n"},
        {"--print-man", ".It Fl -cache-max Ns = Ns Ar SIZE\nRoom.\nDefault: 20GiB.\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = served(cases[i].flag);
        assert_non_null(strstr(text, cases[i].part));
        free(text);
    }
}

static void verbs__fail_when_stdout_is_full(void **state)
{
    (void)state;
    int saved = dup(STDOUT_FILENO);
    assert_true(saved >= 0);
    assert_int_equal(fflush(stdout), 0);
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    assert_int_equal(dup2(fileno(full), STDOUT_FILENO), STDOUT_FILENO);
    struct sample sample;
    struct dt_err err;
    int rc = LOAD(&sample, NULL, &err, "--version");
    assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
    clearerr(stdout);
    close(saved);
    fclose(full);
    assert_int_equal(rc, -DT_EIO);
    assert_string_equal(err.msg, "cannot write to stdout: No space left on device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config__has_defaults_without_any_file),
        cmocka_unit_test(config__flag_beats_environment_beats_file_beats_default),
        cmocka_unit_test(config__reads_every_kind_from_the_file),
        cmocka_unit_test(config__errors_name_file_line_and_reason),
        cmocka_unit_test(config__keeps_the_code_of_a_section),
        cmocka_unit_test(config__a_named_file_must_exist_and_be_readable),
        cmocka_unit_test(config__flags_may_be_negated_and_repeated),
        cmocka_unit_test(config__flag_errors_say_what_to_do),
        cmocka_unit_test(config__bad_environment_names_the_variable),
        cmocka_unit_test(config_each__prints_values_that_read_back),
        cmocka_unit_test(verbs__are_served_whatever_else_is_said),
        cmocka_unit_test(verbs__fail_when_stdout_is_full),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
