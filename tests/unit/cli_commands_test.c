/*
 * tests/unit/cli_commands_test.c - the command line of `darter`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proxy/cli/cli.h"

#define ARGS_MAX 12

static char *line;

/* Parses `text`, words separated by blanks; what it points into lives until the next call. */
static int parse(struct cli *cli, const struct cli_command **command, const char *text,
                 struct dt_err *err)
{
    char *argv[ARGS_MAX], *rest = NULL;
    int argc = 0;
    free(line);
    line = dt_strdup(text);
    for (char *word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(argc < ARGS_MAX);
        argv[argc++] = word;
    }
    return cli_parse(cli, command, argc, argv, err);
}

static void command__is_found_with_its_words(void **state)
{
    (void)state;
    struct cli cli;
    const struct cli_command *command;
    struct dt_err err;
    assert_int_equal(parse(&cli, &command, "darter --json cache rm a --admin unix:/x b", &err), 0);
    assert_string_equal(command->name, "cache rm");
    assert_int_equal(cli.n_words, 2);
    assert_string_equal(cli.words[0], "a");
    assert_string_equal(cli.words[1], "b");
    assert_string_equal(cli.admin, "unix:/x");
    assert_true(cli.is_json);
    cli_fini(&cli);
    assert_int_equal(parse(&cli, &command, "darter tasks --once", &err), 0);
    assert_string_equal(command->name, "tasks");
    assert_true(cli.is_once);
    cli_fini(&cli);
    assert_int_equal(parse(&cli, &command, "darter cache show -- --odd", &err), 0);
    assert_string_equal(cli.words[0], "--odd");
    cli_fini(&cli);
    assert_int_equal(parse(&cli, &command, "darter cache ls --state=sealed", &err), 0);
    assert_string_equal(cli.state, "sealed");
    cli_fini(&cli);
}

static void command__verbs_need_none(void **state)
{
    (void)state;
    static const char *const lines[] = {"darter --help", "darter -h", "darter --version",
                                        "darter --print-man", "darter cache ls --help"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct cli cli;
        const struct cli_command *command;
        struct dt_err err;
        assert_int_equal(parse(&cli, &command, lines[i], &err), 0);
        assert_null(command);
        cli_fini(&cli);
    }
}

static void command__nonsense_is_refused_with_its_word(void **state)
{
    (void)state;
    static const struct {
        const char *line, *word;
    } rows[] = {
        {"darter", "no command"},
        {"darter cash", "cash"},
        {"darter cache", "needs one of: ls, show"},
        {"darter cache burn", "'cache burn', there is: ls, show"},
        {"darter cach", "unknown command 'cach'"},
        {"darter cache ls --repository a", "--upstream"},
        {"darter cache show", "DIGEST"},
        {"darter cache show a b", "'b'"},
        {"darter cache stats a", "'a'"},
        {"darter tasks --twice", "--twice"},
        {"darter tasks --admin", "--admin"},
        {"darter tasks --json=1", "no value"},
        {"darter tasks --rate 5MiB", "cache scrub"},
        {"darter cache ls --state foo", "--state: 'foo'"},
        {"darter cache scrub --rate fast", "--rate: "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cli cli;
        const struct cli_command *command;
        struct dt_err err = {0};
        assert_true(parse(&cli, &command, rows[i].line, &err) < 0);
        assert_non_null(strstr(err.msg, rows[i].word));
        cli_fini(&cli);
    }
}

static void help__and_the_manual_name_every_command_and_flag(void **state)
{
    (void)state;
    struct dt_text help = {0}, man = {0};
    cli_print_help(&help);
    cli_print_man(&man);
    for (const struct cli_command *row = cli_commands; row->name != NULL; row++) {
        assert_non_null(strstr(dt_text_str(&help), row->name));
        assert_non_null(strstr(dt_text_str(&man), row->name));
    }
    for (const struct cli_flag *flag = cli_flags; flag->name != NULL; flag++) {
        assert_non_null(strstr(dt_text_str(&help), flag->name));
        assert_non_null(strstr(dt_text_str(&man), flag->name));
    }
    dt_text_fini(&help);
    dt_text_fini(&man);
}

static void exit_code__follows_the_error(void **state)
{
    (void)state;
    const struct {
        enum dt_code code;
        int exit_code;
    } rows[] = {
        {DT_ENOTFOUND, CLI_NOT_FOUND},    {DT_EUNAVAILABLE, CLI_NO_CONNECTION},
        {DT_ETIMEOUT, CLI_NO_CONNECTION}, {DT_ECONFLICT, CLI_FAILED},
        {DT_EUNAUTHORIZED, CLI_FAILED},   {DT_EINVAL, CLI_USAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dt_err err;
        (void)dt_err_set(&err, rows[i].code, "row %zu", i);
        assert_int_equal(cli_report(&err), rows[i].exit_code);
    }
}

static void address__comes_from_flag_environment_or_default(void **state)
{
    (void)state;
    struct cli cli = {.admin = "[::1]:80"};
    struct dt_err err;
    setenv(CLI_ADMIN_ENV, "unix:/run/x.sock", 1);
    assert_int_equal(cli_connect(&cli, &err), 0);
    assert_string_equal(cli.base_url, "http://[::1]:80");
    cli = (struct cli){0};
    assert_int_equal(cli_connect(&cli, &err), 0);
    assert_string_equal(cli.addr.unix_path, "/run/x.sock");
    assert_string_equal(cli.base_url, "http://localhost");
    unsetenv(CLI_ADMIN_ENV);
    cli = (struct cli){0};
    assert_int_equal(cli_connect(&cli, &err), 0);
    assert_string_equal(cli.base_url, "http://" CLI_ADMIN_DEFAULT);
    cli = (struct cli){.admin = "nowhere"};
    assert_true(cli_connect(&cli, &err) < 0);
    cli = (struct cli){.token_file = "/none/here"};
    assert_true(cli_connect(&cli, &err) < 0);
    assert_non_null(strstr(err.msg, "/none/here"));
}

static int free_line(void **state)
{
    (void)state;
    dt_free(&line);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command__is_found_with_its_words),
        cmocka_unit_test(command__verbs_need_none),
        cmocka_unit_test(command__nonsense_is_refused_with_its_word),
        cmocka_unit_test(help__and_the_manual_name_every_command_and_flag),
        cmocka_unit_test(exit_code__follows_the_error),
        cmocka_unit_test(address__comes_from_flag_environment_or_default),
    };
    return cmocka_run_group_tests(tests, NULL, free_line);
}
