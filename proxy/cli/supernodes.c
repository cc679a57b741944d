/*
 * proxy/cli/supernodes.c - `darter supernodes`: who directs this node, and what it gives to others;
 * asked of a supernode, whom it watches.
 */
#include <inttypes.h>
#include <string.h>

#include "proxy/cli/cli.h"

/* What keeps an operator from wondering why a supernode that is up gets no tasks. */
static const char *word_of(const json_t *supernode)
{
    static const char *const reasons[][2] = {
        {"other_site", "of another site"}, {"banned", "bans us"}, {"draining", "draining"}};
    const char *state = cli_string(supernode, "state");
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (json_is_true(json_object_get(supernode, reasons[i][0])))
            return reasons[i][1];
    return state != NULL ? state : "-";
}

static void add_supernode(struct cli_table *table, const json_t *supernode)
{
    char text[24];
    cli_table_add(table, cli_string(supernode, "url"));
    cli_table_add(table, cli_string(supernode, "name"));
    cli_table_add(table, word_of(supernode));
    cli_table_add(table, cli_short_time(text, cli_string(supernode, "last_ok")));
    cli_table_add(table, cli_string(supernode, "last_error"));
}

static bool is_closed(const json_t *document)
{
    const char *listen = cli_string(json_object_get(document, "node"), "peer_listen");
    return listen != NULL && strcmp(listen, "closed") == 0;
}

static void add_node(struct dt_text *out, const json_t *document)
{
    const json_t *node = json_object_get(document, "node");
    const json_t *pieces = json_object_get(document, "pieces");
    const char *words[] = {cli_string(node, "name"), cli_string(node, "site"),
                           cli_string(node, "peer_listen")};
    char *safe[3];
    for (size_t i = 0; i < 3; i++)
        safe[i] = cli_safe_text(words[i] != NULL ? words[i] : "-");
    dt_text_addf(out, "node %s of site %s, ", safe[0], safe[1]);
    if (is_closed(document))
        dt_text_add(out, "in no swarm: cluster-key-file is not set\n");
    else
        dt_text_addf(out, "pieces at %s: %" PRIu64 " served, %" PRIu64 " refused\n", safe[2],
                     cli_number(pieces, "served"), cli_number(pieces, "refused"));
    for (size_t i = 0; i < 3; i++)
        free(safe[i]);
}

static void draw_supernodes(struct dt_text *out, const json_t *document)
{
    static const char *const titles[] = {"SUPERNODE", "NAME", "STATE", "LAST ANSWER", "LAST ERROR"};
    struct cli_table table;
    json_t *supernode;
    size_t i;
    add_node(out, document);
    if (is_closed(document))
        return;
    cli_table_init(&table, "lllll", titles);
    json_array_foreach(json_object_get(document, "supernodes"), i, supernode)
    {
        add_supernode(&table, supernode);
    }
    cli_table_draw(&table, out);
}

/* What a supernode knows of the others of its site. */
static void draw_peers(struct dt_text *out, const json_t *document)
{
    static const char *const titles[] = {"SUPERNODE", "STATE", "SINCE"};
    struct cli_table table;
    json_t *peer;
    size_t i;
    cli_table_init(&table, "lll", titles);
    json_array_foreach(json_object_get(document, "peers"), i, peer)
    {
        char text[24];
        cli_table_add(&table, cli_string(peer, "url"));
        cli_table_add(&table, json_is_true(json_object_get(peer, "up")) ? "up" : "down");
        cli_table_add(&table, cli_short_time(text, cli_string(peer, "since")));
    }
    cli_table_draw(&table, out);
}

int cli_supernodes(struct cli *cli)
{
    bool is_supernode;
    struct dt_err err = {0};
    if (cli_ask_kind(&is_supernode, cli, &err) < 0)
        return cli_report(&err);
    return is_supernode ? cli_look(cli, "/v1/peers", draw_peers)
                        : cli_look(cli, "/v1/supernodes", draw_supernodes);
}
