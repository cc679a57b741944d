/*
 * base/config_value.c - the fields behind options: text to value and back, for each kind.
 *
 * To add a kind: a value of enum dt_option_kind and a case in the three switches below; the
 * compiler's -Wswitch finds them. Pure but for the config struct; the caller's thread.
 */
#include "base/config_priv.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"

#define NEAREST_NAME_MAX 48
#define WORD_SPACE       " \t\n"

static void *field_of(const void *config, const struct dt_option *option)
{
    return (char *)config + option->offset;
}

void dt_option_list_clear(void *config, const struct dt_option *option)
{
    struct dt_strings *list = field_of(config, option);
    for (size_t i = 0; i < list->n; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct dt_strings){0};
}

void dt_option_list_add(void *config, const struct dt_option *option, const char *item)
{
    struct dt_strings *list = field_of(config, option);
    list->items = dt_realloc(list->items, (list->n + 1) * sizeof(list->items[0]));
    list->items[list->n++] = dt_strdup(item);
}

static void list_set(void *config, const struct dt_option *option, const char *text)
{
    dt_option_list_clear(config, option);
    for (text += strspn(text, WORD_SPACE); *text != '\0'; text += strspn(text, WORD_SPACE)) {
        char *word = dt_strndup(text, strcspn(text, WORD_SPACE));
        dt_option_list_add(config, option, word);
        text += strlen(word);
        free(word);
    }
}

static int uint_set(unsigned *out, const char *text, struct dt_err *err)
{
    unsigned long long value;
    if (!dt_text_parse_u64(&value, text, strlen(text)) || value > UINT_MAX)
        return dt_err_set(err, DT_EINVAL, "'%.40s' is not a number from 0 to %u", text, UINT_MAX);
    *out = (unsigned)value;
    return 0;
}

static int bool_set(bool *out, const char *text, struct dt_err *err)
{
    static const char *const words[][2] = {
        {"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        for (int value = 0; value < 2; value++) {
            if (dt_text_equal_nocase(text, words[i][value])) {
                *out = value != 0;
                return 0;
            }
        }
    }
    return dt_err_set(err, DT_EINVAL, "'%.40s' is neither true nor false", text);
}

int dt_option_set(void *config, const struct dt_option *option, const char *text,
                  struct dt_err *err)
{
    void *field = field_of(config, option);
    switch (option->kind) {
    case DT_OPT_STRING:
        dt_option_fini(config, option);
        *(char **)field = text[0] != '\0' ? dt_strdup(text) : NULL;
        return 0;
    case DT_OPT_SIZE:
        return dt_size_parse(field, text, err);
    case DT_OPT_DURATION:
        return dt_duration_parse(field, text, err);
    case DT_OPT_UINT:
        return uint_set(field, text, err);
    case DT_OPT_BOOL:
        return bool_set(field, text, err);
    case DT_OPT_LIST:
        list_set(config, option, text);
        return 0;
    }
    DT_ASSERT(false); /* every kind is above */
}

void dt_option_fini(void *config, const struct dt_option *option)
{
    void *field = field_of(config, option);
    switch (option->kind) {
    case DT_OPT_STRING:
        dt_free((char **)field);
        return;
    case DT_OPT_SIZE:
    case DT_OPT_DURATION:
        *(uint64_t *)field = 0;
        return;
    case DT_OPT_UINT:
        *(unsigned *)field = 0;
        return;
    case DT_OPT_BOOL:
        *(bool *)field = false;
        return;
    case DT_OPT_LIST:
        dt_option_list_clear(config, option);
        return;
    }
}

/* The short form if it loses nothing, else all digits. */
static void quantity_print(struct dt_text *out, uint64_t value, const char *short_form,
                           uint64_t read_back, const char *unit)
{
    if (read_back == value)
        dt_text_add(out, short_form);
    else
        dt_text_addf(out, "%llu%s", (unsigned long long)value, unit);
}

static void list_print(struct dt_text *out, const struct dt_strings *list)
{
    for (size_t i = 0; i < list->n; i++)
        dt_text_addf(out, "%s%s", i > 0 ? " " : "", list->items[i]);
}

void dt_option_print(const void *config, const struct dt_option *option, struct dt_text *out)
{
    const void *field = field_of(config, option);
    char text[24];
    uint64_t read_back;
    switch (option->kind) {
    case DT_OPT_STRING:
        dt_text_add(out, *(char *const *)field != NULL ? *(char *const *)field : "");
        return;
    case DT_OPT_SIZE:
        if (dt_size_parse(&read_back, dt_size_format(text, *(const uint64_t *)field), NULL) < 0)
            read_back = ~*(const uint64_t *)field; /* rounded up beyond 64 bits */
        quantity_print(out, *(const uint64_t *)field, text, read_back, "");
        return;
    case DT_OPT_DURATION:
        dt_duration_format(text, *(const uint64_t *)field);
        /* Even the largest rounds down, so what was printed always parses. */
        DT_ASSERT(dt_duration_parse(&read_back, text, NULL) == 0);
        quantity_print(out, *(const uint64_t *)field, text, read_back, "ms");
        return;
    case DT_OPT_UINT:
        dt_text_addf(out, "%u", *(const unsigned *)field);
        return;
    case DT_OPT_BOOL:
        dt_text_add(out, *(const bool *)field ? "true" : "false");
        return;
    case DT_OPT_LIST:
        list_print(out, field);
        return;
    }
}

char *dt_option_env_name(const struct dt_config_spec *spec, const struct dt_option *option)
{
    char *name = dt_asprintf("%s%s", spec->env_prefix, option->name);
    for (char *c = name + strlen(spec->env_prefix); *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return name;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned least = a < b ? a : b;
    return least < c ? least : c;
}

/* Levenshtein's distance: how many letters to insert, drop or change. */
static unsigned name_distance(const char *a, const char *b)
{
    unsigned row[NEAREST_NAME_MAX + 1];
    size_t b_len = strlen(b);
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 0; a[i] != '\0'; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i + 1;
        for (size_t j = 0; j < b_len; j++) {
            unsigned above = row[j + 1];
            row[j + 1] = min3(above + 1, row[j] + 1, diagonal + (a[i] != b[j]));
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *dt_option_nearest(const struct dt_option *options, const char *name, bool is_key)
{
    const char *best = NULL;
    size_t len = strlen(name);
    if (len > NEAREST_NAME_MAX)
        return NULL;
    /* More than a third of it wrong is another word. */
    unsigned best_distance = (unsigned)len / 3 + 1;
    for (; options->name != NULL; options++) {
        if (strlen(options->name) > NEAREST_NAME_MAX || (is_key && options->is_flag_only))
            continue;
        unsigned distance = name_distance(name, options->name);
        if (distance < best_distance) {
            best = options->name;
            best_distance = distance;
        }
    }
    return best;
}
