"""Tests written in Python.

They run with Debian's /usr/bin/python3 and its packages, whatever python3 a PATH names, and need
no Python rules of Bazel's.
"""

def python_test(name, src, deps = [], data = [], args = [], **kwargs):
    """A unittest module as a test whose cases Bazel, and tools/test, can count.

    Args:
      name: of the test.
      src: the module with the unittest.TestCase classes.
      deps: modules that it imports, by their path from the root: `from tools.bazel import x`.
      data: files that it reads; the current directory is the root of them.
      args: what sys.argv[1:] holds for the module.
      **kwargs: passed on to sh_test.
    """
    native.sh_test(
        name = name,
        srcs = ["//tools/bazel:unittest_main.py"],
        args = ["$(rootpath %s)" % src] + args,
        data = [src] + deps + data,
        **kwargs
    )
