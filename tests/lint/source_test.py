"""tests/lint/source_test.py - a lint that finds nothing must be a lint that can find something."""
import source

LONG = "int f(void)\n{\n" + "    g();\n" * 80 + "}\n"
DEEP = "int f(void)\n{\n if (a) {\n for (;;) {\n while (b) {\n if (c) {\n g();\n}\n}\n}\n}\n}\n"
FLAT = """int f(void)
{
    struct x y = {.a = {1, {2, {3}}}};
    if (a) {
        for (;;) {
            while (b) {
                g((struct x){.a = {1}});
            }
        }
    }
}
"""
CALLS = "int f(int a, int b, int c, int d, int e, void (*g)(int), void *arg, " \
        "struct dt_err *err)\n{\n}\n"
WIDE = "int f(int a, int b, int c, int d, void (*e)(int, int), int g, int h)\n{\n}\n"
BUSY = "int f(void)\n{\n" + "    if (a && b) g();\n" * 10 + "}\n"
STORY = "/*\n * base/x.c - what it is for.\n */\n"

# (rule, path, text, complaints expected)
CASES = [
    (source.check_sizes, "base/x.c", LONG, 1),
    (source.check_sizes, "base/x.c", DEEP, 1),
    (source.check_sizes, "base/x.c", FLAT, 0),
    (source.check_sizes, "base/x.c", WIDE, 1),
    (source.check_sizes, "base/x.c", CALLS, 0),
    (source.check_sizes, "base/x.c", BUSY, 1),
    (source.check_sizes, "base/x.c", "\n" * 801, 1),
    (source.check_sizes, "base/x.h", "\n" * 251, 1),
    (source.check_banned, "base/x.c", "void f(void) { strcpy(a, b); }", 1),
    (source.check_banned, "base/x.c", '/* strcpy( */ void f(void) { g("system("); my_system(); }', 0),
    (source.check_story, "base/x.c", STORY, 0),
    (source.check_story, "base/x.c", "#include <stdio.h>\n", 1),
    (source.check_story, "base/x.c", STORY.replace("x.c", "y.c"), 1),
    (source.check_notes, "base/x.c", "/* TODO: later */", 1),
    (source.check_layers, "base/x.c", '#include "base/err.h"\n', 0),
    (source.check_layers, "base/x.c", '#include "cache/cache.h"\n', 1),
    (source.check_layers, "cache/x.c", '#include "registry-client/ref.h"\n', 1),
    (source.check_layers, "registry-client/x.c", '#include "cache/cache.h"\n', 1),
    (source.check_layers, "proxy/x.c", '#include "cache/cache.h"\n', 0),
    (source.check_layers, "proxy/x.c", '#include "no/such.h"\n', 1),
    (source.check_doors, "cache/x.c", "#include <h2o.h>\n", 1),
    (source.check_doors, "base/httpd_conn.c", "#include <h2o.h>\n", 0),
    (source.check_doors, "transfer/task.c", "#include <curl/curl.h>\n", 1),
    (source.check_doors, "cache/cache.c", "#include <lmdb.h>\n", 1),
    (source.check_doors, "proxy/admin_cache.c", "#include <jansson.h>\n", 0),
    (source.check_doors, "transfer/task.c", "#include <jansson.h>\n", 1),
    (source.check_include_order, "base/err.c", "#include <stdio.h>\n", 1),
    (source.check_guard, "base/x.h", "#ifndef X\n#define X\n#endif\n", 1),
]


def failures():
    wrong = []
    for rule, path, text, expected in CASES:
        found = list(rule(path, text, source.code_only(text)))
        if len(found) != expected:
            wrong.append(f"{rule.__name__}({path}, {text[:60]!r}) found {found}, "
                         f"expected {expected}")
    return wrong
