"""Tables of requests and recorded answers: their grammar.

A table is a text file of cases, parted by empty lines and played in order on a fresh server:

    # A comment belongs to the case below it.
    PUT /v1/kv/foo?cas={modify}  the body, after two spaces
    differs D3 header X-Consul-Index = 1
    ----
    200
    Content-Type: application/json
    | true

    dig +tcp node1.node.consul AAAA
    ----
    | what dig prints, as dig.py shows it

Before the first case may stand what the server is configured with, beside what all have:

    agent {"domain": "example"}

Lines between the request and ---- say more about the request, or how the answer may differ:

    body-repeat x 524288          a body of that many of the character
    body-hex 00ff                 a body in hexadecimal
    header NAME: VALUE            one more header
    version HTTP/1.0              another version of the protocol
    chunked                       the body is sent in chunks, without its length
    takes 0.9..1.2                how many seconds the answer takes
    async NAME                    sent now; its answer stands at a later case `await NAME`
    differs ROW status [= 400]               our answer differs, as that row of
    differs ROW header NAME [= VALUE]        docs/DIVERGENCE.md says: the part is compared
    differs ROW header NAME absent           with what is given here, or not at all
    differs ROW takes = 0.9..1.2
    differs ROW body [= TEXT]
    differs ROW json PATH [= JSON]           PATH: names parted by dots, * for each

In a target, {index} is the last answer's X-Consul-Index and {modify} the last ModifyIndex that an
answer's body held; {index+1} adds to it.

In an answer the lines `| ` are the body, split at its line feeds; `= ` holds it in hexadecimal
and `@ N sha256 HASH` only by its hash. <i3> is an index: equal names are equal numbers, and a
greater name a greater number. <uuid1> and <hex1> are bound in the same way without order;
<port.http> is that port of the server.
"""

import dataclasses
import hashlib
import json
import re

from tests.conformance import wire

SEPARATOR = "----"
SETTINGS = "agent "
BODY_TEXT_MAX = 4096  # A longer body is kept by its hash.


class TableError(Exception):
    """A line that the grammar does not know; the text names file and line."""


@dataclasses.dataclass
class Difference:
    """One `differs` line."""

    row: str
    part: str  # status, takes, header, body or json
    path: str = ""  # the header's name or the JSON path
    expected: str = None  # what our answer holds instead; None: anything
    absent: bool = False


@dataclasses.dataclass
class Answer:
    status: int  # None over DNS
    headers: list  # of (name, value)
    body: list  # of lines with their mark


@dataclasses.dataclass
class Case:
    comments: list
    method: str = ""
    target: str = ""
    dig: list = None  # dig's arguments: a query over DNS, which has none of what follows
    body: bytes = None
    headers: list = dataclasses.field(default_factory=list)
    version: str = wire.VERSION
    chunked: bool = False
    takes: tuple = None
    start: str = None  # the name under which the answer is waited for later
    wait: str = None  # the name of the request whose answer this is
    differences: list = dataclasses.field(default_factory=list)
    request_lines: list = dataclasses.field(default_factory=list)
    answer: Answer = None
    line: int = 0

    def title(self):
        return self.request_lines[0] if self.request_lines else ""


def parse(text, name="table"):
    """Parses a whole table. Raises TableError."""
    cases = []
    block = []
    for number, line in enumerate(text.split("\n") + [""], 1):
        if line:
            block.append((number, line))
        elif block:
            if cases or not _is_heading(line for _, line in block):
                case = _parse_case(block, name)
                if case:
                    cases.append(case)
            block = []
    return cases


def render(cases, heading=()):
    """The inverse of parse; `heading` are the comment blocks that stand alone."""
    blocks = ["\n".join(lines) for lines in heading]
    for case in cases:
        lines = case.comments + case.request_lines
        if case.answer:
            status = [] if case.dig else [str(case.answer.status)]
            headers = [f"{key}: {value}" for key, value in case.answer.headers]
            lines = lines + [SEPARATOR] + status + headers + case.answer.body
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def heading(text):
    """The blocks at the start of a table that are no cases: comments and settings."""
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        lines = block.split("\n")
        if not _is_heading(lines):
            break
        blocks.append(lines)
    return blocks


def _is_heading(lines):
    return all(line.startswith(("#", SETTINGS)) for line in lines)


def settings(text, name="table"):
    """What the server of a table is configured with, beside what all have. Raises TableError."""
    found = {}
    for line in sum(heading(text), []):
        if not line.startswith(SETTINGS):
            continue
        try:
            found.update(json.loads(line[len(SETTINGS) :]))
        except (TypeError, ValueError) as error:
            raise TableError(f"{name}: {line!r}: {error}") from error
    return found


def _parse_case(block, name):
    """Returns the case in a block of (number, line), or None for one of comments only."""
    first = next((i for i, (_, line) in enumerate(block) if not line.startswith("#")), len(block))
    comments = [line for _, line in block[:first]]
    lines = block[first:]
    if not lines:
        return None
    end = next((i for i, (_, line) in enumerate(lines) if line == SEPARATOR), len(lines))
    request, answer = lines[:end], lines[end + 1 :]
    if not request:
        raise TableError(f"{name}:{lines[0][0]}: no request above {SEPARATOR}")
    case = Case(comments, line=request[0][0], request_lines=[line for _, line in request])
    _parse_request(case, request, name)
    if end < len(lines):
        case.answer = _parse_answer(case, answer, name, lines[end][0])
    return case


def _parse_request(case, lines, name):
    number, first = lines[0]
    if first.startswith("await "):
        case.wait = first[6:]
    elif first.startswith(SETTINGS):
        raise TableError(f"{name}:{number}: settings stand before the first case")
    elif first.startswith("dig "):
        case.dig = first.split()[1:]
    else:
        request, gap, body = first.partition("  ")
        words = request.split(" ")
        if len(words) != 2:
            raise TableError(f"{name}:{number}: not a request: {first!r}")
        case.method, case.target = words
        if gap:
            case.body = body.encode()
    for number, line in lines[1:]:
        try:
            _parse_option(case, line)
        except ValueError as error:
            raise TableError(f"{name}:{number}: {line!r}: {error}") from error


def _parse_option(case, line):
    word, _, rest = line.partition(" ")
    if word == "body-repeat":
        character, count = rest.split(" ")
        case.body = character.encode() * int(count)
    elif word == "body-hex":
        case.body = bytes.fromhex(rest)
    elif word == "header":
        key, colon, value = rest.partition(": ")
        if not colon:
            raise ValueError("a header is NAME: VALUE")
        case.headers.append((key, value))
    elif word == "version":
        case.version = rest
    elif line == "chunked":
        case.chunked = True
    elif word == "takes":
        case.takes = parse_takes(rest)
    elif word == "async":
        case.start = rest
    elif word == "differs":
        case.differences.append(_parse_difference(rest))
    else:
        raise ValueError("unknown option")


def parse_takes(text):
    low, high = text.split("..")
    return (float(low), float(high))


def _parse_difference(text):
    match = re.fullmatch(
        r"(D\d+) (?:(status|takes|body)|(header|json) (\S+))(?: (absent)| = (.*))?", text
    )
    if not match:
        raise ValueError("not ROW status|takes|body|header NAME|json PATH [= VALUE]")
    row, plain, part, path, absent, expected = match.groups()
    if plain == "takes":
        parse_takes(expected or "")
    return Difference(row, plain or part, path or "", expected, bool(absent))


def _parse_answer(case, lines, name, number):
    answer = Answer(None, [], [])
    if not case.dig:
        if not lines or not lines[0][1].isdigit():
            raise TableError(f"{name}:{number}: no status below {SEPARATOR}")
        answer.status = int(lines[0][1])
        lines = lines[1:]
    for number, line in lines:
        if line[0] in "|=@":
            answer.body.append(line)
        elif ": " in line and not answer.body and not case.dig:
            key, _, value = line.partition(": ")
            answer.headers.append((key, value))
        else:
            raise TableError(f"{name}:{number}: neither header nor body: {line!r}")
    return answer


def body_lines(body):
    """How a body stands in a table. Text in which every line can be shown stays text."""
    if not body:
        return []
    if len(body) > BODY_TEXT_MAX:
        return [f"@ {len(body)} sha256 {hashlib.sha256(body).hexdigest()}"]
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return ["= " + body.hex()]
    lines = text.split("\n")
    if not all(line.isprintable() or "\t" in line and line.replace("\t", "").isprintable()
               for line in lines):
        return ["= " + body.hex()]
    return ["| " + line if line else "|" for line in lines]


def body_text(lines):
    """The text that `| ` lines hold."""
    return "\n".join(line[2:] for line in lines)
