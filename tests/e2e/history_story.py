"""Stories in which clients write down what a cluster tells them while a nemesis is at work.

E2E_SEED=n repeats the choices of one, E2E_FAULTS=n makes it longer.
"""

import base64
import os
import random
import time

from tests.e2e import linearizability
from tests.e2e.cluster_history import Client, Clients, Registers
from tests.e2e.cluster_story import ClusterStory
from tests.e2e.linearizability import READ, Operation
from tests.e2e.nemesis import Nemesis

# Snapshots whenever the log has become as large as the state, and a log that soon is too short.
OFTEN = """
raft_snapshot_threshold = 20
raft_snapshot_interval = "1ms"
raft_trailing_logs = 5
"""
FAULTS = int(os.environ.get("E2E_FAULTS", 8))


class HistoryStory(ClusterStory):
    """The cluster, a client agent on a host of its own, and what clients say."""

    CLIENTS = 6

    def setUp(self):
        super().setUp()
        self.client_host = self.switch.host("c1", 50)
        self.client_agent = self.client_host.start(
            "agent", "-node", "c1", "-client", "0.0.0.0", "-data-dir", self.path("c1"),
            *self.FLAGS, *self.joins(),
        )
        self.addCleanup(self.client_agent.close)
        self.eventually(self.client_knows_a_leader, "a leader for the client agent")
        self.nemesis = Nemesis(self, self.chance)

    def client_knows_a_leader(self):
        answer = self.client_host.get("/v1/status/leader")
        return answer.status == 200 and answer.body != b'""'

    def addresses(self):
        """Of the agents that are asked."""
        return [server.host.address for server in self.servers] + [self.client_host.address]

    def clients(self, prefix):
        registers = Registers(prefix)
        addresses = self.addresses()
        clients = []
        for number in range(self.CLIENTS):
            # Each begins somewhere else.
            at = number % len(addresses)
            chance = random.Random(self.chance.random())
            order = addresses[at:] + addresses[:at]
            clients.append(Client(f"{prefix}{number}", order, registers, chance))
        return Clients(clients)

    def check(self, clients):
        """All is healed: what was said is true, and what was acknowledged is there."""
        histories = linearizability.by_key(clients.operations())
        rows = self.have_the_same(clients.clients[0].registers.prefix)
        # What is there in the end is one more read of each key.
        now = time.monotonic()
        for key, history in histories.items():
            row = rows.get(key)
            value = base64.b64decode(row["Value"]).decode() if row else None
            history.append(Operation(READ, value, now, now + 1, note="at the end"))
        began = time.monotonic()
        self.assertEqual(clients.odd(), [])
        problems = linearizability.problems(histories)
        self.assertEqual(problems, [], "\n".join([*problems, *self.nemesis.done, self.logs()]))
        operations = [each for history in histories.values() for each in history]
        unknown = sum(not each.known() for each in operations)
        print(
            f"{len(operations)} operations on {len(histories)} keys, {unknown} unknown,"
            f" {len(clients.acknowledged())} acknowledged writes,"
            f" checked in {time.monotonic() - began:.2f} s"
        )
        self.assertGreater(len(clients.acknowledged()), 0)
        return histories

    def until_more_are_answered(self, clients, count=20):
        before = clients.answered()
        self.eventually(lambda: clients.answered() >= before + count, "operations go on")

    def befall(self, clients, faults=FAULTS):
        """One fault after the other while the clients work; all is well in the end."""
        for _ in range(faults):
            self.until_more_are_answered(clients)
            print(f"{self.nemesis.round()}", flush=True)
        self.agree()
        self.take_part()
        self.until_more_are_answered(clients)
