/*
 * proxy/cli/show.c - what a command prints: a document as it is, for machines, or drawn for people.
 *
 * Nothing here looks whether stdout takes it all: main does, once, at the end.
 */
#include <stdio.h>

#include "proxy/cli/cli.h"

void cli_print_text(struct dt_text *text)
{
    (void)fputs(dt_text_str(text), stdout);
    (void)fflush(stdout);
    dt_text_fini(text);
}

int cli_show(const struct cli *cli, json_t *document, cli_draw_f draw)
{
    struct dt_text text = {0};
    if (cli->is_json) {
        (void)json_dumpf(document, stdout,
                         JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6));
        (void)fputc('\n', stdout);
    } else {
        draw(&text, document);
    }
    cli_print_text(&text);
    json_decref(document);
    return CLI_OK;
}

int cli_look(const struct cli *cli, const char *path, cli_draw_f draw)
{
    struct dt_err err = {0};
    json_t *document = NULL;
    if (cli_ask(&document, cli, "GET", path, &err) < 0)
        return cli_report(&err);
    return cli_show(cli, document, draw);
}
