/*
 * tests/unit/base_config_print_test.c - what is printed can be read: by people, by our own parser,
 * and by roff.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/config.h"

struct sample {
    char *odd;
    char *empty;
    uint64_t size;
    uint64_t duration;
    unsigned number;
    bool is_on;
    struct dt_strings list;
    char *flag_only;
};

#define AT(field) offsetof(struct sample, field)
static const struct dt_option options[] = {
    {"odd", DT_OPT_STRING, AT(odd), "# \"no\" \\ comment: it's", "A|B",
     "First sentence. .Nm is not a macro and \\fB is not bold, however long the text is that "
     "surrounds them. \"Quoted\". \"A sentence that is short enough only before it is escaped.\"",
     false, false},
    {"empty", DT_OPT_STRING, AT(empty), NULL, "FILE", "Nothing.", false, false},
    {"size", DT_OPT_SIZE, AT(size), NULL, "SIZE", "Size.", true, false},
    {"duration", DT_OPT_DURATION, AT(duration), NULL, "TIME", "Time.", false, false},
    {"number", DT_OPT_UINT, AT(number), NULL, NULL, "Number.", false, false},
    {"on", DT_OPT_BOOL, AT(is_on), NULL, NULL, "On.", false, false},
    {"list", DT_OPT_LIST, AT(list), "plain [odd] - x:", "WORD", "List.", false, false},
    {"flag-only", DT_OPT_STRING, AT(flag_only), NULL, "X", "Not in a file.", false, true},
    {.name = NULL},
};

static const struct dt_config_spec spec = {
    .program = "sample",
    .summary = "a 'sample' of pages",
    .options = options,
    .env_prefix = "DARTER_TEST_",
    .sections_sample = ".dot: [a, b]\n'quote': c\\d",
};

static void sample__parses_and_uncommented_says_the_defaults(void **state)
{
    (void)state;
    struct dt_text sample = {0}, uncommented = {0};
    dt_config_print_sample(&spec, &sample);
    struct dt_yaml *root = NULL;
    struct dt_err err = {0};
    assert_int_equal(dt_yaml_parse(&root, sample.data, sample.len, &err), 0);
    assert_int_equal(root->n, 2); /* the sections */
    dt_yaml_free(&root);

    /* "#key: value" is a commented key, "# text" a comment. */
    for (size_t i = 0; i < sample.len; i++) {
        bool is_line_start = i == 0 || sample.data[i - 1] == '\n';
        if (!(is_line_start && sample.data[i] == '#' && sample.data[i + 1] != ' '))
            dt_text_add_len(&uncommented, sample.data + i, 1);
    }
    assert_int_equal(dt_yaml_parse(&root, uncommented.data, uncommented.len, &err), 0);
    assert_int_equal(root->n, 9);
    assert_string_equal(dt_yaml_get(root, "odd")->text, options[0].default_text);
    assert_string_equal(dt_yaml_get(root, "empty")->text, "");
    assert_string_equal(dt_yaml_get(root, "size")->text, "0B");
    assert_string_equal(dt_yaml_get(root, "duration")->text, "0s");
    assert_string_equal(dt_yaml_get(root, "number")->text, "0");
    assert_string_equal(dt_yaml_get(root, "on")->text, "false");
    const struct dt_yaml *list = dt_yaml_get(root, "list");
    assert_int_equal(list->n, 4);
    assert_string_equal(list->items[1]->text, "[odd]");
    assert_string_equal(list->items[2]->text, "-");
    assert_string_equal(list->items[3]->text, "x:");
    assert_null(dt_yaml_get(root, "flag-only"));
    dt_yaml_free(&root);
    dt_text_fini(&sample);
    dt_text_fini(&uncommented);
}

static void help__stays_within_a_terminal(void **state)
{
    (void)state;
    struct dt_text help = {0};
    dt_config_print_help(&spec, &help);
    for (const char *line = dt_text_str(&help); *line != '\0'; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 80);
    assert_non_null(strstr(help.data, "  --number=VALUE\n        Number.\n"));
    assert_non_null(strstr(help.data, "Not in a file. Only as a flag.\n"));
    assert_non_null(strstr(help.data, "  --print-man\n"));
    dt_text_fini(&help);
}

static void man__has_no_accidental_macros(void **state)
{
    (void)state;
    struct dt_text man = {0};
    dt_config_print_man(&spec, &man);
    const char *text = dt_text_str(&man);
    assert_non_null(strstr(text, "First sentence.\n\\&.Nm is not a macro and \\efB is not"));
    assert_non_null(strstr(text, "\n\\(dqQuoted\\(dq.\n"));
    assert_non_null(strstr(text, ".Bd -literal\n\\&.dot: [a, b]\n\\&'quote': c\\ed\n.Ed\n"));
    assert_non_null(strstr(text, ".Nd a 'sample' of pages\n"));
    /* A control line is one of ours. */
    static const char *const macros[] = {".Dd ", ".Dt ", ".Os",  ".Sh ", ".Nm",
                                         ".Nd ", ".Op ", ".Ar ", ".Bl ", ".It ",
                                         ".El",  ".Ql ", ".Ev ", ".Bd ", ".Ed"};
    for (const char *line = text; *line != '\0'; line += strcspn(line, "\n") + 1) {
        assert_true(strcspn(line, "\n") <= 80);
        bool is_ours = line[0] != '.';
        for (size_t i = 0; i < sizeof(macros) / sizeof(macros[0]) && !is_ours; i++)
            is_ours = dt_text_has_prefix(line, macros[i]);
        assert_true(is_ours && line[0] != '\'');
    }
    dt_text_fini(&man);
}

static void pages__need_no_sections(void **state)
{
    (void)state;
    struct dt_config_spec bare = spec;
    bare.sections_sample = NULL;
    struct dt_text out = {0};
    dt_config_print_man(&bare, &out);
    assert_null(strstr(dt_text_str(&out), ".Bd"));
    dt_text_clear(&out);
    dt_config_print_sample(&bare, &out);
    struct dt_yaml *root = NULL;
    assert_int_equal(dt_yaml_parse(&root, out.data, out.len, NULL), 0);
    assert_int_equal(root->n, 0);
    dt_yaml_free(&root);
    dt_text_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample__parses_and_uncommented_says_the_defaults),
        cmocka_unit_test(help__stays_within_a_terminal),
        cmocka_unit_test(man__has_no_accidental_macros),
        cmocka_unit_test(pages__need_no_sections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
