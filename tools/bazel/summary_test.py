"""Goal: no way of failing is counted as a success. Method: event files as Bazel writes them."""

import contextlib
import io
import json
import os
import tempfile
import types
import unittest
import unittest.mock

from tools.bazel import summary, unittest_main


class SummaryTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def result(self, xml, status="PASSED", label="//a:b", shard=1, attempt=1):
        """A testResult event whose JUnit file holds `xml`; None for no file."""
        path = os.path.join(self.folder.name, f"{label[-1]}{shard}{attempt} x.xml")
        if xml is not None:
            with open(path, "w", encoding="utf-8") as file:
                file.write(xml)
        key = {"label": label, "run": 1, "shard": shard, "attempt": attempt}
        output = {"name": "test.xml", "uri": "file://" + path.replace(" ", "%20")}
        log_path = os.path.join(self.folder.name, "test.log")
        with open(log_path, "w", encoding="utf-8") as file:
            file.write("what it printed\n" + "x" * summary.LOG_BYTES_MAX + "\nthe end\n")
        log = {"name": "test.log", "uri": "file://" + log_path}
        return {
            "id": {"testResult": key},
            "testResult": {"status": status, "testActionOutput": [log, output]},
        }

    def count(self, *events):
        cases, _ = summary.read_events(json.dumps(event) for event in events)
        return cases

    def run_main(self, status, *events, beside=()):
        path = os.path.join(self.folder.name, "events.json")
        with open(path, "w", encoding="utf-8") as file:
            for event in events:
                file.write(json.dumps(event) + "\n")
        return summary.main(status, path, beside)

    TWO = '<testsuites><testsuite><testcase name="a"/><testcase name="b"/></testsuite></testsuites>'

    def test_each_case_counts(self):
        self.assertEqual(self.count(self.result(self.TWO)), (2, 0, 0))

    def test_failure_and_error_elements_are_failures(self):
        xml = "<s><testcase><failure/></testcase><testcase><error/></testcase><testcase/></s>"
        self.assertEqual(self.count(self.result(xml, "FAILED")), (1, 2, 0))

    def test_cases_not_run_are_not_passed(self):
        xml = '<s><testcase status="notrun"/><testcase><skipped/></testcase><testcase/></s>'
        self.assertEqual(self.count(self.result(xml)), (1, 0, 2))

    def test_a_crash_after_good_cases_is_one_failure(self):
        self.assertEqual(self.count(self.result(self.TWO, "FAILED")), (2, 1, 0))

    def test_a_timeout_without_a_file_is_one_failure(self):
        self.assertEqual(self.count(self.result(None, "TIMEOUT")), (0, 1, 0))

    def test_a_file_that_is_no_xml_is_no_success(self):
        self.assertEqual(self.count(self.result("<s><testcase>", "FAILED")), (0, 1, 0))
        self.assertEqual(self.count(self.result("<s><testcase>", "PASSED")), (0, 0, 0))

    def test_shards_add_up_and_attempts_replace(self):
        events = [
            self.result(self.TWO, shard=1),
            self.result(self.TWO, "FAILED", shard=2, attempt=1),
            self.result(self.TWO, shard=2, attempt=2),
        ]
        self.assertEqual(self.count(*events), (4, 0, 0))

    def test_a_target_that_does_not_build_is_a_failure(self):
        broken = {"id": {"targetCompleted": {"label": "//a:broken"}}, "aborted": {}}
        built = {"id": {"targetCompleted": {"label": "//a:b"}}, "completed": {"success": True}}
        self.assertEqual(self.count(broken, built, self.result(self.TWO)), (2, 1, 0))

    def test_the_log_of_a_failure_is_printed_and_of_a_success_not(self):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.count(self.result(self.TWO, "FAILED", label="//a:bad"))
        self.assertIn("==== //a:bad: FAILED", printed.getvalue())
        self.assertIn("the end", printed.getvalue())
        self.assertNotIn("what it printed", printed.getvalue(), "the end of a long log")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.count(self.result(self.TWO))
        self.assertEqual(printed.getvalue(), "")

    def test_exit_status(self):
        good = self.result(self.TWO)
        self.assertEqual(self.run_main(0, good), 0)
        self.assertEqual(self.run_main(1, good), 1, "Bazel's own failure counts")
        self.assertEqual(self.run_main(4), 1, "no test at all is no success")
        self.assertEqual(self.run_main(3, self.result(self.TWO, "FAILED")), 1)

    def test_tests_beside_bazel_count(self):
        def file(name, xml):
            path = os.path.join(self.folder.name, name)
            with open(path, "w", encoding="utf-8") as out:
                out.write(xml)
            return path

        two, failed = file("two", self.TWO), file("failed", "<s><testcase><error/></testcase></s>")
        self.assertEqual(summary.count_beside([two, two]), (4, 0, 0))
        self.assertEqual(summary.count_beside([two, failed]), (2, 1, 0))
        for path in (file("none", "<s/>"), file("cut", "<s>"), os.path.join(two, "missing")):
            self.assertEqual(summary.count_beside([path]), (0, 1, 0), path)
        good = self.result(self.TWO)
        self.assertEqual(self.run_main(0, good, beside=[two]), 0)
        self.assertEqual(self.run_main(0, good, beside=[failed]), 1)
        self.assertEqual(self.run_main(0, good, beside=["missing"]), 1)


class UnittestMainTest(unittest.TestCase):
    """The runner under this very test: what it writes when a case fails."""

    def run_cases(self, **methods):
        case = type("Case", (unittest.TestCase,), methods)
        module = types.ModuleType("sample")
        module.Case = case
        return unittest_main.run(module)

    def test_a_failing_case_is_written_as_one(self):
        def fails(case):
            case.fail("on purpose \x01")

        result = self.run_cases(test_good=lambda case: None, test_bad=fails)
        self.assertFalse(result.wasSuccessful())
        cases = {case.get("name"): case for case in result.suite.iter("testcase")}
        self.assertEqual(sorted(cases), ["test_bad", "test_good"])
        self.assertIn("on purpose ?", cases["test_bad"].find("failure").text)
        self.assertIsNone(cases["test_good"].find("failure"))

    def test_an_error_outside_any_case_is_written(self):
        def breaks(cls):
            raise OSError("no such thing")

        result = self.run_cases(setUpClass=classmethod(breaks), test_good=lambda case: None)
        self.assertFalse(result.wasSuccessful())
        self.assertIsNotNone(result.suite.find("testcase/error"))

    def test_every_case_runs_in_one_of_the_shards(self):
        cases = {f"test_{number}": lambda case: None for number in range(5)}
        ran = []
        for index in range(3):
            shard = {"TEST_TOTAL_SHARDS": "3", "TEST_SHARD_INDEX": str(index)}
            with unittest.mock.patch.dict(os.environ, shard):
                result = self.run_cases(**cases)
            ran += [case.get("name") for case in result.suite.iter("testcase")]
        self.assertEqual(sorted(ran), sorted(cases))


if __name__ == "__main__":
    unittest.main()
