/*
 * proxy/cli/format.c - tables, bars and short forms for people. Pure.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "proxy/cli/cli.h"

#define SHORT_HEX 12
#define BAR_WIDTH 24
#define WIDTH_MIN 60

/* ---- texts ---- */

char *cli_safe_text(const char *text)
{
    char *copy = dt_strdup(text);
    for (char *c = copy; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    return copy;
}

char *cli_short_digest(char out[16], const char *digest)
{
    const char *hex = strchr(digest, ':');
    hex = hex != NULL ? hex + 1 : digest;
    (void)dt_text_print(out, 16, "%.*s", SHORT_HEX, hex);
    return out;
}

char *cli_short_time(char out[24], const char *rfc3339)
{
    (void)dt_text_print(out, 24, "%.19s", rfc3339 != NULL ? rfc3339 : "-");
    if (strlen(out) == 19 && out[10] == 'T')
        out[10] = ' ';
    return out;
}

char *cli_time_left(char out[16], uint64_t bytes_left, uint64_t rate)
{
    uint64_t seconds = rate > 0 ? (bytes_left + rate - 1) / rate : UINT64_MAX;
    if (seconds >= 100 * 3600)
        (void)dt_text_print(out, 16, "-");
    else if (seconds >= 3600)
        (void)dt_text_print(out, 16, "%" PRIu64 "h%02" PRIu64 "m", seconds / 3600,
                            seconds / 60 % 60);
    else if (seconds >= 60)
        (void)dt_text_print(out, 16, "%" PRIu64 "m%02" PRIu64 "s", seconds / 60, seconds % 60);
    else
        (void)dt_text_print(out, 16, "%" PRIu64 "s", seconds);
    return out;
}

void cli_bar(struct dt_text *out, unsigned width, uint64_t done, uint64_t total)
{
    /* In floating point: done * width may not fit in 64 bits. */
    unsigned filled = total > 0 ? (unsigned)((double)done / (double)total * width) : 0;
    if (filled > width || (total > 0 && done >= total))
        filled = width;
    if (filled == width && done < total)
        filled = width - 1; /* full means done */
    dt_text_add(out, "[");
    for (unsigned i = 0; i < width; i++)
        dt_text_add(out, i < filled ? "#" : ".");
    dt_text_add(out, "]");
}

/* ---- tables ---- */

void cli_table_init(struct cli_table *table, const char *align, const char *const *titles)
{
    *table = (struct cli_table){.align = align, .n_columns = strlen(align)};
    for (size_t i = 0; i < table->n_columns; i++)
        cli_table_add(table, titles[i]);
}

void cli_table_add(struct cli_table *table, const char *cell)
{
    table->cells = dt_realloc(table->cells, (table->n_cells + 1) * sizeof *table->cells);
    table->cells[table->n_cells++] = cli_safe_text(cell != NULL ? cell : "-");
}

void cli_table_add_size(struct cli_table *table, uint64_t bytes)
{
    char text[24];
    cli_table_add(table, dt_size_format(text, bytes));
}

void cli_table_add_number(struct cli_table *table, uint64_t number)
{
    char text[24];
    (void)dt_text_print(text, sizeof text, "%" PRIu64, number);
    cli_table_add(table, text);
}

static size_t column_width(const struct cli_table *table, size_t column)
{
    size_t width = 0;
    for (size_t i = column; i < table->n_cells; i += table->n_columns)
        if (strlen(table->cells[i]) > width)
            width = strlen(table->cells[i]);
    return width;
}

static void table_fini(struct cli_table *table)
{
    for (size_t i = 0; i < table->n_cells; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct cli_table){0};
}

void cli_table_draw(struct cli_table *table, struct dt_text *out)
{
    size_t *widths = dt_new_array(size_t, table->n_columns);
    for (size_t i = 0; i < table->n_columns; i++)
        widths[i] = column_width(table, i);
    for (size_t i = 0; i < table->n_cells; i++) {
        size_t column = i % table->n_columns;
        bool is_last = column + 1 == table->n_columns;
        int width = (int)widths[column];
        const char *gap = column > 0 ? "  " : "";
        if (table->align[column] == 'r')
            dt_text_addf(out, "%s%*s", gap, width, table->cells[i]);
        else /* nothing follows the last cell: no blanks at the end of a line */
            dt_text_addf(out, "%s%-*s", gap, is_last ? 0 : width, table->cells[i]);
        if (is_last)
            dt_text_add(out, "\n");
    }
    free(widths);
    table_fini(table);
}

/* ---- members of a document ---- */

uint64_t cli_number(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (uint64_t)value : 0;
}

const char *cli_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

/* ---- a frame of tasks ---- */

/* "origin 40.0 MiB, mirror 2.0 MiB": only those that gave something. */
static void add_sources(struct dt_text *out, json_t *kinds)
{
    const char *kind;
    json_t *bytes;
    const char *comma = "";
    json_object_foreach(kinds, kind, bytes)
    {
        char size[24];
        if (json_integer_value(bytes) <= 0)
            continue;
        dt_text_addf(out, "%s%s %s", comma, kind,
                     dt_size_format(size, (uint64_t)json_integer_value(bytes)));
        comma = ", ";
    }
}

/* Where a task goes without the swarm, an operator wants to know why. */
static void add_director(struct dt_text *out, const json_t *director)
{
    const char *mode = cli_string(director, "mode"), *why = cli_string(director, "why");
    const char *supernode = cli_string(director, "supernode");
    if (mode == NULL)
        return;
    dt_text_addf(out, "  [%s", mode);
    if (supernode != NULL)
        dt_text_addf(out, " %s", supernode);
    else if (why != NULL)
        dt_text_addf(out, ": %s", why);
    dt_text_add(out, "]");
}

static void add_task(struct dt_text *out, const json_t *task)
{
    char digest[16], present[24], size[24], rate[24], left[16];
    const char *name = cli_string(task, "digest"), *state = cli_string(task, "state");
    uint64_t total = cli_number(task, "size"), done = cli_number(task, "present_bytes");
    uint64_t speed = cli_number(task, "rate_bytes_s");
    dt_text_addf(out, "%-12s %-9s ", cli_short_digest(digest, name != NULL ? name : "?"),
                 state != NULL ? state : "?");
    cli_bar(out, BAR_WIDTH, done, total);
    dt_text_addf(out, " %s/%s", dt_size_format(present, done),
                 total > 0 ? dt_size_format(size, total) : "?");
    dt_text_addf(out, "  %s/s  %s left  %" PRIu64 " client%s  ", dt_size_format(rate, speed),
                 cli_time_left(left, total > done ? total - done : 0, speed),
                 cli_number(task, "clients"), cli_number(task, "clients") == 1 ? "" : "s");
    add_sources(out, json_object_get(task, "bytes_by_source"));
    add_director(out, json_object_get(task, "director"));
}

/* Of a supernode: how far its seed is, and who is in it. */
static void add_site_task(struct dt_text *out, const json_t *task)
{
    char digest[16], size[24], rate[24], seed[24], peer[24];
    const char *name = cli_string(task, "digest"), *state = cli_string(task, "state");
    uint64_t total = cli_number(task, "size");
    dt_text_addf(out, "%-12s %-9s ", cli_short_digest(digest, name != NULL ? name : "?"),
                 state != NULL ? state : "?");
    cli_bar(out, BAR_WIDTH, cli_number(task, "seeded"), cli_number(task, "pieces"));
    dt_text_addf(out, " %s  %" PRIu64 " nodes, %" PRIu64 " complete, %" PRIu64 " transfers",
                 total > 0 ? dt_size_format(size, total) : "?", cli_number(task, "nodes"),
                 cli_number(task, "complete"), cli_number(task, "flights"));
    dt_text_addf(out, "  %s/s  seed %s, peer %s",
                 dt_size_format(rate, cli_number(task, "rate_bytes_s")),
                 dt_size_format(seed, cli_number(task, "seed_bytes")),
                 dt_size_format(peer, cli_number(task, "peer_bytes")));
}

void cli_tasks_frame(struct dt_text *out, const json_t *document, unsigned width)
{
    json_t *tasks = json_object_get(document, "tasks"), *task;
    size_t i;
    if (width < WIDTH_MIN)
        width = WIDTH_MIN;
    dt_text_addf(out, "%zu running\n", json_array_size(tasks));
    json_array_foreach(tasks, i, task)
    {
        struct dt_text line = {0};
        if (json_object_get(task, "nodes") != NULL)
            add_site_task(&line, task);
        else
            add_task(&line, task);
        char *safe = cli_safe_text(dt_text_str(&line));
        /* A line that wraps would break drawing over it. */
        dt_text_addf(out, "%.*s\n", (int)width, safe);
        free(safe);
        dt_text_fini(&line);
    }
}
