"""Turns the event file of one `bazel test` run into the logs of the tests that failed and the line
`N passed, N failed`.

The numbers are test cases: what the JUnit files of the run's own targets list, so that results
of earlier runs and of other targets never count. A target that did not build, or that ended
badly without saying in which case (a crash, a timeout), counts as one failed case.

usage: summary.py BAZEL-STATUS EVENT-FILE [JUNIT-FILE...]; exits 0 when all is well and something
ran. The JUnit files are of tests that ran beside Bazel; one without a case is a failed case.
"""

import collections
import json
import sys
import urllib.parse
import xml.etree.ElementTree

# Of the log of a test that failed; the path of the whole one is printed above it.
LOG_BYTES_MAX = 64 * 1024

Cases = collections.namedtuple("Cases", "passed failed skipped")


def count_cases(path):
    """Counts the cases of one JUnit file."""
    passed = failed = skipped = 0
    for case in xml.etree.ElementTree.parse(path).iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif (
            case.find("skipped") is not None
            or case.get("status") == "notrun"
            or case.get("result") == "skipped"
        ):
            skipped += 1
        else:
            passed += 1
    return Cases(passed, failed, skipped)


def output_path(result, name):
    """The path of one of the files that a test left behind, or None."""
    for output in result.get("testActionOutput", []):
        if output["name"] == name:
            return urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
    return None


def print_log(label, result):
    path = output_path(result, "test.log")
    print(f"==== {label}: {result.get('status')}: {path}")
    try:
        with open(path or "", "rb") as file:
            log = file.read()
    except OSError as error:
        print(f"no log: {error}")
        return
    if len(log) > LOG_BYTES_MAX:
        print(f"... the last {LOG_BYTES_MAX} of {len(log)} bytes")
    print(log[-LOG_BYTES_MAX:].decode("utf-8", "replace").rstrip())


def count_result(result):
    """Counts the cases of one testResult event; its status has the last word."""
    cases = Cases(0, 0, 0)
    try:
        cases = count_cases(output_path(result, "test.xml") or "")
    except (OSError, xml.etree.ElementTree.ParseError):
        pass
    if result.get("status") != "PASSED" and cases.failed == 0:
        cases = cases._replace(failed=1)
    return cases


def count_beside(paths):
    """Counts the JUnit files of tests that ran beside Bazel."""
    total = Cases(0, 0, 0)
    for path in paths:
        try:
            cases = count_cases(path)
        except (OSError, xml.etree.ElementTree.ParseError) as error:
            print(f"no cases: {error}")
            cases = Cases(0, 1, 0)
        if cases == Cases(0, 0, 0):
            print(f"no cases in {path}")
            cases = Cases(0, 1, 0)
        total = Cases(*map(sum, zip(total, cases)))
    return total


def read_events(lines):
    """Returns the count over the run, and the labels that failed without a result of their own."""
    results = {}
    unbuilt = set()
    for line in lines:
        if not line.strip():
            continue
        event = json.loads(line)
        identity = event["id"]
        if "testResult" in event:
            key = identity["testResult"]
            # A later attempt of the same run and shard replaces the earlier one.
            results[key["label"], key.get("run"), key.get("shard")] = event["testResult"]
        elif "targetCompleted" in identity and not event.get("completed", {}).get("success"):
            unbuilt.add(identity["targetCompleted"]["label"])
    passed = failed = skipped = 0
    for (label, _, _), result in sorted(results.items(), key=str):
        if result.get("status") != "PASSED":
            print_log(label, result)
        cases = count_result(result)
        passed += cases.passed
        failed += cases.failed
        skipped += cases.skipped
    return Cases(passed, failed + len(unbuilt), skipped), unbuilt


def main(status, event_file, junit_files=()):
    with open(event_file, encoding="utf-8") as file:
        cases, unbuilt = read_events(file)
    cases = Cases(*map(sum, zip(cases, count_beside(junit_files))))
    for label in sorted(unbuilt):
        print(f"did not build: {label}")
    if cases.skipped:
        print(f"{cases.skipped} skipped")
    # A failure that no event names (a broken BUILD file) is still a failure.
    failed = cases.failed or int(status not in (0, 4))
    if cases.passed + failed == 0:
        print("no test ran")
    print(f"{cases.passed} passed, {failed} failed", flush=True)
    return int(failed > 0 or cases.passed == 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
