"""Transcripts of a terminal in Markdown, and how their output is compared with a real one's.

A fenced block marked `console` holds commands after `$ ` and, below each, what it prints. A line
`^C` alone is that key, in the terminal of the command that still runs. A block marked `sh` holds
commands alone, a line each, with remarks behind `#`. There are no other blocks.
"""

import re

COMMAND = "$ "
INTERRUPT = "^C"
KINDS = ("console", "sh")
REMARK = re.compile(r"(?:^|\s+)#\s.*$")

# What differs from machine to machine and from run to run, and what stands for it.
VARIABLE = (
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r'("(?:Create|Modify)Index": ?)\d+'), r"\1<index>"),
    (re.compile(r"(?i)(X-Consul-Index: )\d+"), r"\1<index>"),
    (re.compile(r"^Date: .*"), "Date: <time>"),
    (re.compile(r"DiG [\w.+~:-]+"), "DiG <version>"),
    (re.compile(r"\bid: \d+"), "id: <id>"),
    (re.compile(r"Query time: \d+ msec"), "Query time: <time>"),
    (re.compile(r"^;; WHEN: .*"), ";; WHEN: <time>"),
    # The key is random.
    (re.compile(r"^[A-Za-z0-9+/]{43}=$"), "<key>"),
)


class Step:
    """One command, or one ^C, and the lines that follow it."""

    def __init__(self, command, line):
        self.command = command
        self.line = line
        self.output = []


def blocks(markdown):
    """Yields the fenced blocks: their kind, and their lines with their numbers."""
    kind = None
    for number, line in enumerate(markdown.split("\n"), 1):
        if not line.startswith("```"):
            if kind is not None:
                found.append((number, line))
        elif kind is None:
            kind, found = line[3:], []
            if kind not in KINDS:
                raise ValueError(f"line {number}: a block that is none of {', '.join(KINDS)}")
        else:
            yield kind, found
            kind = None
    if kind is not None:
        raise ValueError("the last block does not end")


def steps(markdown):
    """Returns the steps of all console blocks, in order."""
    found = []
    for kind, numbered in blocks(markdown):
        if kind != "console":
            continue
        step = None
        for number, line in numbered:
            if line.startswith(COMMAND) or line == INTERRUPT:
                step = Step(line if line == INTERRUPT else line[len(COMMAND) :], number)
                found.append(step)
            elif step is None:
                raise ValueError(f"line {number}: output without a command: {line!r}")
            else:
                step.output.append(line)
    return found


def shell_commands(markdown):
    """Returns the commands of the other blocks, as (line, command)."""
    found = []
    for kind, numbered in blocks(markdown):
        if kind == "sh":
            found += [(number, REMARK.sub("", line).strip()) for number, line in numbered]
    return [(number, command) for number, command in found if command]


def lines(text):
    """The lines of an output; none if there is none."""
    return text.removesuffix("\n").split("\n") if text else []


def normalized(line, names):
    """A line with names for what varies. `names`: (text, name) pairs, as host name and address."""
    for text, name in names:
        line = re.sub(rf"(?<![\w.]){re.escape(text)}(?![\w]|\.\d)", name, line)
    for pattern, name in VARIABLE:
        line = pattern.sub(name, line)
    # Columns are as wide as the names in them.
    return re.sub(r"[ \t]+", " ", line).rstrip()


def difference(want, got, want_names, got_names):
    """Compares two lists of lines; returns the first difference as text, or None."""
    want = [normalized(line, want_names) for line in want]
    got = [normalized(line, got_names) for line in got]
    for position, (one, other) in enumerate(zip(want, got)):
        if one != other:
            return f"output line {position + 1}: want {one!r}, got {other!r}"
    if len(want) > len(got):
        return f"missing from the output: {want[len(got)]!r}"
    if len(got) > len(want):
        return f"more output than the page shows: {got[len(want)]!r}"
    return None
