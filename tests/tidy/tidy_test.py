"""Holds the tree to the rules of the house: a case for each rule; see rules.py."""

import os
import time
import unittest

from tests.tidy import completeness, parsers, rules, source

# The test is run through a link; the tree is where the file is.
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
FILES_MIN = 50


class TidyTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        started = time.monotonic()
        cls.files = source.read_tree(ROOT)
        print(f"{len(cls.files)} files in {time.monotonic() - started:.2f} s under {ROOT}")

    def report(self, found):
        if found:
            self.fail(f"{len(found)} times\n" + "\n".join(found))

    def test_the_tree_is_there(self):
        paths = {file.path for file in self.files}
        self.assertGreater(len(paths), FILES_MIN)
        self.assertIn("WORKSPACE", paths)
        self.assertIn("tests/tidy/rules.py", paths)

    def test_every_source_is_built(self):
        self.report(completeness.unbuilt(self.files))

    def test_every_include_of_ours_exists(self):
        self.report(completeness.missing_includes(self.files))

    def test_every_file_that_a_page_names_is_there(self):
        self.report(completeness.broken_links(self.files))

    def test_every_parser_is_fuzzed(self):
        self.report(parsers.unfuzzed(self.files))


def add_rule(name):
    setattr(
        TidyTest,
        f"test_rule_{name}",
        lambda self: self.report(rules.check(name, self.files)),
    )


for rule_name in rules.RULES:
    add_rule(rule_name)
