#!/usr/bin/python3
"""Records the answers of the tables anew: plays their requests to the reference.

Only what stands below ---- changes. Each table gets a server of its own on loopback, with a
temporary data folder; it is ended afterwards.

usage: tests/conformance/record.py [TABLE...]        (default: all of them)
"""

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
    session = player.Player(server.address)
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


def main(paths):
    paths = paths or sorted(glob.glob(os.path.join(ROOT, "tests/conformance/tables/*.txt")))
    fetch = [os.path.join(ROOT, "tools/reference")]
    binary = subprocess.run(fetch, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    failed = False
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        cases = table.parse(text, path)
        with agent.Agent(binary, reference=True, config=CONFIG) as server:
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
    sys.exit(main(sys.argv[1:]))
