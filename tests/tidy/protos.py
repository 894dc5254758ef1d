"""Rules for .proto files: they are the manual of the API."""

import re

FIELD = re.compile(r"^\s+(repeated |optional )?[\w.]+ (\w+) = \d+( \[|;)|^\s+map<[^>]+> (\w+) = ")
NAMED = re.compile(
    r"^\s*(message|enum|service|rpc|oneof) (\w+)|^\s+([A-Z][A-Z0-9_]*) = -?\w+( \[|;)"
)


def proto_comments(file):
    """Every service, method, message, field and value says what it means."""
    if not file.is_proto():
        return
    for number, line in enumerate(file.lines, 1):
        match = FIELD.match(line) or NAMED.match(line)
        if not match or "//" in line:
            continue
        name = next(text for text in reversed(match.groups()) if text and text.strip(" [;"))
        above = file.lines[number - 2].strip() if number > 1 else ""
        # An enum's zero value is named by its kind: it means that nothing was said.
        if not above.startswith("//") and not name.endswith("_UNSPECIFIED"):
            yield number, f"{name}: no comment"


def proto_places(file):
    """The package is the path, one service a file, and the syntax is proto3."""
    if not file.is_proto() or not file.path.startswith("proto/"):
        return
    package = file.folder[len("proto/") :].replace("/", ".")
    if f"package {package};" not in file.lines:
        yield 1, f"want package {package};"
    if 'syntax = "proto3";' not in file.lines:
        yield 1, "want proto3"
    services = [n for n, line in enumerate(file.lines, 1) if line.startswith("service ")]
    for number in services[1:]:
        yield number, "a second service: one a file"
    if file.lines and not file.lines[0].startswith("// "):
        yield 1, "a file starts with a comment: what it describes"
