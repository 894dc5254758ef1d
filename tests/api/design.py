"""The API that docs/API.md and docs/api/ design, the API that proto/ declares, and what is wrong
between them.

A page's section `## consul.AREA.v1` holds blocks of messages in the language of .proto files, a
field a line; docs/API.md says what a comment begins with. What proto/ declares already must not
contradict it, for then a name would change on the day that the rest is built.
"""

import collections
import re

SECTION = re.compile(r"## (consul\.[\w.]+)$")
TYPE = re.compile(r"(message|enum) (\w+) \{(\})?(?:\s+//.*)?$")
FIELD = re.compile(r"(?:(repeated|optional) )?([\w.]+) (\w+) = (\d+);(?:\s+// (.*))?$")
VALUE = re.compile(r"([A-Z][A-Z0-9_]*) = (\d+);(?:\s+// .*)?$")
ONEOF = re.compile(r"oneof (\w+) \{$")
ROW = re.compile(r"\| (\w+) \| ([RWLSA]\*?) \| ?(.*?) ?\| ?(.*?) ?\|$")
AREA = re.compile(r"## ([\w.]+\.v1) (\w+)")
CAPTURE = re.compile(r"\{(\w+)(?:=\*\*)?\}")

SCALARS = {"bool", "bytes", "double", "string", "uint32", "uint64"}
# Of JSON names: the words that are written in capitals.
CAPITALS = {word: word.upper() for word in (
    "acl", "cpu", "dns", "grpc", "http", "id", "kv", "os", "tcp", "tls", "ttl", "udp", "wan")}
CAPITALS["ids"] = "IDs"

Field = collections.namedtuple("Field", "label type name number note")
Method = collections.namedtuple("Method", "package service name kind route now")


class Types:
    """Messages and enums by full name: their fields in order."""

    def __init__(self):
        self.fields = {}
        self.enums = set()
        self.problems = []

    def add(self, name, kind):
        if name in self.fields:
            self.problems.append(f"{name}: twice")
        self.fields[name] = []
        if kind == "enum":
            self.enums.add(name)


def json_name(field_name):
    """The JSON name of a field that is given none: CamelCase."""
    return "".join(CAPITALS.get(word, word.capitalize()) for word in field_name.split("_"))


def pages_types(pages):
    """The types of all pages. `pages`: text by path."""
    types = Types()
    for path, text in sorted(pages.items()):
        package = here = None
        fenced = False
        for number, line in enumerate(text.split("\n"), 1):
            if line.startswith("```"):
                fenced = line == "```proto"
            elif match := SECTION.match(line):
                package = match[1]
            elif fenced and line.strip():
                here = _read_line(types, package, here, line, f"{path}:{number}")
    return types


def _read_line(types, package, here, line, place):
    """Takes one line of a block; returns the type that the next line is in."""
    text = line.strip()
    if match := TYPE.match(line):
        name = f"{package}.{match[2]}"
        types.add(name, match[1])
        return None if match[3] else name
    if text == "}":
        return None if line == "}" else here
    if here and here in types.enums and (match := VALUE.match(text)):
        types.fields[here].append(Field("", "", match[1], int(match[2]), ""))
    elif here and (match := FIELD.match(text)):
        types.fields[here].append(
            Field(match[1] or "", match[2], match[3], int(match[4]), match[5] or ""))
    elif not (here and ONEOF.match(text)):
        types.problems.append(f"{place}: not a line of a message: {line!r}")
    return here


PROTO_TYPE = re.compile(r"^(message|enum) (\w+) \{", re.MULTILINE)
PROTO_FIELD = re.compile(
    r"^ +(?:(repeated|optional) )?([\w.]+) (\w+) = (\d+)(\s*\[.*?\])?;", re.MULTILINE | re.DOTALL)
PROTO_VALUE = re.compile(r"^  ([A-Z][A-Z0-9_]*) = (\d+)", re.MULTILINE)
PROTO_JSON = re.compile(r'json_name = "(\w+)"')
PROTO_RPC = re.compile(r"^  rpc (\w+)\(", re.MULTILINE)


def protos_types(protos):
    """The types and the methods of .proto files. `protos`: text by path."""
    types, methods = Types(), set()
    for text in protos.values():
        text = re.sub(r"^\s*//.*\n", "", text, flags=re.MULTILINE)
        package = re.search(r"^package ([\w.]+);", text, re.MULTILINE)[1]
        for match in re.finditer(r"^service (\w+) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL):
            methods |= {(package, match[1], name) for name in PROTO_RPC.findall(match[2])}
        for match in PROTO_TYPE.finditer(text):
            name = f"{package}.{match[2]}"
            types.add(name, match[1])
            end = text.find("}" if text[match.end()] == "}" else "\n}", match.end())
            body = text[match.end() : end]
            if match[1] == "enum":
                found = [Field("", "", name, int(value), "")
                         for name, value in PROTO_VALUE.findall(body)]
            else:
                found = [Field(label, kind, field, int(value), options)
                         for label, kind, field, value, options in PROTO_FIELD.findall(body)]
            types.fields[f"{package}.{match[2]}"] += found
    return types, methods


def page_methods(text):
    """The methods in the tables of docs/API.md."""
    methods, area = [], None
    for line in text.split("\n"):
        if line.startswith("## "):
            area = AREA.match(line)
        elif area and (match := ROW.match(line)) and match[1] != "method":
            methods.append(Method(f"consul.{area[1]}", area[2], *match.groups()))
    return methods


def resolve(types, package, name):
    """The full name of a type as `package` writes it; None if there is none."""
    if name in SCALARS or name.startswith("google.protobuf."):
        return name
    full = name if name.startswith("consul.") else f"{package}.{name}"
    return full if any(full in each.fields for each in types) else None


def _type_problems(types, others):
    for full, fields in types.fields.items():
        package = full.rpartition(".")[0]
        for kind in ("name", "number"):
            for value, count in collections.Counter(getattr(f, kind) for f in fields).items():
                if count > 1:
                    yield f"{full}: {kind} {value} twice"
        for field in fields:
            if full in types.enums:
                continue
            if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", field.name) or field.number < 1:
                yield f"{full}.{field.name} = {field.number}: no name or number of a field"
            if resolve((types, others), package, field.type) is None:
                yield f"{full}.{field.name}: no type {field.type}"
        if full in types.enums and (not fields or fields[0].number != 0):
            yield f"{full}: its first value is not 0"


def _contradictions(design, real):
    """What proto/ has declared with another name, number or type than the design."""
    for full in design.fields.keys() & real.fields.keys():
        package = full.rpartition(".")[0]
        declared = {field.number: field for field in real.fields[full]}
        names = {field.name: field.number for field in real.fields[full]}
        for field in design.fields[full]:
            if names.get(field.name, field.number) != field.number:
                yield f"{full}.{field.name}: {field.number} here, {names[field.name]} in proto/"
            other = declared.get(field.number)
            if other is None:
                continue
            types = [resolve((design, real), package, each.type) for each in (field, other)]
            if field.name != other.name or field.label != other.label or types[0] != types[1]:
                yield (f"{full}: number {field.number} is {field.label} {field.type} {field.name} "
                       f"here, {other.label} {other.type} {other.name} in proto/")


def _method_problems(method, design, real):
    request = f"{method.package}.{method.name}Request"
    response = f"{method.package}.{method.name}Response"
    for full in (request, response):
        if full not in design.fields and full not in real.fields:
            yield f"{full}: in no page"
            return
    fields = design.fields.get(request, []) + real.fields.get(request, [])
    first = {field.number: field for field in fields}.get(1)
    first_type = first.type.rpartition(".")[2] if first else ""
    if method.kind == "R" and first_type != "QueryOptions":
        yield f"{request}: a read's field 1 is QueryOptions"
    if method.kind == "W" and first_type not in ("WriteOptions", "QueryOptions"):
        yield f"{request}: a write's field 1 is WriteOptions"
    answers = design.fields.get(response, []) + real.fields.get(response, [])
    if method.kind == "R" and not any(f.number == 1 and f.name == "meta" for f in answers):
        yield f"{response}: a read's field 1 is meta"
    if method.now or request not in design.fields:
        return
    wanted = set(CAPTURE.findall(method.route))
    marked = {name for field in fields for name in re.findall(r"^\{(\w+)\}", field.note)}
    if wanted != marked:
        yield f"{request}: its route has {sorted(wanted)}, its fields {sorted(marked)}"


def _unused(design, real, methods):
    """Types that no method leads to, and that extend nothing."""
    left = [f"{m.package}.{m.name}{end}" for m in methods for end in ("Request", "Response")]
    left += list(real.fields)
    seen = set()
    while left:
        full = left.pop()
        if full in seen:
            continue
        seen.add(full)
        package = full.rpartition(".")[0]
        for field in design.fields.get(full, []):
            left.append(resolve((design, real), package, field.type) or "")
    for full in design.fields.keys() - seen:
        yield f"{full}: nothing leads there"


def problems(api, pages, protos):
    """What is wrong. `api`: the text of docs/API.md; `pages`, `protos`: texts by path."""
    design = pages_types(pages)
    real, served = protos_types(protos)
    methods = page_methods(api)
    found = list(design.problems)
    found += _type_problems(design, real)
    found += _contradictions(design, real)
    for method in methods:
        found += _method_problems(method, design, real)
    listed = {(m.package, m.service, m.name): m.now for m in methods}
    found += [f"{'.'.join(key)}: served, and docs/API.md has no such row or does not say so"
              for key in sorted(served) if not listed.get(key)]
    found += [f"{'.'.join(key)}: docs/API.md says that it is served; it is not"
              for key, now in listed.items() if now and key not in served]
    found += _unused(design, real, methods)
    return found


def misnamed(protos):
    """Fields of proto/ whose JSON name the rule would not give: (full name, JSON name)."""
    real, _ = protos_types(protos)
    for full, fields in real.fields.items():
        for field in fields:
            match = PROTO_JSON.search(field.note)
            if match and match[1] != json_name(field.name):
                yield f"{full}.{field.name}", match[1]
