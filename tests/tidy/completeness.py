"""Rules over the tree as a whole: nothing is dead, nothing is missing."""

import posixpath
import re

from tests.tidy import cpp

# Every parser of bytes from outside, and the fuzz target that feeds it. A parser is listed here the
# day it is written; PARSER_NAME tells by the name what must be listed.
PARSERS = {
    "gateway/http/parser.cc": "http_request_fuzz",
    "services/agent/config/hcl_lexer.cc": "hcl_fuzz",
    "services/agent/config/parse_hcl.cc": "hcl_fuzz",
    "services/agent/config/parse_json.cc": "hcl_fuzz",
    "services/agent/config/parse_limits.cc": "hcl_fuzz",
    "services/gossip/codec.cc": "gossip_wire_fuzz",
    "services/gossip/keyring_file.cc": "gossip_disk_fuzz",
    "services/gossip/member_snapshot_format.cc": "gossip_disk_fuzz",
    "services/gossip/stream_codec.cc": "gossip_wire_fuzz",
    "services/raft/log_format.cc": "raft_log_fuzz",
}
PARSER_NAME = re.compile(
    r"(?:^|_)(parser|parse_\w+|codec|lexer|decoder|(?:log|snapshot)_format)\.cc$")


def unbuilt(files):
    """Sources that no BUILD file names: dead, or tests that never run."""
    builds = {file.folder: file.text for file in files if file.name == "BUILD.bazel"}
    found = []
    for file in files:
        if not (file.is_cpp() or file.is_python() or file.is_proto()):
            continue
        if file.is_python() and file.text.startswith("#!"):
            continue  # People run it.
        folder, rest = file.folder, file.name
        while folder not in builds and folder:
            folder, _, part = folder.rpartition("/")
            rest = f"{part}/{rest}"
        text = builds.get(folder)
        if text is None or not (f'"{rest}"' in text or _globbed(rest, text)):
            found.append(f"{file.path}:1: no BUILD.bazel names it")
    return found


def _globbed(name, build):
    for pattern in re.findall(r'"([^"\n]*\*[^"\n]*)"', build):
        expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
        if re.fullmatch(expression, name):
            return True
    return False


def missing_includes(files):
    """Includes of ours that no file is behind. Bazel would find them, but later."""
    paths = {file.path for file in files}
    found = []
    for file in files:
        if not file.is_cpp():
            continue
        for number, mark, path in cpp.includes(file):
            if mark != '"' or not cpp.is_own(path):
                continue
            source = path
            if path.endswith(".pb.h"):
                source = "proto/" + re.sub(r"(\.grpc)?\.pb\.h$", ".proto", path)
            if source not in paths:
                found.append(f"{file.path}:{number}: {path} is not there")
    return found


LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
NAMED_FILE = re.compile(
    r"`((?:\.ci|cli|docs|gateway|proto|services|tests|third_party|tools)/[\w./-]+\.\w+)`"
)


def broken_links(files):
    """Links and names of files, in pages and comments, with nothing behind them."""
    paths = {file.path for file in files}
    folders = {posixpath.dirname(path) for path in paths}
    folders |= {parent for folder in folders for parent in _parents(folder)}
    found = []
    for file in files:
        page = file.name.endswith(".md")
        if not page and not file.is_code() or file.path.startswith("tests/tidy/"):
            continue
        for number, line in enumerate(file.lines, 1):
            targets = [posixpath.normpath(posixpath.join(file.folder, link))
                       for link in LINK.findall(line)] if page else []
            for target in targets + NAMED_FILE.findall(line):
                if target not in paths and target not in folders:
                    found.append(f"{file.path}:{number}: {target} is not there")
    return found


def _parents(folder):
    while folder:
        folder = posixpath.dirname(folder)
        yield folder


def unfuzzed(files, parsers=None):
    """Parsers without a fuzz target. `parsers`: instead of PARSERS, for tests."""
    parsers = PARSERS if parsers is None else parsers
    builds = "\n".join(file.text for file in files if file.path.startswith("tests/fuzz/"))
    if not builds:
        return []  # The folder of the targets comes with the first of them.
    paths = {file.path for file in files}
    found = [f"{path}:1: listed as a parser, but not there" for path in parsers
             if path not in paths]
    for file in files:
        if file.is_test():
            continue
        target = parsers.get(file.path)
        if target is None:
            if PARSER_NAME.search(file.name):
                found.append(
                    f"{file.path}:1: a parser that tests/tidy/completeness.py does not list")
        elif f'"{target}"' not in builds:
            found.append(f"{file.path}:1: its fuzz target {target} is not in tests/fuzz")
    return found
