#!/usr/bin/python3
"""Plays tables to a server that runs, and prints where its answers differ from the reference's.

Without --address it starts `--binary` (default: bazel-bin/cli/consul) anew for each table; the
tables expect a fresh server, so one at an address is good for one table only.

usage: tests/conformance/replay.py [--binary FILE] [--reference | --gateway] [TABLE...]
       tests/conformance/replay.py --address HOST:PORT TABLE
"""

import argparse
import glob
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.conformance import agent, player, table  # noqa: E402

CONFIG = {"performance": {"raft_multiplier": 1}}


def play(path, text, address, ports, reference):
    """Plays one table; prints what differs; returns (cases, differing cases)."""
    cases = table.parse(text, path)
    if reference:
        for case in cases:
            # What was left out of the record is all that may differ from it.
            case.differences = [d for d in case.differences if d.part == "json"]
    count = bad = 0
    for case, problems in player.replay(cases, address, ports):
        count += 1
        if problems:
            bad += 1
            print(f"{path}:{case.line}: {case.title()}")
            for problem in problems:
                print(f"    {problem}")
    return count, bad


def start(options, settings):
    config = {**CONFIG, **settings}
    if options.gateway:
        return agent.AgentWithGateway(options.binary, config=config)
    return agent.Agent(options.binary, options.reference, config=config)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "bazel-bin/cli/consul"))
    parser.add_argument("--reference", action="store_true", help="the binary is the reference")
    parser.add_argument("--gateway", action="store_true", help="answered by a gateway process")
    parser.add_argument("--address", help="of the HTTP interface of a server that runs")
    parser.add_argument("tables", nargs="*")
    options = parser.parse_args()
    folder = os.path.join(ROOT, "tests/conformance/tables")
    count = bad = 0
    for path in options.tables or sorted(glob.glob(os.path.join(folder, "*.txt"))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if options.address:
            host, _, port = options.address.rpartition(":")
            counts = play(path, text, (host, int(port)), agent.PORTS, options.reference)
        else:
            with start(options, table.settings(text, path)) as server:
                server.wait_until_settled()
                counts = play(path, text, server.address, server.ports, options.reference)
        count += counts[0]
        bad += counts[1]
    print(f"{count - bad} answers are as recorded, {bad} differ")
    return int(bad > 0 or count == 0)


if __name__ == "__main__":
    sys.exit(main())
