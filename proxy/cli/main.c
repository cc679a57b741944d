/*
 * proxy/cli/main.c - `darter`: looks into a running daemon of this machine and manages it.
 */
#include <stdio.h>

#include "base/version.h"
#include "proxy/cli/cli.h"

/* Prints what --help and its like ask for. */
static void serve_verb(const struct cli *cli)
{
    struct dt_text text = {0};
    if (cli->is_man)
        cli_print_man(&text);
    else if (cli->is_version)
        dt_text_addf(&text, "darter %s\n", DARTER_VERSION);
    else
        cli_print_help(&text);
    cli_print_text(&text);
}

int main(int argc, char **argv)
{
    struct cli cli;
    const struct cli_command *command;
    struct dt_err err = {0};
    int exit_code = CLI_OK;
    if (cli_parse(&cli, &command, argc, argv, &err) < 0 ||
        (command != NULL && cli_connect(&cli, &err) < 0)) {
        (void)cli_report(&err);
        exit_code = CLI_USAGE;
    } else if (command == NULL) {
        serve_verb(&cli);
    } else {
        exit_code = command->is_for_supernodes && cli_want_supernode(&cli, command->name, &err) < 0
                        ? cli_report(&err)
                        : command->run(&cli);
    }
    cli_fini(&cli);
    /* A full disk or a closed pipe must not look like success. */
    if ((fflush(stdout) != 0 || ferror(stdout)) && exit_code == CLI_OK)
        exit_code = CLI_FAILED;
    return exit_code;
}
