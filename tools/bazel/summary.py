"""Turns the event file of one `bazel test` run into the line `N passed, N failed`.

The numbers are test cases: what the JUnit files of the run's own targets list, so that results
of earlier runs and of other targets never count. A target that did not build, or that ended
badly without saying in which case (a crash, a timeout), counts as one failed case.

usage: summary.py BAZEL-STATUS EVENT-FILE; exits 0 when all is well and something ran.
"""

import collections
import json
import sys
import urllib.parse
import xml.etree.ElementTree

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


def count_result(result):
    """Counts the cases of one testResult event; its status has the last word."""
    cases = Cases(0, 0, 0)
    for output in result.get("testActionOutput", []):
        if output["name"] != "test.xml":
            continue
        path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
        try:
            cases = count_cases(path)
        except (OSError, xml.etree.ElementTree.ParseError):
            pass
    if result.get("status") != "PASSED" and cases.failed == 0:
        cases = cases._replace(failed=1)
    return cases


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
    for result in results.values():
        cases = count_result(result)
        passed += cases.passed
        failed += cases.failed
        skipped += cases.skipped
    return Cases(passed, failed + len(unbuilt), skipped), unbuilt


def main(status, event_file):
    with open(event_file, encoding="utf-8") as file:
        cases, unbuilt = read_events(file)
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
    sys.exit(main(int(sys.argv[1]), sys.argv[2]))
