/*
 * proxy/cli/site.c - a supernode and its site: nodes, bans, drain, limits.
 *
 * The daemon at --admin has to be a supernode; main.c looks whether it is one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "proxy/cli/cli.h"

/* ---- nodes ---- */

static void add_node(struct cli_table *table, const json_t *node)
{
    char text[24];
    cli_table_add(table, cli_string(node, "name"));
    cli_table_add(table, cli_string(node, "state"));
    cli_table_add(table, cli_string(node, "address"));
    cli_table_add(table, cli_string(node, "rack"));
    cli_table_add_number(table, cli_number(node, "holdings"));
    cli_table_add_size(table, cli_number(node, "up_bytes"));
    cli_table_add_size(table, cli_number(node, "down_bytes"));
    cli_table_add_number(table, cli_number(node, "bad_pieces"));
    cli_table_add_number(table, cli_number(node, "strikes"));
    cli_table_add(table, cli_short_time(text, cli_string(node, "last_seen")));
    cli_table_add(table, cli_string(node, "ban_reason"));
}

static void draw_nodes(struct dt_text *out, const json_t *document)
{
    static const char *const titles[] = {"NODE", "STATE", "ADDRESS", "RACK",      "BLOBS",     "UP",
                                         "DOWN", "BAD",   "STRIKES", "LAST SEEN", "BANNED FOR"};
    struct cli_table table;
    json_t *node;
    size_t i;
    cli_table_init(&table, "llllrrrrrll", titles);
    json_array_foreach(json_object_get(document, "nodes"), i, node)
    {
        add_node(&table, node);
    }
    cli_table_draw(&table, out);
}

int cli_nodes(struct cli *cli)
{
    return cli_look(cli, "/v1/nodes", draw_nodes);
}

/* ---- bans ---- */

static char *path_of_ban(const char *node, const char *reason)
{
    char *name = dt_percent_encode(node), *text = reason != NULL ? dt_percent_encode(reason) : NULL;
    char *path = text != NULL ? dt_asprintf("/v1/nodes/%s/ban?reason=%s", name, text)
                              : dt_asprintf("/v1/nodes/%s/ban", name);
    free(name);
    free(text);
    return path;
}

/* The same change to every word; goes on after a failure and tells the first one's exit code. */
static int change_bans(struct cli *cli, const char *method, const char *done)
{
    int exit_code = CLI_OK;
    for (size_t i = 0; i < cli->n_words; i++) {
        struct dt_err err = {0};
        json_t *answer = NULL;
        int code = CLI_OK;
        char *path = path_of_ban(cli->words[i], cli->reason);
        if (cli_ask(&answer, cli, method, path, &err) < 0)
            code = cli_report(&err);
        else if (!cli->is_json)
            (void)printf("%s %s\n", done, cli->words[i]);
        free(path);
        json_decref(answer);
        if (exit_code == CLI_OK)
            exit_code = code;
    }
    return exit_code;
}

int cli_ban(struct cli *cli)
{
    return change_bans(cli, "POST", "banned");
}

int cli_unban(struct cli *cli)
{
    return change_bans(cli, "DELETE", "unbanned");
}

/* ---- drain ---- */

static int change_drain(struct cli *cli, const char *method, const char *done)
{
    struct dt_err err = {0};
    json_t *answer = NULL;
    if (cli_ask(&answer, cli, method, "/v1/drain", &err) < 0)
        return cli_report(&err);
    if (!cli->is_json)
        (void)printf("%s\n", done);
    json_decref(answer);
    return CLI_OK;
}

int cli_drain(struct cli *cli)
{
    return change_drain(cli, "POST", "draining");
}

int cli_undrain(struct cli *cli)
{
    return change_drain(cli, "DELETE", "takes new tasks");
}

/* ---- limits ---- */

static void draw_limits(struct dt_text *out, const json_t *limits)
{
    static const struct {
        const char *key, *title;
    } rows[] = {
        {"up", "own uploads"},
        {"down", "from registries"},
        {"task", "one blob, all nodes"},
        {"node_up", "each node, up"},
        {"node_down", "each node, down"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char size[24];
        uint64_t value = cli_number(limits, rows[i].key);
        if (value == 0)
            dt_text_addf(out, "%-20s no limit\n", rows[i].title);
        else
            dt_text_addf(out, "%-20s %s/s\n", rows[i].title, dt_size_format(size, value));
    }
}

int cli_limits(struct cli *cli)
{
    const struct {
        const char *key, *value;
    } flags[] = {
        {"up", cli->up},           {"down", cli->down},           {"task", cli->task},
        {"node-up", cli->node_up}, {"node-down", cli->node_down},
    };
    struct dt_err err = {0};
    struct dt_text path = {0};
    json_t *limits = NULL;
    bool is_change = false;
    dt_text_add(&path, "/v1/limits");
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        if (flags[i].value == NULL)
            continue;
        char *value = dt_percent_encode(flags[i].value);
        dt_text_addf(&path, "%s%s=%s", is_change ? "&" : "?", flags[i].key, value);
        free(value);
        is_change = true;
    }
    int rc = cli_ask(&limits, cli, is_change ? "PUT" : "GET", dt_text_str(&path), &err);
    dt_text_fini(&path);
    if (rc < 0)
        return cli_report(&err);
    return cli_show(cli, limits, draw_limits);
}
