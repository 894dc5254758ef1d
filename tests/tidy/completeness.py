"""Rules over the tree as a whole: nothing is dead, nothing is missing."""

import posixpath
import re

from tests.tidy import cpp


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
