/*
 * proxy/cli/live.c - what goes on now: `darter tasks`, `darter upstreams`.
 *
 * On a terminal tasks are drawn over themselves twice a second until Ctrl-C; into a pipe, or with
 * --once, one frame is printed.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "proxy/cli/cli.h"

#define REFRESH_MS    500
#define WIDTH_NORMAL  100
#define WIDTH_IN_PIPE 1000

/* ---- tasks ---- */

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int number)
{
    (void)number;
    is_interrupted = 1;
}

static unsigned screen_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return WIDTH_NORMAL;
    return size.ws_col;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

/* Until Ctrl-C. */
static int watch_tasks(struct cli *cli)
{
    const struct timespec pause = {.tv_nsec = REFRESH_MS * 1000000L};
    struct sigaction action = {.sa_handler = on_interrupt};
    size_t n_drawn = 0;
    (void)sigaction(SIGINT, &action, NULL);
    while (!is_interrupted) {
        struct dt_err err = {0};
        struct dt_text frame = {0};
        json_t *tasks = NULL;
        if (cli_ask(&tasks, cli, "GET", "/v1/tasks", &err) < 0)
            return cli_report(&err);
        if (n_drawn > 0) /* back to the first line, and clear what follows (ECMA-48 CPL, ED) */
            dt_text_addf(&frame, "\033[%zuF\033[J", n_drawn);
        cli_tasks_frame(&frame, tasks, screen_width());
        n_drawn = count_lines(dt_text_str(&frame));
        json_decref(tasks);
        cli_print_text(&frame);
        (void)nanosleep(&pause, NULL); /* a signal ends it early, as it should */
    }
    return CLI_OK;
}

static void draw_tasks(struct dt_text *out, const json_t *tasks)
{
    cli_tasks_frame(out, tasks, isatty(STDOUT_FILENO) ? screen_width() : WIDTH_IN_PIPE);
}

int cli_tasks(struct cli *cli)
{
    if (isatty(STDOUT_FILENO) && !cli->is_once && !cli->is_json)
        return watch_tasks(cli);
    return cli_look(cli, "/v1/tasks", draw_tasks);
}

/* ---- upstreams ---- */

static void add_endpoint(struct cli_table *table, const char *upstream, const json_t *endpoint)
{
    char text[32];
    cli_table_add(table, upstream);
    cli_table_add(table, cli_string(endpoint, "role"));
    cli_table_add(table, cli_string(endpoint, "url"));
    cli_table_add(table, cli_string(endpoint, "breaker"));
    cli_table_add_number(table, cli_number(endpoint, "ok_total"));
    cli_table_add_number(table, cli_number(endpoint, "failed_total"));
    cli_table_add_number(table, cli_number(endpoint, "strikes"));
    cli_table_add_size(table, cli_number(endpoint, "bytes_total"));
    (void)dt_text_print(text, sizeof text, "%.0f ms",
                        json_number_value(json_object_get(endpoint, "head_ms")));
    cli_table_add(table, text);
    cli_table_add(table, cli_string(endpoint, "last_error"));
}

static void draw_upstreams(struct dt_text *out, const json_t *document)
{
    static const char *const titles[] = {"UPSTREAM", "ROLE",      "ENDPOINT", "BREAKER",
                                         "OK",       "FAILED",    "STRIKES",  "BYTES",
                                         "HEAD",     "LAST ERROR"};
    struct cli_table table;
    json_t *upstream, *endpoint;
    size_t i, e;
    cli_table_init(&table, "llllrrrrrl", titles);
    json_array_foreach(json_object_get(document, "upstreams"), i, upstream)
    {
        json_array_foreach(json_object_get(upstream, "endpoints"), e, endpoint)
        {
            add_endpoint(&table, cli_string(upstream, "name"), endpoint);
        }
    }
    cli_table_draw(&table, out);
}

int cli_upstreams(struct cli *cli)
{
    return cli_look(cli, "/v1/upstreams", draw_upstreams);
}
