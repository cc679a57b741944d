/*
 * proxy/cli/cli.h - the person's tool `darter`: commands, flags, and what they share.
 *
 *   argv -> flags and words apart -> the command's row -> run -> exit code
 *
 * A new command: a row of cli_commands (commands.c) and its function; a new flag: a row of
 * cli_flags and a field of struct cli. Both tables feed --help and the man page. One thread, which
 * may wait.
 */
#ifndef DARTER_PROXY_CLI_CLI_H
#define DARTER_PROXY_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/http.h"
#include "base/text.h"

#define CLI_EXITS(X)                                                                               \
    X(CLI_OK, "done")                                                                              \
    X(CLI_FAILED, "the daemon refused, or something went wrong")                                   \
    X(CLI_USAGE, "the command line makes no sense")                                                \
    X(CLI_NOT_FOUND, "there is no such blob, or no such ban")                                      \
    X(CLI_NO_CONNECTION, "the daemon cannot be reached")
enum cli_exit {
#define X(name, text) name,
    CLI_EXITS(X)
#undef X
        CLI_EXIT_END
};

#define CLI_ADMIN_DEFAULT   "127.0.0.1:65003"
#define CLI_ADMIN_SUPERNODE "127.0.0.1:65011"
#define CLI_ADMIN_ENV       "DARTER_ADMIN"

struct cli {
    /* flags; borrowed from argv */
    const char *admin, *token_file;
    const char *state, *upstream, *repository, *rate;
    const char *reason, *up, *down, *task, *node_up, *node_down;
    bool is_json, is_once, is_pinned_only, is_stop, is_status, is_help, is_version, is_man;
    /* words after the command */
    char **words;
    size_t n_words;
    /* the connection */
    struct dt_addr addr;
    char base_url[320];
    char *authorization; /* owned; "Bearer ...", wiped */
};

struct cli_command {
    const char *name;      /* "cache ls" */
    const char *arguments; /* "DIGEST..." or "" */
    unsigned words_min, words_max;
    const char *help;
    int (*run)(struct cli *); /* returns enum cli_exit */
    bool is_for_supernodes;
};
extern const struct cli_command cli_commands[]; /* ended by name == NULL */

struct cli_flag {
    const char *name;     /* "json" */
    const char *argument; /* NULL: a switch (bool) */
    size_t offset;        /* of const char * or bool in struct cli */
    const char *command;  /* which command takes it; NULL = all */
    const char *help;
    int (*check)(const char *value, struct dt_err *); /* NULL = any value will do */
};
extern const struct cli_flag cli_flags[]; /* ended by name == NULL */

/* Pure. Takes flags out of argv[1..], leaves the command's row and its words. 0, or DT_EINVAL.
 * *command is NULL for --help, --version, --print-man. */
int cli_parse(struct cli *out, const struct cli_command **command, int argc, char **argv,
              struct dt_err *err);
void cli_print_help(struct dt_text *out);
void cli_print_man(struct dt_text *out);

/* ---- client.c: talking to the daemon ---- */

int cli_connect(struct cli *, struct dt_err *err); /* address and token; opens nothing yet */
void cli_fini(struct cli *);
/* *out is the answer's document, or NULL for an empty answer. An answer other than 2xx is an error
 * with the problem's own words. Errors: DT_ENOTFOUND, DT_EUNAVAILABLE, ... */
int cli_ask(json_t **out, const struct cli *, const char *method, const char *path,
            struct dt_err *err);
/* *out = the daemon there is a darter-supernode. */
int cli_ask_kind(bool *out, const struct cli *, struct dt_err *err);
/* DT_EINVAL when it is another daemon: its address is what was mistyped. */
int cli_want_supernode(const struct cli *, const char *command, struct dt_err *err);
/* Completes "3f2a91c0" or "sha256:3f2a" to the one digest that begins so. DT_ENOTFOUND,
 * DT_ECONFLICT (several), DT_EINVAL. */
int cli_find_digest(char out[144], const struct cli *, const char *word, struct dt_err *err);
/* Prints one line on stderr and returns the exit code that goes with it. */
int cli_report(const struct dt_err *err);

/* ---- format.c: what people read; pure ---- */

/* A table: cells are copied; columns are as wide as their widest cell; `align` has one character
 * per column, 'l' or 'r'. */
struct cli_table {
    const char *align;
    size_t n_columns, n_cells;
    char **cells;
};
void cli_table_init(struct cli_table *, const char *align, const char *const *titles);
void cli_table_add(struct cli_table *, const char *cell);
void cli_table_add_size(struct cli_table *, uint64_t bytes);
void cli_table_add_number(struct cli_table *, uint64_t number);
/* Appends it to `out` and releases it. */
void cli_table_draw(struct cli_table *, struct dt_text *out);
/* Without what could move the cursor or colour the screen; caller frees. */
char *cli_safe_text(const char *text);
/* "[#######.....]" of `width` characters; an unknown total (0) is shown as dots. */
void cli_bar(struct dt_text *out, unsigned width, uint64_t done, uint64_t total);
/* "sha256:3f2a91c04b7e..." -> "3f2a91c04b7e". */
char *cli_short_digest(char out[16], const char *digest);
/* "2026-11-22T20:05:01.123Z" -> "2026-11-22 20:05:01"; "-" for NULL. */
char *cli_short_time(char out[24], const char *rfc3339);
/* "42s", "3m10s", "2h05m": how long it will still take. "-" when that is unknown. */
char *cli_time_left(char out[16], uint64_t bytes_left, uint64_t rate);
/* One frame of `darter tasks`: `width` columns at most. */
void cli_tasks_frame(struct dt_text *out, const json_t *document, unsigned width);

/* ---- members of a document, with something sensible when they are missing ---- */

uint64_t cli_number(const json_t *object, const char *key);
const char *cli_string(const json_t *object, const char *key); /* NULL when null or absent */

/* ---- the commands ---- */

int cli_cache_ls(struct cli *);
int cli_cache_show(struct cli *);
int cli_cache_rm(struct cli *);
int cli_cache_pin(struct cli *);
int cli_cache_unpin(struct cli *);
int cli_cache_scrub(struct cli *);
int cli_cache_stats(struct cli *);
int cli_upstreams(struct cli *);
int cli_tasks(struct cli *);
int cli_supernodes(struct cli *);
int cli_nodes(struct cli *);
int cli_ban(struct cli *);
int cli_unban(struct cli *);
int cli_drain(struct cli *);
int cli_undrain(struct cli *);
int cli_limits(struct cli *);

/* ---- show.c: what is printed ---- */

/* What a document is for people. */
typedef void (*cli_draw_f)(struct dt_text *out, const json_t *document);
/* Prints a document on stdout, as it is or drawn, as --json says, and releases it. CLI_OK. */
int cli_show(const struct cli *, json_t *document, cli_draw_f draw);
/* The whole of a command that only looks: asks, then shows or reports. */
int cli_look(const struct cli *, const char *path, cli_draw_f draw);
/* Prints and releases. */
void cli_print_text(struct dt_text *);

#endif
