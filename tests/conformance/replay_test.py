"""Goal: our answers are the reference's, but for what docs/DIVERGENCE.md lists.
Method: each table is played to a fresh server of ours; every case of it is a case here.
With --gateway the server has no HTTP of its own, and a gateway process answers for it.

usage: replay_test.py BINARY [--gateway]
"""

import glob
import re
import sys
import unittest

from tests.conformance import agent, player, table

CONFIG = {"performance": {"raft_multiplier": 1}}


class TableTest(unittest.TestCase):
    """Plays one table before its cases are looked at."""

    path = ""
    cases = ()

    @classmethod
    def setUpClass(cls):
        kind = agent.AgentWithGateway if "--gateway" in sys.argv[2:] else agent.Agent
        with kind(sys.argv[1], config=CONFIG) as server:
            server.wait_until_settled()
            cls.problems = {
                case.line: problems
                for case, problems in player.replay(cls.cases, server.address, server.ports)
            }

    def check(self, case):
        problems = self.problems[case.line]
        if problems:
            self.fail("\n".join([f"{self.path}:{case.line}: {case.title()}"] + problems))


def add_table(path):
    """Makes a class of the table, with a method for each case that has an answer."""
    with open(path, encoding="utf-8") as file:
        cases = table.parse(file.read(), path)
    members = {"path": path, "cases": cases}
    for number, case in enumerate(cases, 1):
        if case.answer:
            words = re.sub(r"\W+", "_", case.title())[:60].strip("_")
            members[f"test_{number:03}_{words}"] = lambda self, case=case: self.check(case)
    name = path.rpartition("/")[2][: -len(".txt")].title().replace("_", "") + "Table"
    globals()[name] = type(name, (TableTest,), members)


for table_path in sorted(glob.glob("tests/conformance/tables/*.txt")):
    add_table(table_path)
del TableTest  # It has no table of its own.
