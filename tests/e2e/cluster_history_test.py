"""Goal: whatever befalls the servers, default and consistent reads, writes and cas are those of one
register for each key, and nothing that was acknowledged is lost.
Method: clients of all three servers and of a client agent write down what they are told, while a
nemesis cuts, kills and pauses servers. E2E_SEED=n repeats its choices, E2E_FAULTS=n makes it
longer.
"""

import time

from tests.e2e import linearizability
from tests.e2e.cluster_story import FAST
from tests.e2e.history_story import OFTEN, HistoryStory
from tests.e2e.linearizability import PUT, READ, Operation


class FaultsTest(HistoryStory):
    """Faults by a seed."""

    def test_histories_are_those_of_registers(self):
        with self.clients("h") as clients:
            self.befall(clients)
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
