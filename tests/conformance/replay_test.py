"""Goal: our answers are those of the tables: the reference's, but for what docs/DIVERGENCE.md
lists, and in tests/faces our own.
Method: each table of a folder is played to a fresh server of ours; every case of it is a case here.
With --gateway the server has no HTTP and no DNS of its own: a gateway process answers for it.

usage: replay_test.py BINARY FOLDER [--gateway]
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
    settings = {}

    @classmethod
    def setUpClass(cls):
        kind = agent.AgentWithGateway if "--gateway" in sys.argv[3:] else agent.Agent
        with kind(sys.argv[1], config={**CONFIG, **cls.settings}) as server:
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
        text = file.read()
    cases = table.parse(text, path)
    members = {"path": path, "cases": cases, "settings": table.settings(text, path)}
    for number, case in enumerate(cases, 1):
        if case.answer:
            words = re.sub(r"\W+", "_", case.title())[:60].strip("_")
            members[f"test_{number:03}_{words}"] = lambda self, case=case: self.check(case)
    name = path.rpartition("/")[2][: -len(".txt")].title().replace("_", "") + "Table"
    globals()[name] = type(name, (TableTest,), members)


for table_path in sorted(glob.glob(sys.argv[2] + "/*.txt")):
    add_table(table_path)
del TableTest  # It has no table of its own.
