"""Goal: whatever befalls the servers, default and consistent reads, writes and cas are those of one
register for each key, and nothing that was acknowledged is lost.
Method: clients of all three servers and of a client agent write down what they are told, while a
nemesis cuts, kills and pauses servers. E2E_SEED=n repeats its choices, E2E_FAULTS=n makes it
longer.
"""

import base64
import os
import random
import time

from tests.e2e import linearizability
from tests.e2e.cluster_history import Client, Clients, Registers
from tests.e2e.cluster_story import FAST, ClusterStory
from tests.e2e.linearizability import PUT, READ, Operation
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
        agent = self.client_host.start(
            "agent", "-node", "c1", "-client", "0.0.0.0", "-data-dir", self.path("c1"),
            *self.FLAGS, *self.joins(),
        )
        self.addCleanup(agent.close)
        self.eventually(lambda: self.client_host.get("/v1/status/leader").body != b'""', "c1")
        self.nemesis = Nemesis(self, self.chance)

    def clients(self, prefix):
        registers = Registers(prefix)
        addresses = [server.host.address for server in self.servers] + [self.client_host.address]
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


class FaultsTest(HistoryStory):
    """Faults by a seed."""

    def test_histories_are_those_of_registers(self):
        with self.clients("h") as clients:
            for _ in range(FAULTS):
                self.until_more_are_answered(clients)
                print(f"{self.nemesis.round()}", flush=True)
            self.agree()
            self.take_part()
            self.until_more_are_answered(clients)
        histories = self.check(clients)

        # The same with one mistake in it is found: a read that is behind an acknowledged write.
        key, write = next(
            (key, each)
            for key, history in histories.items()
            for each in history
            if each.kind != READ and each.known() and each.done
        )
        end = max(each.begin for each in histories[key])
        stale = Operation(READ, None, end + 1, end + 2)
        self.assertLess(write.end, stale.begin)
        self.assertEqual(
            len(linearizability.problems({key: histories[key] + [stale]})), 1, "a planted mistake"
        )


class StaleTest(HistoryStory):
    """That histories can be wrong."""

    def test_what_a_server_that_is_cut_off_has_is_found_to_be_stale(self):
        """What `stale` reads are allowed to say is what the checker must not let pass."""
        leader = self.agree()
        follower = self.others(leader)[0]
        self.store(leader, "stale", "old")
        self.eventually(
            lambda: follower.get("/v1/kv/stale?stale&raw").body == b"old", "the value at all"
        )
        self.partition([follower], self.others(follower))
        began = time.monotonic()
        self.store(leader, "stale", "new")
        written = time.monotonic()
        value = follower.get("/v1/kv/stale?stale&raw").body.decode()
        self.assertEqual(value, "old")
        history = [
            Operation(PUT, "old", began - 2, began - 1),
            Operation(PUT, "new", began, written),
            Operation(READ, value, time.monotonic(), time.monotonic()),
        ]
        self.assertFalse(linearizability.is_linearizable(history))


class KillTest(HistoryStory):
    """kill -9 of any number of servers, over and over."""

    ROUNDS = 5

    def test_no_acknowledged_write_is_lost(self):
        nemesis = self.nemesis
        # Never twice at the same moment of the servers' lives.
        nemesis.SECONDS = (0, 0.1, 0.5)
        kills = [
            [nemesis.kill_leader],
            [nemesis.kill_two],
            [nemesis.kill_all],
            [nemesis.kill_follower, nemesis.kill_leader],
            [nemesis.kill_all],
        ]
        self.chance.shuffle(kills)
        with self.clients("k") as clients:
            for number in range(self.ROUNDS):
                self.until_more_are_answered(clients)
                print(nemesis.do(kills[number]), flush=True)
            self.agree()
            self.take_part()
        self.check(clients)


class SnapshotHistoryTest(FaultsTest):
    """The same, while snapshots are taken all the time, and who was away needs the leader's."""

    FLAGS = (*FAST, "-hcl", OFTEN)
