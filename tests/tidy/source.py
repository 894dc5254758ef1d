"""The files of the tree, as the rules see them."""

import os

# Folders that hold no source of ours.
SKIPPED = {".git", "__pycache__"}
CPP = (".cc", ".h")


class File:
    """One text file: its path from the root, its text and lines."""

    def __init__(self, path, text):
        self.path = path
        self.text = text
        self.lines = text.split("\n")
        if self.lines[-1] == "":
            self.lines.pop()
        self.folder, _, self.name = path.rpartition("/")

    def is_cpp(self):
        return self.name.endswith(CPP)

    def is_header(self):
        return self.name.endswith(".h")

    def is_test(self):
        stem = self.name.rpartition(".")[0]
        return stem.endswith("_test") or self.path.startswith("tests/") or "testing" in stem

    def is_shell(self):
        return self.text.startswith("#!") and "bash" in self.lines[0]

    def is_python(self):
        return self.name.endswith(".py")

    def is_build(self):
        return self.name in ("BUILD.bazel", "WORKSPACE") or self.name.endswith(".bzl")

    def is_proto(self):
        return self.name.endswith(".proto")

    def is_code(self):
        return (
            self.is_cpp()
            or self.is_shell()
            or self.is_python()
            or self.is_build()
            or self.is_proto()
        )

    def is_fuzz_input(self):
        """Bytes as a parser gets them."""
        return self.path.startswith("tests/fuzz/corpus/")

    def is_recorded(self):
        """Expected output: it is as long and as wide as what it was recorded from."""
        return "/testdata/" in self.path or self.path.startswith("tests/conformance/tables/")


def read_tree(root):
    """Reads every text file under `root`, in order. Binary files are left out."""
    files = []
    for folder, names, file_names in os.walk(root):
        names[:] = sorted(
            name
            for name in names
            if name not in SKIPPED and not (folder == root and name.startswith("bazel-"))
        )
        for name in sorted(file_names):
            path = os.path.join(folder, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                data = file.read()
            try:
                text = data.decode()
            except UnicodeDecodeError:
                continue
            if "\0" not in text:
                files.append(File(os.path.relpath(path, root), text))
    return files
