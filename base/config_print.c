/*
 * base/config_print.c - the option table as --help, as a manual page and as a sample file.
 *
 * All three walk the same rows, so none can fall behind. The manual page is mdoc(7) without
 * complaints from `mandoc -T lint`; the sample is YAML in which every commented key, uncommented,
 * says what the default already says. Pure.
 */
#include "base/config.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/config_priv.h"
#include "base/version.h"

#define PAGE_WIDTH     80
#define HELP_INDENT    "        "
#define SAMPLE_COMMENT "# "

/* Appends `text` broken at spaces into lines that start with `indent`. */
static void wrap(struct dt_text *out, const char *indent, const char *text)
{
    size_t room = PAGE_WIDTH - strlen(indent), used = 0;
    for (text += strspn(text, " \n"); *text != '\0'; text += strspn(text, " \n")) {
        size_t len = strcspn(text, " \n");
        if (used > 0 && used + 1 + len > room) {
            dt_text_add(out, "\n");
            used = 0;
        }
        dt_text_add(out, used > 0 ? " " : indent);
        dt_text_add_len(out, text, len);
        used += len + (used > 0);
        text += len;
    }
    if (used > 0)
        dt_text_add(out, "\n");
}

static const char *argument_of(const struct dt_option *option)
{
    return option->argument != NULL ? option->argument : "VALUE";
}

/* " May be repeated. Default: 20GiB. SIGHUP changes it." */
static void facts_add(struct dt_text *out, const struct dt_option *option)
{
    if (option->kind == DT_OPT_BOOL && option->default_text != NULL &&
        strcmp(option->default_text, "true") == 0)
        dt_text_addf(out, " --no-%s turns it off.", option->name);
    if (option->default_text != NULL && option->default_text[0] != '\0')
        dt_text_addf(out, " Default: %s.", option->default_text);
    if (option->is_flag_only)
        dt_text_add(out, " Only as a flag.");
    if (option->is_reloadable)
        dt_text_add(out, " SIGHUP changes it.");
}

/* ---- --help ---- */

void dt_config_print_help(const struct dt_config_spec *spec, struct dt_text *out)
{
    dt_text_addf(out, "Usage: %s [OPTION]...\n\n", spec->program);
    dt_text_addf(out, "%s: %s\n\n", spec->program, spec->summary);
    struct dt_text text = {0};
    dt_text_addf(&text,
                 "Each option is also a key of the configuration file and, in capitals after %s, "
                 "an environment variable. Flags win over the environment, that over the file.",
                 spec->env_prefix);
    wrap(out, "", dt_text_str(&text));
    dt_text_add(out, "\n");
    for (const struct dt_option *option = spec->options; option->name != NULL; option++) {
        dt_text_addf(out, "  --%s", option->name);
        if (option->kind != DT_OPT_BOOL)
            dt_text_addf(out, "=%s", argument_of(option));
        dt_text_add(out, "\n");
        dt_text_clear(&text);
        dt_text_add(&text, option->help);
        facts_add(&text, option);
        wrap(out, HELP_INDENT, dt_text_str(&text));
    }
    for (const struct dt_config_verb *verb = dt_config_verbs; verb->flag != NULL; verb++) {
        dt_text_addf(out, "  --%s\n", verb->flag);
        wrap(out, HELP_INDENT, verb->help);
    }
    dt_text_fini(&text);
}

/* ---- the manual page ---- */

/* One character of text, safe for roff wherever it stands. */
static void man_add_char(struct dt_text *out, char c, bool is_line_start)
{
    if (is_line_start && (c == '.' || c == '\''))
        dt_text_add(out, "\\&");
    if (c == '\\')
        dt_text_add(out, "\\e");
    else if (c == '"')
        dt_text_add(out, "\\(dq"); /* would quote an argument of a macro */
    else
        dt_text_add_len(out, &c, 1);
}

/* Running text, wrapped, and each sentence on its own line, as mdoc wants it. */
static void man_add_text(struct dt_text *out, const char *text)
{
    struct dt_text word = {0}; /* as roff, which is what the width of a line is counted in */
    size_t used = 0;
    for (text += strspn(text, " \n"); *text != '\0'; text += strspn(text, " \n")) {
        size_t len = strcspn(text, " \n");
        dt_text_clear(&word);
        for (size_t i = 0; i < len; i++)
            man_add_char(&word, text[i], false);
        if (used > 0 && used + 1 + word.len > PAGE_WIDTH) {
            dt_text_add(out, "\n");
            used = 0;
        }
        const char *before = used > 0 ? " " : strchr(".'", text[0]) != NULL ? "\\&" : "";
        dt_text_addf(out, "%s%s", before, dt_text_str(&word));
        used += strlen(before) + word.len;
        if (strchr(".?!", text[len - 1]) != NULL) {
            dt_text_add(out, "\n");
            used = 0;
        }
        text += len;
    }
    if (used > 0)
        dt_text_add(out, "\n");
    dt_text_fini(&word);
}

static void man_add_argument(struct dt_text *out, const char *text)
{
    for (; *text != '\0'; text++)
        man_add_char(out, *text, false);
}

static void man_add_options(struct dt_text *out, const struct dt_config_spec *spec)
{
    struct dt_text text = {0};
    dt_text_add(out, ".Bl -tag -width Ds\n");
    for (const struct dt_option *option = spec->options; option->name != NULL; option++) {
        dt_text_addf(out, ".It Fl -%s", option->name);
        if (option->kind != DT_OPT_BOOL) {
            dt_text_add(out, " Ns = Ns Ar ");
            man_add_argument(out, argument_of(option));
        }
        dt_text_add(out, "\n");
        dt_text_clear(&text);
        dt_text_add(&text, option->help);
        facts_add(&text, option);
        man_add_text(out, dt_text_str(&text));
    }
    for (const struct dt_config_verb *verb = dt_config_verbs; verb->flag != NULL; verb++) {
        dt_text_addf(out, ".It Fl -%s\n", verb->flag);
        man_add_text(out, verb->help);
    }
    dt_text_add(out, ".El\n");
    dt_text_fini(&text);
}

static void man_add_literal(struct dt_text *out, const char *text)
{
    dt_text_add(out, ".Bd -literal\n");
    bool is_line_start = true;
    for (; *text != '\0'; text++) {
        man_add_char(out, *text, is_line_start);
        is_line_start = *text == '\n';
    }
    dt_text_add(out, is_line_start ? ".Ed\n" : "\n.Ed\n");
}

static void man_add_head(struct dt_text *out, const struct dt_config_spec *spec)
{
    dt_text_addf(out, ".Dd %s\n.Dt ", DARTER_RELEASE_DATE);
    for (const char *c = spec->program; *c != '\0'; c++)
        dt_text_addf(out, "%c", toupper((unsigned char)*c));
    dt_text_addf(out, " 8\n.Os\n.Sh NAME\n.Nm %s\n.Nd ", spec->program);
    man_add_text(out, spec->summary);
    dt_text_add(out, ".Sh SYNOPSIS\n.Nm\n.Op Fl -option Ns = Ns Ar value\n.Ar ...\n");
}

void dt_config_print_man(const struct dt_config_spec *spec, struct dt_text *out)
{
    man_add_head(out, spec);
    dt_text_add(out, ".Sh DESCRIPTION\n");
    man_add_text(out, "Each option is also a key of the configuration file. "
                      "An option that is given as a flag wins over the environment, "
                      "the environment over the file, and the file over the default. "
                      "A value may follow its flag as a word of its own. "
                      "A key that is not known and a value that makes no sense are refused "
                      "with file, line and reason.");
    dt_text_add(out, ".Sh OPTIONS\n");
    man_add_options(out, spec);
    dt_text_add(out, ".Sh ENVIRONMENT\n");
    dt_text_addf(out,
                 "Every option has a variable of the same name in capitals, with\n.Ql _\nfor\n"
                 ".Ql -\nand\n.Ev %s\nin front.\n",
                 spec->env_prefix);
    man_add_text(out, "An empty variable counts as not set. "
                      "The items of a list are separated by spaces.");
    dt_text_add(out, ".Sh FILES\n");
    man_add_text(out, "The configuration file is YAML, without aliases. "
                      "A documented sample is printed by --print-config.");
    if (spec->sections_sample != NULL) {
        man_add_text(out, "Beside the options above it has these sections:");
        man_add_literal(out, spec->sections_sample);
    }
    if (spec->man_tail != NULL)
        dt_text_add(out, spec->man_tail);
}

/* ---- the sample file ---- */

/* What a field without a default holds, as a person would write it. */
static const char *const zero_texts[] = {
    [DT_OPT_STRING] = "", [DT_OPT_SIZE] = "0B",    [DT_OPT_DURATION] = "0s",
    [DT_OPT_UINT] = "0",  [DT_OPT_BOOL] = "false", [DT_OPT_LIST] = "",
};

/* Anything a YAML reader could take for more than a word is quoted. */
static void sample_add_scalar(struct dt_text *out, const char *text)
{
    bool is_plain = text[0] != '\0' && strpbrk(text, " #\"'\\{}[],&*!|>%@`\n\t") == NULL &&
                    strchr("-?:~", text[0]) == NULL && text[strlen(text) - 1] != ':';
    if (is_plain) {
        dt_text_add(out, text);
        return;
    }
    dt_text_add(out, "\"");
    for (; *text != '\0'; text++)
        dt_text_addf(out, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    dt_text_add(out, "\"");
}

static void sample_add_list(struct dt_text *out, const char *text)
{
    dt_text_add(out, "[");
    for (const char *comma = ""; *text != '\0'; comma = ", ") {
        struct dt_text word = {0};
        size_t len = strcspn(text, " ");
        dt_text_add_len(&word, text, len);
        dt_text_add(out, comma);
        sample_add_scalar(out, dt_text_str(&word));
        dt_text_fini(&word);
        text += len;
        text += strspn(text, " ");
    }
    dt_text_add(out, "]");
}

void dt_config_print_sample(const struct dt_config_spec *spec, struct dt_text *out)
{
    struct dt_text text = {0};
    dt_text_addf(&text,
                 "Configuration of %s. Commented keys show the defaults; each is also a flag "
                 "(--NAME) and an environment variable (%sNAME), and those win over this file.",
                 spec->program, spec->env_prefix);
    wrap(out, SAMPLE_COMMENT, dt_text_str(&text));
    for (const struct dt_option *option = spec->options; option->name != NULL; option++) {
        if (option->is_flag_only)
            continue;
        dt_text_clear(&text);
        dt_text_add(&text, option->help);
        if (option->is_reloadable)
            dt_text_add(&text, " SIGHUP changes it.");
        dt_text_add(out, "\n");
        wrap(out, SAMPLE_COMMENT, dt_text_str(&text));
        dt_text_addf(out, "#%s: ", option->name);
        const char *value = option->default_text != NULL ? option->default_text : "";
        if (option->kind == DT_OPT_LIST)
            sample_add_list(out, value);
        else
            sample_add_scalar(out, value[0] != '\0' ? value : zero_texts[option->kind]);
        dt_text_add(out, "\n");
    }
    if (spec->sections_sample != NULL)
        dt_text_addf(out, "\n%s", spec->sections_sample);
    dt_text_fini(&text);
}
