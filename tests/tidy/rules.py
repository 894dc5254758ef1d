"""The rules of the house that a machine can hold.

A rule is a function from a File to the (line, message) pairs it finds, with an entry in RULES;
rules_test.py shows for each that it can fail.
"""

import ast
import re

from tests.tidy import cpp, layers, protos

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
COLUMNS_MAX = 100

# What stays undone is an issue, not a comment.
MARKERS = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
# The repository stands on its own: nothing in it speaks of where and by whom it was made.
WORKPLACE = re.compile(
    r"(?<![\w.])/wo" r"rk/|\bissues? (#|no\. ?)?\d+\b|\(#\d+\)|\bhelper sess" r"ion|"
    r"\b(this|earlier|previous) sess" r"ion of the (project|work)|"
    r"https?://[\w.-]*(debian|pypi|npmjs|crates|golang)[\w.-]*/",
    re.IGNORECASE,
)


def length(file):
    """Files are short enough to be read whole."""
    if file.is_code() and len(file.lines) > FILE_LINES_MAX:
        yield len(file.lines), f"{len(file.lines)} lines, {FILE_LINES_MAX} at most"


def columns(file):
    """Lines are short enough for two files side by side. Addresses cannot be broken."""
    if not file.is_code() or file.is_build() and not file.name.endswith(".bzl"):
        return
    for number, line in enumerate(file.lines, 1):
        if len(line) > COLUMNS_MAX and "://" not in line:
            yield number, f"{len(line)} columns, {COLUMNS_MAX} at most"


def whitespace(file):
    """No tabs, nothing after the last character of a line, one line feed at the end."""
    if file.is_recorded() or file.is_fuzz_input():
        return
    for number, line in enumerate(file.lines, 1):
        if "\t" in line:
            yield number, "a tab"
        if line != line.rstrip():
            yield number, "white space at the end of the line"
    if file.text and (not file.text.endswith("\n") or file.text.endswith("\n\n")):
        yield len(file.lines), "a file ends with one line feed"


def markers(file):
    """Nothing is left for later."""
    for number, line in enumerate(file.lines, 1):
        if MARKERS.search(line):
            yield number, "a mark of unfinished work"


def workplace(file):
    """No word of the workplace."""
    for number, line in enumerate(file.lines, 1):
        if match := WORKPLACE.search(line):
            yield number, f"a word of the workplace: {match[0]!r}"


def python_functions(file):
    """Python functions are short, and modules say what they are."""
    if not file.is_python():
        return
    tree = ast.parse(file.text)
    if not ast.get_docstring(tree):
        yield 1, "a module starts with a docstring: what it is and why"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            size = node.end_lineno - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                yield node.lineno, f"{node.name}: {size} lines, {FUNCTION_LINES_MAX} at most"


def shell_scripts(file):
    """Scripts say what they are, and stop at the first error."""
    if not file.is_shell():
        return
    if not file.lines[1:2] or not file.lines[1].startswith("# "):
        yield 2, "a script starts with a comment: what it does and how it is used"
    if "set -euo pipefail" not in file.lines:
        yield 1, "a script says: set -euo pipefail"


RULES = {
    "length": length,
    "columns": columns,
    "whitespace": whitespace,
    "markers": markers,
    "workplace": workplace,
    "python_functions": python_functions,
    "shell_scripts": shell_scripts,
    "header_guards": cpp.header_guards,
    "header_preambles": cpp.header_preambles,
    "include_style": cpp.include_style,
    "own_header_first": cpp.own_header_first,
    "cpp_functions": cpp.cpp_functions,
    "banned": cpp.banned,
    "pure_cores": cpp.pure_cores,
    "no_sleeping_tests": cpp.no_sleeping_tests,
    "layers": layers.layers,
    "grpc_stays_low": layers.grpc_stays_low,
    "proto_comments": protos.proto_comments,
    "proto_places": protos.proto_places,
}


def check(rule, files):
    """Returns what one rule finds over the files, as `path:line: message`."""
    return [
        f"{file.path}:{line}: {message}" for file in files for line, message in RULES[rule](file)
    ]
