/*
 * proxy/cli/commands.c - the tables of commands and flags, and what is made of them: parsing,
 * --help, the man page. Pure.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "base/version.h"
#include "proxy/cli/cli.h"

#define MANY 10000

/* clang-format off */
const struct cli_command cli_commands[] = {
    {"cache ls", "", 0, 0, "List what is cached, in digest order.", cli_cache_ls, false},
    {"cache show", "DIGEST", 1, 1,
     "Show one blob: its state, its pieces and the repositories it belongs to.", cli_cache_show, false},
    {"cache rm", "DIGEST...", 1, MANY, "Remove blobs. A pinned one is refused.", cli_cache_rm, false},
    {"cache pin", "DIGEST...", 1, MANY, "Never evict these blobs.", cli_cache_pin, false},
    {"cache unpin", "DIGEST...", 1, MANY, "Let them be evicted again.", cli_cache_unpin, false},
    {"cache scrub", "", 0, 0,
     "Read and hash everything again, in the background; bad blobs are removed.", cli_cache_scrub, false},
    {"cache stats", "", 0, 0, "Show usage, bounds, hits and misses.", cli_cache_stats, false},
    {"upstreams", "", 0, 0, "Show registries and the health of their endpoints.", cli_upstreams, false},
    {"supernodes", "", 0, 0,
     "Show the supernodes of this site as this node sees them, and what it serves to other nodes; of a supernode the others it watches.",
     cli_supernodes, false},
    {"tasks", "", 0, 0,
     "Show downloads that run now, of a supernode those of its site: on a terminal live until Ctrl-C, into a pipe once.", cli_tasks, false},
    {"nodes", "", 0, 0, "Show the nodes of a supernode's site.", cli_nodes, true},
    {"ban", "NODE...", 1, MANY, "Let this supernode give these nodes nothing, and send nobody to them. Each supernode has bans of its own.",
     cli_ban, true},
    {"unban", "NODE...", 1, MANY, "Take them in again.", cli_unban, true},
    {"drain", "", 0, 0, "Let a supernode take no new tasks: nodes ask the next one.", cli_drain, true},
    {"undrain", "", 0, 0, "Let it take new tasks again.", cli_undrain, true},
    {"limits", "", 0, 0,
     "Show a supernode's limits; with options, change them until its next start or reload.",
     cli_limits, true},
    {.name = NULL},
};
/* clang-format on */

/* ---- values that make no sense are refused here, before anybody is asked ---- */

static int check_state(const char *value, struct dt_err *err)
{
    if (strcmp(value, "sealed") == 0 || strcmp(value, "partial") == 0 || strcmp(value, "any") == 0)
        return 0;
    return dt_err_set(err, DT_EINVAL, "'%.60s' is not sealed, partial or any", value);
}

static int check_size(const char *value, struct dt_err *err)
{
    uint64_t bytes;
    return dt_size_parse(&bytes, value, err);
}

/* clang-format off */
#define AT(field) offsetof(struct cli, field)
const struct cli_flag cli_flags[] = {
    {"admin", "IP:PORT|unix:PATH", AT(admin), NULL,
     "Where the daemon's admin API is. Else $" CLI_ADMIN_ENV ", else " CLI_ADMIN_DEFAULT ".", NULL},
    {"token-file", "FILE", AT(token_file), NULL,
     "The first line of this file is the admin API's token.", NULL},
    {"json", NULL, AT(is_json), NULL, "Print the daemon's JSON document instead of a table; cache ls: one array of all entries.", NULL},
    {"state", "sealed|partial|any", AT(state), "cache ls", "Only blobs that are whole, or only parts; any = both.",
     check_state},
    {"pinned", NULL, AT(is_pinned_only), "cache ls", "Only what is pinned.", NULL},
    {"upstream", "NAME", AT(upstream), "cache ls", "Only what belongs to this upstream.", NULL},
    {"repository", "NAME", AT(repository), "cache ls",
     "Only what belongs to this repository of --upstream.", NULL},
    {"rate", "SIZE", AT(rate), "cache scrub",
     "Read so many bytes per second instead of what the daemon's scrub-rate says.", check_size},
    {"stop", NULL, AT(is_stop), "cache scrub", "Stop a running scrub.", NULL},
    {"status", NULL, AT(is_status), "cache scrub", "Only say how the last scrub went.", NULL},
    {"reason", "TEXT", AT(reason), "ban", "Why; shown beside the ban.", NULL},
    {"up", "SIZE", AT(up), "limits", "Bytes per second of the supernode's own uploads; 0B = no limit.",
     check_size},
    {"down", "SIZE", AT(down), "limits", "Bytes per second it takes from registries.", check_size},
    {"task", "SIZE", AT(task), "limits",
     "Bytes per second of one blob, over all nodes together.", check_size},
    {"node-up", "SIZE", AT(node_up), "limits", "Bytes per second each node may serve.", check_size},
    {"node-down", "SIZE", AT(node_down), "limits", "Bytes per second each node may fetch.",
     check_size},
    {"once", NULL, AT(is_once), "tasks", "Print once, also on a terminal.", NULL},
    {"help", NULL, AT(is_help), NULL, "Print this help.", NULL},
    {"version", NULL, AT(is_version), NULL, "Print the version.", NULL},
    {"print-man", NULL, AT(is_man), NULL, "Print the manual page (mdoc).", NULL},
    {.name = NULL},
};
/* clang-format on */

static const char *const exit_texts[] = {
#define X(name, text) [name] = text,
    CLI_EXITS(X)
#undef X
};

/* ---- parsing ---- */

static const struct cli_flag *find_flag(const char *name, size_t len)
{
    for (const struct cli_flag *flag = cli_flags; flag->name != NULL; flag++)
        if (strlen(flag->name) == len && memcmp(flag->name, name, len) == 0)
            return flag;
    return NULL;
}

/* The flag at argv[*index]; moves on. *used remembers which command it binds us to. */
static int take_flag(struct cli *cli, const struct cli_flag **used, int argc, char **argv,
                     int *index, struct dt_err *err)
{
    const char *name = argv[*index] + 2, *value = NULL;
    size_t len = strcspn(name, "=");
    const struct cli_flag *flag = find_flag(name, len);
    if (flag == NULL)
        return dt_err_set(err, DT_EINVAL, "unknown option '--%.60s', see darter --help", name);
    (*index)++;
    if (flag->command != NULL)
        *used = flag;
    if (flag->argument == NULL && name[len] == '=')
        return dt_err_set(err, DT_EINVAL, "--%s takes no value", flag->name);
    if (flag->argument == NULL) {
        *(bool *)(void *)((char *)cli + flag->offset) = true;
        return 0;
    }
    if (name[len] == '=')
        value = name + len + 1;
    else if (*index < argc)
        value = argv[(*index)++];
    if (value == NULL)
        return dt_err_set(err, DT_EINVAL, "--%s needs a value: --%s=%s", flag->name, flag->name,
                          flag->argument);
    struct dt_err why = {0};
    if (flag->check != NULL && flag->check(value, &why) < 0)
        return dt_err_set(err, DT_EINVAL, "--%s: %.200s", flag->name, why.msg);
    *(const char **)(void *)((char *)cli + flag->offset) = value;
    return 0;
}

static size_t words_of(const char *name)
{
    return strchr(name, ' ') != NULL ? 2 : 1;
}

static bool is_command(const struct cli_command *command, char **words, size_t n)
{
    char text[64];
    if (n < words_of(command->name))
        return false;
    if (words_of(command->name) == 1)
        return strcmp(command->name, words[0]) == 0;
    return dt_text_print(text, sizeof text, "%s %s", words[0], words[1]) &&
           strcmp(command->name, text) == 0;
}

/* `darter cache` and `darter cache burn`: says which commands of the family there are. */
static int refuse_command(const struct cli *cli, struct dt_err *err)
{
    struct dt_text family = {0};
    const char *first = cli->words[0], *second = cli->n_words > 1 ? cli->words[1] : NULL;
    size_t len = strlen(first);
    for (const struct cli_command *row = cli_commands; row->name != NULL; row++)
        if (strncmp(row->name, first, len) == 0 && row->name[len] == ' ')
            dt_text_addf(&family, "%s%s", family.len > 0 ? ", " : "", row->name + len + 1);
    if (family.len == 0)
        (void)dt_err_set(err, DT_EINVAL, "unknown command '%.40s', see darter --help", first);
    else if (second == NULL)
        (void)dt_err_set(err, DT_EINVAL, "%.40s needs one of: %s", first, dt_text_str(&family));
    else
        (void)dt_err_set(err, DT_EINVAL, "unknown command '%.40s %.40s', there is: %s", first,
                         second, dt_text_str(&family));
    dt_text_fini(&family);
    return -DT_EINVAL;
}

static int find_command(const struct cli_command **out, struct cli *cli, struct dt_err *err)
{
    const struct cli_command *command = cli_commands;
    if (cli->n_words == 0)
        return dt_err_set(err, DT_EINVAL, "no command given, see darter --help");
    while (command->name != NULL && !is_command(command, cli->words, cli->n_words))
        command++;
    if (command->name == NULL)
        return refuse_command(cli, err);
    size_t n = words_of(command->name);
    cli->n_words -= n;
    memmove(cli->words, cli->words + n, cli->n_words * sizeof *cli->words);
    if (cli->n_words < command->words_min)
        return dt_err_set(err, DT_EINVAL, "%s needs %s", command->name, command->arguments);
    if (cli->n_words > command->words_max)
        return dt_err_set(err, DT_EINVAL, "%s: '%.60s' is one word too many", command->name,
                          cli->words[command->words_max]);
    *out = command;
    return 0;
}

int cli_parse(struct cli *out, const struct cli_command **command, int argc, char **argv,
              struct dt_err *err)
{
    const struct cli_flag *used = NULL;
    bool is_flags_over = false;
    *out = (struct cli){.words = dt_new_array(char *, (size_t)argc + 1)};
    *command = NULL;
    for (int i = 1; i < argc;) {
        bool is_flag = !is_flags_over && dt_text_has_prefix(argv[i], "--");
        if (strcmp(argv[i], "-h") == 0)
            out->is_help = true;
        if (is_flag && argv[i][2] == '\0')
            is_flags_over = true;
        if (is_flag && argv[i][2] != '\0') {
            int rc = take_flag(out, &used, argc, argv, &i, err);
            if (rc < 0)
                return rc;
            continue;
        }
        if (!is_flag)
            out->words[out->n_words++] = argv[i];
        i++;
    }
    if (out->is_help || out->is_version || out->is_man)
        return 0;
    int rc = find_command(command, out, err);
    if (rc == 0 && used != NULL && strcmp(used->command, (*command)->name) != 0)
        rc = dt_err_set(err, DT_EINVAL, "--%s belongs to darter %s", used->name, used->command);
    if (rc == 0 && out->repository != NULL && out->upstream == NULL)
        rc = dt_err_set(err, DT_EINVAL, "--repository needs --upstream beside it");
    return rc;
}

/* ---- help ---- */

void cli_print_help(struct dt_text *out)
{
    dt_text_add(out, "Usage: darter COMMAND [OPTION]... [WORD]...\n\n"
                     "Looks into darter-proxy and darter-supernode and manages their caches.\n"
                     "A digest may be shortened to its first hex digits while these are unique.\n\n"
                     "Commands:\n");
    for (const struct cli_command *row = cli_commands; row->name != NULL; row++)
        dt_text_addf(out, "  %s%s%s\n      %s\n", row->name, row->arguments[0] != '\0' ? " " : "",
                     row->arguments, row->help);
    dt_text_add(out, "\nOptions:\n");
    for (const struct cli_flag *flag = cli_flags; flag->name != NULL; flag++) {
        dt_text_addf(out, "  --%s%s%s\n      %s", flag->name, flag->argument != NULL ? "=" : "",
                     flag->argument != NULL ? flag->argument : "", flag->help);
        if (flag->command != NULL)
            dt_text_addf(out, " (%s)", flag->command);
        dt_text_add(out, "\n");
    }
    dt_text_add(out, "\nExit status:\n");
    for (int i = 0; i < CLI_EXIT_END; i++)
        dt_text_addf(out, "  %d  %s\n", i, exit_texts[i]);
}

/* ---- the man page ---- */

/* Sentences begin on lines of their own, as mdoc wants it. */
static void man_sentence(struct dt_text *out, const char *text)
{
    for (; *text != '\0'; text++) {
        bool ends = *text == '.' && text[1] == ' ';
        dt_text_addf(out, "%c", *text);
        if (ends) {
            dt_text_add(out, "\n");
            text++;
        }
    }
    dt_text_add(out, "\n");
}

static void man_commands(struct dt_text *out)
{
    dt_text_add(out, ".Sh COMMANDS\n.Bl -tag -width Ds\n");
    for (const struct cli_command *row = cli_commands; row->name != NULL; row++) {
        dt_text_addf(out, ".It Cm %s", row->name);
        if (row->arguments[0] != '\0')
            dt_text_addf(out, " Ar %s", row->arguments);
        dt_text_add(out, "\n");
        man_sentence(out, row->help);
    }
    dt_text_add(out, ".El\n");
}

static void man_flags(struct dt_text *out)
{
    dt_text_add(out, ".Sh OPTIONS\nOptions may stand before and after the command.\n"
                     ".Bl -tag -width Ds\n");
    for (const struct cli_flag *flag = cli_flags; flag->name != NULL; flag++) {
        dt_text_addf(out, ".It Fl -%s", flag->name);
        if (flag->argument != NULL)
            dt_text_addf(out, " Ns = Ns Ar %s", flag->argument);
        dt_text_add(out, "\n");
        man_sentence(out, flag->help);
        if (flag->command != NULL)
            dt_text_addf(out, "Only with\n.Cm %s .\n", flag->command);
    }
    dt_text_add(out, ".El\n");
}

void cli_print_man(struct dt_text *out)
{
    dt_text_addf(out,
                 ".Dd %s\n.Dt DARTER 1\n.Os\n.Sh NAME\n.Nm darter\n"
                 ".Nd look into darter-proxy and darter-supernode\n"
                 ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Fl -option Ns = Ns Ar value\n.Ar ...\n"
                 ".Sh DESCRIPTION\n.Nm\nasks the admin API of the\n.Xr darter-proxy 8\n"
                 "on this node, or with\n.Fl -admin\nthat of a\n.Xr darter-supernode 8 .\n"
                 "A digest may be shortened to its first four or more hex digits while these are\n"
                 "unique in the cache.\n",
                 DARTER_RELEASE_DATE);
    man_commands(out);
    man_flags(out);
    dt_text_addf(out,
                 ".Sh ENVIRONMENT\n.Bl -tag -width Ds\n.It Ev %s\n"
                 "The admin address when\n.Fl -admin\nis not given.\n.El\n",
                 CLI_ADMIN_ENV);
    dt_text_add(out, ".Sh EXIT STATUS\n.Bl -tag -width Ds -compact\n");
    for (int i = 0; i < CLI_EXIT_END; i++)
        dt_text_addf(out, ".It %d\n%s\n", i, exit_texts[i]);
    dt_text_add(out, ".El\n"
                     ".Sh EXAMPLES\nWhat takes the room, and which downloads run:\n"
                     ".Bd -literal -offset indent\n"
                     "darter cache stats\n"
                     "darter cache ls --upstream docker.io --repository library/nginx\n"
                     "darter tasks\n"
                     ".Ed\n.Pp\n"
                     "All digests that are pinned, for a script:\n"
                     ".Bd -literal -offset indent\n"
                     "darter cache ls --pinned --json | jq -r '.[].digest'\n"
                     ".Ed\n"
                     ".Pp\nThe nodes of a site:\n"
                     ".Bd -literal -offset indent\n"
                     "darter --admin 127.0.0.1:65011 nodes\n"
                     ".Ed\n"
                     ".Sh SEE ALSO\n.Xr darter-proxy.yaml 5 ,\n.Xr darter-proxy 8 ,\n"
                     ".Xr darter-supernode 8\n");
}

/* ---- printing ---- */
