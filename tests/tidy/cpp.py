"""Rules for C++: guards, includes, lengths, and what the language offers but this house refuses."""

import re

FUNCTION_LINES_MAX = 70
INCLUDE = re.compile(r'#include ([<"])([^>"]+)[>"]')
TOPS = ("services/", "gateway/", "cli/", "tests/")
# Libraries whose own examples put them in quotes.
QUOTED_LIBRARIES = ("absl/", "benchmark/", "gmock/", "google/protobuf/", "grpcpp/", "gtest/")
# Folders on the compiler's path that are ours: never in angle brackets.
OWN = re.compile(r"(services|gateway|cli|tests|consul|proto)/")


def code_lines(file):
    """Yields (number, line) with comments and the text in quotes taken out."""
    for number, line in enumerate(file.lines, 1):
        if line.lstrip().startswith("//"):
            yield number, ""
            continue
        line = re.sub(r'"(?:\\.|[^"\\])*"', '""', line)
        yield number, line.split("//", 1)[0]


def includes(file):
    """Yields (number, mark, path) of each include."""
    for number, line in enumerate(file.lines, 1):
        if match := INCLUDE.match(line):
            yield number, match[1], match[2]


def is_own(path):
    return path.startswith(TOPS) or bool(re.fullmatch(r"(consul|grpc)/.*\.pb\.h", path))


def header_guards(file):
    """A header's guard is its path."""
    if not file.is_header():
        return
    guard = "CONSUL_" + re.sub(r"\W", "_", file.path).upper() + "_"
    for wanted in (f"#ifndef {guard}", f"#define {guard}"):
        if wanted not in file.lines:
            yield 1, f"want the line {wanted}"
    if file.lines and file.lines[-1] != f"#endif  // {guard}":
        yield len(file.lines), f"want the last line #endif  // {guard}"


def header_preambles(file):
    """A header starts with its path and what it is."""
    if not file.is_header():
        return
    head = file.lines[:3]
    told = len(head) == 3 and head[1] == "//" and head[2].startswith("// ")
    if not told or head[0] != f"// {file.path}":
        yield 1, f"want // {file.path}, then //, then what this is and why"


def include_style(file):
    """Our headers in quotes from the root, others in angle brackets."""
    if not file.is_cpp():
        return
    for number, mark, path in includes(file):
        if mark == '"' and not (is_own(path) or path.startswith(QUOTED_LIBRARIES)):
            yield number, f"{path}: in quotes stand paths from the root of this tree"
        if mark == "<" and OWN.match(path):
            yield number, f"{path}: ours, so in quotes"
        if path.endswith(".cc") or "/../" in path or path.startswith("."):
            yield number, f"{path}: not a header by its path from the root"


def own_header_first(file):
    """x.cc includes x.h first, so that every header is known to stand alone."""
    if not file.name.endswith(".cc"):
        return
    own = file.path[: -len(".cc")] + ".h"
    listed = [(number, path) for number, _, path in includes(file)]
    for position, (number, path) in enumerate(listed):
        if path == own and position > 0:
            yield number, "its own header comes first"


def cpp_functions(file):
    """Functions are short. Found by layout: a line that opens a body, and the brace under it."""
    if not file.is_cpp():
        return
    start = None
    for number, line in enumerate(file.lines, 1):
        indent = len(line) - len(line.lstrip())
        if start is None:
            if opens_function(line, indent):
                start = (number, body_indent(file.lines, number))
        elif line.startswith("}", start[1]) and indent == start[1]:
            size = number - start[0] + 1
            if size > FUNCTION_LINES_MAX:
                yield start[0], f"a function of {size} lines, {FUNCTION_LINES_MAX} at most"
            start = None


def opens_function(line, indent):
    if not line.endswith("{"):
        return False
    words = line.split()
    others = ("namespace", "class", "struct", "enum", "union", "extern", "}", "//", "{")
    if words[0] in others:
        return False
    # A body that follows a parameter list, perhaps with qualifiers or a return type behind it.
    return bool(re.search(r"\)[\w\s:<>,&*]*\{$", line))


def body_indent(lines, number):
    """The column of the brace that closes the body which line `number` opens."""
    line = lines[number - 1]
    indent = len(line) - len(line.lstrip())
    if line.count("(") == line.count(")") and not line.lstrip().startswith(":"):
        return indent
    # The end of a signature over several lines: its first line stands further left.
    for above in reversed(lines[: number - 1]):
        left = len(above) - len(above.lstrip())
        if above and left < indent:
            return left
    return indent


# (pattern, message, expression of the paths that may)
BANNED = (
    (r"\busing namespace (?!std::\w*literals;)", "names its namespaces", "$"),
    (r"#pragma once", "guards are by path", "$"),
    (r"#if 0\b", "dead code is deleted", "$"),
    (r"\bstd::(shared_|recursive_|timed_)?mutex\b|\babsl::Mutex\b",
     "base::Mutex: annotated, and known to the thread sanitizer", r"services/base/mutex\.h$"),
    (r"\bthrow\b", "errors are Status; broken invariants are CHECKs", "$"),
    (r"\bassert\(", "CHECK, which is on in release too", "$"),
    (r"\b(std::)?(rand|srand)\(", "seeded chance, given as an argument", "$"),
    (r"std::cout\b|\bprintf\(", "the log, or the stream that a command was given",
     r"(cli|tests)/|.*(bench|fake_)"),
    (r"\bstd::regex\b", "exponential on input from outside",
     r"(cli|tests)/|.*_test\.cc"),
)


def banned(file):
    """What the language offers and this house refuses."""
    if not file.is_cpp():
        return
    for number, line in code_lines(file):
        for pattern, message, allowed in BANNED:
            if re.search(pattern, line) and not re.match(allowed, file.path):
                yield number, f"{line.strip()[:40]}: {message}"


# A core is a function of its inputs. Its drivers stand beside it; raft's has a folder of its own.
CORES = re.compile(
    r"services/(raft/(core/|proposal_forwarder|read_barriers)|gossip/(swim|cluster|awareness|"
    r"suspicion|round_trips|broadcast_queue|member_table|wire|random|hash|types|coordinate|event_|"
    r"lamport_|recent_intents|tags)|"
    r"state/(fsm|tables|table_|kv_|catalog_))\w*\.(cc|h)"
)
IMPURE = (
    r"_clock::now\b", r"\babsl::Now\b", r"(?<![.>])\btime\(", r"std::random_device",
    r"std::(j)?thread\b",
    r"\bbase::Mutex\b", r"\bgetenv\(", r"std::(of|if|f)stream\b", r"\bstatic thread_local\b",
    r"\bthread_local\b",
)
IMPURE_INCLUDE = re.compile(
    r"<(thread|mutex|atomic|fstream|iostream|future|condition_variable|sys/\w+\.h|unistd\.h)>|"
    r'"services/base/(log|file|mutex|timer_queue)\.h"'
)


def pure_cores(file):
    """The cores hold no clock, thread, lock, file, log line or chance of their own."""
    if not CORES.fullmatch(file.path) or file.is_test():
        return
    for number, line in code_lines(file):
        for pattern in IMPURE:
            if match := re.search(pattern, line):
                yield number, f"{match[0]}: a core takes it as an argument"
    for number, line in enumerate(file.lines, 1):
        if line.startswith("#include") and (match := IMPURE_INCLUDE.search(line)):
            yield number, f"{match[0]}: not in a core"


SLEEPS = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|SleepFor)\b")
MAY_SLEEP = ("tests/e2e/", "tests/conformance/", "tests/bench/")


def no_sleeping_tests(file):
    """A test that sleeps is slow, and wrong on a slow machine."""
    if not file.is_cpp() or not file.is_test() or file.path.startswith(MAY_SLEEP):
        return
    for number, line in code_lines(file):
        if match := SLEEPS.search(line):
            yield number, f"{match[0]}: wait for what is meant, or give the time as an argument"
