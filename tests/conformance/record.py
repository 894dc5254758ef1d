#!/usr/bin/python3
"""Records the answers of the tables anew: plays their requests to the reference, or to ours.

Only what stands below ---- changes. Each table gets a server of its own on loopback, with a
temporary data folder; it is ended afterwards. Tables whose answers are ours (tests/faces) are
recorded with --ours, from bazel-bin/cli/consul; read the diff.

usage: tests/conformance/record.py [TABLE...]        (default: all of tests/conformance/tables)
       tests/conformance/record.py --ours TABLE...
"""

import argparse
import glob
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.conformance import agent, compare, player, table  # noqa: E402

CONFIG = {"performance": {"raft_multiplier": 1}}


def record(cases, server):
    """Plays the cases and sets their answers. Returns what did not go as the table says."""
    session = player.Player(server.address, server.ports)
    writer = compare.Writer(server.ports)
    responses = []
    problems = []
    for case in cases:
        response, elapsed_s = session.play(case)
        if response:
            writer.see(response)
            responses.append((case, response))
        if late := player.check_time(case, elapsed_s):
            problems.append(f"line {case.line}: {case.title()}: {late}")
    for case, response in responses:
        case.answer = writer.answer(case, response)
    return problems


def binary_of(ours):
    if ours:
        return os.path.join(ROOT, "bazel-bin/cli/consul")
    fetch = [os.path.join(ROOT, "tools/reference")]
    return subprocess.run(fetch, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--ours", action="store_true", help="the answers are those of our own")
    parser.add_argument("tables", nargs="*")
    options = parser.parse_args()
    if options.ours and not options.tables:
        parser.error("--ours needs the tables by name: the others are the reference's")
    binary = binary_of(options.ours)
    failed = False
    default = sorted(glob.glob(os.path.join(ROOT, "tests/conformance/tables/*.txt")))
    for path in options.tables or default:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        cases = table.parse(text, path)
        config = {**CONFIG, **table.settings(text, path)}
        with agent.Agent(binary, reference=not options.ours, config=config) as server:
            server.wait_until_settled()
            problems = record(cases, server)
        for problem in problems:
            print(f"{path}: {problem}", file=sys.stderr)
        failed = failed or bool(problems)
        with open(path, "w", encoding="utf-8") as file:
            file.write(table.render(cases, table.heading(text)))
        print(f"{path}: {len(cases)} cases")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
