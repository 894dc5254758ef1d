"""Compares an answer with a recorded one, and writes answers down in a form that can be compared.

What differs from run to run (indexes, ids, ports) stands in a table as a name; see table.py.
"""

import decimal
import json
import re

from tests.conformance import table

# Framing and clocks are no part of the contract.
HEADERS_IGNORED = {"date", "content-length", "transfer-encoding"}
INDEX_HEADER = "X-Consul-Index"
INDEX_FIELD = re.compile(r'("(?:CreateIndex|ModifyIndex)":\s*)(\d+)')
UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
NAME = re.compile(r"<(i\d+|uuid\d+|port\.[a-z_]+|D\d+)>")
# A string of JSON text, or a name that stands outside of any string: a number.
TOKEN = re.compile(r'"(?:\\.|[^"\\])*"|<(?:i\d+|port\.[a-z_]+)>')
MARK = "\0"


class Bindings:
    """What the names of one table stand for on one server."""

    def __init__(self, ports):
        self._ports = ports
        self._values = {}

    def bind(self, name, value):
        """Takes `value` (text) for `name`; returns what is wrong with that, or None."""
        if name.startswith("port."):
            wanted = str(self._ports[name[5:]])
            return None if value == wanted else f"<{name}> is {wanted}, not {value}"
        if name in self._values:
            known = self._values[name]
            return None if value == known else f"<{name}> was {known} before, now {value}"
        if name.startswith("uuid"):
            if not UUID.fullmatch(value):
                return f"<{name}> is no id: {value!r}"
            return self._bind_unless_taken(name, value)
        return self._bind_index(name, value)

    def _bind_unless_taken(self, name, value):
        for other, taken in self._values.items():
            if taken == value:
                return f"<{name}> is {value}, as <{other}> was"
        self._values[name] = value
        return None

    def _bind_index(self, name, value):
        """Indexes keep their order: a greater number in the name, a greater index."""
        if not value.isdigit():
            return f"<{name}> is no index: {value!r}"
        for other, taken in self._values.items():
            if other.startswith("i"):
                in_order = (int(name[1:]) < int(other[1:])) == (int(value) < int(taken))
                if not in_order or value == taken:
                    return f"<{name}> is {value}, but <{other}> is {taken}"
        self._values[name] = value
        return None


def compare(case, response, bindings):
    """Returns the differences between the case's answer and the response, as lines of text."""
    excused = {(d.part, d.path): d for d in case.differences}
    problems = _compare_status(case, response, excused)
    problems += _compare_headers(case, response, bindings, excused)
    if ("body", "") in excused:
        expected = excused["body", ""].expected
        actual = response.body.decode("utf-8", "backslashreplace")
        if expected is not None and actual != expected:
            problems.append(f"body: want {expected!r} ({excused['body', ''].row}), got {actual!r}")
    else:
        problems += compare_body(case, response.body, bindings)
    return problems


def _compare_status(case, response, excused):
    expected = str(case.answer.status)
    if ("status", "") in excused:
        expected = excused["status", ""].expected
    if expected is None or str(response.status) == expected:
        return []
    return [f"status: want {expected}, got {response.status}"]


def _compare_headers(case, response, bindings, excused):
    problems = []
    actual = shown_headers(response)
    wanted = list(case.answer.headers)
    for (part, name), difference in excused.items():
        if part != "header":
            continue
        wanted = [item for item in wanted if item[0] != name]
        if difference.expected is not None:
            wanted.append((name, difference.expected))
        elif not difference.absent:
            actual = [item for item in actual if item[0] != name]
    names = sorted({name for name, _ in wanted + actual})
    for name in names:
        want = [value for key, value in wanted if key == name]
        got = [value for key, value in actual if key == name]
        if len(want) != len(got):
            problems.append(f"header {name}: want {want}, got {got}")
            continue
        for one, other in zip(want, got):
            problem = match_text(one, other, bindings)
            if problem:
                problems.append(f"header {name}: {problem}")
    return problems


def compare_body(case, body, bindings):
    lines = case.answer.body
    if lines[:1] and lines[0][0] in "=@" or not lines:
        got = table.body_lines(body)
        return [] if got == lines else [f"body: want {lines}, got {_shorten(got)}"]
    expected = table.body_text(lines)
    wanted_json = parse_json(expected)
    paths = {d.path: d for d in case.differences if d.part == "json"}
    actual = body.decode("utf-8", "backslashreplace")
    if wanted_json is None:
        problem = match_text(expected, actual, bindings)
        return [f"body: {problem}"] if problem else []
    got_json = parse_json(actual)
    if got_json is None:
        return [f"body: not JSON: {actual[:200]!r}"]
    problems = []
    # Layout is part of the answer: ?pretty, and the line feed at the end.
    if layout(expected) != layout(actual):
        problems.append(f"body: laid out as {layout(actual)}, want {layout(expected)}")
    _compare_json(wanted_json[0], got_json[0], "", paths, bindings, problems)
    return problems


def layout(text):
    """What of JSON text its value does not show: (indented?, line feed at the end?)."""
    return ("indented" if re.search(r"\n +\S", text) else "compact", text.endswith("\n"))


def parse_json(text):
    """Returns a tuple of the value, or None if the text is no JSON. Names are allowed."""
    marked = TOKEN.sub(
        lambda match: match[0] if match[0][0] == '"' else f'"\\u0000{match[0][1:-1]}"', text
    )
    try:
        return (json.loads(marked, parse_float=decimal.Decimal),)
    except ValueError:
        return None


def excuse(path, paths):
    """The `differs` line that covers a JSON path, if one does; * stands for any one name."""
    parts = path.split(".")
    for pattern, difference in paths.items():
        wanted = pattern.split(".")
        if len(wanted) == len(parts) and all(w in ("*", p) for w, p in zip(wanted, parts)):
            return difference
    return None


def _compare_json(want, got, path, paths, bindings, problems):
    if path and (difference := excuse(path, paths)):
        if difference.expected is not None:
            value = parse_json(difference.expected)[0]
            _compare_json(value, got, path, {}, bindings, problems)
        return
    where = path or "body"
    if isinstance(want, str) and want.startswith(MARK):
        if isinstance(got, bool) or not isinstance(got, int):
            problems.append(f"{where}: want a number, got {got!r}")
        elif problem := bindings.bind(want[1:], str(got)):
            problems.append(f"{where}: {problem}")
    elif type(want) is not type(got):
        problems.append(f"{where}: want {_shorten(want)}, got {_shorten(got)}")
    elif isinstance(want, dict):
        _compare_objects(want, got, path, paths, bindings, problems)
    elif isinstance(want, list):
        if len(want) != len(got):
            problems.append(f"{where}: want {len(want)} elements, got {_shorten(got)}")
        for index, (one, other) in enumerate(zip(want, got)):
            _compare_json(one, other, _join(path, index), paths, bindings, problems)
    elif isinstance(want, str):
        if problem := match_text(want, got, bindings):
            problems.append(f"{where}: {problem}")
    elif want != got:
        problems.append(f"{where}: want {want!r}, got {got!r}")


def _compare_objects(want, got, path, paths, bindings, problems):
    for key in sorted(want.keys() | got.keys()):
        below = _join(path, key)
        difference = excuse(below, paths)
        if key in got and difference and difference.absent:
            problems.append(f"{below}: want nothing ({difference.row}), got {_shorten(got[key])}")
        elif key in want and key in got:
            _compare_json(want[key], got[key], below, paths, bindings, problems)
        elif difference and (difference.absent or difference.expected is None):
            continue
        elif difference and key in got:
            _compare_json(None, got[key], below, paths, bindings, problems)
        elif key in want:
            problems.append(f"{below}: missing, want {_shorten(want[key])}")
        else:
            problems.append(f"{below}: want nothing, got {_shorten(got[key])}")


def _join(path, key):
    return f"{path}.{key}" if path else str(key)


def _shorten(value):
    text = repr(value).replace("\\x00", "")
    return text if len(text) <= 160 else text[:160] + "..."


def match_text(want, got, bindings):
    """Compares text in which names may stand; returns what is wrong, or None."""
    pattern, names, end = "", [], 0
    for match in NAME.finditer(want):
        pattern += re.escape(want[end : match.start()])
        known = match[1].startswith(("i", "port"))
        pattern += r"(\d+)" if known else "([0-9a-f-]+)"
        names.append(match[1])
        end = match.end()
    pattern += re.escape(want[end:])
    match = re.fullmatch(pattern, got, re.DOTALL)
    if not match:
        return f"want {_shorten(want)}, got {_shorten(got)}"
    for name, value in zip(names, match.groups()):
        if problem := bindings.bind(name, value):
            return problem
    return None


def shown_headers(response):
    return [item for item in response.headers if item[0].lower() not in HEADERS_IGNORED]


class Writer:
    """Writes the answers of one table down, with names for what differs from run to run."""

    def __init__(self, ports):
        self._ports = {str(port): name for name, port in ports.items()}
        self._port = re.compile(r"\b(" + "|".join(self._ports) + r")\b")
        self._indexes = set()
        self._uuids = {}

    def see(self, response):
        """Takes note of the indexes of an answer. Names go by rank, so all are seen first."""
        for name, value in response.headers:
            if name == INDEX_HEADER:
                self._indexes.add(int(value))
        text = response.body.decode("utf-8", "replace")
        self._indexes.update(int(match[2]) for match in INDEX_FIELD.finditer(text))

    def answer(self, case, response):
        headers = []
        for name, value in shown_headers(response):
            shown = self._index(value) if name == INDEX_HEADER else self._text(value)
            headers.append((name, shown))
        body = response.body
        ignored = {d.path: d for d in case.differences if d.part == "json"}
        lines = table.body_lines(body)
        if lines and lines[0][0] == "@" and ignored:
            lines = ["| "]
        if lines and lines[0][0] == "|":
            text = body.decode()
            if ignored:
                text = _leave_out(text, ignored)
            text = INDEX_FIELD.sub(lambda match: match[1] + self._index(match[2]), text)
            lines = table.body_lines(self._text(text).encode())
        return table.Answer(response.status, headers, lines)

    def _index(self, value):
        """0 and 1 are no index of an entry: they are the answer as they stand."""
        ranks = sorted(index for index in self._indexes if index > 1)
        return f"<i{ranks.index(int(value)) + 1}>" if int(value) > 1 else value

    def _text(self, text):
        text = self._port.sub(lambda match: f"<port.{self._ports[match[1]]}>", text)
        return UUID.sub(self._uuid, text)

    def _uuid(self, match):
        return f"<uuid{self._uuids.setdefault(match[0], len(self._uuids) + 1)}>"


def _leave_out(text, paths):
    """Replaces what differs anyway by the name of its row, so that tables stay short."""

    def walk(value, path):
        difference = excuse(path, paths) if path else None
        if difference:
            return f"<{difference.row}>"
        if isinstance(value, dict):
            return {key: walk(below, _join(path, key)) for key, below in value.items()}
        if isinstance(value, list):
            return [walk(below, _join(path, index)) for index, below in enumerate(value)]
        return value

    value = walk(json.loads(text), "")
    if layout(text)[0] == "compact":
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return json.dumps(value, ensure_ascii=False, indent=4) + "\n"
