#!/usr/bin/python3
"""Runs one unittest module under Bazel and writes a JUnit file with an entry for each case.

usage: unittest_main.py MODULE.py [ARGUMENT...]; see python.bzl
"""

import importlib.util
import os
import sys
import time
import unittest
import xml.etree.ElementTree


class Result(unittest.TextTestResult):
    """Remembers how each case went, and how long it took."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.suite = xml.etree.ElementTree.Element("testsuite")
        self._element = None
        self._started = 0.0

    def startTest(self, test):
        super().startTest(test)
        self._started = time.monotonic()
        self._element = self._add(test)

    def stopTest(self, test):
        self._element.set("time", f"{time.monotonic() - self._started:.3f}")
        self._element = None
        super().stopTest(test)

    def addError(self, test, err):
        super().addError(test, err)
        self._mark(test, "error", self._exc_info_to_string(err, test))

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._mark(test, "failure", self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._mark(test, "failure", f"{subtest}\n{self._exc_info_to_string(err, test)}")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self._mark(test, "failure", "unexpected success")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._mark(test, "skipped", reason)

    def _add(self, test):
        module, _, name = test.id().rpartition(".")
        return xml.etree.ElementTree.SubElement(
            self.suite, "testcase", name=name, classname=module
        )

    def _mark(self, test, kind, text):
        # Errors of setUpClass and the like come without a case.
        element = self._element if self._element is not None else self._add(test)
        mark = xml.etree.ElementTree.SubElement(element, kind)
        # XML 1.0 cannot hold most control characters.
        mark.text = "".join(c if c >= " " or c in "\n\t" else "?" for c in text)


def load(path):
    """Imports the module in `path`, with imports by their path from the runfiles root."""
    sys.path.insert(0, os.getcwd())
    sys.dont_write_bytecode = True
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def cases_of(suite):
    """The cases of a suite and of the suites within it, in their order."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from cases_of(test)
        else:
            yield test


def shard(suite):
    """Of a target with shard_count: the cases that are this shard's."""
    if not os.environ.get("TEST_TOTAL_SHARDS"):
        return suite
    if os.environ.get("TEST_SHARD_STATUS_FILE"):
        open(os.environ["TEST_SHARD_STATUS_FILE"], "w", encoding="utf-8").close()
    index, total = int(os.environ["TEST_SHARD_INDEX"]), int(os.environ["TEST_TOTAL_SHARDS"])
    return unittest.TestSuite(list(cases_of(suite))[index::total])


def run(module):
    """Runs this shard's cases of those that --test_filter selects; returns the Result."""
    loader = unittest.TestLoader()
    if os.environ.get("TESTBRIDGE_TEST_ONLY"):
        loader.testNamePatterns = [f"*{os.environ['TESTBRIDGE_TEST_ONLY']}*"]
    selected = loader.loadTestsFromModule(module)
    result = unittest.TextTestRunner(verbosity=2, resultclass=Result).run(shard(selected))
    # A shard may be left without one.
    result.selected_count = selected.countTestCases()
    result.suite.set("name", module.__name__)
    result.suite.set("tests", str(result.testsRun))
    return result


def main(argv):
    if len(argv) < 2:
        sys.exit("usage: unittest_main.py MODULE.py [ARGUMENT...]")
    sys.argv = argv[1:]
    result = run(load(argv[1]))
    if os.environ.get("XML_OUTPUT_FILE"):
        tree = xml.etree.ElementTree.ElementTree(result.suite)
        tree.write(os.environ["XML_OUTPUT_FILE"], encoding="utf-8", xml_declaration=True)
    if result.selected_count == 0:
        print("no case ran", file=sys.stderr)
    return 0 if result.wasSuccessful() and result.selected_count > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
