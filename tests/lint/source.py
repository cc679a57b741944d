"""tests/lint/source.py - what this project's rules say about C sources and a compiler does not.

Layers, doors to third-party headers, include order, sizes (lines, branches, nesting, parameters),
banned functions, story comments, left-over notes. Pure text in, complaints out; tests/lint/run calls
check_all(). A new rule: a function that yields (line, complaint), and its row in RULES.
"""
import os
import re

# folder -> folders whose headers it may include. Longest match wins.
LAYERS = {
    "base": {"base"},
    "cache": {"base", "cache"},
    "registry-client": {"base", "registry-client"},
    "transfer": {"base", "cache", "registry-client", "transfer"},
    "proxy": {"base", "cache", "registry-client", "transfer", "proxy"},
    "supernode": {"base", "cache", "registry-client", "transfer", "supernode"},
}

# third-party header -> the files that may include it
DOORS = [
    (r"h2o(\.h|/)", r"base/(loop|httpd)\w*\.c|base/(loop|httpd)\w*_priv\.h"),
    (r"picohttpparser\.h|picotls", r"base/httpd\w*\.c"),
    (r"curl/", r"base/fetch\w*\.c|base/fetch\w*_priv\.h"),
    (r"openssl/", r"base/(digest|tls|key)\.c|base/httpd\w*\.c|base/httpd\w*_priv\.h"),
    (r"lmdb\.h", r"cache/index\w*\.c"),
    (r"yaml\.h", r"base/(config\w*|yaml)\.c"),
    (r"jansson\.h",
     r"(registry-client|base/wire|proxy/cli)/\w+\.[ch]|(base|transfer|proxy|supernode)/admin\w*\.[ch]"),
]

LIMITS = {"function lines": 80, "main() lines": 60, "branches (McCabe)": 20, "nesting": 3,
          "parameters": 6, ".c lines": 800, ".h lines": 250}
BANNED = ["strcpy", "strcat", "sprintf", "vsprintf", "gets", "strtok", "atoi", "alloca", "system"]
LEFT_OVER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof", "defined", "do", "else"}
BRANCHES = re.compile(r"\b(?:if|for|while|case)\b|&&|\|\||\?")


def blank(match):
    """Keeps line numbers: what is taken out leaves its line breaks."""
    return re.sub(r"[^\n]", " ", match.group(0))


def code_only(text):
    """Comments, the insides of strings, and preprocessor lines blanked out."""
    text = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
                  lambda m: m.group(0)[0] + blank(m)[1:] if m.group(0)[0] in "\"'" else blank(m),
                  text, flags=re.S)
    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", blank, text, flags=re.M)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Function:
    def __init__(self, name, line, parameters, body, n_lines):
        self.name = name
        self.line = line
        self.parameters = parameters
        self.body = body
        self.n_lines = n_lines

    def branches(self):
        return 1 + len(BRANCHES.findall(self.body))

    def nesting(self):
        """The deepest block inside blocks; braces of initialisers are no blocks."""
        deepest, stack = 0, []
        for match in re.finditer(r"[{}]", self.body):
            if match.group(0) == "}":
                if stack:
                    stack.pop()
                continue
            before = self.body[:match.start()].rstrip()
            is_block = before == "" or before.endswith((";", "{", "}", ":")) \
                or (before.endswith(")") and not self.is_literal(before)) \
                or re.search(r"\b(else|do)$", before)
            stack.append(bool(is_block))
            deepest = max(deepest, sum(stack))
        return max(0, deepest - 1)  # the function's own braces

    @staticmethod
    def is_literal(before):
        """(struct x){...}: a type in parentheses, not a condition."""
        depth = 0
        for index in range(len(before) - 1, -1, -1):
            depth += {")": 1, "(": -1}.get(before[index], 0)
            if depth == 0:
                return not re.search(r"[A-Za-z_0-9]\s*$", before[:index])
        return False


def count_parameters(text):
    """`void *arg` belongs to its callback, and `err` is in nearly every signature: both are free."""
    depth, names = 0, [""]
    for char in text.strip():
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char == "," and depth == 0:
            names.append("")
        else:
            names[-1] += char
    free = re.compile(r"void( \*arg)?|struct dt_err \*err|")
    return sum(not free.fullmatch(" ".join(name.split())) for name in names)


def functions(code):
    """Definitions at file level."""
    depth, start = 0, None
    for match in re.finditer(r"[{}]", code):
        if match.group(0) == "{":
            if depth == 0:
                start = match.start()
            depth += 1
            continue
        depth -= 1
        if depth != 0 or start is None:
            continue
        head_start = max(code.rfind(";", 0, start), code.rfind("}", 0, start)) + 1
        head = code[head_start:start]
        named = re.search(r"\b([A-Za-z_]\w*)\s*\((.*)\)\s*$", head, re.S)
        if named and named.group(1) not in KEYWORDS and "=" not in head:
            first = head_start + len(head) - len(head.lstrip())
            line = line_of(code, first)
            yield Function(named.group(1), line, count_parameters(named.group(2)),
                           code[start:match.end()], line_of(code, match.start()) - line + 1)


# ---- rules: (path, text, code) -> (line, complaint) ----

def includes(text):
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', text, re.M):
        yield line_of(text, match.start()), match.group(1), match.group(2)


def check_layers(path, text, _code):
    layer = next((folder for folder in LAYERS if path.startswith(folder + "/")), None)
    for line, quote, target in includes(text):
        if quote != '"':
            continue
        if not os.path.exists(target):
            yield line, f'"{target}" is no path from the root of the tree'
        elif layer and target.split("/")[0] not in LAYERS[layer]:
            yield line, f"{layer}/ must not know of {target}"
        elif target.endswith("_priv.h") and layer and not target.startswith(layer + "/"):
            yield line, f"{target} is private to its folder"


def check_doors(path, text, _code):
    for line, _quote, target in includes(text):
        for header, doors in DOORS:
            if re.match(header, target) and not path.startswith("tests/") \
                    and not re.fullmatch(doors, path):
                yield line, f"{target} has another door: {doors}"


def check_include_order(path, text, _code):
    if not path.endswith(".c") or path.startswith("tests/"):
        return
    own, private = path[:-2] + ".h", path[:-2] + "_priv.h"
    first = next(includes(text), None)
    if first and os.path.exists(own) and first[2] not in (own, private):
        yield first[0], f'"{own}" must come first'


def check_sizes(path, text, code):
    n_lines = text.count("\n")
    kind = ".c" if path.startswith("tests/") else path[-2:]  # fixtures are code in a header
    if n_lines > LIMITS[f"{kind} lines"]:
        yield 1, f"{n_lines} lines, the end is {LIMITS[kind + ' lines']}"
    for function in functions(code):
        limit = LIMITS["main() lines" if function.name == "main" else "function lines"]
        measured = [("lines", function.n_lines, limit),
                    ("parameters", function.parameters, LIMITS["parameters"]),
                    ("branches (McCabe)", function.branches(), LIMITS["branches (McCabe)"]),
                    ("levels of nesting", function.nesting(), LIMITS["nesting"])]
        for what, value, most in measured:
            if value > most:
                yield function.line, f"{function.name}() has {value} {what}, the end is {most}"


def check_banned(_path, _text, code):
    for match in re.finditer(rf"\b({'|'.join(BANNED)})\s*\(", code):
        yield line_of(code, match.start()), f"{match.group(1)}() is banned"


def check_story(path, text, _code):
    if path.startswith("tests/"):
        if not text.startswith("/*"):
            yield 1, "no comment at the top says what it is for"
    elif not text.startswith(f"/*\n * {path} - "):
        yield 1, f'the story must begin with "{path} - "'


def check_notes(_path, text, _code):
    for match in LEFT_OVER.finditer(text):
        yield line_of(text, match.start()), f"{match.group(0)} left over"


def check_guard(path, text, _code):
    if path.endswith(".h") and not path.startswith("tests/"):
        guard = "DARTER_" + re.sub(r"\W", "_", path).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            yield 1, f"the include guard must be {guard}"


RULES = [check_layers, check_doors, check_include_order, check_sizes, check_banned, check_story,
         check_notes, check_guard]


def check_file(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    code = code_only(text)
    for rule in RULES:
        for line, complaint in rule(path, text, code):
            yield f"{path}:{line}: {complaint}"


def check_all(paths):
    return [complaint for path in paths for complaint in check_file(path)]
